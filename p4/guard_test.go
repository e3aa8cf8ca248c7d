package p4_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// inTag puts a VLAN tag of any kind into a frame, before the tags that it has.
func inTag(f []byte, tpid, vlan uint16) []byte {
	tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tpid), vlan)
	return slices.Concat(f[:12], tag, f[12:])
}

func TestATenantNeverSpeaksForTheGateway(t *testing.T) {
	advertise := func(target string) []byte {
		return ndMessage(hostA, ether.MAC{0x33, 0x33, 0, 0, 0, 1}, target, "ff02::1", 255,
			layers.ICMPv6TypeNeighborAdvertisement,
			&layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: netip.MustParseAddr(target).AsSlice(),
				Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: hostA[:]}}})
	}
	for name, f := range map[string][]byte{
		"gratuitous ARP":              arp(hostA, ether.Broadcast, layers.ARPRequest, hostA, "10.1.0.1", ether.MAC{}, "10.1.0.1"),
		"ARP reply":                   arp(hostA, hostB, layers.ARPReply, hostA, "10.1.0.1", hostB, "10.1.0.12"),
		"ARP request":                 whoHas(hostA, "10.1.0.1", "10.1.0.12"),
		"advertisement":               advertise("2001:db8:1::1"),
		"link-local":                  advertise("fe80::1"),
		"neighbour solicitation":      solicitation(hostA, "2001:db8:1::1", "2001:db8:1::12", 255, sourceOption(hostA)),
		"duplicate address detection": damagedSum(solicitation(hostA, "::", "2001:db8:1::1", 255)),
		"its MAC":                     frame(gateway1, hostB),
	} {
		t.Run(name, func(t *testing.T) {
			eachGuarded(t, func(g *gateway) {
				g.dropped("ingress_drops", p4.DropForgedGateway, g.send(access1, f))
			})
		})
	}
	eachGuarded(t, func(g *gateway) {
		other := arp(hostA, hostB, layers.ARPReply, hostA, "10.1.0.11", hostB, "10.1.0.12")
		g.expect(g.send(access1, other), out{access2: {other}})
		// Another gateway of the subnet is behind a VTEP, and may say so.
		theirs := arp(remote, hostA, layers.ARPReply, remote, "10.1.0.1", hostA, "10.1.0.11")
		g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, theirs)), out{access1: {theirs}})
	})
}

// damagedSum is a frame of ICMPv6 with another checksum.
func damagedSum(f []byte) []byte {
	f = slices.Clone(f)
	f[56] ^= 1
	return f
}

// Duplicate address detection is no claim where it is told that the address is taken.
func TestWhoTriesTheGatewaysAddressHearsThatItIsTaken(t *testing.T) {
	for target, flags := range map[string]uint8{"2001:db8:1::1": 0xa0, "fe80::1": 0x80} {
		t.Run(target, func(t *testing.T) {
			eachGuarded(t, func(g *gateway) {
				g.expect(g.send(access1, solicitation(hostA, "::", target, 255)),
					out{access1: {taken(gateway1, target, flags)}})
			})
		})
	}
}

// What a guard asks of a frame: what it is, and the reason that it is dropped for
// behind a port that is not trusted.
func rogues() map[string]struct {
	frame  []byte
	reason p4.DropReason
} {
	type rogue = struct {
		frame  []byte
		reason p4.DropReason
	}
	ra := ndMessage(hostA, allNodeMAC, attackerLL.String(), "ff02::1", 255, layers.ICMPv6TypeRouterAdvertisement,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800})
	redirect := slices.Concat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, attackerLL.AsSlice(), far6.AsSlice())
	wrap := func(p []byte) []byte {
		return slices.Concat(hostB[:], hostA[:],
			binary.BigEndian.AppendUint16(nil, map[byte]uint16{4: 0x0800, 6: 0x86dd}[p[0]>>4]), p)
	}
	answer := plain4(attacker4, victim4, 17, []byte{0, 67, 0, 68, 0, 8, 0, 0})
	answer6 := plain6(attackerLL, victimLL, 64, 17, []byte{2, 35, 2, 34, 0, 8, 0, 0})
	return map[string]rogue{
		"router advertisement": {ra, p4.DropRogueRouter},
		"redirect":             {wrap(plain6(attackerLL, victimLL, 255, 58, redirect)), p4.DropRogueRouter},
		"DHCP answer":          {wrap(answer), p4.DropRogueDHCP},
		"DHCPv6 answer":        {wrap(answer6), p4.DropRogueDHCP},
	}
}

