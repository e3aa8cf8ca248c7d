package check

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// probe is a representative frame.
type probe struct {
	arrival
	frame
	// object says what it is for: "MAC 02:... of bridge blue".
	object string
	bridge string // whose it is, "" of none
	vrf    string // the same
}

// What probes are bounded by: of many ports or VTEPs of a bridge, so many are tried with
// each station; floods are tried from every port.
const maxVTEPs = 2

// stranger is a station that nobody knows.
var stranger = ether.MAC{2, 0x70, 0x34, 0xee, 0, 1}

// far is another one, behind VTEPs.
var far = ether.MAC{2, 0x70, 0x34, 0xee, 0, 2}

// prober makes the probes.
type prober struct {
	o    *oracle
	take func(probe) bool
	done bool
	// spread is how often each choice of flows was tried.
	spread map[string]int
}

// probes gives the frames that objects, hosts and routes ask for, until take has enough.
func (o *oracle) probes(take func(probe) bool) bool {
	p := &prober{o: o, take: take, spread: map[string]int{}}
	for _, n := range slices.Sorted(maps.Keys(o.ports)) {
		p.port(n)
	}
	for _, n := range slices.Sorted(maps.Keys(o.bridges)) {
		p.ofBridge(o.bridges[n])
	}
	for _, n := range slices.Sorted(maps.Keys(o.vrfs)) {
		p.ofVRF(o.vrfs[n])
	}
	return !p.done
}

func (p *prober) add(b *bridge, v *vrf, a arrival, f frame, object string, args ...any) {
	if p.done {
		return
	}
	pr := probe{arrival: a, frame: f, object: fmt.Sprintf(object, args...)}
	if b != nil {
		pr.bridge = b.ID
		if v == nil && b.svi != nil {
			v = b.svi.vrf
		}
	}
	if v != nil {
		pr.vrf = v.ID
	}
	p.done = !p.take(pr)
}

// port is what any port does with what is nobody's.
func (p *prober) port(n uint16) {
	at := p.o.ports[n]
	f := frame{source: stranger, destination: ether.Broadcast}
	if at.HostPort == 0 {
		for vlan := uint16(0); vlan < 4095; vlan++ {
			if p.o.members[member{n, vlan}] == nil {
				p.add(nil, nil, arrival{port: n, tag: vlan}, f, "port %s, VLAN %d", at.Name, vlan)
				return
			}
		}
		return
	}
	p.add(nil, nil, arrival{port: n}, f, "port %s", at.Name)
	if n != at.Number {
		return
	}
	for _, local := range p.o.VTEPs {
		a := arrival{port: n, vtep: netip.AddrFrom4([4]byte{192, 0, 2, 254}), local: local, vni: 1<<24 - 2}
		p.add(nil, nil, a, f, "VTEP address %v", local)
		for _, vtep := range p.someVTEPs() {
			a.vtep = vtep
			p.add(nil, nil, a, f, "VTEP address %v", local)
		}
	}
}

func (p *prober) someVTEPs() []netip.Addr {
	all := slices.SortedFunc(maps.Keys(p.o.vteps), netip.Addr.Compare)
	return all[:min(len(all), maxVTEPs)]
}

// uplink is one that frames come by, 0 if there is none.
func (p *prober) uplink() uint16 {
	for _, n := range slices.Sorted(maps.Keys(p.o.ports)) {
		if at := p.o.ports[n]; at.HostPort != 0 && n == at.Number {
			return n
		}
	}
	return 0
}

// places are where frames of a bridge come from: its ports, in order, and then some VTEPs.
func (p *prober) places(b *bridge) (ports, vteps []arrival) {
	for _, n := range slices.Sorted(maps.Keys(b.ports)) {
		ports = append(ports, arrival{port: n, tag: b.ports[n]})
	}
	if up := p.uplink(); up != 0 && b.local.IsValid() {
		from := slices.SortedFunc(maps.Keys(b.floods), netip.Addr.Compare)
		if len(from) == 0 {
			from = p.someVTEPs()
		}
		for _, vtep := range from[:min(len(from), maxVTEPs)] {
			vteps = append(vteps, arrival{port: up, vtep: vtep, local: b.local, vni: b.VNI})
		}
	}
	return ports, vteps
}

