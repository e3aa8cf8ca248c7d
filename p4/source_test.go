package p4_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// eachSourceGuarded runs a test on each target, with source guard at access1 and at VLAN 10
// of the trunk, and hostA's addresses bound to it at the first.
func eachSourceGuarded(t *testing.T, test func(*gateway)) {
	t.Helper()
	of := members{
		access1: {Port: access1, Bridge: bridge1, Guarded: true}, access2: {Port: access2, Bridge: bridge1},
		trunk: {Port: trunk, VLAN: 10, Bridge: bridge1, Trusted: true, Guarded: true},
	}
	run := func(g *gateway) {
		g.add(p4.BoundSource{Bridge: bridge1, Port: access1, MAC: hostA, Address: attacker4},
			p4.BoundSource{Bridge: bridge1, Port: access1, MAC: hostA, Address: attacker6})
		test(g)
	}
	t.Run("softswitch", func(t *testing.T) { run(newGatewayOf(t, newSoftswitch(t), of)) })
	t.Run("BMv2", func(t *testing.T) { run(newGatewayOf(t, newBMv2(t), of)) })
}

// unbound is what only who is to have the address asked for may ask.
var unbound = []string{"ARP probe of an unknown address", "duplicate address detection 0"}

func TestAStationSendsFromTheAddressesThatAreBoundToIt(t *testing.T) {
	eachSourceGuarded(t, func(g *gateway) {
		for name, f := range honest(newForms(4)) {
			for form, in := range map[string][]byte{"": f, " in VLAN 0": tagged(f, 0)} {
				got := g.send(access1, in)[access2]
				if slices.Contains(unbound, name) {
					if len(got) != 0 {
						g.Errorf("%s%s reached access2", name, form)
					}
				} else if len(got) != 1 || !slices.Equal(got[0], f) {
					g.Errorf("%s%s: %d frames reached access2, want the one that was sent\n%s", name, form, len(got),
						dump(access1, in))
				}
			}
		}
	})
}

// ipv6In is an IPv6 packet of hostA to a MAC.
func ipv6In(dst ether.MAC, p []byte) []byte {
	return slices.Concat(dst[:], hostA[:], []byte{0x86, 0xdd}, p)
}

