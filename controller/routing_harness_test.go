package controller

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

var (
	routerMAC  = ether.MAC{2, 0, 10, 0, 0, 1} // ours, derived from vtep1
	leaf1Route = mac(0xd1)                    // router MACs of leaves
	leaf2Route = mac(0xd2)
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// vrf makes a VRF; VNI 0 is none.
func (g *gateway) vrf(id string, vni uint32) (index uint16) {
	g.Helper()
	g.update(func(tx *intent.Tx) error {
		v, err := tx.VRFs().Create(intent.VRF{ID: id, VNI: vni})
		index = v.Index
		return err
	})
	return index
}

// svi makes the gateway of bridge-VLAN.
func (g *gateway) svi(vrf string, vlan uint16, gateways ...string) {
	g.Helper()
	o := intent.SVI{ID: fmt.Sprintf("svi-%d", vlan), VRF: vrf, Bridge: fmt.Sprintf("bridge-%d", vlan)}
	for _, s := range gateways {
		o.Gateways = append(o.Gateways, prefix(s))
	}
	g.update(func(tx *intent.Tx) error { _, err := tx.SVIs().Create(o); return err })
}

// routed is a gateway with two bridges of one VRF, blue, VNI 5000, a port and an
// SVI each: 10.10.0.1/24 and 2001:db8:10::1/64 on bridge-10, 10.20.0.1/24 on
// bridge-20.
func routed(t *testing.T, o options) (g *gateway, v, b10, b20 uint16) {
	t.Helper()
	g = start(t, o)
	b10, b20 = g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.access("eth2", 20)
	v = g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24", "2001:db8:10::1/64")
	g.svi("blue", 20, "10.20.0.1/24")
	g.settle()
	return g, v, b10, b20
}

// hostRoute is a type-2 route with an address, as FRR sends it: of a bridge
// alone if l3vni is 0.
func hostRoute(vtep netip.Addr, vni uint32, m ether.MAC, ip string, l3vni uint32) bgp.Route {
	r := macRoute(vtep, vni, m)
	r.IP = addr(ip)
	if l3vni != 0 {
		r.Label2, r.RouterMAC = l3vni, leafRouterMAC(vtep)
		r.RouteTargets = union(r.RouteTargets, bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, l3vni)))
	}
	return r
}

func leafRouterMAC(vtep netip.Addr) ether.MAC {
	if vtep == leaf2 {
		return leaf2Route
	}
	return leaf1Route
}

// prefixRoute is a type-5 route as FRR sends it.
func prefixRoute(vtep netip.Addr, vni uint32, p string) bgp.Route {
	return bgp.Route{Key: bgp.PrefixKey(bgp.RouterRD(vtep, uint16(vni)), prefix(p)), NextHop: vtep, Label: vni,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, vni)), RouterMAC: leafRouterMAC(vtep)}
}

// wantRouteTo checks the entry of a prefix in words.
func (g *gateway) wantRouteTo(vrf uint16, p, want string) {
	g.Helper()
	if got := g.routeTo(vrf, p); got != want {
		g.Errorf("VRF %d, %s: %q, want %q", vrf, p, got, want)
	}
}

func (g *gateway) routeTo(vrf uint16, p string) string {
	r, ok := g.get(p4.Route{VRF: vrf, Prefix: prefix(p)}).(p4.Route)
	if !ok {
		return "nowhere"
	}
	switch r.Kind {
	case p4.RouteHost:
		return fmt.Sprintf("host %v in %d", r.MAC, r.Bridge)
	case p4.RouteVTEP:
		return g.by(r.VTEP, r.VNI, r.Source, r.Destination)
	case p4.RouteVTEPs:
		ways := map[string]bool{}
		for i := range uint8(p4.Slots) {
			s, _ := g.get(p4.NextHopSlot{Group: r.Group, Slot: i}).(p4.NextHopSlot)
			ways[g.by(s.VTEP, s.VNI, s.Source, s.Destination)] = true
		}
		return strings.Join(slices.Sorted(maps.Keys(ways)), " + ")
	case p4.RouteGlean:
		return "glean"
	case p4.RouteLocal:
		return "local"
	}
	return "drop"
}

// by is a VTEP's router in words.
func (g *gateway) by(vtep uint16, vni uint32, source, destination ether.MAC) string {
	t, _ := g.get(p4.Tunnel{VTEP: vtep}).(p4.Tunnel)
	return fmt.Sprintf("%v vni %d %v>%v", t.Destination, vni, source, destination)
}

// hasWay is what a next hop needs: a tunnel, and a path to its end.
func hasWay(has func(entry) error, vtep uint16) error {
	if has(p4.Flows{VTEP: vtep}) == nil {
		return has(p4.Tunnel{VTEP: vtep})
	}
	return cmp.Or(has(p4.Tunnel{VTEP: vtep}), has(p4.Path{VTEP: vtep}))
}

