package p4_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// flowsVTEP is reached by four ways, each by an adjacency of its own.
const flowsVTEP, flowsGroup, ways = 7, 7, 4

// way is the adjacency of one of the ways, which a frame tells by its outer destination MAC.
func way(i int) p4.Adjacency {
	return p4.Adjacency{ID: uint16(10 + i), Source: uplinkMAC, Destination: ether.MAC{2, 7, 0, 0, 0, byte(i)}}
}

// slotBy leads one slot by a way.
func slotBy(slot uint8, way int) p4.UplinkSlot {
	return p4.UplinkSlot{Group: flowsGroup, Slot: slot, Port: uplink, Adjacency: uint16(10 + way), MTU: tunnelMTU}
}

// byFlow is a gateway that sends to nobody by four ways.
func byFlow(g *gateway) {
	var entries []entry
	for i := range ways {
		entries = append(entries, way(i))
	}
	for i := range uint8(p4.Slots) {
		entries = append(entries, slotBy(i, int(i)%ways))
	}
	g.add(append(entries, p4.UplinkGroup{ID: flowsGroup}, p4.Flows{VTEP: flowsVTEP, Group: flowsGroup},
		p4.Tunnel{VTEP: flowsVTEP, Source: ours, Destination: netip.MustParseAddr("10.0.0.77")},
		p4.FDB{Bridge: bridge1, MAC: nobody, Kind: p4.ToVTEP, VTEP: flowsVTEP, VNI: 7})...)
}

// flowFrame is a frame of the n-th flow to nobody.
func flowFrame(n int) []byte {
	return assemble(
		&layers.Ethernet{SrcMAC: hostA[:], DstMAC: nobody[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 168, 0, byte(1 + n%7)},
			DstIP: net.IP{192, 168, 1, byte(n % 50)}},
		&layers.UDP{SrcPort: layers.UDPPort(1024 + n), DstPort: 443},
		gopacket.Payload("a flow"))
}

// wayOf sends a frame and gives the way that it took.
func (g *gateway) wayOf(f []byte) int {
	g.Helper()
	o := g.send(access1, f)
	for i := range ways {
		to := way(i).Destination
		if len(o) == 1 && len(o[uplink]) == 1 && bytes.HasPrefix(o[uplink][0], to[:]) {
			return i
		}
	}
	g.Fatalf("a frame left as %x, want by one of the ways", o)
	return 0
}

func TestFlowsSpreadOverAllWaysAndEachStaysOnItsOwn(t *testing.T) {
	each(t, func(g *gateway) {
		byFlow(g)
		const flows = 1000
		var taken [flows]int
		shares := [ways]int{}
		for n := range flows {
			taken[n] = g.wayOf(flowFrame(n))
			shares[taken[n]]++
		}
		for i, n := range shares {
			if n < flows/ways*3/4 || n > flows/ways*5/4 {
				g.Errorf("way %d has %d of %d flows, want its share within a quarter", i, n, flows)
			}
		}
		// The second way is lost: its slots lead by the others.
		for slot, next := uint8(0), 0; slot < p4.Slots; slot++ {
			if slot%ways == 1 {
				g.modify(slotBy(slot, []int{0, 2, 3}[next%3]))
				next++
			}
		}
		shares = [ways]int{}
		for n := range flows {
			now := g.wayOf(flowFrame(n))
			if shares[now]++; taken[n] != 1 && now != taken[n] {
				g.Fatalf("flow %d moved from way %d to way %d, though the second was lost", n, taken[n], now)
			}
		}
		if shares[1] != 0 {
			g.Errorf("%d flows take the way that was lost", shares[1])
		}
	})
}

func TestARoutedFlowSpreadsToo(t *testing.T) {
	routed(t, func(g *gateway) {
		byFlow(g)
		g.add(p4.Route{VRF: vrf1, Prefix: netip.MustParsePrefix("203.0.113.0/24"), Kind: p4.RouteVTEP, VTEP: flowsVTEP,
			VNI: l3vni1, Source: routerMAC, Destination: nobody})
		seen := [ways]int{}
		for n := range 64 {
			seen[g.wayOf(assemble(
				&layers.Ethernet{SrcMAC: hostA[:], DstMAC: gateway1[:], EthernetType: layers.EthernetTypeIPv4},
				&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 1, 0, 10},
					DstIP: net.IP{203, 0, 113, byte(1 + n)}},
				&layers.TCP{SrcPort: 40000, DstPort: 443}))]++
		}
		for i, n := range seen {
			if n == 0 {
				g.Errorf("no flow of 64 takes way %d: %v", i, seen)
			}
		}
	})
}

// A replica leaves by the uplink that its group names, with the tunnel's own adjacency.
func TestAReplicaTakesTheTunnelsAdjacency(t *testing.T) {
	each(t, func(g *gateway) {
		byFlow(g)
		g.modify(p4.Tunnel{VTEP: 1, Source: ours, Destination: vtep1, Adjacency: 12, MTU: tunnelMTU},
			p4.Tunnel{VTEP: 2, Source: ours, Destination: vtep2, Adjacency: 13, MTU: tunnelMTU})
		found := map[ether.MAC]bool{}
		for _, f := range g.send(access1, frame(hostA, ether.Broadcast))[uplink] {
			found[ether.MAC(f[:6])] = true
		}
		if len(found) != 2 || !found[way(2).Destination] || !found[way(3).Destination] {
			g.Errorf("replicas went to %v, want to the adjacencies of their tunnels", found)
		}
	})
}

func TestAGroupWithoutMembersDropsAndCounts(t *testing.T) {
	g := newGateway(t, newSoftswitch(t)) // BMv2 goes nowhere from there: the controller makes none
	g.add(p4.FDB{Bridge: bridge1, MAC: nobody, Kind: p4.ToVTEP, VTEP: flowsVTEP, VNI: 7})
	s := g.target.(*softswitch)
	if err := s.pipeline.Profile("underlay.uplinks").SetGroup(flowsGroup, nil, true); err != nil {
		t.Fatal(err)
	}
	g.add(p4.Flows{VTEP: flowsVTEP, Group: flowsGroup})
	g.dropped("ingress_drops", p4.DropNoPath, g.send(access1, flowFrame(1)))
}
