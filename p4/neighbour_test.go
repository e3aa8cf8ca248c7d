package p4_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// known is what bridge 1 answers for: its gateway, an address of which only this
// gateway has (254), a host at access2, one behind a VTEP, and there one that routes
// (60) and one of which that is not known (70).
func known() []entry {
	address := netip.MustParseAddr
	return []entry{
		p4.ARPHost{Bridge: bridge1, Address: address("10.1.0.1"), MAC: gateway1},
		p4.ARPHost{Bridge: bridge1, Address: address("10.1.0.254"), MAC: gateway1, VXLAN: true},
		p4.ARPHost{Bridge: bridge1, Address: address("10.1.0.12"), MAC: hostB, Port: access2},
		p4.ARPHost{Bridge: bridge1, Address: address("10.1.0.50"), MAC: remote},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::1"), MAC: gateway1, Router: true, Override: true},
		p4.NDHost{Bridge: bridge1, Address: address("fe80::1"), MAC: gateway1, Router: true, Override: true},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::254"), MAC: gateway1, Router: true, Override: true,
			VXLAN: true},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::12"), MAC: hostB, Port: access2, Override: true},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::50"), MAC: remote, Override: true},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::60"), MAC: remote, Router: true},
		p4.NDHost{Bridge: bridge1, Address: address("2001:db8:1::70"), MAC: remote, Unanswered: true},
		p4.Trap{EtherType: 0x0806, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP},
		p4.Trap{EtherType: 0x86dd, ICMPv6Type: 135, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntND},
		p4.Trap{EtherType: 0x0806, Origin: p4.OriginVXLAN, Priority: 1, Reason: p4.PuntVXLANARP},
		p4.Trap{EtherType: 0x86dd, ICMPv6Type: 135, Origin: p4.OriginVXLAN, Priority: 1, Reason: p4.PuntVXLANND},
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
	t.Run("asked of the gateway's own MAC", func(t *testing.T) {
		answering(t, func(g *gateway) {
			in := arp(hostA, gateway1, layers.ARPRequest, hostA, "10.1.0.10", ether.MAC{}, "10.1.0.1")
			want := arp(gateway1, hostA, layers.ARPReply, gateway1, "10.1.0.1", hostA, "10.1.0.10")
			g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, vrf1, in)}})
		})
	})
	// RFC 5227: one that is about to take the address finds that it is taken.
	for target, mac := range map[string]ether.MAC{"10.1.0.50": remote, "10.1.0.1": gateway1} {
		t.Run("probe for "+target, func(t *testing.T) {
			answering(t, func(g *gateway) {
				in := whoHas(hostA, "0.0.0.0", target)
				want := arp(mac, hostA, layers.ARPReply, mac, target, hostA, "0.0.0.0")
				g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, 0, in)}})
			})
		})
	}
}

// RFC 9161 section 3.3: or a host that is dead would look alive.
func TestWhoIsAskedForHimselfAnswersHimself(t *testing.T) {
	unicast := arp(hostA, hostB, layers.ARPRequest, hostA, "10.1.0.10", ether.MAC{}, "10.1.0.12")
	reachable := ndMessage(hostA, hostB, "2001:db8:1::10", "2001:db8:1::12", 255, layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr("2001:db8:1::12").AsSlice(),
			Options: layers.ICMPv6Options{sourceOption(hostA)}})
	toOne := solicitation(hostA, "2001:db8:1::10", "2001:db8:1::12", 255, sourceOption(hostA))
	copy(toOne, hostB[:])
	for name, in := range map[string][]byte{"ARP": unicast, "ND": reachable, "ND, to the group by its MAC": toOne} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				reason := p4.PuntND
				if name == "ARP" {
					reason = p4.PuntARP
				}
				g.expect(g.send(access1, in), out{access2: {in}, p4.CPUPort: {punted(reason, access1, bridge1, 0, in)}})
			})
		})
	}
	// A router's MAC is asked about its own address alone.
	t.Run("of another router MAC", func(t *testing.T) {
		answering(t, func(g *gateway) {
			in := arp(hostA, anycast, layers.ARPRequest, hostA, "10.1.0.10", ether.MAC{}, "10.1.0.1")
			got := g.send(access1, in)
			slices.SortFunc(got[p4.CPUPort], slices.Compare)
			g.expect(got, out{p4.CPUPort: {punted(p4.PuntARP, access1, bridge1, vrf1, in),
				punted(p4.PuntLocal, access1, bridge1, vrf1, in)}})
		})
	})
}