// nd6 is a neighbour discovery message of any length, without a right checksum.
func nd6(from, to netip.Addr, kind byte, target netip.Addr, options ...byte) []byte {
	return plain6(from, to, 255, 58, slices.Concat([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice(), options))
}

// spoofed is what hostA may not send, by name.
func spoofed() map[string][]byte {
	ipv4In := func(p []byte) []byte { return slices.Concat(hostB[:], hostA[:], []byte{8, 0}, p) }
	none := netip.IPv6Unspecified()
	hops := []byte{58, 0, 1, 4, 0, 0, 0, 0}
	na := nd6(attackerLL, victimLL, 136, victim6)[40:]
	thief := slices.Concat([]byte{2, 1}, nobody[:])
	_, group := solicited(victim6.String())
	toGroup := netip.MustParseAddr(group)
	arpOf := func(sender ether.MAC, ip string) []byte {
		return arp(hostA, hostB, layers.ARPReply, sender, ip, hostB, victim4.String())
	}
	return map[string][]byte{
		"IPv4": packet{src: hostA, dst: hostB, from: victim4.String(),
			to: "10.1.0.1"}.frame(),
		"IPv4, another MAC": packet{src: nobody, dst: hostB, from: attacker4.String(),
			to: "10.1.0.1"}.frame(),
		"IPv4, link-local": packet{src: hostA, dst: hostB, from: "169.254.1.1", to: "10.1.0.1"}.frame(),
		"IPv4, no address": packet{src: hostA, dst: hostB, from: "0.0.0.0",
			to: "255.255.255.255"}.frame(),
		"IPv4 with options": ipv4In(slices.Concat([]byte{0x46, 0, 0, 24, 0, 0, 0, 0, 64, 1, 0, 0},
			victim4.AsSlice(), far4.AsSlice(), make([]byte, 4))),
		"IPv4, later fragment": ipv4In(slices.Concat([]byte{0x45, 0, 0, 28, 0, 1, 0, 9, 64, 17, 0, 0},
			victim4.AsSlice(), far4.AsSlice(), make([]byte, 8))),
		"IPv4, cut short": ipv4In(plain4(attacker4, victim4, 1, nil)[:14]),
		"DHCP to one": ipv4In(plain4(netip.IPv4Unspecified(), victim4, 17, []byte{0, 68, 0, 67, 0, 8, 0,
			0})),
		"IPv6": packet{src: hostA, dst: hostB, from: victim6.String(),
			to: "2001:db8:1::1"}.frame(),
		"IPv6, another MAC": packet{src: nobody, dst: hostB, from: attacker6.String(),
			to: "2001:db8:1::1"}.frame(),
		"IPv6 behind extensions": ipv6In(hostB, plain6(victim6, far6, 64, 60, []byte{17, 0, 1, 4, 0, 0, 0, 0,
			1, 2, 3, 4, 0, 8, 0, 0})),
		"IPv6, no address": ipv6In(hostB, plain6(none, far6, 64, 17, []byte{1, 2, 3, 4, 0, 8, 0, 0})),
		"IPv6, UDP from none to all": ipv6In(allNodeMAC, plain6(none, allNodes, 1, 17, []byte{1, 2, 3, 4, 0, 8,
			0, 0})),
		"IPv6, cut short":           ipv6In(hostB, plain6(attackerLL, victimLL, 64, 17, nil)[:30]),
		"ARP reply":                 arpOf(hostA, victim4.String()),
		"ARP reply for another MAC": arpOf(nobody, attacker4.String()),
		"gratuitous ARP": arp(hostA, ether.Broadcast, layers.ARPRequest, hostA, victim4.String(), ether.MAC{},
			victim4.String()),
		"ARP request":    whoHas(hostA, victim4.String(), "10.1.0.1"),
		"ARP probe":      whoHas(hostA, "0.0.0.0", victim4.String()),
		"ARP, cut short": whoHas(hostA, attacker4.String(), "10.1.0.1")[:30],
		"ARP in SNAP": slices.Concat(hostB[:], hostA[:], []byte{0, 36, 0xaa, 0xaa, 3, 0, 0, 0}, arpOf(hostA,
			victim4.String())[12:]),
		"ARP behind two tags": inTag(inTag(arpOf(hostA, victim4.String()), 0x8100, 0), 0x8100, 0),
		"solicitation": solicitation(hostA, victim6.String(), "2001:db8:1::1", 255,
			sourceOption(hostA)),
		"solicitation for another MAC": solicitation(hostA, attacker6.String(), "2001:db8:1::1", 255,
			sourceOption(nobody)),
		"duplicate address detection": solicitation(hostA, "::", victim6.String(), 255),
		"the same with a nonce": solicitation(hostA, "::", victim6.String(), 255, layers.ICMPv6Option{Type: 14,
			Data: make([]byte, 6)}),
		"the same, cut short":          ipv6In(hostB, nd6(none, toGroup, 135, victim6)[:50]),
		"advertisement":                advertisement(hostA, hostB, victim6.String(), "ff02::1", 0x20),
		"advertisement by link-local":  ipv6In(hostB, nd6(attackerLL, victimLL, 136, victim6)),
		"advertisement by own address": ipv6In(hostB, nd6(attacker6, victimLL, 136, victim6)),
		"advertisement by another's":   ipv6In(hostB, nd6(victim6, victimLL, 136, attacker6)),
		"advertisement by none":        ipv6In(hostB, nd6(none, allNodes, 136, victim6)),
		"advertisement, another MAC":   ipv6In(hostB, nd6(attacker6, victimLL, 136, attacker6, thief...)),
		"advertisement with options": ipv6In(hostB, nd6(attackerLL, victimLL, 136, victim6, append(thief, 14,
			1, 0, 0, 0, 0, 0, 0)...)),
		"advertisement behind options": ipv6In(hostB, plain6(attackerLL, victimLL, 255, 0, slices.Concat(hops, na))),
		"advertisement in a fragment": ipv6In(hostB, plain6(attackerLL, victimLL, 255, 44,
			slices.Concat([]byte{58, 0, 0, 0, 0, 0, 0, 1}, na))),
		"echo of another": ipv6In(hostB, plain6(victim6, victimLL, 64, 58, []byte{128, 0, 0, 0, 0, 0, 0,
			0})),
		"a tenant's own VXLAN, spoofed": tunnelled(vtep1, far4, 7, frame(hostA, hostB)),
	}
}

func TestWhatIsNotBoundToItsStationIsDroppedAndNobodyHearsOfIt(t *testing.T) {
	frames := spoofed()
	own := frames["a tenant's own VXLAN, spoofed"]
	copy(own, slices.Concat(hostB[:], hostA[:]))
	eachSourceGuarded(t, func(g *gateway) {
		g.add(p4.Trap{Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP})
		n := uint64(0)
		for name, in := range frames {
			for form, f := range map[string][]byte{"": in, " in VLAN 0": tagged(in, 0)} {
				if n++; name == "ARP behind two tags" {
					n-- // counted as what it is there
				}
				if got := g.send(access1, f); len(got) != 0 {
					g.Errorf("%s%s went through:\n%s", name, form, dump(access1, f))
				}
			}
		}
		g.expectLearned()
		if got := g.count("ingress_drops", uint32(p4.DropSpoofed)).packets; got != n {
			g.Errorf("%d were counted by reason, want %d", got, n)
		}
		if got := g.count("port_drops", p4.DropSpoofed.Of(access1)).packets; got != n {
			g.Errorf("%d were counted of the port, want %d", got, n)
		}
	})
	each(t, func(g *gateway) { // what a port without it carries
		for name, f := range frames {
			if got := g.send(access1, f); len(got) == 0 && name != "ARP behind two tags" {
				g.Errorf("%s: nothing went through without source guard", name)
			}
		}
	})
}

// Claims to have an address that is not bound, in the forms that the guard of the gateway is
// tried with. Of link-local addresses hosts may say what they like.
func TestNoFormOfAClaimToAnUnboundAddressLeavesAGuardedPort(t *testing.T) {
	eachSourceGuarded(t, func(g *gateway) {
		f := newForms(5)
		made, through := map[string]int{}, 0
		n := 20_000
		if _, fast := g.target.(*softswitch); !fast {
			n = 2_000
		}
		for i := 0; i < n; {
			c := f.next()
			for _, frame := range c.frames {
				i++
				made[claims(frame)]++
				for _, out := range reached(g.send(access1, frame)) {
					through++
					switch what := claims(out); what {
					case "arp", "icmp", "solicitation", "advertisement":
						if !bytes.Contains(out, gatewayLL.AsSlice()) {
							t.Fatalf("%s (%s) went through:\n%s", what, c.form, dump(access2, out))
						}
					}
				}
			}
		}
		for _, what := range []string{"arp", "icmp", "solicitation", "advertisement"} {
			if made[what] < n/200 {
				t.Errorf("of %d frames %d were a claim of kind %q: the forms do not show it", n, made[what], what)
			}
		}
		if through == 0 {
			t.Error("nothing went through")
		}
	})
}

// mustSay is what a station says that has no address yet, by name.
func mustSay() map[string][]byte {
	none := netip.IPv6Unspecified()
	routers := netip.MustParseAddr("ff02::2")
	report := append([]byte{58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}, allNodes.AsSlice()...)
	group := ether.MAC{0x33, 0x33, 0, 0, 0, 0x16}
	return map[string][]byte{
		"DHCP discover":             discover(hostA),
		"detection of a link-local": solicitation(hostA, "::", attackerLL.String(), 255),
		"the same with a nonce": solicitation(hostA, "::", attackerLL.String(), 255,
			layers.ICMPv6Option{Type: 14, Data: make([]byte, 6)}),
		"advertising a link-local": ipv6In(hostB, nd6(attackerLL, victimLL, 136, attackerLL)),
		"router solicitation": ipv6In(allNodeMAC, plain6(none, routers, 255, 58, []byte{133, 0, 0, 0, 0, 0, 0,
			0})),
		"listener report": ipv6In(group, plain6(none, netip.MustParseAddr("ff02::16"), 1, 0, report)),
		"listener report, link-local": ipv6In(group, plain6(attackerLL, netip.MustParseAddr("ff02::16"), 1, 0,
			report)),
		"DHCPv6 solicit": ipv6In(ether.MAC{0x33, 0x33, 0, 1, 0, 2},
			plain6(attackerLL, netip.MustParseAddr("ff02::1:2"), 1, 17, []byte{2, 34, 2, 35, 0, 8, 0, 0})),
		"what is no IP": notIP(hostA, hostB, 0x88cc),
	}
}

func TestAStationWithoutAnAddressCanGetOne(t *testing.T) {
	for name, in := range mustSay() {
		t.Run(name, func(t *testing.T) {
			eachSourceGuarded(t, func(g *gateway) {
				in := slices.Clone(in)
				copy(in[6:], hostT[:]) // to whom nothing is bound
				if got := g.send(trunk, tagged(in, 10))[access2]; len(got) != 1 || !slices.Equal(got[0], in) {
					g.Errorf("%x reached access2, want the frame that was sent", got)
				}
			})
		})
	}
}

// A binding is of one port, MAC and bridge.
func TestAnAddressIsBoundToAStationAtOnePort(t *testing.T) {
	eachSourceGuarded(t, func(g *gateway) {
		in := packet{src: hostA, dst: hostB, from: attacker4.String(), to: victim4.String()}.frame()
		g.expect(g.send(access1, in), out{access2: {in}})
		g.dropped("ingress_drops", p4.DropSpoofed, g.send(trunk, tagged(in, 10)))
	})
	eachSourceGuarded(t, func(g *gateway) { // detection of what was given to it
		probe := whoHas(hostA, "0.0.0.0", attacker4.String())
		for _, in := range [][]byte{probe, solicitation(hostA, "::", attacker6.String(), 255)} {
			if got := g.send(access1, in)[access2]; len(got) != 1 {
				g.Errorf("%x reached access2", got)
			}
		}
	})
}

func TestAPortFloodsAsManyFramesOfAKindAsItMay(t *testing.T) {
	const most, sent = 3, 20
	kinds := map[p4.Policed]ether.MAC{p4.PolicedBroadcast: ether.Broadcast,
		p4.PolicedMulticast: {1, 0, 0x5e, 1, 2, 3}, p4.PolicedUnknown: nobody}
	for kind, to := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			each(t, func(g *gateway) {
				g.meter(p4.StormMeter(access1, kind, 1, most).Update().GetEntity().GetMeterEntry())
				through := map[uint32]int{}
				for range sent {
					for port, src := range map[uint32]ether.MAC{access1: hostA, access2: hostB} {
						if len(g.send(port, frame(src, to))[trunk]) == 1 {
							through[port]++
						}
					}
				}
				if n := through[access1]; n < most || n > most+2 || through[access2] != sent {
					g.Errorf("of %d frames %d of a port that may flood %d went through, and %d of one without a limit",
						sent, n, most, through[access2])
				}
				limited := uint64(sent - through[access1])
				if n := g.count("port_drops", kind.Drop().Of(access1)).packets; n != limited {
					g.Errorf("%d were counted of the port, want %d", n, limited)
				}
				if n := g.count("ingress_drops", uint32(kind.Drop())).packets; n != limited {
					g.Errorf("%d were counted by reason, want %d", n, limited)
				}
				// What is not flooded, and what is of another kind, has nothing to do with it.
				for other, mac := range kinds {
					if other != kind && len(g.send(access1, frame(hostA, mac))[trunk]) != 1 {
						g.Errorf("%v was dropped too", other)
					}
				}
				in := frame(hostA, hostB)
				g.expect(g.send(access1, in), out{access2: {in}})
			})
		})
	}
}

