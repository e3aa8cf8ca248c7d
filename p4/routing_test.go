package p4_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func TestAPacketIsRoutedBetweenTheBridgesOfAVRF(t *testing.T) {
	for name, tc := range map[string]struct {
		to   string
		port uint32
		mac  ether.MAC
		vlan uint16
	}{
		"to an access port": {"10.2.0.20", other, hostO, 0},
		"to a trunk":        {"10.2.0.30", trunk, hostV, 20},
	} {
		for family, p := range both(packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: tc.to}) {
			t.Run(name+", "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					want := p.hop(gateway2, tc.mac)
					if tc.vlan != 0 {
						want = tagged(want, tc.vlan)
					}
					g.expect(g.send(access1, p.frame()), out{tc.port: {want}})
					if n := g.count("vrf_routed", vrf1); n != (counted{1, uint64(len(p.frame()))}) {
						g.Errorf("vrf_routed = %v", n)
					}
				})
			})
		}
	}
}

func TestTheAnycastMACRoutesAsTheInterfacesOwn(t *testing.T) {
	routed(t, func(g *gateway) {
		p := packet{src: hostA, dst: anycast, from: "10.1.0.10", to: "10.2.0.20"}
		g.expect(g.send(access1, p.frame()), out{other: {p.hop(gateway2, hostO)}})
		// It is no gateway's in bridge 2.
		p = packet{src: hostO, dst: anycast, from: "10.2.0.20", to: "10.1.0.10"}
		g.expect(g.send(other, p.frame()), out{trunk: {tagged(p.frame(), 20)}})
	})
}

func TestARoutedPacketMayLeaveByThePortItCameBy(t *testing.T) {
	for family, p := range both(packet{src: hostT, dst: gateway1, from: "10.1.0.11", to: "10.2.0.30"}) {
		t.Run("other VLAN, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(trunk, tagged(p.frame(), 10)), out{trunk: {tagged(p.hop(gateway2, hostV), 20)}})
			})
		})
	}
	for family, p := range both(packet{src: hostA, dst: gateway1, from: "10.1.0.11", to: "10.1.0.10"}) {
		t.Run("same bridge, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(access1, p.frame()), out{access1: {p.hop(gateway1, hostA)}})
			})
		})
	}
}

func TestARoutedPacketForAMACWithoutAnEntryFloodsItsBridge(t *testing.T) {
	for family, p := range both(packet{src: hostT, dst: gateway1, from: "10.1.0.11", to: "10.2.0.40"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				want := p.hop(gateway2, silent)
				// The trunk it came by too: there it is in another bridge.
				g.expect(g.send(trunk, tagged(p.frame(), 10)), out{other: {want}, trunk: {tagged(want, 20)}})
			})
		})
	}
}

func TestARoutedFloodReachesVTEPsToo(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(p4.Route{VRF: vrf1, Prefix: host32("10.1.0.99"), Bridge: bridge1, MAC: nobody})
		p := packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: "10.1.0.99"}
		got := g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame()))
		encapsulated := got[uplink]
		delete(got, uplink)
		want := p.hop(gateway1, nobody)
		g.expect(got, out{access1: {want}, access2: {want}, trunk: {tagged(want, 10)}})
		slices.SortFunc(encapsulated, func(a, b []byte) int { return slices.Compare(a[30:34], b[30:34]) })
		if len(encapsulated) != 2 {
			g.Fatalf("%d frames by the uplink, want one for each VTEP", len(encapsulated))
		}
		g.expectTunnelled(out{uplink: encapsulated[:1]}, vtep1, remoteVNI, 46, want)
		g.expectTunnelled(out{uplink: encapsulated[1:]}, vtep2, vni1, 46, want)
	})
}

// The next hop of asymmetric IRB (RFC 9135 section 4.2) is a host, and the FDB
// of its bridge knows the VTEP.
func TestAHostBehindAVTEPIsReachedByTheVNIOfItsBridge(t *testing.T) {
	for family, p := range both(packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.50"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expectTunnelled(g.send(access1, p.frame()), vtep2, vni2, 46, p.hop(gateway2, remote2))
				if n := g.count("bridge_vxlan_out", bridge2).packets; n != 1 {
					g.Errorf("bridge_vxlan_out = %d, want 1", n)
				}
			})
		})
	}
}