func TestRoutersAndDHCPServersAreBehindTrustedPortsOnly(t *testing.T) {
	for name, r := range rogues() {
		t.Run(name, func(t *testing.T) {
			eachGuarded(t, func(g *gateway) {
				g.dropped("ingress_drops", r.reason, g.send(access1, r.frame))
				if got := g.send(trunk, tagged(r.frame, 10)); len(got[access2]) != 1 {
					g.Errorf("from the trunk, which is trusted, %x left", got)
				}
			})
			// Without a gateway the bridge is the tenant's own.
			each(t, func(g *gateway) {
				if got := g.send(access1, r.frame); len(got[access2]) != 1 {
					g.Errorf("in a bridge without a gateway %x left", got)
				}
			})
		})
	}
	// The gateway's own addresses are nobody's, whomever a port may have behind it.
	forged := arp(hostT, hostB, layers.ARPReply, hostT, "10.1.0.1", hostB, "10.1.0.12")
	eachGuarded(t, func(g *gateway) {
		g.dropped("ingress_drops", p4.DropForgedGateway, g.send(trunk, tagged(forged, 10)))
	})
}

func TestWhatHidesItsKindIsDroppedWhereAGatewayIs(t *testing.T) {
	hopByHop := []byte{58, 0, 1, 4, 0, 0, 0, 0}
	na := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, gateway6.AsSlice()...)
	fragment := []byte{58, 0, 0, 0, 0, 0, 0, 1}
	wrap := func(p []byte) []byte { return slices.Concat(hostB[:], hostA[:], []byte{0x86, 0xdd}, p) }
	for name, in := range map[string][]byte{
		"ND behind hop-by-hop": wrap(plain6(attackerLL, victimLL, 255, 0, slices.Concat(hopByHop, na))),
		"ND in a fragment":     wrap(plain6(attackerLL, victimLL, 255, 44, slices.Concat(fragment, na))),
		"ND behind both":       wrap(plain6(attackerLL, victimLL, 255, 44, slices.Concat([]byte{0}, fragment[1:], hopByHop, na))),
		"ARP in SNAP": slices.Concat(hostB[:], hostA[:], []byte{0, 36, 0xaa, 0xaa, 3, 0, 0, 0},
			whoHas(hostA, "10.1.0.1", "10.1.0.12")[12:]),
		"DHCP behind options": slices.Concat(hostB[:], hostA[:], []byte{8, 0, 0x46, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0},
			attacker4.AsSlice(), victim4.AsSlice(), []byte{1, 1, 1, 0, 0, 67, 0, 68, 0, 8, 0, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			eachGuarded(t, func(g *gateway) { g.dropped("ingress_drops", p4.DropHidden, g.send(access1, in)) })
			each(t, func(g *gateway) {
				if got := g.send(access1, in); len(got[access2]) != 1 {
					g.Errorf("in a bridge without a gateway %x left", got)
				}
			})
		})
	}
}

