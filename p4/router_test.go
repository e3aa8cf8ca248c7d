package p4_test

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// What routed adds to the gateway of the bridging tests. VRF 1 (L3 VNI 5001)
// routes between bridge 1 (10.1.0.0/24) and bridge 2 (10.2.0.0/24); behind VTEP
// 1 are 10.3.0.0/16, behind VTEP 2 10.3.4.0/24. VRF 2 (L3 VNI 5002) has the same
// addresses 10.1.0.0/24 in bridge 3, VLAN 30 of the trunk. IPv6 has
// 2001:db8:x::/64 for 10.x.0.0/24, with the same last number.
const (
	bridge3        = 3
	vrf1, vrf2     = 1, 2
	l3vni1, l3vni2 = 5001, 5002 // ours
	theirL3VNI     = 6001       // what the VTEPs asked for in VRF 1
	narrow         = 5          // a VTEP with a path for narrowMTU
	narrowMTU      = 200
)

var (
	gateway1  = ether.MAC{2, 0, 0, 0, 0xee, 1} // in bridge 1
	gateway2  = ether.MAC{2, 0, 0, 0, 0xee, 2} // in bridge 2
	gateway3  = ether.MAC{2, 0, 0, 0, 0xee, 3} // in bridge 3
	anycast   = ether.MAC{2, 0, 0, 0, 0xee, 9} // in bridge 1 beside gateway1
	ourRouter = ether.MAC{2, 0, 0, 0, 0xef, 0}
	router1   = ether.MAC{2, 0, 0, 0, 0xef, 1} // behind VTEP 1
	router2   = ether.MAC{2, 0, 0, 0, 0xef, 2} // behind VTEP 2
	hostO     = ether.MAC{2, 0, 0, 0, 2, 1}    // at other, bridge 2: 10.2.0.20
	hostV     = ether.MAC{2, 0, 0, 0, 2, 2}    // at the trunk, VLAN 20: 10.2.0.30
	silent    = ether.MAC{2, 0, 0, 0, 2, 3}    // in bridge 2, nowhere: 10.2.0.40
	remote2   = ether.MAC{2, 0, 0, 0, 2, 4}    // in bridge 2 behind VTEP 2: 10.2.0.50
	hostBlue  = ether.MAC{2, 0, 0, 0, 3, 1}    // at the trunk, VLAN 30: 10.1.0.10 of VRF 2
)

