package p4_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// known is what bridge 1 answers for: its gateway, a host at access2 and one
// behind a VTEP.
func known() []entry {
	return []entry{
		p4.ARPHost{Bridge: bridge1, Address: netip.MustParseAddr("10.1.0.1"), MAC: gateway1},
		p4.ARPHost{Bridge: bridge1, Address: netip.MustParseAddr("10.1.0.12"), MAC: hostB},
		p4.ARPHost{Bridge: bridge1, Address: netip.MustParseAddr("10.1.0.50"), MAC: remote},
		p4.NDHost{Bridge: bridge1, Address: netip.MustParseAddr("2001:db8:1::1"), MAC: gateway1, Router: true},
		p4.NDHost{Bridge: bridge1, Address: netip.MustParseAddr("fe80::1"), MAC: gateway1, Router: true},
		p4.NDHost{Bridge: bridge1, Address: netip.MustParseAddr("2001:db8:1::12"), MAC: hostB},
		p4.NDHost{Bridge: bridge1, Address: netip.MustParseAddr("2001:db8:1::50"), MAC: remote},
		p4.Trap{EtherType: 0x0806, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP},
		p4.Trap{EtherType: 0x86dd, ICMPv6Type: 135, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntND},
	}
}

// answering runs a test on each target, which routes and answers.
func answering(t *testing.T, test func(*gateway)) {
	t.Helper()
	routed(t, func(g *gateway) {
		g.add(known()...)
		test(g)
	})
}

// arp is an ARP packet of RFC 826 in a frame.
func arp(src, dst ether.MAC, operation uint16, senderMAC ether.MAC, sender string, targetMAC ether.MAC,
	target string) []byte {
	return assemble(
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6,
			ProtAddressSize: 4,
			Operation:       operation, SourceHwAddress: senderMAC[:], DstHwAddress: targetMAC[:],
			SourceProtAddress: netip.MustParseAddr(sender).AsSlice(), DstProtAddress: netip.MustParseAddr(target).AsSlice()})
}

// whoHas is the ARP request of a host.
func whoHas(src ether.MAC, sender, target string) []byte {
	return arp(src, ether.Broadcast, layers.ARPRequest, src, sender, ether.MAC{}, target)
}

// ndMessage is a neighbour discovery message with its checksum.
func ndMessage(src, dst ether.MAC, from, to string, hopLimit uint8, kind uint8,
	message gopacket.SerializableLayer) []byte {
	return assemble(
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv6},
		&layers.IPv6{Version: 6, HopLimit: hopLimit, NextHeader: layers.IPProtocolICMPv6,
			SrcIP: netip.MustParseAddr(from).AsSlice(), DstIP: netip.MustParseAddr(to).AsSlice()},
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, message)
}

// solicited gives the group address of an IPv6 address and its MAC
// (RFC 4291 section 2.7.1, RFC 2464 section 7).
func solicited(target string) (ether.MAC, string) {
	t := netip.MustParseAddr(target).As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], t[13:])
	return ether.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}, netip.AddrFrom16(group).String()
}

// solicitation asks for target, with these options.
func solicitation(src ether.MAC, from, target string, hopLimit uint8, options ...layers.ICMPv6Option) []byte {
	mac, group := solicited(target)
	return ndMessage(src, mac, from, group, hopLimit, layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr(target).AsSlice(), Options: options})
}

func sourceOption(mac ether.MAC) layers.ICMPv6Option {
	return layers.ICMPv6Option{Type: layers.ICMPv6OptSourceAddress, Data: mac[:]}
}

func TestAnARPRequestForAKnownAddressIsAnsweredAndGoesNoFurther(t *testing.T) {
	for target, mac := range map[string]ether.MAC{"10.1.0.1": gateway1, "10.1.0.12": hostB, "10.1.0.50": remote} {
		t.Run(target, func(t *testing.T) {
			answering(t, func(g *gateway) {
				in := whoHas(hostA, "10.1.0.10", target)
				want := arp(mac, hostA, layers.ARPReply, mac, target, hostA, "10.1.0.10")
				g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, 0, in)}})
				in = whoHas(hostT, "10.1.0.11", target)
				want = arp(mac, hostT, layers.ARPReply, mac, target, hostT, "10.1.0.11")
				g.expect(g.send(trunk, tagged(in, 10)),
					out{trunk: {tagged(want, 10)}, p4.CPUPort: {punted(p4.PuntARP, trunk, bridge1, 0, in)}})
			})
		})
	}
	for name, dst := range map[string]ether.MAC{"its own MAC": gateway1, "another of its MACs": anycast} {
		t.Run("asked of "+name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				in := arp(hostA, dst, layers.ARPRequest, hostA, "10.1.0.10", ether.MAC{}, "10.1.0.1")
				want := arp(gateway1, hostA, layers.ARPReply, gateway1, "10.1.0.1", hostA, "10.1.0.10")
				g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, 0, in)}})
			})
		})
	}
	// RFC 5227: one that is about to take the address finds that it is taken.
	t.Run("probe", func(t *testing.T) {
		answering(t, func(g *gateway) {
			in := whoHas(hostA, "0.0.0.0", "10.1.0.12")
			want := arp(hostB, hostA, layers.ARPReply, hostB, "10.1.0.12", hostA, "0.0.0.0")
			g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, 0, in)}})
		})
	})
}