func TestNobodyIsToldAtAPortOfWhoIsThere(t *testing.T) {
	for name, in := range map[string][]byte{
		"ARP": whoHas(hostT, "10.1.0.11", "10.1.0.12"),
		"ND":  solicitation(hostT, "2001:db8:1::11", "2001:db8:1::12", 255, sourceOption(hostT)),
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				got := g.send(access2, in)
				delete(got, uplink)
				delete(got, p4.CPUPort)
				g.expect(got, out{access1: {in}, trunk: {tagged(in, 10)}})
			})
		})
	}
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
		"probe for a neighbour": whoHas(hostA, "0.0.0.0", "10.1.0.12"),
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

// A gateway that others may have too is asked of everybody, and so is a host.
func TestWhoAsksByVXLANIsAnsweredOnlyWhereTheEntrySaysSo(t *testing.T) {
	for name, tc := range map[string]struct {
		in     []byte
		reason p4.PuntReason
	}{
		"ARP":            {whoHas(remote, "10.1.0.50", "10.1.0.1"), p4.PuntVXLANARP},
		"ARP for a host": {whoHas(remote, "10.1.0.50", "10.1.0.12"), p4.PuntVXLANARP},
		"ND": {solicitation(remote, "2001:db8:1::50", "2001:db8:1::1", 255, sourceOption(remote)),
			p4.PuntVXLANND},
		"detection of duplicates": {solicitation(remote, "::", "2001:db8:1::1", 255), p4.PuntVXLANND},
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				want := out{access1: {tc.in}, access2: {tc.in}, trunk: {tagged(tc.in, 10)}}
				g.expect(g.inject(p4.PacketOut{Bridge: bridge1, LocalOnly: true, Frame: tc.in}), want)
				want[p4.CPUPort] = [][]byte{puntedFrom(vtep1, tc.reason, uplink, bridge1, 0, tc.in)}
				g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, tc.in)), want)
			})
		})
	}
}

// RFC 7432 section 10.1: a leaf that only bridges leaves its hosts' questions to the
// gateway.
func TestAGatewayOfItsOwnAnswersByVXLAN(t *testing.T) {
	const v4, v6, from4, from6 = "10.1.0.254", "2001:db8:1::254", "10.1.0.50", "2001:db8:1::50"
	toMAC := func(mac ether.MAC) []byte {
		return ndMessage(remote, mac, from6, v6, 255, layers.ICMPv6TypeNeighborSolicitation,
			&layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr(v6).AsSlice(),
				Options: layers.ICMPv6Options{sourceOption(remote)}})
	}
	for name, tc := range map[string]struct {
		in, want []byte
		reason   p4.PuntReason
		vrf      uint16
	}{
		"ARP": {whoHas(remote, from4, v4), arp(gateway1, remote, layers.ARPReply, gateway1, v4, remote, from4),
			p4.PuntVXLANARP, 0},
		"ARP probe": {whoHas(remote, "0.0.0.0", v4), arp(gateway1, remote, layers.ARPReply, gateway1, v4, remote, "0.0.0.0"),
			p4.PuntVXLANARP, 0},
		"ND": {solicitation(remote, from6, v6, 255, sourceOption(remote)), advertisement(gateway1, remote, v6, from6, 0xe0),
			p4.PuntVXLANND, 0},
		"ND, by its MAC":          {toMAC(gateway1), advertisement(gateway1, remote, v6, from6, 0xe0), p4.PuntVXLANND, vrf1},
		"detection of duplicates": {solicitation(remote, "::", v6, 255), taken(gateway1, v6, 0xa0), p4.PuntVXLANND, 0},
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				got := g.send(uplink, tunnelled(vtep1, ours, vni1, tc.in))
				g.expect(out{p4.CPUPort: got[p4.CPUPort]},
					out{p4.CPUPort: {puntedFrom(vtep1, tc.reason, uplink, bridge1, tc.vrf, tc.in)}})
				delete(got, p4.CPUPort)
				g.expectTunnelled(got, vtep1, remoteVNI, 0, tc.want)
			})
			// Whose leaf has not said yet where he is hears it too.
			answering(t, func(g *gateway) {
				in, want := slices.Clone(tc.in), slices.Clone(tc.want)
				for _, f := range [][]byte{in, want} {
					for at := 0; at+6 <= len(f); at++ {
						if ether.MAC(f[at:at+6]) == remote {
							copy(f[at:], nobody[:])
						}
					}
					resum(f)
				}
				got := g.send(uplink, tunnelled(vtep1, ours, vni1, in))
				g.expect(out{access1: got[access1]}, out{access1: {want}})
				if len(got[uplink]) != 2 {
					t.Errorf("%d answers left for VTEPs, want one for each", len(got[uplink]))
				}
			})
		})
	}
	for name, in := range map[string][]byte{
		"checksum":  damagedSum(solicitation(remote, from6, v6, 255, sourceOption(remote))),
		"hop limit": solicitation(remote, from6, v6, 254, sourceOption(remote)),
		"its own":   solicitation(remote, from6, v6, 255, sourceOption(gateway1)),
		"is cut":    solicitation(remote, from6, v6, 255, sourceOption(remote))[:80],
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) {
				got := g.send(uplink, tunnelled(vtep1, ours, vni1, in))
				delete(got, p4.CPUPort)
				g.expect(got, out{access1: {in}, access2: {in}, trunk: {tagged(in, 10)}})
			})
		})
	}
}