func TestABridgeMayKeepFramesToUnknownStationsToItself(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(p4.NoFlood{Bridge: bridge1})
		in := frame(hostA, nobody)
		g.expect(g.send(access1, in), nil)
		g.expect(g.send(trunk, tagged(frame(hostT, nobody), 10)), nil)
		g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, frame(remote, nobody))), nil)
		g.expect(g.inject(p4.PacketOut{Bridge: bridge1, Frame: in}), nil)
		if n := g.count("bridge_drops", p4.DropUnknownStation.Of(bridge1)).packets; n != 4 {
			g.Errorf("%d were counted of the bridge, want 4", n)
		}
		if n := g.count("ingress_drops", uint32(p4.DropUnknownStation)).packets; n != 4 {
			g.Errorf("%d were counted by reason, want 4", n)
		}
		for _, to := range []ether.MAC{ether.Broadcast, allNodeMAC, hostB} {
			in := frame(hostA, to)
			if got := g.send(access1, in)[access2]; len(got) != 1 {
				g.Errorf("to %v: %d frames reached access2, want 1", to, len(got))
			}
		}
		in = frame(hostO, nobody) // another bridge
		if got := g.send(other, in)[trunk]; len(got) != 1 {
			g.Errorf("in another bridge %d frames were flooded, want 1", len(got))
		}
	})
}