// Only a trunk that says so carries a tag inside the bridge's, and it leaves only
// by another that says so: not by access ports, not by VXLAN.
func TestATagInsideTheBridgesLeavesOnlyWhereATrunkSaysSo(t *testing.T) {
	inner := frame(hostT, ether.Broadcast)
	for _, tpid := range []uint16{0x8100, 0x88a8, 0x9100, 0x9200, 0x9300} {
		each(t, func(g *gateway) {
			g.dropped("ingress_drops", p4.DropStackedTags, g.send(trunk, tagged(inTag(inner, tpid, 5), 10)))
		})
		each(t, func(g *gateway) {
			g.dropped("ingress_drops", p4.DropStackedTags, g.send(access1, tagged(inTag(inner, tpid, 5), 0)))
		})
		if tpid != 0x8100 { // which an untagged port takes for the bridge's
			each(t, func(g *gateway) {
				g.dropped("ingress_drops", p4.DropStackedTags, g.send(access1, inTag(inner, tpid, 5)))
			})
		}
		each(t, func(g *gateway) {
			g.dropped("ingress_drops", p4.DropInnerVLAN, g.send(uplink, tunnelled(vtep1, ours, vni1, inTag(inner, tpid, 5))))
		})
	}
	stacked := members{
		access1: {Port: access1, Bridge: bridge1}, access2: {Port: access2, Bridge: bridge1},
		trunk: {Port: trunk, VLAN: 10, Bridge: bridge1, Stacked: true},
	}
	carrying := func(t *testing.T, test func(*gateway)) {
		t.Run("softswitch", func(t *testing.T) { test(newGatewayOf(t, newSoftswitch(t), stacked)) })
		t.Run("BMv2", func(t *testing.T) { test(newGatewayOf(t, newBMv2(t), stacked)) })
	}
	carrying(t, func(g *gateway) {
		// A second trunk that carries it, in another VLAN.
		g.add(p4.Member{Port: other, VLAN: 30, Bridge: bridge1, Stacked: true},
			p4.EgressVLAN{Port: other, Bridge: bridge1, VLAN: 30, Stacked: true},
			p4.FDB{Bridge: bridge1, MAC: nobody, Port: other})
		customers := inTag(frame(hostT, nobody), 0x88a8, 5)
		g.expect(g.send(trunk, tagged(customers, 10)), out{other: {tagged(customers, 30)}})
		g.expect(g.send(trunk, tagged(inTag(frame(hostT, hostA), 0x8100, 5), 10)), nil)
		g.expect(g.send(trunk, tagged(inTag(frame(hostT, remote), 0x8100, 5), 10)), nil)
		g.expect(g.send(trunk, tagged(inTag(inner, 0x8100, 5), 10)), nil)
		if n := g.count("egress_drops", uint32(p4.DropStackedTags)).packets; n != 3 {
			g.Errorf("%d were counted at access ports, want 3: one for hostA's, one for each of a flood", n)
		}
		if n := g.count("egress_drops", uint32(p4.DropInnerVLAN)).packets; n != 3 {
			g.Errorf("%d were counted before VXLAN, want 3: one for remote's, one for each VTEP of a flood", n)
		}
	})
	// A host takes a tag of VLAN 0 for none: it would hide a claim.
	carrying(t, func(g *gateway) {
		g.dropped("ingress_drops", p4.DropStackedTags, g.send(trunk, tagged(tagged(inner, 0), 10)))
	})
}

// A tenant's own tunnel is payload, whatever it carries.
func TestATagInsideATenantsTunnelIsPayload(t *testing.T) {
	in := tunnelled(netip.MustParseAddr("10.1.0.10"), victim4, 77, tagged(frame(hostA, hostB), 9))
	copy(in, hostB[:])
	copy(in[6:], hostA[:])
	eachGuarded(t, func(g *gateway) { g.expect(g.send(access1, in), out{access2: {in}}) })
}

// A redirect is believed when it comes from the gateway's address, which anybody
// of another subnet can write.
func TestARedirectIsNotRouted(t *testing.T) {
	redirect := func(from, to string) []byte {
		b := slices.Concat([]byte{5, 1, 0, 0}, attacker4.AsSlice(), make([]byte, 28))
		binary.BigEndian.PutUint16(b[2:], ^plainSum(b))
		return plain4(netip.MustParseAddr(from), netip.MustParseAddr(to), 1, b)
	}
	for _, from := range []string{"10.1.0.1", "10.2.0.20"} {
		notRouted(t, "from "+from, p4.DropRogueRouter,
			slices.Concat(gateway1[:], hostA[:], []byte{8, 0}, redirect(from, "10.1.0.12")))
	}
	// From the VRF's Linux it is the gateway's own.
	routed(t, func(g *gateway) {
		in := slices.Concat(gateway1[:], gateway1[:], []byte{8, 0}, redirect("10.2.0.1", "10.2.0.20"))
		if got := g.inject(p4.PacketOut{VRF: vrf1, Frame: in}); len(got) == 0 {
			g.Error("the gateway's own redirect was dropped")
		}
	})
}