func TestAFrameThatCameByTheVNIOfABridgeIsRouted(t *testing.T) {
	for family, p := range both(packet{src: remote, dst: gateway1, from: "10.1.0.50", to: "10.2.0.20"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, p.frame())), out{other: {p.hop(gateway2, hostO)}})
			})
		})
	}
	for family, p := range both(packet{src: remote, dst: gateway1, from: "10.1.0.50", to: "10.2.0.50"}) {
		t.Run("to another VTEP, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expectTunnelled(g.send(uplink, tunnelled(vtep1, ours, vni1, p.frame())), vtep2, vni2, 46,
					p.hop(gateway2, remote2))
			})
		})
	}
}

func TestTheLongestPrefixWins(t *testing.T) {
	for to, want := range map[string]struct {
		vtep   netip.Addr
		router ether.MAC
	}{
		"10.3.0.1":         {vtep1, router1},
		"10.3.255.255":     {vtep1, router1},
		"10.3.4.1":         {vtep2, router2},
		"10.3.3.255":       {vtep1, router1},
		"10.77.0.1":        {vtep2, router1}, // the default
		"172.16.0.1":       {vtep1, router2}, // not byte-aligned
		"172.32.0.1":       {vtep2, router1},
		"2001:db8:3::1":    {vtep1, router1},
		"2001:db8:3:4::1":  {vtep2, router2},
		"2001:db8:77::1":   {vtep2, router1},
		"2001:db8:300::1":  {vtep1, router2},
		"2001:db8:37f::1":  {vtep1, router2},
		"2001:db8:380::1":  {vtep2, router1},
		"2001:db8:3:400::": {vtep1, router1},
	} {
		t.Run(to, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.add(via(vrf1, "0.0.0.0/0", 2, router1), via(vrf1, "::/0", 2, router1),
					via(vrf1, "172.16.0.0/12", 1, router2), via(vrf1, "2001:db8:300::/41", 1, router2))
				from := "10.1.0.10"
				if netip.MustParseAddr(to).Is6() {
					from = "2001:db8:1::10"
				}
				p := packet{src: hostA, dst: gateway1, from: from, to: to}
				g.expectTunnelled(g.send(access1, p.frame()), want.vtep, theirL3VNI, 46, p.hop(ourRouter, want.router))
			})
		})
	}
}

func TestAHostRouteWinsOverItsSubnet(t *testing.T) {
	for family, p := range both(packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.99"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(access1, p.frame()), out{p4.CPUPort: {punted(p4.PuntGlean, access1, bridge1, vrf1, p.frame())}})
				g.add(p4.Route{VRF: vrf1, Prefix: host32(p.to), Kind: p4.RouteVTEP, VTEP: 1, VNI: theirL3VNI, Source: ourRouter,
					Destination: router1})
				g.expectTunnelled(g.send(access1, p.frame()), vtep1, theirL3VNI, 46, p.hop(ourRouter, router1))
			})
		})
	}
}

