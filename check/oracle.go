package check

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// oracle says where frames must end.
type oracle struct {
	State
	ports   map[uint16]*TargetPort // by number, host ports too
	bridges map[uint16]*bridge     // by index
	vrfs    map[uint16]*vrf        // by index
	vteps   map[netip.Addr]bool    // that routes which are imported lead to
	hops    map[netip.Addr][]hop   // by which they are reached
	members map[member]*bridge     // who is in which bridge, by port and VLAN
}

type member struct{ port, vlan uint16 }

// hop is a neighbour of an uplink.
type hop struct {
	port                uint16
	source, destination ether.MAC
}

// bridge is a logical bridge, and where everybody in it is.
type bridge struct {
	intent.LogicalBridge
	instance intent.Instance
	local    netip.Addr        // our VTEP address; invalid: it is not stretched
	ports    map[uint16]uint16 // with their tags
	svi      *svi
	// What is said of each MAC and each address.
	macs     map[ether.MAC]*station
	hosts    map[netip.Addr]*host
	floods   map[netip.Addr]uint32 // VNI of VTEPs that want the floods
	gateways map[elsewhere]bool    // those of others
	aliases  map[ether.MAC]bool
	declined map[stationAt]bool // with whether their frames pass
	bound    map[binding]bool
	some     map[uint16]ether.MAC // a station of each port
}

type stationAt struct {
	mac  ether.MAC
	port uint16
}

type binding struct {
	stationAt
	address netip.Addr
}

// elsewhere is a gateway of the bridge behind a VTEP (RFC 7432 section 10.1).
type elsewhere struct {
	mac  ether.MAC
	ip   netip.Addr
	vtep netip.Addr
}

// station is all that is said of where a MAC is.
type station struct {
	static   uint16 // port; 0 = none
	learned  uint16 // the same
	sequence uint32
	routes   []*bgp.Route
	held     bool
	heldAt   netip.Addr // behind this VTEP, if valid
}

// host is all that is said of who has an address.
type host struct {
	static ether.MAC
	claims []view.KnownClaim
	routes []*bgp.Route
	holder ether.MAC
}

type svi struct {
	intent.SVI
	mac    ether.MAC
	vrf    *vrf
	bridge *bridge
}

type vrf struct {
	intent.VRF
	local    netip.Addr
	svis     []*svi
	imported map[netip.Prefix][]*bgp.Route
	prefixes map[netip.Prefix]decision // of all that it has
}

// newOracle goes from what is asked for to where everything is.
func newOracle(s State) *oracle {
	o := &oracle{State: s, ports: map[uint16]*TargetPort{}, bridges: map[uint16]*bridge{}, vrfs: map[uint16]*vrf{},
		vteps: map[netip.Addr]bool{}, hops: map[netip.Addr][]hop{}, members: map[member]*bridge{}}
	uplinks := map[string]uint16{}
	for i := range s.TargetPorts {
		p := &s.TargetPorts[i]
		o.ports[p.Number] = p
		if p.HostPort != 0 {
			o.ports[p.HostPort] = p
			uplinks[cmp.Or(p.HostDevice, p.Name)] = p.Number
		}
	}
	for vtep, paths := range s.Known.Paths {
		for _, p := range paths {
			if n := uplinks[p.Device]; n != 0 && !s.Known.NoCarrier[n] {
				o.hops[vtep] = append(o.hops[vtep], hop{n, p.Source, p.Destination})
			}
		}
	}
	o.placeObjects()
	o.placeRoutes()
	o.placeStations()
	for _, b := range o.bridges {
		o.findAliases(b)
	}
	for _, v := range o.vrfs {
		o.findPrefixes(v)
	}
	return o
}

// ourVTEP is the VTEP address of what has a VNI: the one that it was given, if it is ours,
// else the first one.
func (o *oracle) ourVTEP(vni uint32, given netip.Prefix) netip.Addr {
	switch {
	case vni == 0 || len(o.VTEPs) == 0:
	case !given.IsValid():
		return o.VTEPs[0]
	case slices.Contains(o.VTEPs, given.Addr().Unmap()):
		return given.Addr().Unmap()
	}
	return netip.Addr{}
}