// A tunnel of a tenant's is payload: nothing in it is a question or a claim.
func TestAQuestionInsideATenantsTunnelIsPayload(t *testing.T) {
	for name, question := range map[string][]byte{
		"ARP":                  whoHas(hostA, "10.1.0.10", "10.1.0.1"),
		"ARP of the gateway's": whoHas(hostA, "10.1.0.1", "10.1.0.12"),
		"ND":                   solicitation(hostA, "2001:db8:1::10", "2001:db8:1::1", 255, sourceOption(hostA)),
		"ND of the gateway's":  solicitation(hostA, "2001:db8:1::1", "2001:db8:1::12", 255, sourceOption(hostA)),
	} {
		in := tunnelled(netip.MustParseAddr("10.1.0.10"), netip.MustParseAddr("10.1.0.12"), vni1, question)
		copy(in, hostB[:])
		copy(in[6:], hostA[:])
		six := assemble(
			&layers.Ethernet{SrcMAC: hostA[:], DstMAC: hostB[:], EthernetType: layers.EthernetTypeIPv6},
			&layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
				SrcIP: netip.MustParseAddr("2001:db8:1::10").AsSlice(), DstIP: netip.MustParseAddr("2001:db8:1::12").AsSlice()},
			&layers.UDP{SrcPort: 50000, DstPort: 4789}, &layers.VXLAN{ValidIDFlag: true, VNI: vni1}, gopacket.Payload(question))
		t.Run(name, func(t *testing.T) {
			carried := func(g *gateway) {
				g.expect(g.send(access1, in), out{access2: {in}})
				g.expect(g.send(access1, six), out{access2: {six}})
			}
			answering(t, carried)
			eachGuarded(t, carried)
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

// advertisement answers a solicitation: flags are those of RFC 4861 section 4.4.
func advertisement(mac, to ether.MAC, target, toIP string, flags uint8) []byte {
	return ndMessage(mac, to, target, toIP, 255, layers.ICMPv6TypeNeighborAdvertisement,
		&layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: netip.MustParseAddr(target).AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}}})
}

// taken answers duplicate address detection (RFC 4861 section 7.2.4).
func taken(mac ether.MAC, target string, flags uint8) []byte {
	return advertisement(mac, ether.MAC{0x33, 0x33, 0, 0, 0, 1}, target, "ff02::1", flags)
}

// resum gives a frame of ICMPv6 its checksum anew.
func resum(f []byte) {
	if f[12] != 0x86 {
		return
	}
	f[56], f[57] = 0, 0
	source, destination := netip.AddrFrom16([16]byte(f[22:])), netip.AddrFrom16([16]byte(f[38:]))
	binary.BigEndian.PutUint16(f[56:], ^sum(source, destination, 58, f[54:]))
}