// turn is a number that follows from what a frame is for: so each place has its part of the
// frames, and the same ones the next time.
func turn(of ...[]byte) int {
	h := fnv.New32a()
	for _, b := range of {
		_, _ = h.Write(b)
	}
	return int(h.Sum32() >> 8)
}

// some is one of the places, but one port; false if there is none.
func (p *prober) some(of []arrival, but uint16, turn int) (arrival, bool) {
	for i := range of {
		if a := of[(turn+i)%len(of)]; a.port != but {
			return a, true
		}
	}
	return arrival{}, false
}

// sender is a station that sends from a place: one that is there, else a stranger.
func (p *prober) sender(b *bridge, a arrival) ether.MAC {
	if a.vxlan() {
		return far
	}
	if mac, ok := p.stations(b)[a.port]; ok {
		return mac
	}
	return stranger
}

// stations gives a station of each port of a bridge that has one.
func (p *prober) stations(b *bridge) map[uint16]ether.MAC {
	if b.some == nil {
		b.some = map[uint16]ether.MAC{}
		for mac := range b.macs {
			if at := p.o.where(b, mac); at.port != 0 {
				if old, there := b.some[at.port]; !there || bytes.Compare(mac[:], old[:]) < 0 {
					b.some[at.port] = mac
				}
			}
		}
	}
	return b.some
}

func (p *prober) ofBridge(b *bridge) {
	ports, vteps := p.places(b)
	for _, a := range slices.Concat(ports, vteps) {
		mac := p.sender(b, a)
		p.add(b, nil, a, frame{source: mac, destination: ether.Broadcast}, "flood list of bridge %s", b.ID)
	}
	for i, a := range slices.Concat(ports[:min(1, len(ports))], vteps[:min(1, len(vteps))]) {
		mac := p.sender(b, a)
		p.add(b, nil, a, frame{source: mac, destination: ether.MAC{2, 0x70, 0x34, 0xee, 1, byte(i)}},
			"unknown stations of bridge %s", b.ID)
		p.add(b, nil, a, frame{source: mac, destination: ether.MAC{1, 0x80, 0xc2, 0, 0, 2}}, "bridge %s", b.ID)
		p.add(b, nil, a, frame{source: ether.MAC{3, 0, 0, 0, 0, 1}, destination: ether.Broadcast}, "bridge %s", b.ID)
	}
	p.discovery(b, ports, vteps)
	p.flows(b, ports)
	for _, mac := range slices.SortedFunc(maps.Keys(b.macs), ether.MAC.Compare) {
		p.station(b, mac, ports, vteps)
	}
	for _, ip := range slices.SortedFunc(maps.Keys(b.hosts), netip.Addr.Compare) {
		p.asks(b, ip, ports, vteps)
	}
	if b.svi != nil {
		p.gateway(b, ports, vteps)
	}
	p.guards(b, ports)
}

// station is a MAC: who sends to it reaches it, and it is known where it is.
func (p *prober) station(b *bridge, mac ether.MAC, ports, vteps []arrival) {
	at := p.o.where(b, mac)
	const object = "MAC %v of bridge %s"
	f := frame{destination: mac}
	if a, ok := p.some(ports, at.port, turn(mac[:])); ok {
		f.source = p.sender(b, a)
		p.add(b, nil, a, f, object, mac, b.ID)
	}
	if a, ok := p.some(vteps, 0, turn(mac[:])); ok {
		f.source = far
		p.add(b, nil, a, f, object, mac, b.ID)
	}
	for _, a := range ports {
		if a.port == at.port {
			p.add(b, nil, a, frame{source: mac, destination: mac}, object, mac, b.ID)
		}
	}
}

// question is ARP or neighbour discovery that asks all for an address.
func question(mac ether.MAC, from, asked netip.Addr) frame {
	if asked.Is4() {
		if !from.Is4() {
			from = netip.IPv4Unspecified()
		}
		return frame{source: mac, destination: ether.Broadcast, kind: arp, mac: mac, from: from, to: asked}
	}
	to, group := group(asked)
	if !from.Is6() {
		from = packet.LinkLocal(mac)
	}
	return frame{source: mac, destination: group, kind: solicitation, mac: mac, from: from, to: to, target: asked}
}