// placeObjects has bridges, VRFs and SVIs be where they are, and ports in bridges.
func (o *oracle) placeObjects() {
	instances := map[string]intent.Instance{}
	for _, i := range o.Instances {
		instances[i.ID] = i
	}
	named, vrfs := map[string]*bridge{}, map[string]*vrf{}
	for _, b := range o.Bridges {
		n := &bridge{LogicalBridge: b, instance: instances["bridge."+b.ID], local: o.ourVTEP(b.VNI, b.VTEP),
			ports: map[uint16]uint16{}, macs: map[ether.MAC]*station{}, hosts: map[netip.Addr]*host{},
			floods: map[netip.Addr]uint32{}, gateways: map[elsewhere]bool{}, aliases: map[ether.MAC]bool{},
			declined: map[stationAt]bool{}, bound: map[binding]bool{}}
		o.bridges[b.Index], named[b.ID] = n, n
	}
	for _, v := range o.VRFs {
		n := &vrf{VRF: v, local: o.ourVTEP(v.VNI, v.VTEP), imported: map[netip.Prefix][]*bgp.Route{}}
		o.vrfs[v.Index], vrfs[v.ID] = n, n
	}
	for _, s := range o.SVIs {
		b, v := named[s.Bridge], vrfs[s.VRF]
		if b == nil || v == nil || b.svi != nil {
			continue
		}
		b.svi = &svi{SVI: s, mac: cmp.Or(s.MAC, o.Known.RouterMAC), vrf: v, bridge: b}
		v.svis = append(v.svis, b.svi)
	}
	at := o.attach(named)
	for _, s := range o.StaticMACs {
		b, port := named[s.Bridge], at[attached{s.Port, s.Bridge}]
		if b == nil || port == 0 || o.Known.NoCarrier[port] {
			continue
		}
		st := b.station(s.MAC)
		if st.static != 0 && st.static != port {
			continue
		}
		st.static = port
		for _, ip := range s.IPs {
			b.host(ip).static = s.MAC
			b.bound[binding{stationAt{s.MAC, port}, ip}] = true
		}
	}
}

// attached is a place of an object in a bridge.
type attached struct{ port, bridge string }

// attach gives the VLANs of each port to its objects, the oldest first: one that wants what
// an older one has gets nothing. It gives the ports where objects are.
func (o *oracle) attach(named map[string]*bridge) map[attached]uint16 {
	at := map[attached]uint16{}
	objects := map[*TargetPort][]intent.BridgePort{}
	for _, bp := range o.Ports {
		if p := o.portOf(bp); p != nil {
			objects[p] = append(objects[p], bp)
		}
	}
	for i := range o.TargetPorts {
		p := &o.TargetPorts[i]
		if p.HostPort != 0 {
			continue
		}
		of := objects[p]
		slices.SortFunc(of, func(a, b intent.BridgePort) int {
			return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.ID, b.ID))
		})
		in := map[uint16]*bridge{} // by VLAN
		for _, bp := range of {
			want, ok := wanted(bp, named)
			for vlan, b := range want {
				_, there := b.ports[p.Number]
				ok = ok && in[vlan] == nil && !there
			}
			if !ok {
				continue
			}
			for vlan, b := range want {
				in[vlan], b.ports[p.Number], at[attached{bp.ID, b.ID}] = b, vlan, p.Number
			}
		}
		for _, b := range named {
			if _, there := b.ports[p.Number]; p.Carries && !there && in[b.VLAN] == nil {
				in[b.VLAN], b.ports[p.Number], at[attached{p.Name, b.ID}] = b, b.VLAN, p.Number
			}
		}
		for vlan, b := range in {
			o.members[member{p.Number, vlan}] = b
		}
		for _, s := range p.StaticMACs {
			b := in[s.VLAN]
			if b == nil || o.Known.NoCarrier[p.Number] {
				continue
			}
			if st := b.station(s.MAC); st.static == 0 || p.Number < st.static {
				st.static = p.Number
			}
		}
	}
	return at
}

