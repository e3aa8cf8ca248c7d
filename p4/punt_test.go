package p4_test

import (
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// notIP is a frame that is neither IPv4 nor IPv6.
func notIP(src, dst ether.MAC, ethertype uint16) []byte {
	return assemble(&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetType(ethertype)},
		gopacket.Payload("not a packet of IP at all, and long enough"))
}

// A punted frame is the one that came, without tag and outer headers, and says
// where it came in.
func TestWhatTheControllerMustSeeIsPuntedAsItCame(t *testing.T) {
	type puntCase struct {
		in     packet
		reason p4.PuntReason
	}
	cases := map[string]puntCase{
		"glean":                   {packet{to: "10.2.0.99"}, p4.PuntGlean},
		"glean, own subnet":       {packet{to: "10.1.0.99"}, p4.PuntGlean},
		"glean with TTL 1":        {packet{to: "10.2.0.99", ttl: 1}, p4.PuntGlean},
		"gateway's address":       {packet{to: "10.1.0.1"}, p4.PuntLocal},
		"other bridge's gateway":  {packet{to: "10.2.0.1"}, p4.PuntLocal},
		"gateway with TTL 1":      {packet{to: "10.1.0.1", ttl: 1}, p4.PuntLocal},
		"TTL 1":                   {packet{to: "10.2.0.20", ttl: 1}, p4.PuntTTL},
		"TTL 1 to a VTEP":         {packet{to: "10.3.0.1", ttl: 1}, p4.PuntTTL},
		"too big for the path":    {packet{to: "10.3.5.1", size: narrowMTU}, p4.PuntMTU},
		"too big, and with TTL 1": {packet{to: "10.3.5.1", size: narrowMTU, ttl: 1}, p4.PuntTTL},
		"link-local, to the MAC":  {packet{to: "fe80::1"}, p4.PuntLocal},
		"link-local, both ends":   {packet{from: "fe80::a", to: "fe80::1"}, p4.PuntLocal},
		"from a link-local to us": {packet{from: "fe80::a", to: "2001:db8:1::1"}, p4.PuntLocal},
		"link-local, hop limit 1": {packet{to: "fe80::1", ttl: 1}, p4.PuntLocal},
		"at the end of fe80::/10": {packet{to: "febf:ffff::1"}, p4.PuntLocal},
	}
	for name, tc := range cases {
		var families map[string]packet
		if p := tc.in; p.from == "" && p.to[0] == 'f' {
			p.from = "2001:db8:1::11"
			families = map[string]packet{"IPv6": p}
		} else if p.from != "" {
			families = map[string]packet{"IPv6": p}
		} else {
			p.from = "10.1.0.11"
			families = both(p)
		}
		for family, p := range families {
			t.Run(name+", "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					p.src, p.dst = hostT, gateway1
					g.expect(g.send(trunk, tagged(p.frame(), 10)),
						out{p4.CPUPort: {punted(tc.reason, trunk, bridge1, vrf1, p.frame())}})
					p.src, p.dst = hostA, anycast
					g.expect(g.send(access1, p.frame()), out{p4.CPUPort: {punted(tc.reason, access1, bridge1, vrf1, p.frame())}})
					p.src, p.dst = remote, gateway1
					g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, p.frame())),
						out{p4.CPUPort: {puntedFrom(vtep1, tc.reason, uplink, bridge1, vrf1, p.frame())}})
					if n := g.count("vrf_routed", vrf1).packets; n != 0 {
						g.Errorf("vrf_routed = %d, want 0", n)
					}
				})
			})
		}
	}
}

func TestAPuntOfAnL3VNIHasNoBridge(t *testing.T) {
	for to, reason := range map[string]p4.PuntReason{"10.2.0.99": p4.PuntGlean, "10.2.0.1": p4.PuntLocal,
		"10.3.5.1": p4.PuntMTU} {
		for family, p := range both(packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: to, size: narrowMTU}) {
			t.Run(reason.String()+", "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					g.expect(g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame())),
						out{p4.CPUPort: {puntedFrom(vtep1, reason, uplink, 0, vrf1, p.frame())}})
				})
			})
		}
	}
	for family, p := range both(packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: "10.2.0.20", ttl: 1}) {
		t.Run("ttl, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expect(g.send(uplink, tunnelled(vtep2, ours, l3vni1, p.frame())),
					out{p4.CPUPort: {puntedFrom(vtep2, p4.PuntTTL, uplink, 0, vrf1, p.frame())}})
			})
		})
	}
}

