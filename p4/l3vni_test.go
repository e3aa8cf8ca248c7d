package p4_test

import (
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// Symmetric IRB: RFC 9135 section 4.1.
func TestAPacketForAVTEPsRouterLeavesByItsL3VNI(t *testing.T) {
	for family, p := range both(packet{src: hostT, dst: gateway1, from: "10.1.0.11", to: "10.3.0.1"}) {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expectTunnelled(g.send(trunk, tagged(p.frame(), 10)), vtep1, theirL3VNI, 46, p.hop(ourRouter, router1))
				if n := g.count("vrf_vxlan_out", vrf1).packets; n != 1 {
					g.Errorf("vrf_vxlan_out = %d, want 1", n)
				}
				if n := g.count("bridge_vxlan_out", bridge1).packets; n != 0 {
					g.Errorf("bridge_vxlan_out = %d, want 0: it left the bridge", n)
				}
			})
		})
	}
}

func TestAPacketOfAnL3VNIIsRouted(t *testing.T) {
	for family, p := range both(packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: "10.2.0.30"}) {
		t.Run("to a trunk, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				in := tunnelled(vtep1, ours, l3vni1, p.frame())
				g.expect(g.send(uplink, in), out{trunk: {tagged(p.hop(gateway2, hostV), 20)}})
				arrived := counted{1, uint64(len(in))}
				if n := g.count("vrf_vxlan_in", vrf1); n != arrived {
					g.Errorf("vrf_vxlan_in = %v, want %v", n, arrived)
				}
				if n := g.count("vrf_routed", vrf1); n != arrived {
					g.Errorf("vrf_routed = %v, want %v", n, arrived)
				}
			})
		})
	}
	for family, p := range both(packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: "10.2.0.50"}) {
		t.Run("to a host behind another VTEP, "+family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				g.expectTunnelled(g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame())), vtep2, vni2, 46,
					p.hop(gateway2, remote2))
			})
		})
	}
}

// Split horizon is for bridged frames: routing between two leaves turns around.
func TestAPacketOfAnL3VNIMayLeaveByOne(t *testing.T) {
	for to, want := range map[string]ether.MAC{"10.3.4.1": router2, "10.3.0.9": router1} {
		for family, p := range both(packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: to}) {
			t.Run(to+" "+family, func(t *testing.T) {
				routed(t, func(g *gateway) {
					vtep := vtep1
					if want == router2 {
						vtep = vtep2
					}
					g.expectTunnelled(g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame())), vtep, theirL3VNI, 46,
						p.hop(ourRouter, want))
					if in, out := g.count("vrf_vxlan_in", vrf1).packets, g.count("vrf_vxlan_out", vrf1).packets; in != 1 || out != 1 {
						g.Errorf("vrf_vxlan_in, out = %d, %d; want 1, 1", in, out)
					}
				})
			})
		}
	}
}

func TestAnL3VNIIsForOurRouterMACAlone(t *testing.T) {
	for name, dst := range map[string]ether.MAC{
		"a gateway's": gateway1, "anycast": anycast, "a host's": hostO, "broadcast": ether.Broadcast, "zero": {},
	} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				p := packet{src: router1, dst: dst, from: "10.3.0.1", to: "10.2.0.20"}
				g.dropped("ingress_drops", p4.DropWrongRouterMAC, g.send(uplink, tunnelled(vtep1, ours, l3vni1, p.frame())))
				if n := g.count("vrf_vxlan_in", vrf1).packets; n != 0 {
					g.Errorf("vrf_vxlan_in = %d, want 0", n)
				}
			})
		})
	}
}

func TestAnL3VNIHasTheChecksOfVXLAN(t *testing.T) {
	inner := packet{src: router1, dst: ourRouter, from: "10.3.0.1", to: "10.2.0.20"}.frame()
	group := packet{src: ether.Broadcast, dst: ourRouter, from: "10.3.0.1", to: "10.2.0.20"}.frame()
	for name, tc := range map[string]struct {
		in     []byte
		reason p4.DropReason
	}{
		"unknown VTEP":     {tunnelled(host32("10.0.0.9").Addr(), ours, l3vni1, inner), p4.DropUnknownVTEP},
		"unknown VNI":      {tunnelled(vtep1, ours, theirL3VNI, inner), p4.DropUnknownVNI},
		"tag":              {tunnelled(vtep1, ours, l3vni1, tagged(inner, 10)), p4.DropInnerVLAN},
		"group source":     {tunnelled(vtep1, ours, l3vni1, group), p4.DropBadSource},
		"no inner header":  {tunnelled(vtep1, ours, l3vni1, inner[:13]), p4.DropBadVXLAN},
		"no inner packet":  {tunnelled(vtep1, ours, l3vni1, inner[:14]), p4.DropBadIP},
		"IP header is cut": {tunnelled(vtep1, ours, l3vni1, inner[:33]), p4.DropBadIP},
	} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) { g.dropped("ingress_drops", tc.reason, g.send(uplink, tc.in)) })
		})
	}
}

// The tunnel of a tenant's own is payload: only the outermost counts.
func TestVXLANInsideVXLANIsATenantsPacket(t *testing.T) {
	within := packet{src: hostBlue, dst: gateway3, from: "10.1.0.11", to: "10.1.0.10"}.frame()
	for name, vni := range map[string]uint32{"a bridge's VNI": vni1, "the VRF's VNI": l3vni1,
		"another VRF's VNI": l3vni2} {
		t.Run(name, func(t *testing.T) {
			routed(t, func(g *gateway) {
				// From a tenant to our own VTEP address, which no VRF reaches.
				forged := tunnelled(vtep1, ours, vni, within)
				copy(forged, gateway1[:])
				copy(forged[6:], hostA[:])
				g.dropped("ingress_drops", p4.DropNoRoute, g.send(access1, forged))
				// By a route that covers the address it is carried, whole.
				g.add(via(vrf1, "10.0.0.0/24", 1, router1))
				got := g.encapsulated(g.only(uplink, g.send(access1, forged)), vtep1, theirL3VNI, 0)
				copy(forged, router1[:])
				copy(forged[6:], ourRouter[:])
				g.expect(out{uplink: {got[34:]}}, out{uplink: {forged[34:]}})
				if got[22] != 62 {
					g.Errorf("TTL %d, want 62", got[22])
				}
			})
			routed(t, func(g *gateway) {
				forged := tunnelled(vtep1, ours, vni, within)
				copy(forged, ourRouter[:])
				copy(forged[6:], router1[:])
				g.dropped("ingress_drops", p4.DropNoRoute, g.send(uplink, tunnelled(vtep1, ours, l3vni1, forged)))
			})
		})
	}
}