// dhcp4 and dhcp6 are what is said between these ports.
func dhcp4(src, dst ether.MAC, from, to string, ports ...byte) []byte {
	return slices.Concat(dst[:], src[:], []byte{8, 0},
		plain4(netip.MustParseAddr(from), netip.MustParseAddr(to), 17, append(slices.Clone(ports), 0, 8, 0, 0)))
}

// discover is how a station asks for a lease.
func discover(src ether.MAC) []byte {
	return dhcp4(src, ether.Broadcast, "0.0.0.0", "255.255.255.255", 0, 68, 0, 67)
}

func dhcp6(src, dst ether.MAC, from, to string, ports ...byte) []byte {
	return slices.Concat(dst[:], src[:], []byte{0x86, 0xdd},
		plain6(netip.MustParseAddr(from), netip.MustParseAddr(to), 64, 17, append(slices.Clone(ports), 0, 8, 0, 0)))
}

func TestDHCPOfGuardedStationsIsCopied(t *testing.T) {
	fe80 := func(mac ether.MAC) string {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 10: mac[0], 11: mac[1], 14: mac[4], 15: mac[5]}).String()
	}
	asks := discover(hostA)
	asks6 := dhcp6(hostA, ether.MAC{0x33, 0x33, 0, 1, 0, 2}, fe80(hostA), "ff02::1:2", 2, 34, 2, 35)
	answer := func(src ether.MAC) []byte { return dhcp4(src, hostA, "10.1.0.2", "10.1.0.10", 0, 67, 0, 68) }
	answer6 := func(src ether.MAC) []byte { return dhcp6(src, hostA, fe80(src), fe80(hostA), 2, 35, 2, 34) }
	copied := func(got out) []byte {
		if len(got[p4.CPUPort]) == 0 {
			return nil
		}
		return got[p4.CPUPort][0]
	}
	eachSourceGuarded(t, func(g *gateway) {
		g.add(p4.Snooped{Bridge: bridge1}, p4.FDB{Bridge: bridge2, MAC: hostA, Port: other},
			p4.BoundSource{Bridge: bridge1, Port: trunk, MAC: hostT, Address: netip.MustParseAddr("10.1.0.2")})
		for name, tc := range map[string]struct {
			port uint32
			in   []byte
			want []byte
		}{
			"asked":       {access1, asks, punted(p4.PuntDHCP, access1, bridge1, 0, asks)},
			"asked, IPv6": {access1, asks6, punted(p4.PuntDHCPv6, access1, bridge1, 0, asks6)},
			"answered":    {trunk, tagged(answer(hostT), 10), punted(p4.PuntDHCP, trunk, bridge1, 0, answer(hostT))},
			"answered, IPv6": {trunk, tagged(answer6(hostT), 10),
				punted(p4.PuntDHCPv6, trunk, bridge1, 0, answer6(hostT))},
			"answered by a VTEP": {uplink, tunnelled(vtep1, ours, vni1, answer(remote)),
				puntedFrom(vtep1, p4.PuntVXLANDHCP, uplink, bridge1, 0, answer(remote))},
			"answered by a VTEP, IPv6": {uplink, tunnelled(vtep1, ours, vni1, answer6(remote)),
				puntedFrom(vtep1, p4.PuntVXLANDHCPv6, uplink, bridge1, 0, answer6(remote))},
			"answered where nobody is trusted": {access2, answer(hostB), nil},
			"asked where nobody is guarded":    {access2, discover(hostB), nil},
			"answered in another bridge":       {trunk, tagged(answer(hostT), 20), nil},
			"TCP by a VTEP":                    {uplink, tunnelled(vtep1, ours, vni1, tcp(answer(remote))), nil},
			"a tenant's payload":               {access1, tunnelledBy(hostA, attacker4, answer(remote)), nil},
		} {
			if got := copied(g.send(tc.port, tc.in)); !slices.Equal(got, tc.want) {
				g.Errorf("%s: the controller got %x, want %x", name, got, tc.want)
			}
		}
	})
}