// expectForwarded checks that a broadcast of hostA's port went to the bridge as
// if nothing were answered, with a copy to the controller for this reason.
func (g *gateway) expectForwarded(in []byte, reason p4.PuntReason) {
	g.Helper()
	got := g.send(access1, in)
	encapsulated := got[uplink]
	delete(got, uplink)
	g.expect(got, out{access2: {in}, trunk: {tagged(in, 10)}, p4.CPUPort: {punted(reason, access1, bridge1, 0, in)}})
	if len(encapsulated) != 2 {
		g.Fatalf("%d frames by the uplink, want one for each VTEP", len(encapsulated))
	}
	for _, f := range encapsulated {
		g.expect(out{uplink: {f[50:]}}, out{uplink: {in}})
	}
}

func TestAnARPFrameThatAsksNothingKnownIsForwarded(t *testing.T) {
	with := func(at int, value byte) []byte {
		f := whoHas(hostA, "10.1.0.10", "10.1.0.1")
		f[at] = value
		return f
	}
	for name, in := range map[string][]byte{
		"unknown address":       whoHas(hostA, "10.1.0.10", "10.1.0.99"),
		"another bridge's":      whoHas(hostA, "10.1.0.10", "10.2.0.1"),
		"gratuitous":            whoHas(hostA, "10.1.0.12", "10.1.0.12"),
		"gratuitous reply":      arp(hostA, ether.Broadcast, layers.ARPReply, hostA, "10.1.0.1", ether.MAC{}, "10.1.0.1"),
		"its own MAC":           arp(hostA, ether.Broadcast, layers.ARPRequest, hostB, "10.1.0.10", ether.MAC{}, "10.1.0.12"),
		"reply":                 arp(hostA, ether.Broadcast, layers.ARPReply, hostA, "10.1.0.10", hostB, "10.1.0.12"),
		"reverse":               arp(hostA, ether.Broadcast, 3, hostA, "10.1.0.10", hostB, "10.1.0.12"),
		"other hardware":        with(15, 6),
		"other protocol":        with(17, 1),
		"other hardware length": with(18, 8),
		"other protocol length": with(19, 16),
		"is cut":                whoHas(hostA, "10.1.0.10", "10.1.0.1")[:41],
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) { g.expectForwarded(in, p4.PuntARP) })
		})
	}
}

func TestOnlyABridgePortIsAnswered(t *testing.T) {
	for name, in := range map[string][]byte{
		"ARP": whoHas(remote, "10.1.0.50", "10.1.0.1"),
		"ND":  solicitation(remote, "2001:db8:1::50", "2001:db8:1::1", 255, sourceOption(remote)),
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				want := out{access1: {in}, access2: {in}, trunk: {tagged(in, 10)}}
				g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, in)), want)
				g.expect(g.inject(p4.PacketOut{Bridge: bridge1, LocalOnly: true, Frame: in}), want)
			})
		})
	}
}

func TestADivertedRequestIsNotAnswered(t *testing.T) {
	answering(t, func(g *gateway) {
		g.add(p4.Trap{EtherType: 0x0806, Priority: 9, Divert: true, Reason: p4.PuntARP})
		in := whoHas(hostA, "10.1.0.10", "10.1.0.1")
		g.expect(g.send(access1, in), out{p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, 0, in)}})
	})
}

