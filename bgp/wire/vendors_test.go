package wire

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// vendor is an UPDATE as some other implementation forms it.
type vendor struct {
	name    string
	session Session
	text    []string // of the body, in hexadecimal digits
	reach   []bgp.NLRI
	change  func(*bgp.Attributes) // of attributes with the defaults of the session alone
}

func (v vendor) body() []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(v.text, ""), " ", ""))
	if err != nil {
		panic(v.name + ": " + err.Error())
	}
	return b
}

// within is a session with a peer of the same AS, towards one with a peer of another.
func within(as uint32) Session { return of(as, as) }

func of(ours, theirs uint32) Session {
	return Session{AS: ours, PeerAS: theirs, RouterID: ourID, Internal: ours == theirs, AS4: true,
		Families: []bgp.Family{bgp.EVPN}}
}

func rd(s string) bgp.RD {
	v, err := bgp.ParseRD(s)
	if err != nil {
		panic(err)
	}
	return v
}

func rts(list ...string) bgp.RouteTargets {
	var out []bgp.RouteTarget
	for _, s := range list {
		rt, err := bgp.ParseRouteTarget(s)
		if err != nil {
			panic(err)
		}
		out = append(out, rt)
	}
	return bgp.MakeRouteTargets(out...)
}

func hwaddr(s string) ether.MAC {
	m, err := ether.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

var addr = netip.MustParseAddr

// What is called a capture is one, as it was published. The others are put together from
// what the vendor's own commands print of a route, in the order and with the flags that
// RFC 4271 and RFC 7606 section 5.1 have, or that the implementation's sources do.
var vendors = []vendor{
	{
		name:    "SR Linux, type 3",
		session: within(100),
		// A capture of learn-srlinux (docs/tutorials/l2evpn/evpn01-imet-routes.pcapng).
		text: []string{
			"0000 004d",
			"90 0e 001c", "0019 46 04 0a000001 00", // MP_REACH_NLRI first, with an extended length
			"03 11", "0001 0a000001 006f", "00000000", "20 0a000001",
			"40 01 01 00", "40 02 00", "40 05 04 00000064",
			"c0 10 10", "0002 0064 0000006f", "030c 0000 0000 0008",
			"c0 16 09", "00 06 000001 0a000001",
		},
		reach: []bgp.NLRI{{Key: bgp.MulticastKey(rd("10.0.0.1:111"), addr("10.0.0.1"))}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("10.0.0.1"), rts("100:111"), bgp.EncapsulationVXLAN
			a.HasTunnel, a.TunnelType, a.TunnelLabel, a.Tunnel = true, 6, 1, addr("10.0.0.1")
		},
	},
	{
		name:    "SR Linux, type 2",
		session: within(100),
		// A capture of learn-srlinux (docs/tutorials/l2evpn/evpn01-macip-routes.pcapng).
		text: []string{
			"0000 0051",
			"90 0e 002c", "0019 46 04 0a000001 00",
			"02 21", "0001 0a000001 006f", "00000000000000000000", "00000000", "30 00c1ab000001", "00", "000001",
			"40 01 01 00", "40 02 00", "40 05 04 00000064",
			"c0 10 10", "0002 0064 0000006f", "030c 0000 0000 0008",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("10.0.0.1:111"), hwaddr("00:c1:ab:00:00:01"), netip.Addr{}), Label: 1}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("10.0.0.1"), rts("100:111"), bgp.EncapsulationVXLAN
		},
	},
	{
		name:    "SR Linux, type 5",
		session: of(65001, 65000),
		// What "show network-instance default protocols bgp routes evpn route-type 5 detail"
		// prints: RD 100.0.0.2:2, 2.2.2.2/32, label 2, target:64500:2, mac-nh:1a:a2:03:ff:00:00,
		// bgp-tunnel-encap:VXLAN, AS path 65000 65002. With it a group policy tag (gbp-tag:0:10).
		text: []string{
			"0000 0065",
			"90 0e 002d", "0019 46 04 64000002 00",
			"05 22", "0001 64000002 0002", "00000000000000000000", "00000000", "20 02020202", "00000000", "000002",
			"40 01 01 00", "40 02 0a", "0202 0000fde8 0000fdea",
			"c0 10 20", "0002 fbf4 00000002", "0603 1aa203ff0000", "030c 0000 0000 0008", "0317 0000 0000 000a",
		},
		reach: []bgp.NLRI{{Key: bgp.PrefixKey(rd("100.0.0.2:2"), netip.MustParsePrefix("2.2.2.2/32")), Label: 2}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("100.0.0.2"), rts("64500:2"), bgp.EncapsulationVXLAN
			a.RouterMAC, a.PathLength, a.NeighborAS = hwaddr("1a:a2:03:ff:00:00"), 2, 65000
		},
	},
	{
		name:    "NX-OS, type 2 with an address",
		session: within(64500),
		// What "show bgp l2vpn evpn" prints: [2]:[0]:[0]:[48]:[a2b9.4605.948d]:[32]:[10.1.1.1],
		// RD 10.0.0.3:32777, label 100010 100999, RT 64500:100010 and 64500:100999,
		// SOO:10.0.1.101:0, ENCAP:8, router MAC 0200.0a00.0165, originator 10.0.0.3, cluster list
		// 10.0.0.1, by the anycast VTEP 10.0.1.101 of a vPC.
		text: []string{
			"0000 007d",
			"40 01 01 00", "40 02 00", "40 05 04 00000064", "80 09 04 0a000003", "80 0a 04 0a000001",
			"c0 10 28", "0002 fbf4 000186aa", "0002 fbf4 00018a87", "0103 0a000165 0000", "030c 0000 0000 0008",
			"0603 02000a000165",
			"80 0e 33", "0019 46 04 0a000165 00", // and MP_REACH_NLRI last
			"02 28", "0001 0a000003 8009", "00000000000000000000", "00000000", "30 a2b94605948d", "20 0a010101",
			"0186aa 018a87",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("10.0.0.3:32777"), hwaddr("a2:b9:46:05:94:8d"), addr("10.1.1.1")),
			Label: 100010, Label2: 100999}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = addr("10.0.1.101"), rts("64500:100010", "64500:100999")
			a.Encapsulation, a.RouterMAC = bgp.EncapsulationVXLAN, hwaddr("02:00:0a:00:01:65")
			a.OriginatorID, a.ClusterLength = addr("10.0.0.3"), 1
		},
	},
	{
		name:    "EOS, type 2 of a segment with ND flags",
		session: of(65100, 65000),
		// What "show bgp evpn detail" prints: mac-ip 001b.0100.0001 10.10.203.203, RD
		// 100.0.0.204:1203, path 65000 65204, Route-Target-AS:1000:1000 and 1203:1203,
		// TunnelEncap:tunnelTypeVxlan, EvpnRouterMac:98:5d:82:a2:04:f9, EvpnNdFlags:pflag, VNI 1203,
		// L3 VNI 1000, ESI 0000:0000:0000:0203:0204.
		text: []string{
			"0000 0074",
			"40 01 01 00", "50 02 000a", "0202 0000fde8 0000feb4",
			"90 0e 0033", "0019 46 04 640000cc 00",
			"02 28", "0001 640000cc 04b3", "00000000000002030204", "00000000", "30 001b01000001", "20 0a0acbcb",
			"0004b3 0003e8",
			"c0 10 28", "0002 03e8 000003e8", "0002 04b3 000004b3", "030c 0000 0000 0008", "0603 985d82a204f9",
			"0608 04 0000000000",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("100.0.0.204:1203"), hwaddr("00:1b:01:00:00:01"), addr("10.10.203.203")),
			ESI: bgp.ESI{6: 2, 3, 2, 4}, Label: 1203, Label2: 1000}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = addr("100.0.0.204"), rts("1000:1000", "1203:1203")
			a.Encapsulation, a.RouterMAC = bgp.EncapsulationVXLAN, hwaddr("98:5d:82:a2:04:f9")
			a.ARPND, a.PathLength, a.NeighborAS = bgp.ARPND{Said: true, Flags: 4}, 2, 65000
		},
	},
	{
		name:    "EOS, aggregated type 5",
		session: of(65001, 65100),
		// What "show bgp evpn route-type ip-prefix" prints: 10.101.0.0/16, RD 10.1.1.3:2000, path
		// 65100 65003 65099 (aggregated by 65099 10.99.2.1), atomic-aggregate, by 10.1.1.3,
		// Route-Target-AS:1:2000, tunnelTypeVxlan, EvpnRouterMac:50:06:10:f6:22:41, VNI 2000.
		text: []string{
			"0000 0070",
			"40 01 01 00", "50 02 000e", "0203 0000fe4c 0000fdeb 0000fe4b", "40 06 00", "c0 07 08 0000fe4b 0a630201",
			"90 0e 002d", "0019 46 04 0a010103 00",
			"05 22", "0001 0a010103 07d0", "00000000000000000000", "00000000", "10 0a650000", "00000000", "0007d0",
			"c0 10 18", "0002 0001 000007d0", "030c 0000 0000 0008", "0603 500610f62241",
		},
		reach: []bgp.NLRI{{Key: bgp.PrefixKey(rd("10.1.1.3:2000"), netip.MustParsePrefix("10.101.0.0/16")), Label: 2000}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("10.1.1.3"), rts("1:2000"), bgp.EncapsulationVXLAN
			a.RouterMAC, a.PathLength, a.NeighborAS = hwaddr("50:06:10:f6:22:41"), 3, 65100
		},
	},
	{
		name:    "Junos, VLAN-aware bundle",
		session: within(64512),
		// What "show route table bgp.evpn.0 extensive" prints:
		// 2:1.1.1.1:1::50100::00:01:99:00:00:01/304, cluster list 1.1.1.11, originator 1.1.1.1,
		// communities 64512:50100 target:1:100 encapsulation:vxlan(0x8), label 50100, ESI
		// 00:01:01:01:01:01:01:01:01:01. The Ethernet tag is the VNI.
		text: []string{
			"0000 0066",
			"40 01 01 00", "40 02 00", "40 05 04 00000064", "c0 08 04 fc00 c3b4", "80 09 04 01010101", "80 0a 04 0101010b",
			"c0 10 10", "0002 0001 00000064", "030c 0000 0000 0008",
			"90 0e 002c", "0019 46 04 01010101 00",
			"02 21", "0001 01010101 0001", "00010101010101010101", "0000c3b4", "30 000199000001", "00", "00c3b4",
		},
		reach: []bgp.NLRI{{Key: bgp.Key{Type: bgp.TypeMACIP, RD: rd("1.1.1.1:1"), EthernetTag: 50100,
			MAC: hwaddr("00:01:99:00:00:01")},
			ESI: bgp.ESI{0, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Label: 50100}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("1.1.1.1"), rts("1:100"), bgp.EncapsulationVXLAN
			a.OriginatorID, a.ClusterLength = addr("1.1.1.1"), 1
		},
	},
	{
		name:    "Junos, type 3 of a VLAN-aware bundle",
		session: within(65000),
		// What "show route advertising-protocol bgp" prints: 3:192.0.2.11:1::654::192.0.2.11/248,
		// PMSI flags 0x0, label 654, INGRESS-REPLICATION 192.0.2.11, target:65000:268436110 (RFC
		// 8365 section 5.1.2.1), encapsulation:vxlan(0x8); and evpn-mcast-flags:0x9 of OISM (RFC 9251).
		text: []string{
			"0000 0055",
			"40 01 01 00", "40 02 00", "40 05 04 00000064",
			"c0 10 18", "0002 fde8 1000028e", "030c 0000 0000 0008", "0609 0009 00000000",
			"90 0e 001c", "0019 46 04 c000020b 00",
			"03 11", "0001 c000020b 0001", "0000028e", "20 c000020b",
			"c0 16 09", "00 06 00028e c000020b",
		},
		reach: []bgp.NLRI{{Key: bgp.Key{Type: bgp.TypeMulticast, RD: rd("192.0.2.11:1"), EthernetTag: 654,
			IP: addr("192.0.2.11")}}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("192.0.2.11"), rts("65000:268436110"), bgp.EncapsulationVXLAN
			a.HasTunnel, a.TunnelType, a.TunnelLabel, a.Tunnel = true, 6, 654, addr("192.0.2.11")
		},
	},
	{
		name:    "Junos, two types by a reflector",
		session: within(100),
		// A capture that the tests of routecore and NetGauze have: MPLS, without an encapsulation
		// community, so that the label is what 24 bits say.
		text: []string{
			"0000 0072",
			"40 01 01 00", "40 02 00", "40 05 04 00000064", "c0 10 08", "0002 0064 00000064",
			"80 09 04 78000205", "80 0a 04 78000101",
			"90 0e 0047", "0019 46 04 78000205 00",
			"01 19", "0001 78000205 0064", "00000000000010000005", "00000000", "493501",
			"02 21", "0001 78000205 0064", "00000000000000000000", "00000064", "30 000c2982c2a9", "00", "493001",
		},
		reach: []bgp.NLRI{
			{Key: bgp.Key{Type: bgp.TypeEthernetAD, RD: rd("120.0.2.5:100"), Segment: bgp.ESI{6: 0x10, 9: 5}}, Label: 0x493501},
			{Key: bgp.Key{Type: bgp.TypeMACIP, RD: rd("120.0.2.5:100"), EthernetTag: 100, MAC: hwaddr("00:0c:29:82:c2:a9")}, Label: 0x493001},
		},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = addr("120.0.2.5"), rts("100:100")
			a.OriginatorID, a.ClusterLength = addr("120.0.2.5"), 1
		},
	},
	{
		name:    "FRR, type 2 of an IPv6 router",
		session: external(),
		// By bgpd/bgp_attr.c: MP_REACH_NLRI first, it and AS_PATH with extended lengths. The last
		// community says that the host is an IPv6 router (RFC 9047 section 2).
		text: []string{
			"0000 007c",
			"90 0e 003f", "0019 46 04 0a000002 00",
			"02 34", "0001 0a000002 0002", "00000000000000000000", "00000000", "30 020000000001",
			"80 20010db8000000000000000000000005", "000064 001388",
			"40 01 01 00", "50 02 0006", "0201 0000fdea",
			"c0 10 28", "0002 fdea 00000064", "0002 fdea 00001388", "030c 0000 0000 0008", "0603 020000000009",
			"0608 01 0000000000",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("10.0.0.2:2"), hwaddr("02:00:00:00:00:01"), addr("2001:db8::5")),
			Label: 100, Label2: 5000}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = leaf, rts("65002:100", "65002:5000")
			a.Encapsulation, a.RouterMAC = bgp.EncapsulationVXLAN, hwaddr("02:00:00:00:00:09")
			a.ARPND, a.PathLength, a.NeighborAS = bgp.ARPND{Said: true, Flags: 1}, 1, 65002
		},
	},
	{
		name:    "FRR, type 2 of an IPv6 host that is no router",
		session: external(),
		// By bgpd/bgp_evpn.c: as above, and nothing is said of the host's flags.
		text: []string{
			"0000 0074",
			"90 0e 003f", "0019 46 04 0a000002 00",
			"02 34", "0001 0a000002 0002", "00000000000000000000", "00000000", "30 020000000001",
			"80 20010db8000000000000000000000005", "000064 001388",
			"40 01 01 00", "50 02 0006", "0201 0000fdea",
			"c0 10 20", "0002 fdea 00000064", "0002 fdea 00001388", "030c 0000 0000 0008", "0603 020000000009",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("10.0.0.2:2"), hwaddr("02:00:00:00:00:01"), addr("2001:db8::5")),
			Label: 100, Label2: 5000}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = leaf, rts("65002:100", "65002:5000")
			a.Encapsulation, a.RouterMAC = bgp.EncapsulationVXLAN, hwaddr("02:00:00:00:00:09")
			a.PathLength, a.NeighborAS = 1, 65002
		},
	},
	{
		name:    "RYU, type 3",
		session: within(65000),
		// By ryu/app/rest_vtep.py and services/protocols/bgp/peer.py: the Ethernet tag is the VNI,
		// and neither an encapsulation community nor a PMSI tunnel.
		text: []string{
			"0000 0038",
			"80 0e 1c", "0019 46 04 ac110002 00",
			"03 11", "0000 fde8 0000000a", "0000000a", "20 ac110002",
			"40 01 01 00", "40 02 00", "40 05 04 00000064", "c0 10 08", "0002 fde8 0000000a",
		},
		reach: []bgp.NLRI{{Key: bgp.Key{Type: bgp.TypeMulticast, RD: rd("65000:10"), EthernetTag: 10,
			IP: addr("172.17.0.2")}}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets = addr("172.17.0.2"), rts("65000:10")
		},
	},
	{
		name:    "RYU, type 2",
		session: within(65000),
		text: []string{
			"0000 0054",
			"80 0e 30", "0019 46 04 ac110002 00",
			"02 25", "0000 fde8 0000000a", "00000000000000000000", "00000000", "30 02acde111111", "20 ac100001", "00000a",
			"40 01 01 00", "40 02 00", "40 05 04 00000064", "c0 10 10", "0002 fde8 0000000a", "030c 0000 0000 0008",
		},
		reach: []bgp.NLRI{{Key: bgp.MACKey(rd("65000:10"), hwaddr("02:ac:de:11:11:11"), addr("172.16.0.1")), Label: 10}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.RouteTargets, a.Encapsulation = addr("172.17.0.2"), rts("65000:10"), bgp.EncapsulationVXLAN
		},
	},
	{
		name:    "GoBGP, type 5 with host bits",
		session: of(65001, 65002),
		// A capture of ryu (tests/packet_data/bgp4/evpn_nlri_ip_prefix.pcap): 10.10.10.10/24.
		text: []string{
			"0000 003d",
			"40 01 01 02", "40 02 06", "0201 0000fdea",
			"80 0e 2d", "0019 46 04 ac110002 00",
			"05 22", "0000 fde8 0000000a", "00000000000000000000", "0000000a", "18 0a0a0a0a", "14141414", "000000",
		},
		reach: []bgp.NLRI{{Key: bgp.Key{Type: bgp.TypePrefix, RD: rd("65000:10"), EthernetTag: 10,
			IP: addr("10.10.10.0"), PrefixLength: 24},
			GatewayIP: addr("20.20.20.20")}},
		change: func(a *bgp.Attributes) {
			a.NextHop, a.Origin, a.PathLength, a.NeighborAS = addr("172.17.0.2"), 2, 1, 65002
		},
	},
}

func TestUpdatesOfOtherVendorsAreRead(t *testing.T) {
	for _, v := range vendors {
		t.Run(v.name, func(t *testing.T) {
			u := takenAll(t, v.session, v.body())
			if !slices.Equal(u.Reach, v.reach) {
				t.Errorf("got  %+v\nwant %+v", u.Reach, v.reach)
			}
			want := bgp.Attributes{}
			want.LocalPref, want.Internal = bgp.DefaultLocalPref, v.session.Internal
			v.change(&want)
			if u.Attributes == nil || *u.Attributes != want {
				t.Errorf("got  %+v\nwant %+v", u.Attributes, want)
			}
		})
	}
}
