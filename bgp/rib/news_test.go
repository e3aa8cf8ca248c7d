package rib

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestAQuietPeersChangeDoesNotWaitForABusyPeersBacklog(t *testing.T) {
	const backlog = 100_000
	table, busy := takes(0, 0)
	quiet := table.Peer(spine2, 0)
	quiet.Up(spine2, false)
	drain(table)
	give(busy, 0, backlog)
	table.next(nil) // the consumer has begun with it
	give(quiet, backlog, 1)
	got, more := table.next(nil)
	isQuiet := func(e bgp.Event) bool { return e.Kind == bgp.RouteUpdate && e.Peer == spine2 }
	if !slices.ContainsFunc(got, isQuiet) || !more {
		t.Errorf("it is not among the next %d events", len(got))
	}
	rest := drain(table)
	if n := maxEvents + len(got) + len(rest); n != backlog+1 {
		t.Errorf("%d events of %d", n, backlog+1)
	}
	for i, e := range rest { // and of one peer all in its order
		if want := key(backlog - len(rest) + i); e.Route.Key != want {
			t.Fatalf("%v came for %v", e.Route.Key, want)
		}
	}
}

func TestWhatTwoPeersChangedIsToldBeforeTheEndOfRIBOfEither(t *testing.T) {
	const routes = 3 * maxEvents
	table, p1 := takes(0, 0)
	p2 := table.Peer(spine2, 0)
	p2.Up(spine2, false)
	drain(table)
	give(p1, 0, routes)
	better := func(a *bgp.Attributes) { a.LocalPref = 200 }
	give(p2, routes-1, 1, better) // the last of the other peer's
	p2.EndOfRIB()
	give(p1, routes-1, 1, func(a *bgp.Attributes) { a.LocalPref = 300 })
	p1.EndOfRIB()
	table.Converge()
	got := drain(table)
	at := func(kind bgp.Kind, of *Peer) int {
		return slices.IndexFunc(got, func(e bgp.Event) bool {
			return e.Kind == kind && (of == nil || e.Peer == of.address)
		})
	}
	last := slices.IndexFunc(got, func(e bgp.Event) bool { return e.Route.Key == key(routes-1) })
	if len(got) != routes+3 || got[last].Route.Preference.LocalPref != 300 || last > at(bgp.EndOfRIB, p2) {
		t.Errorf("%d events; the route was told as %d, the End-of-RIB as %d", len(got), last, at(bgp.EndOfRIB, p2))
	}
	if at(bgp.EndOfRIB, p1) != routes+1 || at(bgp.Converged, nil) != routes+2 {
		t.Errorf("the busy peer's End-of-RIB was told as %d, Converged as %d", at(bgp.EndOfRIB, p1), at(bgp.Converged, nil))
	}
}

func TestWithdrawalsOfASessionComeBeforeItsPeerDownBesideABusyPeer(t *testing.T) {
	table, busy := takes(0, 0)
	p := table.Peer(spine2, 0)
	p.Up(spine2, false)
	give(p, 0, 100)
	drain(table)
	give(busy, 100, 4*maxEvents)
	p.Down(false)
	withdrawn := 0
	for _, e := range drain(table) {
		switch {
		case e.Kind == bgp.RouteWithdraw:
			withdrawn++
		case e.Kind == bgp.PeerDown && withdrawn != 100:
			t.Errorf("down after %d withdrawals", withdrawn)
		}
	}
	if withdrawn != 100 {
		t.Errorf("%d withdrawals", withdrawn)
	}
}

func TestPeersThatTakeARouteFromEachOtherGatherNothing(t *testing.T) {
	const routes = 10
	table, p1 := takes(0, routes)
	p2 := table.Peer(spine2, 0)
	p2.Up(spine2, false)
	for i := range uint32(3 * sweepFloor / routes) {
		better := func(a *bgp.Attributes) { a.LocalPref = 1000 + i }
		give(p1, 0, routes, better)
		give(p2, 0, routes, better, func(a *bgp.Attributes) { a.PathLength = 0 })
		if n := max(p1.Waiting(), p2.Waiting()); n > sweepFloor {
			t.Fatalf("%d events wait for %d routes", n, routes)
		}
	}
	if got := drain(table); len(got) != routes+1 { // and the PeerUp
		t.Errorf("%d events of %d routes", len(got), routes)
	}
}
