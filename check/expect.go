package check

import (
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// exit is where a frame leaves, and as what. It is comparable.
type exit struct {
	port uint16
	tag  uint16
	// By VXLAN, with these outer addresses.
	vtep, local netip.Addr
	vni         uint32
	hop         hop
	// To the controller.
	punt   p4.PuntReason
	bridge uint16
	frame  string // without tag, outer headers and the like
}

// outcome is what becomes of a frame.
type outcome struct {
	exits   [][]exit // each of them is one of these
	drop    p4.DropReason
	learned bool   // its source is told to the controller
	rule    string // why
}

// passing is a frame on its way.
type passing struct {
	arrival
	frame
	bridge *bridge // nil: it came by the VNI of a VRF
	vrf    *vrf    // it is routed in
	// origin: split horizon does not apply to what was routed.
	routed, carried bool
	out             outcome
}

func (p *passing) dropped(r p4.DropReason, rule string, a ...any) {
	p.out.drop, p.out.rule = r, fmt.Sprintf(rule, a...)
}

func (p *passing) leaves(by ...exit) { p.out.exits = append(p.out.exits, by) }

// expect says where a frame must end.
func (o *oracle) expect(a arrival, f frame) outcome {
	p := &passing{arrival: a, frame: f}
	port := o.ports[a.port]
	raw := func(to uint16, rule string) {
		p.leaves(exit{port: to, frame: string(a.bytes(&f))})
		p.out.rule = rule
	}
	switch {
	case port == nil:
		p.dropped(p4.DropUnknownPort, "the configuration has no such port")
	case port.HostPort == a.port && a.port != 0:
		raw(port.Number, "what Linux sends leaves by the uplink")
	case port.HostPort != 0 && (!a.vxlan() || !o.ours(a.local)):
		raw(port.HostPort, "what is no VXLAN for this gateway is for Linux")
	case port.HostPort != 0:
		o.terminate(p)
	default:
		vlan := a.tag
		if p.bridge = o.members[member{a.port, vlan}]; p.bridge == nil {
			p.dropped(p4.DropNotMember, "the port is in no bridge with the VLAN")
		}
	}
	if p.out.drop == p4.DropNone && (p.bridge != nil || p.vrf != nil) {
		o.judge(p, port)
	}
	return p.out
}

func (o *oracle) ours(a netip.Addr) bool {
	for _, v := range o.VTEPs {
		if v == a {
			return true
		}
	}
	return false
}

// terminate is RFC 7348 section 4.1, RFC 8365 section 5: from a VTEP that is known, with a VNI
// that is a bridge's, or a VRF's and then for our router MAC (RFC 9135 section 5.2).
func (o *oracle) terminate(p *passing) {
	if !o.AcceptUnknownVTEPs && !o.vteps[p.vtep] {
		p.dropped(p4.DropUnknownVTEP, "no route leads to the VTEP")
		return
	}
	for _, b := range o.bridges {
		if b.local == p.local && b.VNI == p.vni {
			p.bridge = b
			return
		}
	}
	for _, v := range o.vrfs {
		if v.VNI != p.vni || !v.local.IsValid() || !v.endsAt(p.local) {
			continue
		}
		if p.destination != o.Known.RouterMAC {
			p.dropped(p4.DropWrongRouterMAC, "what comes by the VNI of a VRF is for the router MAC (RFC 9135 section 5.2)")
			return
		}
		p.vrf = v
		return
	}
	p.dropped(p4.DropUnknownVNI, "the VNI is that of no bridge and no VRF")
}

// endsAt: a type-2 route has one next hop for both VNIs, so that that of a VRF ends where its
// bridges do too.
func (v *vrf) endsAt(local netip.Addr) bool {
	for _, s := range v.svis {
		if s.bridge.local == local {
			return true
		}
	}
	return v.local == local
}

// judge is what becomes of a frame of a bridge or VRF.
func (o *oracle) judge(p *passing, port *TargetPort) {
	b, tenant := p.bridge, !p.vxlan()
	if p.source.IsMulticast() || p.source.IsZero() {
		p.dropped(p4.DropBadSource, "no station sends by a group address (IEEE 802)")
		return
	}
	if tenant && port.SourceGuard && !o.mayBeFrom(p) {
		p.dropped(p4.DropSpoofed, "a station behind a guarded port sends from its addresses alone (RFC 7039)")
		return
	}
	if tenant && !o.learn(p) {
		return
	}
	if b != nil {
		if o.copied(p) {
			return
		}
		if b.svi != nil && (p.destination == b.svi.mac || b.aliases[p.destination]) {
			p.vrf = b.svi.vrf
		}
		answer, is := o.answer(p)
		if tenant && b.svi != nil && o.forged(p, is) {
			return
		}
		if is && tenant {
			p.leaves(exit{port: p.port, tag: p.tag, frame: string(answer.bytes(0))})
			return
		}
		if is { // by the bridge, to where the asker is
			p.vrf, p.routed, p.frame = nil, true, answer
		}
	}
	if p.vrf != nil && !o.route(p) {
		return
	}
	if p.carried {
		return
	}
	o.forward(p)
}

// learn is the source of a frame from a port; false if it ends there.
func (o *oracle) learn(p *passing) bool {
	b, at := p.bridge, stationAt{p.source, p.port}
	st := b.macs[p.source]
	switch passes, declined := b.declined[at]; {
	case st != nil && (st.static == p.port || st.learned == p.port && o.where(b, p.source).port == p.port):
		return true
	case declined && passes:
		return true
	case declined:
		p.dropped(p4.DropDeclinedSource, "the source was declined at the port")
		return false
	}
	p.out.learned = true
	if b.svi != nil && (p.source == b.svi.mac || b.aliases[p.source]) {
		p.dropped(p4.DropForgedGateway, "no tenant has the gateway's MAC")
		return false
	}
	return true
}

// mayBeFrom judges where a station behind a guarded port says that it is (RFC 7039).
func (o *oracle) mayBeFrom(p *passing) bool {
	has := func(ip netip.Addr) bool {
		return p.bridge.bound[binding{stationAt{p.source, p.port}, ip}] || ip.Is6() && ip.IsLinkLocalUnicast()
	}
	switch p.kind {
	case arp:
		address := p.from
		if address.IsUnspecified() {
			address = p.to // RFC 5227
		}
		return p.mac == p.source && has(address)
	case ip:
		return has(p.from)
	case solicitation:
		if p.from.IsUnspecified() {
			return has(p.target)
		}
		return has(p.from) && (p.mac.IsZero() || p.mac == p.source)
	case routers:
		return has(p.from)
	case advertisement:
		return has(p.target) && p.mac == p.source && (p.from == p.target || p.from.IsLinkLocalUnicast())
	}
	return true
}

// copied has the controller see ARP and neighbour discovery; true if nobody else does, since it
// answers what the gateway asked.
func (o *oracle) copied(p *passing) bool {
	reason := p4.PuntARP
	switch {
	case p.kind == arp && p.vxlan():
		reason = p4.PuntVXLANARP
	case p.kind == arp:
	case !p.discovery():
		return false
	case p.vxlan():
		reason = p4.PuntVXLANND
	default:
		reason = p4.PuntND
	}
	o.punts(p, reason)
	if p.destination == o.Known.AskerMAC && p.kind != routers {
		p.out.rule = "it answers what the gateway asked"
		return true
	}
	return false
}

func (o *oracle) punts(p *passing, reason p4.PuntReason) {
	e := exit{port: p4.CPUPort, punt: reason, vtep: p.vtep, frame: string(p.frame.bytes(0))}
	if p.bridge != nil {
		e.bridge = p.bridge.Index
	}
	p.leaves(e)
}

// answer is what the gateway says to who asks all, or asks the gateway about itself (RFC 9161
// section 3.3); false if it is silent.
func (o *oracle) answer(p *passing) (frame, bool) {
	b, toGateway := p.bridge, p.vrf != nil
	probe := p.from.IsUnspecified() // RFC 5227 section 2.1.1, RFC 4862 section 5.4
	var asked netip.Addr
	asker := p.mac
	switch {
	case p.kind == arp && !p.reply && p.from != p.to && (p.destination == ether.Broadcast || toGateway):
		asked = p.to
	case p.kind == solicitation && p.to.IsMulticast() && p.destination.IsMulticast(),
		p.kind == solicitation && toGateway && !probe:
		if !probe && p.mac.IsZero() {
			return frame{}, false
		}
		asked = p.target
		if probe {
			asker = p.source
		}
	default:
		return frame{}, false
	}
	var mac ether.MAC
	at, byVXLAN, router, override := uint16(0), false, true, true
	switch w := o.owner(b, asked); {
	case b.svi.has(asked):
		mac, byVXLAN = b.svi.mac, o.AnswersVXLAN[b.svi.ID]
		p.out.rule = "it is the gateway's own address (RFC 9161 section 3.3)"
	case !w.known() || w.held || asked.Is6() && !w.flagged:
		return frame{}, false
	default:
		mac, at, router, override = w.mac, w.port, w.router, w.override
		p.out.rule = "it is answered for its host: " + w.rule
	}
	if mac == asker || at == p.port || p.vxlan() && !byVXLAN || probe && at != 0 || toGateway && mac != p.destination {
		return frame{}, false // a host never hears of itself, and who is behind a port of ours answers a probe himself
	}
	if p.kind == arp {
		return frame{source: mac, destination: p.source, kind: arp, reply: true, mac: mac, from: p.to, asked: p.mac,
			to: p.from}, true
	}
	out := frame{source: mac, destination: p.source, kind: advertisement, from: asked, to: p.from, target: asked, mac: mac,
		flags: 0x40}
	if probe { // RFC 4861 section 7.2.4
		out.destination, out.to, out.flags = ether.MAC{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), 0
	}
	if router {
		out.flags |= 0x80
	}
	if override {
		out.flags |= 0x20
	}
	return out, true
}

// forged reports whether a tenant says that it is the gateway.
func (o *oracle) forged(p *passing, answered bool) bool {
	s := p.bridge.svi
	probe := p.from.IsUnspecified()
	if p.kind == arp && s.guards(p.from) ||
		p.discovery() && s.guards(p.from) ||
		(p.kind == advertisement || p.kind == solicitation && probe && !answered) && s.guards(p.target) {
		p.dropped(p4.DropForgedGateway, "no tenant speaks for an address of the gateway")
		return true
	}
	port := o.ports[p.port]
	trusted := port.TrustAll || !port.TrustNone && p.tag != 0
	if p.kind == routers && p.reply && !trusted {
		p.dropped(p4.DropRogueRouter, "no router is behind a port that is not trusted (RFC 6105)")
		return true
	}
	return false
}

// route is what becomes of a packet in a VRF; false if it goes no further.
func (o *oracle) route(p *passing) bool {
	if p.kind == data || p.kind == arp || p.to.Is6() && p.to.IsLinkLocalUnicast() && p.bridge != nil {
		o.punts(p, p4.PuntLocal)
		p.out.rule = "it is for the gateway itself"
		return false
	}
	if p.to.IsMulticast() || p.from.IsUnspecified() || p.to.IsLinkLocalUnicast() {
		p.dropped(p4.DropMartian, "no packet is routed there (RFC 6890)")
		return false
	}
	prefix, d := p.vrf.lookup(p.to)
	if p.from.IsLinkLocalUnicast() && (p.bridge == nil || d.kind != toGateway) {
		p.dropped(p4.DropMartian, "a link-local address goes no further than the gateway (RFC 4291 section 2.5.6)")
		return false
	}
	p.out.rule = fmt.Sprintf("VRF %s routes %v: %s", p.vrf.ID, prefix, d.rule)
	switch d.kind {
	case noRoute:
		p.dropped(p4.DropNoRoute, "VRF %s has no route to %v", p.vrf.ID, p.to)
		return false
	case toGateway:
		o.punts(p, p4.PuntLocal)
		return false
	case toUnknownHost:
		o.punts(p, p4.PuntGlean)
		return false
	}
	ttl := p.ttl
	if p.kind != ip {
		ttl = 255
	}
	if ttl <= 1 {
		o.punts(p, p4.PuntTTL)
		p.out.rule = "its TTL is used up (RFC 1812 section 5.3.1)"
		return false
	}
	p.ttl, p.routed = ttl-1, true
	if d.kind == toHost {
		p.bridge, p.source, p.destination = d.bridge, d.bridge.svi.mac, d.mac
		return true
	}
	var any []exit
	for _, r := range d.routes {
		f := p.frame
		f.source, f.destination = o.Known.RouterMAC, r.RouterMAC
		vni := r.Label
		if r.Type == bgp.TypeMACIP {
			vni = r.Label2
		}
		any = append(any, o.encapsulated(r, p.vrf.local, vni, &f)...)
	}
	p.leaves(any...)
	p.carried = true
	return true
}

// encapsulated are the ways by which a frame may leave to a VTEP.
func (o *oracle) encapsulated(r *bgp.Route, local netip.Addr, vni uint32, f *frame) (any []exit) {
	return o.over(tunnelOf(r), local, vni, string(f.bytes(0)))
}

func (o *oracle) over(vtep, local netip.Addr, vni uint32, inner string) (any []exit) {
	for _, h := range o.hops[vtep] {
		any = append(any, exit{port: h.port, vtep: vtep, local: local, vni: vni, hop: h, frame: inner})
	}
	return any
}

// forward is what a bridge does (IEEE 802.1Q section 8.6, RFC 8365 section 8.3.1 for the split
// horizon).
func (o *oracle) forward(p *passing) {
	b := p.bridge
	if p.destination[0] == 1 && p.destination[1] == 0x80 && p.destination[2] == 0xc2 && p.destination[3] == 0 &&
		p.destination[4] == 0 && p.destination[5] < 16 {
		p.dropped(p4.DropReservedGroup, "a bridge never relays these (IEEE 802.1Q table 8-1)")
		return
	}
	if p.destination.IsMulticast() {
		o.flood(p)
		return
	}
	at := o.where(b, p.destination)
	if at.rule != "" && p.out.rule == "" {
		p.out.rule = at.rule
	}
	switch {
	case at.port != 0 && at.port == p.port && !p.vxlan() && !p.routed:
		p.dropped(p4.DropHairpin, "the station is where the frame came from")
	case at.port != 0:
		tag, in := b.ports[at.port]
		if !in {
			p.dropped(p4.DropNotMember, "the port is not in the bridge")
			return
		}
		p.leaves(exit{port: at.port, tag: tag, frame: string(p.frame.bytes(0))})
	case at.route != nil && p.vxlan() && !p.routed:
		p.dropped(p4.DropSplitHorizon, "what came by VXLAN does not leave by VXLAN")
	case at.route != nil:
		by := o.encapsulated(at.route, b.local, at.route.Label, &p.frame)
		if len(by) == 0 {
			p.dropped(p4.DropNoPath, "VTEP %v cannot be reached", tunnelOf(at.route))
			return
		}
		p.leaves(by...)
	case b.instance.DropUnknownUnicast:
		p.dropped(p4.DropUnknownStation, "the bridge does not flood to unknown stations")
	default:
		if p.out.rule == "" {
			p.out.rule = "nobody knows where the station is"
		}
		o.flood(p)
	}
}

// flood is RFC 7432 section 11 with ingress replication (RFC 8365 section 9).
func (o *oracle) flood(p *passing) {
	b, f := p.bridge, string(p.frame.bytes(0))
	for port, tag := range b.ports {
		if port != p.port || p.vxlan() || p.routed {
			p.leaves(exit{port: port, tag: tag, frame: f})
		}
	}
	if p.out.rule == "" {
		p.out.rule = "it is for all: the ports of the bridge, and VTEPs with a type-3 route (RFC 8365 section 9)"
	}
	if p.vxlan() && !p.routed {
		return
	}
	for vtep, vni := range b.floods {
		if vni == 0 {
			vni = b.VNI
		}
		if by := o.over(vtep, b.local, vni, f); len(by) > 0 {
			p.leaves(by...)
		}
	}
}

// group is the address to which a solicitation for an address goes (RFC 4291 section 2.7.1,
// RFC 2464 section 7).
func group(target netip.Addr) (netip.Addr, ether.MAC) {
	t := target.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, t[13], t[14], t[15]}),
		ether.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}
}