func TestOverlappingAddressesOfTwoVRFsNeverMeet(t *testing.T) {
	for family, p := range both(packet{src: hostBlue, dst: gateway3, from: "10.1.0.11", to: "10.1.0.10"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(trunk, tagged(p.frame(), 30)), out{trunk: {tagged(p.hop(gateway3, hostBlue), 30)}})
				red := p
				red.src, red.dst = hostB, gateway1
				g.expect(g.send(access2, red.frame()), out{access1: {red.hop(gateway1, hostA)}})
				for vni, want := range map[uint32]out{
					l3vni1: {access1: {red.hop(gateway1, hostA)}},
					l3vni2: {trunk: {tagged(p.hop(gateway3, hostBlue), 30)}},
				} {
					red.src, red.dst = router1, ourRouter
					g.expect(g.send(uplink, tunnelled(vtep1, ours, vni, red.frame())), want)
				}
				back := p
				back.from, back.to = p.to, p.from
				g.add(p4.Route{VRF: vrf2, Prefix: host32(back.to), Kind: p4.RouteVTEP, VTEP: 1, VNI: l3vni2, Source: ourRouter,
					Destination: router1})
				g.expectTunnelled(g.send(trunk, tagged(back.frame(), 30)), vtep1, l3vni2, 46, back.hop(ourRouter, router1))
				for counter, want := range map[string][2]uint64{"vrf_routed": {2, 3}, "vrf_vxlan_in": {1, 1},
					"vrf_vxlan_out": {0, 1}} {
					if got := [2]uint64{g.count(counter, vrf1).packets, g.count(counter, vrf2).packets}; got != want {
						g.Errorf("%s = %v, want %v", counter, got, want)
					}
				}
			})
		})
	}
	for family, p := range both(packet{src: hostBlue, dst: gateway3, from: "10.1.0.11", to: "10.3.0.1"}) {
		t.Run("what the other VRF reaches, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.dropped("ingress_drops", p4.DropNoRoute, g.send(trunk, tagged(p.frame(), 30)))
			})
		})
	}
	t.Run("MAC of another bridge's gateway", func(t *testing.T) {
		routed(t, func(g *gateway) {
			p := packet{src: hostBlue, dst: gateway1, from: "10.1.0.11", to: "10.1.0.10", size: narrowMTU}
			// Unknown in bridge 3, whose only other member is a VTEP that it
			// is too big for.
			g.dropped("egress_drops", p4.DropMTU, g.send(trunk, tagged(p.frame(), 30)))
		})
	})
}

// RFC 1624 section 3: 0xfeff must become 0, not 0xffff.
func TestTheIPv4ChecksumIsExactAtItsEdges(t *testing.T) {
	p := packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.20"}
	const id, sum = 18, 24 // offsets in the frame
	zeroID := p.frame()
	binary.BigEndian.PutUint16(zeroID[id:], 0)
	zeroSum := uint32(binary.BigEndian.Uint16(p.frame()[sum:])) + 7
	for _, want := range []uint16{0xfeff, 0xfefe, 0xff00, 0xff01, 0xfffe, 0x0000, 0x0001, 0x00ff, 0x7fff} {
		routed(t, func(g *gateway) {
			in := slices.Clone(zeroID)
			// An identification adds to the sum, and so takes from the checksum.
			n := (zeroSum + 0xffff - uint32(want)) % 0xffff
			binary.BigEndian.PutUint16(in[id:], uint16(n))
			binary.BigEndian.PutUint16(in[sum:], want)
			if s := internetSum(in[14:34]); s != 0xffff {
				g.Fatalf("the test made a header whose sum is %#x", s)
			}
			f := g.only(other, g.send(access1, in))
			got := binary.BigEndian.Uint16(f[sum:])
			f[sum], f[sum+1] = 0, 0
			if afresh := ^internetSum(f[14:34]); got != afresh {
				g.Errorf("checksum %#04x became %#04x, want %#04x", want, got, afresh)
			}
		})
	}
}

// internetSum is the ones' complement sum of RFC 1071.
func internetSum(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func TestAWrongIPv4ChecksumStaysWrong(t *testing.T) {
	routed(t, func(g *gateway) {
		p := packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.20"}
		in, want := p.frame(), p.hop(gateway2, hostO)
		in[24] ^= 0x10
		want[24] ^= 0x10
		g.expect(g.send(access1, in), out{other: {want}})
	})
}

func TestAPaddedFrameKeepsItsPadding(t *testing.T) {
	routed(t, func(g *gateway) {
		p := packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.20"}
		padding := make([]byte, 18)
		g.expect(g.send(access1, append(p.frame(), padding...)), out{other: {append(p.hop(gateway2, hostO), padding...)}})
	})
}

func TestFragmentsAreRouted(t *testing.T) {
	fragment := func(f []byte, bits uint16) []byte {
		binary.BigEndian.PutUint16(f[20:], bits)
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], ^internetSum(f[14:34]))
		return f
	}
	for name, bits := range map[string]uint16{"first": 0x2000, "middle": 0x2010, "last": 0x0020} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				p := packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.2.0.20", size: 64}
				g.expect(g.send(access1, fragment(p.frame(), bits)), out{other: {fragment(p.hop(gateway2, hostO), bits)}})
				p.to = "10.3.0.1"
				g.expectTunnelled(g.send(access1, fragment(p.frame(), bits)), vtep1, theirL3VNI, 46,
					fragment(p.hop(ourRouter, router1), bits))
			})
		})
	}
}