// discovery is what the controller sees of a bridge, and what only the controller does: answers
// to what it asked.
func (p *prober) discovery(b *bridge, ports, vteps []arrival) {
	const object = "neighbour discovery in bridge %s"
	for _, a := range slices.Concat(ports, vteps[:min(1, len(vteps))]) {
		mac := p.sender(b, a)
		local := packet.LinkLocal(mac)
		for _, reply := range []bool{false, true} {
			p.add(b, nil, a, frame{source: mac, destination: ether.MAC{0x33, 0x33, 0, 0, 0, 2}, kind: routers, reply: reply,
				from: local, to: netip.MustParseAddr("ff02::2")}, object, b.ID)
		}
		own := p.addressOf(b, a, mac, netip.IPv4Unspecified())
		asker := p.o.Known.AskerMAC
		p.add(b, nil, a, frame{source: mac, destination: asker, kind: arp, reply: true, mac: mac, from: own, asked: asker,
			to: netip.IPv4Unspecified()}, object, b.ID)
		f := frame{source: mac, destination: asker, kind: advertisement, mac: mac, from: local,
			to: packet.LinkLocal(asker), target: local, flags: 0x60}
		p.add(b, nil, a, f, object, b.ID)
		f.kind, f.flags = solicitation, 0
		f.target = f.to
		p.add(b, nil, a, f, object, b.ID)
		f.kind, f.destination, f.to, f.target, f.flags = advertisement, ether.MAC{0x33, 0x33, 0, 0, 0, 1},
			netip.MustParseAddr("ff02::1"), local, 0x20
		p.add(b, nil, a, f, object, b.ID)
	}
}

// addressOf is an address from which a station may ask at a place: behind a guarded port one
// that is its own, else one that is nobody's.
func (p *prober) addressOf(b *bridge, a arrival, mac ether.MAC, asked netip.Addr) netip.Addr {
	if !asked.Is4() {
		return netip.Addr{}
	}
	if !a.vxlan() && p.o.ports[a.port].SourceGuard {
		var own netip.Addr
		for of := range b.bound {
			if of.mac == mac && of.port == a.port && of.address.Is4() && of.address != asked &&
				(!own.IsValid() || of.address.Less(own)) {
				own = of.address
			}
		}
		if own.IsValid() {
			return own
		}
	}
	return netip.AddrFrom4([4]byte{198, 51, 100, 77})
}

// asks has somebody ask for an address.
func (p *prober) asks(b *bridge, asked netip.Addr, ports, vteps []arrival) {
	const object = "host %v of bridge %s"
	w := p.o.owner(b, asked)
	if a, ok := p.some(ports, w.port, turn(asked.AsSlice())); ok {
		mac := p.sender(b, a)
		p.add(b, nil, a, question(mac, p.addressOf(b, a, mac, asked), asked), object, asked, b.ID)
		if asked.Is4() {
			p.add(b, nil, a, question(mac, netip.IPv4Unspecified(), asked), object, asked, b.ID)
		}
	}
	for _, a := range ports {
		if a.port == w.port {
			p.add(b, nil, a, question(stranger, p.addressOf(b, a, stranger, asked), asked), object, asked, b.ID)
		}
	}
	if a, ok := p.some(vteps, 0, turn(asked.AsSlice())); ok {
		p.add(b, nil, a, question(far, p.addressOf(b, a, far, asked), asked), object, asked, b.ID)
	}
}

// gateway is an SVI: it answers, routes what is for its MAC, and nobody else is it.
func (p *prober) gateway(b *bridge, ports, vteps []arrival) {
	s := b.svi
	const object = "gateway %v of SVI %s"
	own := append(addresses(s.Gateways), packet.LinkLocal(s.mac))
	for _, ip := range own {
		p.asks(b, ip, ports, vteps)
		for _, a := range ports {
			mac := p.sender(b, a)
			claim := frame{source: mac, destination: ether.Broadcast, kind: arp, reply: true, mac: mac, from: ip, to: ip}
			if ip.Is6() {
				claim = frame{source: mac, destination: ether.MAC{0x33, 0x33, 0, 0, 0, 1}, kind: advertisement,
					mac: mac, from: packet.LinkLocal(mac), to: netip.MustParseAddr("ff02::1"), target: ip, flags: 0x20}
			}
			p.add(b, nil, a, claim, object, ip, s.ID)
			if ip.Is6() {
				f := question(mac, ip, netip.MustParseAddr("2001:db8:ffff::82"))
				p.add(b, nil, a, f, object, ip, s.ID)
			}
		}
	}
	if lo := s.vrf.Loopback; lo.IsValid() && lo.Addr().Is4() {
		for _, a := range ports {
			mac := p.sender(b, a)
			p.add(b, nil, a, frame{source: mac, destination: ether.Broadcast, kind: arp, reply: true, mac: mac, from: lo.Addr(),
				to: lo.Addr()}, object, lo.Addr(), s.ID)
		}
	}
	for _, a := range ports {
		p.add(b, nil, a, frame{source: s.mac, destination: ether.Broadcast}, "gateway's MAC of SVI %s", s.ID)
	}
	for _, mac := range append(slices.SortedFunc(maps.Keys(b.aliases), ether.MAC.Compare), s.mac) {
		for _, a := range slices.Concat(ports[:min(1, len(ports))], vteps[:min(1, len(vteps))]) {
			from := p.sender(b, a)
			p.add(b, nil, a, frame{source: from, destination: mac}, "gateway's MAC of SVI %s", s.ID)
		}
	}
}