func TestWhatIsNotIPButForAGatewaysMACIsPunted(t *testing.T) {
	for name, ethertype := range map[string]uint16{"ARP reply": 0x0806, "LLDP": 0x88cc, "802.3 length": 60} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				in := notIP(hostT, gateway1, ethertype)
				g.expect(g.send(trunk, tagged(in, 10)), out{p4.CPUPort: {punted(p4.PuntLocal, trunk, bridge1, vrf1, in)}})
				// Another bridge's gateway is no one here.
				in = notIP(hostT, gateway2, ethertype)
				got := g.send(trunk, tagged(in, 10))
				delete(got, uplink)
				g.expect(got, out{access1: {in}, access2: {in}})
			})
		})
	}
}

func TestTheSourceOfARoutedPacketIsLearned(t *testing.T) {
	routed(t, func(g *gateway) {
		p := packet{src: nobody, dst: gateway1, from: "10.1.0.12", to: "10.2.0.20"}
		g.expect(g.send(access1, p.frame()), out{other: {p.hop(gateway2, hostO)}})
		p.to = "10.1.0.1"
		p.src = silent
		g.send(access1, p.frame())
		g.expectLearned(p4.Learn{Bridge: bridge1, MAC: nobody, Port: access1},
			p4.Learn{Bridge: bridge1, MAC: silent, Port: access1})
	})
}

func TestAPathHasALargestFrame(t *testing.T) {
	const headers = 14 + 20 + 8
	for family, p := range both(packet{from: "10.1.0.11", to: "10.3.5.1"}) {
		size := narrowMTU - headers
		if family == "IPv6" {
			size -= 20
		}
		t.Run("routed, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				p.src, p.dst, p.size = hostT, gateway1, size
				g.expectTunnelled(g.send(trunk, tagged(p.frame(), 10)), vtep2, theirL3VNI, 46, p.hop(ourRouter, router2))
				p.size++
				g.expect(g.send(trunk, tagged(p.frame(), 10)),
					out{p4.CPUPort: {punted(p4.PuntMTU, trunk, bridge1, vrf1, p.frame())}})
			})
		})
		for name, dst := range map[string]ether.MAC{"bridged": remote, "flooded": nobody} {
			t.Run(name+", "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					p.src, p.dst, p.size = hostBlue, dst, size
					g.expectTunnelled(g.send(trunk, tagged(p.frame(), 30)), vtep2, 300, 46, p.frame())
					p.size++
					counter := map[string]string{"bridged": "ingress_drops", "flooded": "egress_drops"}[name]
					g.dropped(counter, p4.DropMTU, g.send(trunk, tagged(p.frame(), 30)))
				})
			})
		}
	}
}

func TestAReplicaThatIsTooBigLeavesTheOthers(t *testing.T) {
	routed(t, func(g *gateway) {
		g.add(p4.Member{Port: unused, Bridge: bridge3}, p4.BridgePort{Port: unused})
		in := packet{src: nobody, dst: ether.Broadcast, from: "10.1.0.12", to: "10.1.0.99", size: narrowMTU}.frame()
		g.expect(g.send(unused, in), out{trunk: {tagged(in, 30)}})
		if n := g.count("egress_drops", uint32(p4.DropMTU)).packets; n != 1 {
			g.Errorf("egress_drops[mtu] = %d, want 1", n)
		}
	})
}