// wanted are the bridges that an object wants, by VLAN; false if it can have none.
func wanted(bp intent.BridgePort, named map[string]*bridge) (map[uint16]*bridge, bool) {
	want := map[uint16]*bridge{}
	if bp.Type == intent.Trunk && len(bp.Bridges) == 0 {
		for _, b := range named {
			want[b.VLAN] = b
		}
		return want, true
	}
	for _, id := range bp.Bridges {
		b := named[id]
		if b == nil {
			return nil, false
		}
		vlan := b.VLAN
		if bp.Type == intent.Access {
			vlan = 0
		}
		want[vlan] = b
	}
	return want, true
}

// portOf is the port of the target that an object is on: the one of its name, of the name
// that its id is made of, or the only one with its MAC; nil if it is on none.
func (o *oracle) portOf(bp intent.BridgePort) *TargetPort {
	var made *TargetPort
	var same []*TargetPort
	for i := range o.TargetPorts {
		p := &o.TargetPorts[i]
		switch {
		case p.HostPort != 0:
		case p.Name == bp.ID:
			return p
		case intent.BridgePortID(p.Name) == bp.ID:
			made = p
		case !bp.MAC.IsZero() && p.MAC == bp.MAC:
			same = append(same, p)
		}
	}
	if made != nil {
		return made
	}
	if len(same) == 1 {
		return same[0]
	}
	return nil
}

func (b *bridge) station(mac ether.MAC) *station {
	s := b.macs[mac]
	if s == nil {
		s = &station{}
		b.macs[mac] = s
	}
	return s
}

func (b *bridge) host(ip netip.Addr) *host {
	h := b.hosts[ip]
	if h == nil {
		h = &host{}
		b.hosts[ip] = h
	}
	return h
}

// placeStations has whom the gateway heard be where they are.
func (o *oracle) placeStations() {
	k := &o.Known
	for _, s := range k.Stations {
		if b := o.bridges[s.Bridge]; b != nil {
			st := b.station(s.MAC)
			st.learned, st.sequence = s.Port, s.Sequence
		}
	}
	for _, s := range k.Declined {
		if b := o.bridges[s.Bridge]; b != nil {
			b.declined[stationAt{s.MAC, s.Port}] = s.Passes
		}
	}
	for _, h := range k.HeldMACs {
		if b := o.bridges[h.Bridge]; b != nil {
			if st := b.macs[h.MAC]; st != nil {
				st.held, st.heldAt = true, h.VTEP
			}
		}
	}
	for _, c := range k.Claims {
		if b := o.bridges[c.Bridge]; b != nil {
			h := b.host(c.Address)
			h.claims = append(h.claims, c)
		}
	}
	for _, h := range k.HeldAddresses {
		if b := o.bridges[h.Bridge]; b != nil {
			b.host(h.Address).holder = h.MAC
		}
	}
	for _, l := range k.Leases {
		if b := o.bridges[l.Bridge]; b != nil {
			b.bound[binding{stationAt{l.MAC, l.Port}, l.Address}] = true
		}
	}
}

// placeRoutes has routes be of the bridges and VRFs that import them.
func (o *oracle) placeRoutes() {
	type importers struct {
		bridges []*bridge
		vrfs    []*vrf
	}
	by := map[bgp.RouteTargets]*importers{} // few sets of many routes
	for i := range o.Routes {
		r := &o.Routes[i]
		if !o.good(r) {
			continue
		}
		of := by[r.RouteTargets]
		if of == nil {
			of = &importers{}
			for _, b := range o.bridges {
				if b.local.IsValid() && imports(b.instance, b.VNI, r.RouteTargets) {
					of.bridges = append(of.bridges, b)
				}
			}
			for _, v := range o.vrfs {
				if v.local.IsValid() && imports(o.instanceOf(v), v.VNI, r.RouteTargets) {
					of.vrfs = append(of.vrfs, v)
				}
			}
			by[r.RouteTargets] = of
		}
		for _, b := range of.bridges {
			if r.Type != bgp.TypePrefix && b.tagged(r) {
				o.placeRoute(b, r)
			}
		}
		for _, v := range of.vrfs {
			if p, ok := leadsTo(r); ok {
				v.imported[p] = append(v.imported[p], r)
				o.vteps[tunnelOf(r)] = true
			}
		}
	}
}

