package rib

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func prefix(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

// replay is what a consumer knows after events; down forgets a peer, so that
// an update that moved in front of its PeerDown would be missed.
func replay(events []bgp.UnicastEvent) (routes map[netip.Addr]map[netip.Prefix]uint32, ended map[netip.Addr]int) {
	routes, ended = map[netip.Addr]map[netip.Prefix]uint32{}, map[netip.Addr]int{}
	for _, e := range events {
		if routes[e.Peer] == nil {
			routes[e.Peer] = map[netip.Prefix]uint32{}
		}
		switch e.Kind {
		case bgp.RouteUpdate:
			routes[e.Peer][e.Route.Prefix] = e.Route.MED
		case bgp.RouteWithdraw:
			delete(routes[e.Peer], e.Route.Prefix)
		case bgp.PeerDown:
			clear(routes[e.Peer])
			ended[e.Peer] = -1
		case bgp.PeerUp:
			ended[e.Peer] = 0
		case bgp.EndOfRIB:
			ended[e.Peer] = len(routes[e.Peer])
		}
	}
	return routes, ended
}

// sessions makes events as the speaker does.
func sessions(r *rand.Rand, n int) []bgp.UnicastEvent {
	var events []bgp.UnicastEvent
	type session struct {
		up, eor bool
		keys    map[netip.Prefix]bool
	}
	peers := map[netip.Addr]*session{}
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(3))})
		p := peers[addr]
		if p == nil {
			p = &session{keys: map[netip.Prefix]bool{}}
			peers[addr] = p
		}
		add := func(kind bgp.Kind, k netip.Prefix) {
			events = append(events, bgp.UnicastEvent{Peer: addr, Kind: kind, Route: bgp.UnicastRoute{Prefix: k, MED: uint32(i)}})
		}
		k := prefix(r.IntN(20))
		switch x := r.IntN(100); {
		case !p.up:
			p.up, p.eor = true, false
			add(bgp.PeerUp, netip.Prefix{})
		case x < 3:
			for k := range p.keys {
				add(bgp.RouteWithdraw, k)
			}
			clear(p.keys)
			p.up = false
			add(bgp.PeerDown, netip.Prefix{})
		case x < 10 && !p.eor:
			p.eor = true
			add(bgp.EndOfRIB, netip.Prefix{})
		case x < 40:
			delete(p.keys, k)
			add(bgp.RouteWithdraw, k)
		default:
			p.keys[k] = true
			add(bgp.RouteUpdate, k)
		}
	}
	return events
}

func TestCompactedEventsSayTheSame(t *testing.T) {
	for seed := range uint64(200) {
		events := sessions(rand.New(rand.NewPCG(seed, 1)), 300)
		cut := int(seed) // the consumer already has some of them
		known, _ := replay(events[:cut])
		want, wantEnded := replay(events)
		short := compact(append([]bgp.UnicastEvent(nil), events[cut:]...), UnicastKey)
		got, ended := replay(append(events[:cut:cut], short...))
		for peer := range want {
			if !maps.Equal(got[peer], want[peer]) {
				t.Fatalf("seed %d, %v: %v, want %v (knew %v)", seed, peer, got[peer], want[peer], known[peer])
			}
			if (ended[peer] < 0) != (wantEnded[peer] < 0) {
				t.Fatalf("seed %d, %v: up %v, want %v", seed, peer, ended[peer] >= 0, wantEnded[peer] >= 0)
			}
		}
		if len(short) > 3*(2*20+3) {
			t.Fatalf("seed %d: %d events for 60 keys", seed, len(short))
		}
	}
}

func TestUpdateDoesNotMoveBehindEndOfRIB(t *testing.T) {
	e := func(kind bgp.Kind, med uint32) bgp.UnicastEvent {
		return bgp.UnicastEvent{Peer: leaf, Kind: kind, Route: bgp.UnicastRoute{Prefix: prefix(1), MED: med}}
	}
	got := compact([]bgp.UnicastEvent{
		e(bgp.PeerUp, 0), e(bgp.RouteUpdate, 1), e(bgp.EndOfRIB, 0), e(bgp.RouteUpdate, 2),
	}, UnicastKey)
	if len(got) != 3 || got[1].Kind != bgp.RouteUpdate || got[1].Route.MED != 2 || got[2].Kind != bgp.EndOfRIB {
		t.Errorf("got %v", got)
	}
}

func TestQueueHandsOverInOrderAndBoundedBatches(t *testing.T) {
	q := NewQueue(UnicastKey)
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { q.Run(ctx) })
	const n = 5 * maxBatch
	owned.Go(func() {
		for i := range n {
			r := bgp.UnicastRoute{Prefix: prefix(i), MED: uint32(i)}
			q.Push(bgp.UnicastEvent{Peer: leaf, Kind: bgp.RouteUpdate, Route: r})
		}
	})
	next := uint32(0)
	for next < n {
		batch := <-q.out
		if len(batch) > maxBatch {
			t.Fatalf("batch of %d", len(batch))
		}
		for _, e := range batch {
			if e.Route.MED != next {
				t.Fatalf("event %d came as %d", e.Route.MED, next)
			}
			next++
		}
	}
	cancel()
	owned.Wait()
}
