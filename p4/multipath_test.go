package p4_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// The prefix equalPrefix is behind four VTEPs, each of which is reached by four ways.
const (
	equalGroup   = 9
	equalVTEPs   = 4
	firstEqual   = 31 // the id of the first of them
	equalL3VNI   = 7000
	equalPrefix4 = "198.51.0.0/16"
	equalPrefix6 = "2001:db8:51::/48"
)

func equalVTEP(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}) }
func equalRouter(i int) ether.MAC { return ether.MAC{2, 9, 0, 0, 0, byte(i)} }
func equalRoute(prefix string) p4.Route {
	return p4.Route{VRF: vrf1, Prefix: netip.MustParsePrefix(prefix), Kind: p4.RouteVTEPs, Group: equalGroup}
}

// nextHop leads one slot to one of the VTEPs.
func nextHop(slot uint8, i int) p4.NextHopSlot {
	return p4.NextHopSlot{Group: equalGroup, Slot: slot, VTEP: uint16(firstEqual + i), VNI: equalL3VNI, Source: ourRouter,
		Destination: equalRouter(i)}
}

func byNextHops(g *gateway) {
	byFlow(g)
	var entries []entry
	for i := range equalVTEPs {
		id := uint16(firstEqual + i)
		entries = append(entries, p4.Tunnel{VTEP: id, Source: ours, Destination: equalVTEP(i)},
			p4.Flows{VTEP: id, Group: flowsGroup})
	}
	for slot := range uint8(p4.Slots) {
		entries = append(entries, nextHop(slot, int(slot)%equalVTEPs))
	}
	g.add(append(entries, p4.NextHopGroup{ID: equalGroup}, p4.Multipath{Group: equalGroup}, equalRoute(equalPrefix4),
		equalRoute(equalPrefix6))...)
}

// equalFlow is a packet of a flow that differs from others as chance has it.
func equalFlow(r *rand.Rand) packet {
	at := func() byte { return byte(1 + r.IntN(254)) }
	return packet{src: hostA, dst: gateway1, from: "10.1.0.10", to: netip.AddrFrom4([4]byte{198, 51, at(), at()}).String(),
		source: uint16(1024 + r.IntN(60000)), destination: uint16(1 + r.IntN(60000))}
}

// throughOf sends a packet and gives the VTEP and the way that it took.
func (g *gateway) throughOf(p packet) (vtep, by int) {
	g.Helper()
	o := g.send(access1, p.frame())
	if len(o) != 1 || len(o[uplink]) != 1 || len(o[uplink][0]) < 56 {
		g.Fatalf("a packet left as %x, want by one of the VTEPs", o)
	}
	f := o[uplink][0]
	vtep, by = -1, -1
	for i := range ways {
		if to := way(i).Destination; bytes.HasPrefix(f, to[:]) {
			by = i
		}
	}
	for i := range equalVTEPs {
		to, router := equalVTEP(i).As4(), equalRouter(i)
		if bytes.Equal(f[30:34], to[:]) && bytes.Equal(f[50:56], router[:]) && f[46] == 0 && f[47] == equalL3VNI>>8 &&
			f[48] == equalL3VNI&0xff {
			vtep = i
		}
	}
	if vtep < 0 || by < 0 {
		g.Fatalf("a packet left as %x, want by a VTEP, with its router's MAC, and a way to it", f)
	}
	return vtep, by
}

// Two selectors in a row: were the second's hash to follow from the first's, some of the
// sixteen would have nothing.
func TestFlowsSpreadOverFourVTEPsWithFourWaysEach(t *testing.T) {
	routed(t, func(g *gateway) {
		byNextHops(g)
		const flows = 10_000
		r := rand.New(rand.NewPCG(18, 3))
		var shares [equalVTEPs][ways]int
		for range flows {
			vtep, way := g.throughOf(equalFlow(r))
			shares[vtep][way]++
		}
		const fair = flows / equalVTEPs / ways
		for vtep := range shares {
			for way, n := range shares[vtep] {
				if n < fair*3/4 || n > fair*5/4 {
					g.Errorf("VTEP %d by way %d has %d of %d flows, want %d within a quarter", vtep, way, n, flows, fair)
				}
			}
		}
		g.Logf("of %d flows each of 16 has %v", flows, shares)
	})
}

func TestOnlyFlowsOfALostVTEPMove(t *testing.T) {
	for family, like := range map[string]func(packet) packet{
		"IPv4": func(p packet) packet { return p },
		"IPv6": func(p packet) packet {
			a := netip.MustParseAddr(p.to).As4()
			six := netip.MustParsePrefix(equalPrefix6).Addr().As16()
			six[14], six[15] = a[2], a[3]
			p.from, p.to = sixth(p.from), netip.AddrFrom16(six).String()
			return p
		},
	} {
		t.Run(family, func(t *testing.T) {
			routed(t, func(g *gateway) {
				byNextHops(g)
				r := rand.New(rand.NewPCG(18, 4))
				flows := make([]packet, 200)
				type place struct{ vtep, way int }
				before := map[int]place{}
				for i := range flows {
					flows[i] = like(equalFlow(r))
					vtep, way := g.throughOf(flows[i])
					before[i] = place{vtep, way}
				}
				// The second VTEP is lost: its slots lead to the others.
				for slot, next := uint8(0), 0; slot < p4.Slots; slot++ {
					if slot%equalVTEPs == 1 {
						g.modify(nextHop(slot, []int{0, 2, 3}[next%3]))
						next++
					}
				}
				moved := 0
				for i := range flows {
					vtep, way := g.throughOf(flows[i])
					switch was := before[i]; {
					case vtep == 1:
						g.Errorf("flow %d still goes to the VTEP that is lost", i)
					case was.vtep == 1:
						moved++
					case was != place{vtep, way}:
						g.Errorf("flow %d moved from %v to %v, though another VTEP was lost", i, was, place{vtep, way})
					}
				}
				if moved == 0 {
					g.Error("no flow was of the VTEP that is lost")
				}
			})
		})
	}
}

func TestARouteByAGroupWithoutNextHopsDropsAndCounts(t *testing.T) {
	p := equalFlow(rand.New(rand.NewPCG(1, 1)))
	t.Run("no members", func(t *testing.T) {
		g := newGateway(t, newSoftswitch(t)) // BMv2 goes nowhere from there: the controller makes none
		s := g.target.(*softswitch)
		if err := s.profile(0x110000b2).SetGroup(equalGroup, nil, true); err != nil {
			t.Fatal(err)
		}
		g.add(append(routing(), p4.Multipath{Group: equalGroup}, equalRoute(equalPrefix4))...)
		g.dropped("ingress_drops", p4.DropNoPath, g.send(access1, p.frame()))
	})
	t.Run("no group", func(t *testing.T) {
		routed(t, func(g *gateway) {
			g.add(equalRoute(equalPrefix4))
			g.dropped("ingress_drops", p4.DropNoPath, g.send(access1, p.frame()))
		})
	})
}

// A packet to a group whose time is up goes to the controller, as to any other next hop.
func TestTheTTLCountsBeforeANextHopIsChosen(t *testing.T) {
	routed(t, func(g *gateway) {
		byNextHops(g)
		p := equalFlow(rand.New(rand.NewPCG(2, 2)))
		p.ttl = 1
		o := g.send(access1, p.frame())
		if len(o) != 1 || len(o[p4.CPUPort]) != 1 {
			g.Errorf("left as %x, want to the controller", o)
		}
	})
}