func addresses(prefixes []netip.Prefix) (all []netip.Addr) {
	for _, p := range prefixes {
		all = append(all, p.Addr())
	}
	return all
}

// guards are stations behind guarded ports, with addresses of theirs and others.
func (p *prober) guards(b *bridge, ports []arrival) {
	guarded := map[uint16]arrival{}
	for _, a := range ports {
		if p.o.ports[a.port].SourceGuard {
			guarded[a.port] = a
			p.add(b, nil, a, packetOf(stranger, ether.Broadcast, netip.AddrFrom4([4]byte{198, 51, 100, 79}),
				netip.AddrFrom4([4]byte{198, 51, 100, 80})), "guarded port %s", p.o.ports[a.port].Name)
		}
	}
	order := func(x, y binding) int {
		return cmp.Or(x.mac.Compare(y.mac), cmp.Compare(x.port, y.port), x.address.Compare(y.address))
	}
	for _, of := range slices.SortedFunc(maps.Keys(b.bound), order) {
		if a, is := guarded[of.port]; is {
			p.add(b, nil, a, packetOf(of.mac, ether.Broadcast, of.address, of.address.Next()),
				"address %v of %v at guarded port %s", of.address, of.mac, p.o.ports[of.port].Name)
		}
	}
}

func packetOf(from, to ether.MAC, source, destination netip.Addr) frame {
	return frame{source: from, destination: to, kind: ip, from: source, to: destination, ttl: 64}
}

// entrance is where packets of a VRF come from.
type entrance struct {
	arrival
	bridge   *bridge
	from, to ether.MAC
	ip4, ip6 netip.Addr // of the sender, invalid: it has none of the family
}

// entrances are a port of each bridge of a VRF, and its VNI.
func (p *prober) entrances(v *vrf) (all []entrance) {
	for _, s := range v.svis {
		ports, vteps := p.places(s.bridge)
		for _, a := range slices.Concat(ports[:min(1, len(ports))], vteps[:min(1, len(vteps))]) {
			mac := p.sender(s.bridge, a)
			e := entrance{arrival: a, bridge: s.bridge, from: mac, to: s.mac}
			for _, g := range s.Gateways {
				if g.Addr().Is4() {
					e.ip4 = lastOf(g).Prev()
				} else {
					e.ip6 = lastOf(g).Prev()
				}
			}
			all = append(all, e)
		}
	}
	if up := p.uplink(); up != 0 && v.local.IsValid() {
		for _, vtep := range p.someVTEPs() {
			all = append(all, entrance{arrival: arrival{port: up, vtep: vtep, local: v.local, vni: v.VNI}, from: far,
				to: p.o.Known.RouterMAC})
			break
		}
	}
	return all
}

// packet is one to an address, from where it comes in.
func (e *entrance) packet(to netip.Addr) frame {
	from := e.ip4
	if to.Is6() {
		from = e.ip6
	}
	if !from.IsValid() {
		if from = netip.AddrFrom4([4]byte{198, 51, 100, 77}); to.Is6() {
			from = netip.MustParseAddr("2001:db8:ffff::77")
		}
	}
	return packetOf(e.from, e.to, from, to)
}