// routing is what the gateway has where it routes.
func routing() []entry {
	entries := []entry{
		p4.Member{Port: trunk, VLAN: 30, Bridge: bridge3}, p4.EgressVLAN{Port: trunk, Bridge: bridge3, VLAN: 30},
		p4.Group{ID: bridge3, Members: []p4.GroupMember{{Port: trunk, Instance: 1}, {Port: uplink, Instance: 2}}},
		p4.Replica{Bridge: bridge3, Instance: 2, VTEP: narrow, VNI: 300},
		p4.Path{VTEP: narrow, Port: uplink, MTU: narrowMTU},
		p4.Tunnel{VTEP: narrow, Source: ours, Destination: vtep2, Adjacency: 1, MTU: narrowMTU},
		p4.FDB{Bridge: bridge2, MAC: hostO, Port: other}, p4.FDB{Bridge: bridge2, MAC: hostV, Port: trunk},
		p4.FDB{Bridge: bridge2, MAC: remote2, Kind: p4.ToVTEP, VTEP: 2, VNI: vni2},
		p4.FDB{Bridge: bridge3, MAC: hostBlue, Port: trunk},
		p4.FDB{Bridge: bridge3, MAC: remote, Kind: p4.ToVTEP, VTEP: narrow, VNI: 300},
		p4.Source{Bridge: bridge2, MAC: hostO, Port: other}, p4.Source{Bridge: bridge2, MAC: hostV, Port: trunk},
		p4.Source{Bridge: bridge3, MAC: hostBlue, Port: trunk},
		p4.RouterMAC{Bridge: bridge1, MAC: gateway1, VRF: vrf1}, p4.RouterMAC{Bridge: bridge1, MAC: anycast, VRF: vrf1},
		p4.RouterMAC{Bridge: bridge2, MAC: gateway2, VRF: vrf1}, p4.RouterMAC{Bridge: bridge3, MAC: gateway3, VRF: vrf2},
		p4.RouterInterface{Bridge: bridge1, MAC: gateway1}, p4.RouterInterface{Bridge: bridge2, MAC: gateway2},
		p4.RouterInterface{Bridge: bridge3, MAC: gateway3},
		p4.L3VNI{Local: ours, VNI: l3vni1, VRF: vrf1, RouterMAC: ourRouter},
		p4.L3VNI{Local: ours, VNI: l3vni2, VRF: vrf2, RouterMAC: ourRouter},
	}
	for _, net := range []struct{ v4, v6 string }{{"10.1.0.", "2001:db8:1::"}, {"10.2.0.", "2001:db8:2::"}} {
		for _, vrf := range []uint16{vrf1, vrf2} {
			entries = append(entries, glean(vrf, net.v4+"0/24"), glean(vrf, net.v6+"/64"),
				p4.Route{VRF: vrf, Prefix: host32(net.v4 + "1"), Kind: p4.RouteLocal},
				p4.Route{VRF: vrf, Prefix: host32(net.v6 + "1"), Kind: p4.RouteLocal})
		}
	}
	for _, h := range []struct {
		vrf, bridge uint16
		mac         ether.MAC
		v4, v6      string
	}{
		{vrf1, bridge1, hostA, "10.1.0.10", "2001:db8:1::10"},
		{vrf1, bridge2, hostO, "10.2.0.20", "2001:db8:2::20"},
		{vrf1, bridge2, hostV, "10.2.0.30", "2001:db8:2::30"},
		{vrf1, bridge2, silent, "10.2.0.40", "2001:db8:2::40"},
		{vrf1, bridge2, remote2, "10.2.0.50", "2001:db8:2::50"},
		{vrf2, bridge3, hostBlue, "10.1.0.10", "2001:db8:1::10"},
	} {
		for _, a := range []string{h.v4, h.v6} {
			entries = append(entries, p4.Route{VRF: h.vrf, Prefix: host32(a), Bridge: h.bridge, MAC: h.mac})
		}
	}
	return append(entries, via(vrf1, "10.3.0.0/16", 1, router1), via(vrf1, "10.3.4.0/24", 2, router2),
		via(vrf1, "2001:db8:3::/48", 1, router1), via(vrf1, "2001:db8:3:4::/64", 2, router2),
		via(vrf1, "10.3.5.0/24", narrow, router2), via(vrf1, "2001:db8:3:5::/64", narrow, router2),
		p4.Route{VRF: vrf1, Prefix: host32("10.3.4.66"), Kind: p4.RouteDrop},
		p4.Route{VRF: vrf1, Prefix: host32("2001:db8:3:4::66"), Kind: p4.RouteDrop})
}

func host32(address string) netip.Prefix {
	a := netip.MustParseAddr(address)
	return netip.PrefixFrom(a, a.BitLen())
}

func glean(vrf uint16, prefix string) p4.Route {
	return p4.Route{VRF: vrf, Prefix: netip.MustParsePrefix(prefix), Kind: p4.RouteGlean}
}

// via is a symmetric route: to a VTEP, by an L3 VNI.
func via(vrf uint16, prefix string, vtep uint16, router ether.MAC) p4.Route {
	return p4.Route{VRF: vrf, Prefix: netip.MustParsePrefix(prefix), Kind: p4.RouteVTEP, VTEP: vtep, VNI: theirL3VNI,
		Source: ourRouter, Destination: router}
}

// routed runs a test on each target, which has what routing gives too.
func routed(t *testing.T, test func(*gateway)) {
	t.Helper()
	each(t, func(g *gateway) {
		g.add(routing()...)
		test(g)
	})
}