func TestARoutedPacketOfABridgeWithoutAnInterfaceIsDropped(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(p4.Route{VRF: vrf1, Prefix: host32("10.4.0.1"), Bridge: 4, MAC: hostO},
			p4.FDB{Bridge: 4, MAC: hostO, Port: other},
			p4.EgressVLAN{Port: other, Bridge: 4})
		p := packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: "10.4.0.1"}
		g.dropped("egress_drops", p4.DropNoInterface, g.send(access1, p.frame()))
	})
}

// FuzzARouterChangesOnlyWhatItMay holds that a frame for a gateway is dropped,
// punted as it came, answered where it asks, or forwarded with other MACs and
// the TTL less one, nothing else.
func FuzzARouterChangesOnlyWhatItMay(f *testing.F) {
	for _, p := range []packet{
		{from: "10.1.0.10", to: "10.2.0.20"}, {from: "10.1.0.10", to: "10.3.0.1", ttl: 1}, {from: "10.1.0.10", to: "10.1.0.1"},
	} {
		for _, p := range both(p) {
			f.Add(p.frame()[12:])
		}
	}
	f.Add([]byte{8, 0, 0x45})
	f.Add(whoHas(hostA, "10.1.0.10", "10.1.0.1")[12:])
	f.Add(solicitation(hostA, "2001:db8:1::10", "2001:db8:1::1", 255, sourceOption(hostA))[12:])
	f.Add(tunnelled(vtep1, ours, l3vni1, packet{from: "10.3.0.1", to: "10.2.0.20"}.frame())[12:])
	once := inMemory()
	f.Fuzz(func(t *testing.T, rest []byte) {
		if len(rest) < 2 || rest[0] == 0x81 && rest[1] == 0 || len(rest) > 9000 {
			return
		}
		g := once(t, func(g *gateway) {
			g.add(routing()...)
			g.add(known()...)
			g.add(via(vrf1, "0.0.0.0/0", 1, router1), via(vrf1, "::/0", 1, router1))
		})
		in := slices.Concat(gateway1[:], hostA[:], rest)
		for port, frames := range g.send(access1, in) {
			for _, got := range frames {
				switch {
				case port == p4.CPUPort:
					g.expect(out{port: {got[len(punted(0, 0, 0, 0, nil)):]}}, out{port: {in}})
				case port == access1 && (in[13] == 6 || in[12] == 0x86 && in[20] == 58 && in[54] == 135):
					// An answer: the tests of neighbours say what is in it.
				default:
					if port == uplink {
						got = got[50:]
					}
					if len(got) > 16 && string(got[12:14]) == "\x81\x00" {
						got = slices.Concat(got[:12], got[16:])
					}
					g.expect(out{port: {got[12:]}}, out{port: {oneHopLater(in)[12:]}})
				}
			}
		}
	})
}

// oneHopLater is a frame of IP with the TTL or hop limit less one.
func oneHopLater(f []byte) []byte {
	f = slices.Clone(f)
	if f[12] == 0x86 {
		f[21]--
		return f
	}
	f[22]--
	// Linux's ip_decrease_ttl.
	sum := uint32(binary.BigEndian.Uint16(f[24:])) + 0x100
	if sum >= 0xffff {
		sum++
	}
	binary.BigEndian.PutUint16(f[24:], uint16(sum))
	return f
}
