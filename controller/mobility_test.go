package controller

import (
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// twoPorts is a gateway with bridge-10, VNI 100, on eth1 and eth2.
func twoPorts(tb testing.TB, o options) (*gateway, uint16) {
	g := start(tb, o)
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.access("eth2", 10)
	g.settle()
	return g, b
}

func with(r bgp.Route, sequence uint32) bgp.Route { r.Sequence = sequence; return r }

func sticky(r bgp.Route) bgp.Route { r.Sticky = true; return r }

func TestALearnedMACIsForwardedToAndAdvertised(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, learned(0))
	g.wantRoute(mac(1), 0)
}

func TestALocalMoveKeepsTheSequence(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.settle()
	before := g.target.Counts()
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 2")
	g.wantSource(b, mac(1), 1, nil)
	g.wantSource(b, mac(1), 2, learned(0))
	g.wantRoute(mac(1), 0)
	after := g.target.Counts()
	if after.Writes-before.Writes != 1 || after.Updates-before.Updates != 3 {
		t.Errorf("the move took %d writes of %d updates, want 1 of 3", after.Writes-before.Writes,
			after.Updates-before.Updates)
	}
}

func TestAHostThatComesFromALeafIsAdvertisedWithTheNextSequence(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 7)))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, learned(8))
	g.wantRoute(mac(1), 8)
}

func TestAHostThatGoesToALeafIsWithdrawn(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantRoute(mac(1), 0)
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 1)))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantSource(b, mac(1), 1, nil)
	g.wantRoute(mac(1), -1)
}

func TestAMoveBetweenLeavesIsOneUpdate(t *testing.T) {
	g, b := twoPorts(t, options{})
	one, two := macRoute(leaf1, 100, mac(1)), macRoute(leaf2, 100, mac(2))
	g.send(update(peer1, one), update(peer1, two))
	g.settle()
	before := g.target.Counts()
	g.send(update(peer1, with(macRoute(leaf2, 100, mac(1)), 1)))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
	after := g.target.Counts()
	if after.Writes-before.Writes != 1 || after.Updates-before.Updates != 1 {
		t.Errorf("the move took %d writes of %d updates, want 1 of 1", after.Writes-before.Writes,
			after.Updates-before.Updates)
	}
	g.send(withdraw(peer1, one))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
}

// RFC 7432 section 15: sticky, then sequence, then the lower VTEP.
func TestSelectionBetweenRoutes(t *testing.T) {
	lower, higher := macRoute(leaf1, 100, mac(1)), macRoute(leaf2, 100, mac(1))
	for name, c := range map[string]struct {
		one, two bgp.Route
		want     string
	}{
		"equal: the lower VTEP":         {lower, higher, "10.0.0.11 vni 100"},
		"higher sequence":               {lower, with(higher, 1), "10.0.0.12 vni 100"},
		"sequence does not wrap":        {with(lower, 1<<32-1), higher, "10.0.0.11 vni 100"},
		"sticky before sequence":        {sticky(lower), with(higher, 9), "10.0.0.11 vni 100"},
		"both sticky: sequence":         {sticky(lower), sticky(with(higher, 1)), "10.0.0.12 vni 100"},
		"both sticky, equal: the lower": {sticky(lower), sticky(higher), "10.0.0.11 vni 100"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][]bgp.Event{
				{update(peer1, c.one), update(peer2, c.two)},
				{update(peer2, c.two), update(peer1, c.one)},
			} {
				g, b := twoPorts(t, options{})
				g.send(order...)
				g.settle()
				g.wantFDB(b, mac(1), c.want)
			}
		})
	}
}

// A host that was learned here at the same time as a route came.
func TestSelectionBetweenALocalMACAndARoute(t *testing.T) {
	for name, c := range map[string]struct {
		route bgp.Route
		want  string
		local bool
	}{
		"a lower VTEP wins":                 {macRoute(leaf0, 100, mac(1)), "10.0.0.0 vni 100", false},
		"a higher VTEP loses":               {macRoute(leaf1, 100, mac(1)), "port 1", true},
		"a higher sequence wins":            {with(macRoute(leaf1, 100, mac(1)), 1), "10.0.0.11 vni 100", false},
		"sticky wins":                       {sticky(macRoute(leaf1, 100, mac(1))), "10.0.0.11 vni 100", false},
		"a route with our next hop is none": {with(macRoute(vtep1, 100, mac(1)), 9), "port 1", true},
	} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			g.learn(b, 1, mac(1))
			g.send(update(peer1, c.route))
			g.settle()
			g.wantFDB(b, mac(1), c.want)
			if c.local {
				g.wantRoute(mac(1), 0)
				g.wantSource(b, mac(1), 1, learned(0))
			} else {
				g.wantRoute(mac(1), -1)
				g.wantSource(b, mac(1), 1, nil)
			}
		})
	}
}

func TestAStickyMACOfALeafIsNotLearnedUntilItIsWithdrawn(t *testing.T) {
	g, b := twoPorts(t, options{})
	r := sticky(macRoute(leaf1, 100, mac(1)))
	g.send(update(peer1, r))
	g.settle()
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantSource(b, mac(1), 1, refusedSource(p4.Discard))
	g.wantRoute(mac(1), -1)
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantSource(b, mac(1), 1, nil) // reported again by its next frame
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
}

func TestAGatewaysMACIsNotLearned(t *testing.T) {
	g, b := twoPorts(t, options{})
	r := macRoute(leaf1, 100, mac(1))
	r.DefaultGateway = true
	g.send(update(peer1, r))
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantSource(b, mac(1), 1, refusedSource(p4.Discard))
}

func TestAStaticMACStaysOnItsPort(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].StaticMACs = []StaticMAC{{MAC: mac(1)}}
	g, b := twoPorts(t, options{cfg: cfg})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 99)))
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, p4.Source{Verdict: p4.Known})
	g.wantSource(b, mac(1), 2, refusedSource(p4.Discard))
	macs, _ := g.originated()
	if r := macs[mac(1)]; !r.Sticky || r.Sequence != 0 {
		t.Errorf("route of a static MAC: %+v, want sticky with sequence 0", r)
	}
}

func TestAMACThatMovesTooOftenIsFrozenUntilCleared(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	for i := range 4 { // 4 moves of 5
		g.now.advance(time.Second)
		g.learn(b, uint16(2-i%2), mac(1))
	}
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 2, refusedSource(p4.Ignore))
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 50)))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	if n, err := g.c.ClearDuplicates(t.Context(), "bridge-10", view.Duplicate{MAC: mac(1)}); n != 1 || err != nil {
		t.Fatalf("ClearDuplicates: %d, %v", n, err)
	}
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantSource(b, mac(1), 2, nil)
}

func TestMovesOutsideTheWindowDoNotFreeze(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	for i := range 9 {
		g.now.advance(time.Minute)
		g.learn(b, uint16(2-i%2), mac(1))
		g.settle()
	}
	g.wantFDB(b, mac(1), "port 2")
}

func TestAFreezeEndsByItselfWhereConfigured(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates = Duplicates{Moves: 1, Freeze: time.Minute}
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(1))
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantSource(b, mac(1), 2, refusedSource(p4.Ignore))
	g.now.advance(time.Minute)
	g.peek((*loop).thaw)
	g.settle()
	g.wantSource(b, mac(1), 2, nil)
}