// tcp makes a frame of IPv4 one of TCP.
func tcp(f []byte) []byte {
	f = append(slices.Clone(f), make([]byte, 20)...)
	f[23] = 6
	return f
}

// tunnelledBy is VXLAN of a tenant's own.
func tunnelledBy(src ether.MAC, from netip.Addr, inner []byte) []byte {
	f := tunnelled(from, far4, 7, inner)
	copy(f, slices.Concat(hostB[:], src[:]))
	return f
}

// The answer to a station that has its lease prolonged is routed to it.
func TestDHCPThatIsRoutedToAGuardedStationIsCopied(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(p4.Snooped{Bridge: bridge1})
		in := dhcp4(router1, ourRouter, "10.3.0.1", "10.1.0.10", 0, 67, 0, 68)
		binary.BigEndian.PutUint16(in[24:], 0)
		binary.BigEndian.PutUint16(in[24:], plainSum(in[14:34]))
		got := g.send(uplink, tunnelled(vtep1, ours, l3vni1, in))
		want := puntedFrom(vtep1, p4.PuntVXLANDHCP, uplink, 0, vrf1, in)
		if len(got[p4.CPUPort]) != 1 || !slices.Equal(got[p4.CPUPort][0], want) {
			g.Errorf("the controller got %x, want %x", got[p4.CPUPort], want)
		}
		if len(got) != 2 {
			g.Errorf("%x left, want it at the station too", got)
		}
	})
}

// The shares of the punts are there for DHCP as they are for ARP.
func TestOnePortDoesNotTakeAllCopiesOfDHCP(t *testing.T) {
	meter := p4.PortMeters(access1)[2].Update().GetEntity().GetMeterEntry()
	few := &p4v1.MeterEntry{MeterId: meter.GetMeterId(), Index: meter.GetIndex(),
		Config: &p4v1.MeterConfig{Cir: 1, Pir: 1, Cburst: 2, Pburst: 2}}
	eachSourceGuarded(t, func(g *gateway) {
		g.meter(few)
		got := 0
		for range 20 {
			got += len(g.send(access1, discover(hostA))[p4.CPUPort])
		}
		if got < 2 || got > 4 {
			g.Errorf("%d of 20 reached the controller, want 2", got)
		}
		if n := g.count("punts_limited", uint32(p4.PuntDHCP)).packets; n != uint64(20-got) {
			g.Errorf("%d were counted as kept from it", n)
		}
	})
}