func TestASolicitationOfAKnownAddressIsAnsweredAndGoesNoFurther(t *testing.T) {
	for target, want := range map[string]struct {
		mac    ether.MAC
		router bool
	}{
		"2001:db8:1::1": {gateway1, true}, "fe80::1": {gateway1, true},
		"2001:db8:1::12": {hostB, false}, "2001:db8:1::50": {remote, false},
	} {
		for _, from := range []string{"2001:db8:1::10", "fe80::a"} {
			t.Run(target+" from "+from, func(t *testing.T) {
				answering(t, func(g *gateway) {
					in := solicitation(hostT, from, target, 255, sourceOption(hostT))
					flags := uint8(0x60) // solicited, override
					if want.router {
						flags |= 0x80
					}
					answer := ndMessage(want.mac, hostT, target, from, 255, layers.ICMPv6TypeNeighborAdvertisement,
						&layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: netip.MustParseAddr(target).AsSlice(),
							Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: want.mac[:]}}})
					g.expect(g.send(trunk, tagged(in, 10)),
						out{trunk: {tagged(answer, 10)}, p4.CPUPort: {punted(p4.PuntND, trunk, bridge1, 0, in)}})
				})
			})
		}
	}
	t.Run("asked of its own MAC", func(t *testing.T) {
		answering(t, func(g *gateway) {
			ask := func(src, dst ether.MAC, from, to string) []byte {
				return ndMessage(src, dst, from, to, 255, layers.ICMPv6TypeNeighborSolicitation,
					&layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr("2001:db8:1::1").AsSlice(),
						Options: layers.ICMPv6Options{sourceOption(src)}})
			}
			in := ask(hostA, gateway1, "2001:db8:1::10", "2001:db8:1::1")
			want := ndMessage(gateway1, hostA, "2001:db8:1::1", "2001:db8:1::10", 255, layers.ICMPv6TypeNeighborAdvertisement,
				&layers.ICMPv6NeighborAdvertisement{Flags: 0xe0, TargetAddress: netip.MustParseAddr("2001:db8:1::1").AsSlice(),
					Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: gateway1[:]}}})
			g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntND, access1, bridge1, 0, in)}})
		})
	})
}

func TestASolicitationThatMustNotBeAnsweredIsForwarded(t *testing.T) {
	const from, target = "2001:db8:1::10", "2001:db8:1::12"
	good := solicitation(hostA, from, target, 255, sourceOption(hostA))
	with := func(at int, change byte) []byte {
		f := slices.Clone(good)
		f[at] ^= change
		return f
	}
	for name, in := range map[string][]byte{
		"unknown address":            solicitation(hostA, from, "2001:db8:1::99", 255, sourceOption(hostA)),
		"another bridge's":           solicitation(hostA, from, "2001:db8:2::1", 255, sourceOption(hostA)),
		"duplicate detection":        solicitation(hostA, "::", target, 255),
		"unspecified, with a source": solicitation(hostA, "::", target, 255, sourceOption(hostA)),
		"no option":                  solicitation(hostA, from, target, 255),
		"another option":             solicitation(hostA, from, target, 255, layers.ICMPv6Option{Type: 14, Data: make([]byte, 6)}),
		"option after another":       solicitation(hostA, from, target, 255, layers.ICMPv6Option{Type: 14, Data: make([]byte, 6)}, sourceOption(hostA)),
		"hop limit 254":              solicitation(hostA, from, target, 254, sourceOption(hostA)),
		"its own MAC":                solicitation(hostA, from, target, 255, sourceOption(hostB)),
		"checksum":                   with(56, 1),
		"damaged":                    with(58, 1),
		"version":                    with(14, 0x20),
		"code":                       with(55, 1),
		"is cut":                     good[:80],
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) { g.expectForwarded(in, p4.PuntND) })
		})
	}
}

// What hosts say to the gateway goes to the kernel behind it.
func TestAnswersToTheGatewayAreTheKernels(t *testing.T) {
	reply := arp(hostA, gateway1, layers.ARPReply, hostA, "10.1.0.10", gateway1, "10.1.0.1")
	advertisement := func(to string) []byte {
		return ndMessage(hostA, gateway1, "2001:db8:1::10", to, 255, layers.ICMPv6TypeNeighborAdvertisement,
			&layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: netip.MustParseAddr("2001:db8:1::10").AsSlice(),
				Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: hostA[:]}}})
	}
	answering(t, func(g *gateway) {
		// The copy has the VRF too: it is made when all is decided.
		got := g.send(access1, reply)
		slices.SortFunc(got[p4.CPUPort], slices.Compare)
		g.expect(got, out{p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, vrf1, reply),
			punted(p4.PuntLocal, access1, bridge1, vrf1, reply)}})
		for _, to := range []string{"2001:db8:1::1", "fe80::1"} {
			in := advertisement(to)
			g.expect(g.send(access1, in), out{p4.CPUPort: {punted(p4.PuntLocal, access1, bridge1, vrf1, in)}})
		}
	})
}