// The controller's packets are Linux's own, or Linux has counted the hop: one
// that it may send with TTL 1 is sent so.
func TestTheControllerRoutesInAVRF(t *testing.T) {
	for family, p := range both(packet{from: "10.1.0.1", to: "10.2.0.30"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				// Whatever the MACs are.
				for _, macs := range [][2]ether.MAC{{gateway1, gateway2}, {}, {ether.Broadcast, ether.Broadcast}} {
					p.src, p.dst = macs[0], macs[1]
					g.expect(g.inject(p4.PacketOut{VRF: vrf1, Frame: p.frame()}), out{trunk: {tagged(p.sent(gateway2, hostV), 20)}})
				}
				g.expectLearned()
				if n := g.count("vrf_routed", vrf1).packets; n != 3 {
					g.Errorf("vrf_routed = %d, want 3", n)
				}
			})
		})
	}
	for family, p := range both(packet{src: gateway1, dst: ourRouter, from: "10.1.0.1", to: "10.3.0.1"}) {
		t.Run("to a VTEP, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expectTunnelled(g.inject(p4.PacketOut{VRF: vrf1, Frame: p.frame()}), vtep1, theirL3VNI, 46,
					p.sent(ourRouter, router1))
				p.ttl = 1
				g.expectTunnelled(g.inject(p4.PacketOut{VRF: vrf1, Frame: p.frame()}), vtep1, theirL3VNI, 46,
					p.sent(ourRouter, router1))
			})
		})
	}
}

// One that asks more than its share does not take the others' away, and the total is
// kept whoever asks.
func TestEachPortBridgeAndVRFHasItsShareOfThePunts(t *testing.T) {
	const share, sent = 3, 10
	few := func(m p4.Meter) *p4v1.MeterEntry { // and none in the time that the test takes
		e := m.Update().GetEntity().GetMeterEntry()
		return &p4v1.MeterEntry{MeterId: e.GetMeterId(), Index: e.GetIndex(),
			Config: &p4v1.MeterConfig{Cir: 1, Pir: 1, Cburst: share, Pburst: share}}
	}
	askARP := whoHas(hostA, "10.1.0.10", "10.1.0.99")
	fromVTEP := func(vni uint32) []byte { return tunnelled(vtep1, ours, vni, whoHas(remote, "10.1.0.50", "10.1.0.99")) }
	glean := func(vlan uint16, src, dst ether.MAC) []byte {
		return tagged(packet{src: src, dst: dst, from: "10.1.0.11", to: "10.2.0.99"}.frame(), vlan)
	}
	for name, tc := range map[string]struct {
		meter  p4.Meter
		reason p4.PuntReason
		noisy  func(*gateway) out
		other  func(*gateway) out
	}{
		"port": {p4.PortMeters(access1)[0], p4.PuntARP,
			func(g *gateway) out { return g.send(access1, askARP) },
			func(g *gateway) out { return g.send(access2, whoHas(hostB, "10.1.0.12", "10.1.0.99")) }},
		"bridge, by VXLAN": {p4.BridgeMeters(bridge1)[0], p4.PuntVXLANARP,
			func(g *gateway) out { return g.send(uplink, fromVTEP(vni1)) },
			func(g *gateway) out { return g.send(uplink, fromVTEP(vni2)) }},
		"VRF": {p4.VRFMeters(vrf1)[0], p4.PuntGlean,
			func(g *gateway) out { return g.send(trunk, glean(10, hostT, gateway1)) },
			func(g *gateway) out { return g.send(trunk, glean(30, hostBlue, gateway3)) }},
	} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.add(p4.Trap{EtherType: 0x0806, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntARP},
					p4.Trap{EtherType: 0x0806, Origin: p4.OriginVXLAN, Priority: 1, Reason: p4.PuntVXLANARP})
				g.meter(few(tc.meter))
				noisy, others := 0, 0
				for range sent {
					noisy += len(tc.noisy(g)[p4.CPUPort])
				}
				for range sent {
					others += len(tc.other(g)[p4.CPUPort])
				}
				if noisy < share || noisy > share+2 || others != sent {
					t.Errorf("of %d each, %d of one with a share of %d and %d of the other reached the controller", sent, noisy,
						share, others)
				}
				if n := g.count("punts_limited", uint32(tc.reason)).packets; n != uint64(sent-noisy) {
					t.Errorf("%d were counted as kept from it, want %d", n, sent-noisy)
				}
			})
		})
	}
}