// groupEntries is how many slots and groups of uplinks and of next hops the target has: those
// of the groups that tunnels and prefixes have. Which these are depends on what was.
func (g *gateway) groupEntries(l *loop) int {
	n := 0
	for id, group := range l.uplinkGroups.byID {
		if len(group.tunnels) == 0 {
			g.Errorf("group %d of uplinks is nobody's", id)
		}
		n += len(group.slots) + 1
	}
	for id, group := range l.nextHops.byID {
		if group.users == 0 {
			g.Errorf("group %d of next hops is nobody's", id)
		}
		n += len(group.slots) + 2
	}
	return n
}

// answer says who the pipeline answers is at an address.
func (g *gateway) answer(bridge uint16, ip string) string {
	if a := addr(ip); a.Is4() {
		h, ok := g.get(p4.ARPHost{Bridge: bridge, Address: a}).(p4.ARPHost)
		if !ok {
			return "nobody"
		}
		return h.MAC.String()
	}
	h, ok := g.get(p4.NDHost{Bridge: bridge, Address: addr(ip)}).(p4.NDHost)
	switch {
	case !ok:
		return "nobody"
	case h.Router:
		return h.MAC.String() + " router"
	}
	return h.MAC.String()
}

func (g *gateway) wantAnswer(bridge uint16, ip, want string) {
	g.Helper()
	if got := g.answer(bridge, ip); got != want {
		g.Errorf("bridge %d: %s is at %s, want %s", bridge, ip, got, want)
	}
}

// own gives our routes of a type that have an address or prefix, as text.
func (g *gateway) own(t bgp.RouteType) []string {
	var out []string
	for _, r := range g.speaker.Routes() {
		if r.Type == t && r.IP.IsValid() {
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	return out
}

func (g *gateway) wantOwn(t bgp.RouteType, want ...string) {
	g.Helper()
	if got := g.own(t); !slices.Equal(got, want) {
		g.Errorf("type %d advertised:\n%s\nwant:\n%s", t, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// punt has the target send a frame to the controller, and waits until the loop
// took it.
func (g *gateway) punt(reason p4.PuntReason, port, bridge, vrf uint16, frame []byte) {
	g.Helper()
	count := func() int64 {
		return g.c.stats.punts[min(reason, p4.PuntReasons-1)].Load() + g.c.stats.badInput.Load()
	}
	before := count()
	if !g.target.SendPacketIn(packetIn(reason, port, bridge, vrf, frame)) {
		g.Fatal("no primary to send a packet to")
	}
	g.eventually("packet taken", func() bool { return count() > before })
	g.peek(func(*loop) {})
}

func packetIn(reason p4.PuntReason, port, bridge, vrf uint16, frame []byte) *p4v1.PacketIn {
	u16 := func(n uint16) []byte {
		if n < 256 {
			return []byte{byte(n)}
		}
		return []byte{byte(n >> 8), byte(n)}
	}
	return &p4v1.PacketIn{Payload: frame, Metadata: []*p4v1.PacketMetadata{
		{MetadataId: 1, Value: []byte{byte(reason)}}, {MetadataId: 2, Value: u16(port)},
		{MetadataId: 3, Value: u16(bridge)}, {MetadataId: 4, Value: u16(vrf)},
	}}
}

// arp is a request from a host for another address.
func arp(m ether.MAC, sender, target string) []byte {
	return packet.ARPRequest(m, addr(sender), addr(target))
}

// sourceMAC is the option that says the source's link-layer address.
const sourceMAC = 1

// nd is a neighbour discovery message whose option says the MAC; option 0 is
// none.
func nd(typ byte, m ether.MAC, source, target string, option byte) []byte {
	src, dst, tgt := addr(source).As16(), addr("ff02::1").As16(), addr(target).As16()
	message := slices.Concat([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, tgt[:])
	if typ == packet.ICMPv6RouterSolicitation {
		message = message[:8]
	}
	if option != 0 {
		message = slices.Concat(message, []byte{option, 1}, m[:])
	}
	f := slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 1}, m[:], []byte{0x86, 0xdd},
		[]byte{0x60, 0, 0, 0, 0, byte(len(message)), 58, 255}, src[:], dst[:], message)
	p := f[packet.EthernetLength:]
	binary.BigEndian.PutUint16(p[42:], packet.ICMPv6Checksum(p))
	return f
}

// hears has a host say by ARP or ND who it is.
func (g *gateway) hears(bridge, port uint16, m ether.MAC, ip string) {
	g.Helper()
	g.settle()
	if addr(ip).Is4() {
		g.punt(p4.PuntARP, port, bridge, 0, arp(m, ip, "10.10.0.99"))
	} else {
		g.punt(p4.PuntND, port, bridge, 0, nd(packet.ICMPv6NeighborSolicitation, m, ip, "fe80::99", sourceMAC))
	}
	g.settle()
}