func (p *prober) ofVRF(v *vrf) {
	in := p.entrances(v)
	if len(in) == 0 {
		return
	}
	for _, e := range in {
		if e.bridge == nil {
			f := e.packet(netip.AddrFrom4([4]byte{203, 0, 113, 1}))
			f.destination = ether.MAC{2, 0x70, 0x34, 0xee, 2, 2}
			p.add(nil, v, e.arrival, f, "VNI of VRF %s", v.ID)
		}
		for _, ip := range []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.MustParseAddr("2001:db8:fffe::1")} {
			p.add(e.bridge, v, e.arrival, e.packet(ip), "VRF %s", v.ID)
		}
	}
	order := func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) }
	for _, prefix := range slices.SortedFunc(maps.Keys(v.prefixes), order) {
		p.prefix(v, prefix, in)
	}
}

// prefix has packets go to an address of a prefix that no longer one has, by two ways.
func (p *prober) prefix(v *vrf, prefix netip.Prefix, in []entrance) {
	ip, ok := v.inside(prefix)
	if !ok {
		return
	}
	what := "prefix %v of VRF %s"
	n := turn(prefix.Addr().AsSlice())
	for i := range min(2, len(in)) {
		e := in[(n+i)%len(in)]
		f := e.packet(ip)
		p.add(e.bridge, v, e.arrival, f, what, prefix, v.ID)
		if n%8 == 0 {
			f.ttl = 1
			p.add(e.bridge, v, e.arrival, f, what, prefix, v.ID)
		}
	}
	e, d := in[n%len(in)], v.prefixes[prefix]
	if !e.vxlan() && p.o.ports[e.port].SourceGuard || !p.several(d.routes) {
		return
	}
	for i := range manyFlows {
		f := e.packet(ip)
		f.from = spreadAddress(f.from, i)
		p.add(e.bridge, v, e.arrival, f, what, prefix, v.ID)
	}
}

// manyFlows are so many that of what flows choose among, which has up to 64 places, nearly each
// place has one. maxSpread is how often the same choice is tried.
const (
	manyFlows = 256
	maxSpread = 2
)

// several reports whether flows to what routes lead to have a choice that was not tried often:
// of VTEPs, or of the ways to one.
func (p *prober) several(routes []*bgp.Route) bool {
	ways, choice := 0, ""
	for _, r := range routes {
		ways += len(p.o.hops[tunnelOf(r)])
		if len(routes) > 1 {
			choice += tunnelOf(r).String() + " "
		} else { // VTEPs that the same ways lead to share what flows choose among
			choice = fmt.Sprint(p.o.hops[tunnelOf(r)])
		}
	}
	p.spread[choice]++
	return ways > 1 && p.spread[choice] <= maxSpread
}

// flows are frames of many stations to some behind VTEPs.
func (p *prober) flows(b *bridge, ports []arrival) {
	if len(ports) == 0 {
		return
	}
	for _, mac := range slices.SortedFunc(maps.Keys(b.macs), ether.MAC.Compare) {
		at := p.o.where(b, mac)
		if at.route == nil || b.aliases[mac] || !p.several([]*bgp.Route{at.route}) {
			continue
		}
		for i := range manyFlows {
			p.add(b, nil, ports[0], frame{source: ether.MAC{2, 0x70, 0x34, 0xee, 3, byte(i)}, destination: mac},
				"MAC %v of bridge %s", mac, b.ID)
		}
	}
}

// spreadAddress is one of many addresses that are none of the gateway's.
func spreadAddress(like netip.Addr, i int) netip.Addr {
	if like.Is4() {
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xff, 0xff, 15: byte(i)})
}

// inside is an address of a prefix that is in no longer one, false if none is found.
func (v *vrf) inside(prefix netip.Prefix) (netip.Addr, bool) {
	if prefix.IsSingleIP() {
		return prefix.Addr(), true
	}
	for _, ip := range []netip.Addr{lastOf(prefix).Prev(), prefix.Addr().Next(), lastOf(prefix), prefix.Addr(),
		spread(prefix, 0x5a), spread(prefix, 0x33)} {
		if ip.IsMulticast() || ip.IsLoopback() || ip.Is4() && (ip.As4()[0] >= 224 || ip.As4()[0] == 0) ||
			!routed(single(ip)) {
			continue
		}
		if longest, _ := v.lookup(ip); longest == prefix || longest == (netip.Prefix{}) {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// spread is an address somewhere in a prefix.
func spread(p netip.Prefix, pattern byte) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= pattern & (0x80 >> (i % 8))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