// Or a packet would go round between the pipeline and the kernel.
func TestWhatTheControllerInjectsNeverComesBack(t *testing.T) {
	for name, tc := range map[string]struct {
		p      packet
		reason p4.DropReason
	}{
		"glean":   {packet{to: "10.2.0.99"}, p4.DropNoRoute},
		"local":   {packet{to: "10.2.0.1"}, p4.DropNoRoute},
		"TTL 1":   {packet{to: "10.2.0.99", ttl: 1}, p4.DropNoRoute},
		"MTU":     {packet{to: "10.3.5.1", size: narrowMTU}, p4.DropMTU},
		"nowhere": {packet{to: "10.99.0.1"}, p4.DropNoRoute},
	} {
		tc.p.src, tc.p.dst, tc.p.from = hostA, gateway1, "10.1.0.1"
		for family, p := range both(tc.p) {
			t.Run(name+", "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					g.dropped("ingress_drops", tc.reason, g.inject(p4.PacketOut{VRF: vrf1, Frame: p.frame()}))
				})
				routed(t, func(g *gateway) { // and not by a bridge either
					g.dropped("ingress_drops", tc.reason, g.inject(p4.PacketOut{Bridge: bridge1, Frame: p.frame()}))
				})
			})
		}
	}
	t.Run("not IP", func(t *testing.T) {
		routed(t, func(g *gateway) {
			g.dropped("ingress_drops", p4.DropNoRoute,
				g.inject(p4.PacketOut{VRF: vrf1, Frame: notIP(gateway1, ourRouter, 0x0806)}))
		})
	})
}

func TestAnInjectionForLocalPortsReachesNoVTEP(t *testing.T) {
	routed(t, func(g *gateway) {
		in := frame(gateway1, ether.MAC{0x33, 0x33, 0, 0, 0, 1})
		g.expect(g.inject(p4.PacketOut{Bridge: bridge1, LocalOnly: true, Frame: in}),
			out{access1: {in}, access2: {in}, trunk: {tagged(in, 10)}})
		g.dropped("ingress_drops", p4.DropSplitHorizon,
			g.inject(p4.PacketOut{Bridge: bridge1, LocalOnly: true, Frame: frame(gateway1, remote)}))
	})
}

func TestAnInjectionIntoNothingIsDropped(t *testing.T) {
	for mode := range uint8(3) {
		routed(t, func(g *gateway) {
			in := injected(mode+1, access1, 0, 0, frame(hostA, hostB))
			g.dropped("ingress_drops", p4.DropNotMember, g.send(p4.CPUPort, in))
		})
		routed(t, func(g *gateway) { // what the mode does not ask for is not looked at
			bridge, vrf := uint16(0), uint16(vrf1)
			if mode+1 == 3 {
				bridge, vrf = bridge1, 0
			}
			in := injected(mode+1, access1, bridge, vrf, frame(hostA, hostB))
			g.dropped("ingress_drops", p4.DropNotMember, g.send(p4.CPUPort, in))
		})
	}
}

func TestATrapTellsICMPv6MessagesApart(t *testing.T) {
	message := func(kind uint8) []byte {
		f := slices.Clone(packet{src: hostT, dst: hostA, from: "2001:db8:1::11", to: "2001:db8:1::10", size: 24}.frame())
		f[20], f[54] = 58, kind
		return f
	}
	routed(t, func(g *gateway) {
		g.add(p4.Trap{EtherType: 0x86dd, ICMPv6Type: 133, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntND},
			p4.Trap{EtherType: 0x86dd, ICMPv6Type: 136, Origin: p4.OriginBridge, Priority: 1, Reason: p4.PuntND},
			p4.Trap{EtherType: 0x86dd, ICMPv6Type: 136, Origin: p4.OriginVXLAN, Priority: 1, Reason: p4.PuntVXLANND})
		for kind, want := range map[uint8]bool{133: true, 136: true, 134: false, 128: false, 0: false} {
			in := message(kind)
			o := out{access1: {in}}
			if want {
				o[p4.CPUPort] = [][]byte{punted(p4.PuntND, trunk, bridge1, 0, in)}
			}
			g.expect(g.send(trunk, tagged(in, 10)), o)
			in = slices.Concat(hostA[:], remote[:], in[12:])
			o = out{access1: {in}}
			if kind == 136 {
				o[p4.CPUPort] = [][]byte{puntedFrom(vtep1, p4.PuntVXLANND, uplink, bridge1, 0, in)}
			}
			g.expect(g.send(uplink, tunnelled(vtep1, ours, vni1, in)), o)
		}
		in := message(136)
		in[20] = 17 // no ICMPv6
		g.expect(g.send(trunk, tagged(in, 10)), out{access1: {in}})
	})
}