// packet is a UDP packet in an untagged frame: IPv4 or IPv6, as its addresses
// are.
type packet struct {
	src, dst ether.MAC
	from, to string
	ttl      uint8 // 64 where it is 0
	size     int   // of the payload
	// Ports, 5000 and 6000 where they are 0.
	source, destination uint16
}

// both gives the packet and its like of IPv6.
func both(p packet) map[string]packet {
	six := p
	six.from, six.to = sixth(p.from), sixth(p.to)
	return map[string]packet{"IPv4": p, "IPv6": six}
}

// sixth is the IPv6 address that stands for an IPv4 one of the tests.
func sixth(v4 string) string {
	a := netip.MustParseAddr(v4).As4()
	b := [16]byte{0x20, 1, 0xd, 0xb8, 5: a[1], 7: a[2]}
	b[15] = a[3]/10<<4 | a[3]%10
	return netip.AddrFrom16(b).String()
}

func (p packet) frame() []byte {
	ttl := p.ttl
	if ttl == 0 {
		ttl = 64
	}
	from, to := netip.MustParseAddr(p.from), netip.MustParseAddr(p.to)
	eth := &layers.Ethernet{SrcMAC: p.src[:], DstMAC: p.dst[:], EthernetType: layers.EthernetTypeIPv4}
	udp := &layers.UDP{
		SrcPort: layers.UDPPort(cmp.Or(p.source, 5000)), DstPort: layers.UDPPort(cmp.Or(p.destination, 6000)),
	}
	payload := gopacket.Payload(make([]byte, p.size))
	if from.Is4() {
		return assemble(eth, &layers.IPv4{Version: 4, TTL: ttl, TOS: 0xb9, Id: 7, Protocol: layers.IPProtocolUDP,
			SrcIP: from.AsSlice(), DstIP: to.AsSlice()}, udp, payload)
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	return assemble(eth, &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: 0xb9, FlowLabel: 0x12345,
		NextHeader: layers.IPProtocolUDP,
		SrcIP:      from.AsSlice(), DstIP: to.AsSlice()}, udp, payload)
}

// hop is the frame after one router: its MACs, and TTL one less. The checksum
// is computed afresh.
func (p packet) hop(src, dst ether.MAC) []byte {
	p.src, p.dst = src, dst
	if p.ttl == 0 {
		p.ttl = 64
	}
	p.ttl--
	return p.frame()
}

// sent is the frame with other MACs and nothing else changed.
func (p packet) sent(src, dst ether.MAC) []byte {
	p.src, p.dst = src, dst
	return p.frame()
}

// encapsulated checks the outer headers of a frame that left by the uplink, all
// but the UDP source port, and gives what is inside.
func (g *gateway) encapsulated(f []byte, to netip.Addr, vni uint32, dscp byte) []byte {
	g.Helper()
	if len(f) < 50 {
		g.Fatalf("no VXLAN frame: %x", f)
	}
	sport := binary.BigEndian.Uint16(f[34:])
	if sport < 49152 {
		g.Errorf("UDP source port %d: want the dynamic range", sport)
	}
	want := assemble(
		&layers.Ethernet{SrcMAC: uplinkMAC[:], DstMAC: routerMAC[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, TOS: dscp << 2, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
			SrcIP: ours.AsSlice(), DstIP: to.AsSlice()},
		&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: 4789},
		&layers.VXLAN{ValidIDFlag: true, VNI: vni},
		gopacket.Payload(f[50:]))
	want[40], want[41] = 0, 0 // RFC 7348: the UDP checksum should be zero
	g.expect(out{uplink: {f[:50]}}, out{uplink: {want[:50]}})
	return f[50:]
}

// expectTunnelled checks that one frame left, to a VTEP, with this inside.
func (g *gateway) expectTunnelled(got out, to netip.Addr, vni uint32, dscp byte, inner []byte) {
	g.Helper()
	f := g.encapsulated(g.only(uplink, got), to, vni, dscp)
	g.expect(out{uplink: {f}}, out{uplink: {inner}})
}