func (o *oracle) instanceOf(v *vrf) (i intent.Instance) {
	for _, i := range o.Instances {
		if i.ID == "vrf."+v.ID {
			return i
		}
	}
	return i
}

// imports: by the route targets that an instance was given, else by *:VNI (RFC 8365 section
// 5.1.2.1).
func imports(i intent.Instance, vni uint32, rts bgp.RouteTargets) bool {
	if len(i.Import) == 0 {
		return rts.MatchesVNI(vni)
	}
	return slices.ContainsFunc(i.Import, rts.Contains)
}

// tagged reports whether a route is of the bridge by its Ethernet tag (RFC 7432 section 6.3).
func (b *bridge) tagged(r *bgp.Route) bool {
	return r.EthernetTag == 0 || r.EthernetTag == b.VNI || r.EthernetTag == b.instance.EthernetTag
}

func (o *oracle) placeRoute(b *bridge, r *bgp.Route) {
	o.vteps[tunnelOf(r)] = true
	if r.Type == bgp.TypeMulticast {
		// The lowest VNI that the VTEP asks for; RYU has it as the tag.
		vni := cmp.Or(r.Label, r.EthernetTag)
		if old, there := b.floods[tunnelOf(r)]; !there || vni != 0 && (old == 0 || vni < old) {
			b.floods[tunnelOf(r)] = vni
		}
		return
	}
	st := b.station(r.MAC)
	st.routes = append(st.routes, r)
	switch {
	case r.DefaultGateway:
		ip := netip.Addr{}
		if packet.IsHost(r.IP) {
			ip = r.IP
		}
		b.gateways[elsewhere{r.MAC, ip, tunnelOf(r)}] = true
	case packet.IsHost(r.IP):
		h := b.host(r.IP)
		h.routes = append(h.routes, r)
	}
}

// tunnelOf is the VTEP that a route leads to: its next hop, or a type 3's PMSI tunnel.
func tunnelOf(r *bgp.Route) netip.Addr {
	if r.Type == bgp.TypeMulticast && r.Tunnel.IsValid() {
		return r.Tunnel.Unmap()
	}
	return r.NextHop.Unmap()
}

// good reports whether a route can be used by anybody here (RFC 7432, RFC 8365, RFC 9136):
// what it must say it says, and it is not by us.
func (o *oracle) good(r *bgp.Route) bool {
	to := tunnelOf(r)
	station := func(m ether.MAC) bool { return !m.IsZero() && m[0]&1 == 0 }
	switch {
	case !to.Is4() || to.IsUnspecified() || to.IsMulticast() || to.IsLoopback() || slices.Contains(o.VTEPs, to):
		return false
	case r.Label >= 1<<24 || r.Label == 0 && r.Type != bgp.TypeMulticast:
		return false
	}
	switch r.Type {
	case bgp.TypeMACIP:
		_, hasL3 := l3(r)
		return station(r.MAC) && r.MAC != o.Known.RouterMAC && r.MAC != o.Known.AskerMAC && (!hasL3 || r.Label2 < 1<<24)
	case bgp.TypeMulticast:
		return cmp.Or(r.Label, r.EthernetTag) < 1<<24
	case bgp.TypePrefix:
		overlay := r.GatewayIP.IsValid() && !r.GatewayIP.IsUnspecified() || !r.ESI.IsZero() // RFC 9136 section 3.2
		return !overlay && station(r.RouterMAC) && routed(r.Prefix().Masked())
	}
	return false
}

// l3 reports whether a type-2 route is of symmetric IRB (RFC 9135 section 5.2), and its VNI.
func l3(r *bgp.Route) (uint32, bool) {
	return r.Label2, packet.IsHost(r.IP) && r.Label2 != 0 && !r.RouterMAC.IsZero() && r.RouterMAC[0]&1 == 0
}

// leadsTo is the prefix of a VRF that a route leads to, false if it is of none.
func leadsTo(r *bgp.Route) (netip.Prefix, bool) {
	if r.Type == bgp.TypePrefix {
		return r.Prefix().Masked(), true
	}
	_, is := l3(r)
	if r.Type != bgp.TypeMACIP || !is || r.DefaultGateway || r.IP.IsLinkLocalUnicast() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(r.IP, r.IP.BitLen()), true
}