func TestASolicitationOfAKnownAddressIsAnsweredAndGoesNoFurther(t *testing.T) {
	const router, solicited, override = 0x80, 0x40, 0x20
	for target, want := range map[string]struct {
		mac   ether.MAC
		flags uint8
	}{
		"2001:db8:1::1": {gateway1, router | solicited | override}, "fe80::1": {gateway1, router | solicited | override},
		"2001:db8:1::12": {hostB, solicited | override}, "2001:db8:1::50": {remote, solicited | override},
		"2001:db8:1::60": {remote, router | solicited},
	} {
		for _, from := range []string{"2001:db8:1::10", "fe80::a"} {
			t.Run(target+" from "+from, func(t *testing.T) {
				answering(t, func(g *gateway) {
					in := solicitation(hostT, from, target, 255, sourceOption(hostT))
					answer := advertisement(want.mac, hostT, target, from, want.flags)
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
			want := advertisement(gateway1, hostA, "2001:db8:1::1", "2001:db8:1::10", 0xe0)
			g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntND, access1, bridge1, vrf1, in)}})
		})
	})
}

// RFC 9161 section 3.3. The answer has the option that RFC 4861 section 7.2.4 wants
// where the question had none, or a nonce (RFC 7527).
func TestWhoTriesAnAddressBehindAVTEPHearsThatItIsTaken(t *testing.T) {
	nonce := layers.ICMPv6Option{Type: 14, Data: []byte{1, 2, 3, 4, 5, 6}}
	for target, want := range map[string][]byte{
		"2001:db8:1::50": taken(remote, "2001:db8:1::50", 0x20), "2001:db8:1::60": taken(remote, "2001:db8:1::60", 0x80),
		"fe80::1": taken(gateway1, "fe80::1", 0xa0),
	} {
		for name, in := range map[string][]byte{
			"bare": solicitation(hostT, "::", target, 255), "nonce": solicitation(hostT, "::", target, 255, nonce),
		} {
			t.Run(target+", "+name, func(t *testing.T) {
				answering(t, func(g *gateway) {
					g.expect(g.send(trunk, tagged(in, 10)),
						out{trunk: {tagged(want, 10)}, p4.CPUPort: {punted(p4.PuntND, trunk, bridge1, 0, in)}})
					in := slices.Concat(in[:6], hostA[:], in[12:])
					g.expect(g.send(access1, in), out{access1: {want}, p4.CPUPort: {punted(p4.PuntND, access1, bridge1, 0, in)}})
				})
			})
		}
	}
}

func TestDetectionOfDuplicatesThatMustNotBeAnsweredIsForwarded(t *testing.T) {
	const target = "2001:db8:1::50"
	nonce := layers.ICMPv6Option{Type: 14, Data: []byte{1, 2, 3, 4, 5, 6}}
	good := solicitation(hostA, "::", target, 255)
	mac, _ := solicited(target)
	toOne := ndMessage(hostA, mac, "::", target, 255, layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr(target).AsSlice()})
	for name, in := range map[string][]byte{
		"of a host at a port":  solicitation(hostA, "::", "2001:db8:1::12", 255),
		"its own":              slices.Concat(good[:6], remote[:], good[12:]),
		"flags not known":      solicitation(hostA, "::", "2001:db8:1::70", 255),
		"unknown address":      solicitation(hostA, "::", "2001:db8:1::99", 255),
		"says a source":        solicitation(hostA, "::", target, 255, sourceOption(hostA)),
		"nonce and another":    solicitation(hostA, "::", target, 255, nonce, nonce),
		"long nonce":           solicitation(hostA, "::", target, 255, layers.ICMPv6Option{Type: 14, Data: make([]byte, 14)}),
		"hop limit":            solicitation(hostA, "::", target, 64),
		"checksum":             damagedSum(good),
		"checksum, with nonce": damagedSum(solicitation(hostA, "::", target, 255, nonce)),
		"not to the group":     toOne,
		"is cut":               good[:70],
	} {
		t.Run(name, func(t *testing.T) {
			answering(t, func(g *gateway) { g.expectForwarded(in, p4.PuntND) })
		})
	}
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
		"flags not known":            solicitation(hostA, from, "2001:db8:1::70", 255, sourceOption(hostA)),
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
