package gobgp

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// replay is what a consumer knows after events; down forgets a peer, so that
// an update that moved in front of its PeerDown would be missed.
func replay(events []bgp.Event) (routes map[netip.Addr]map[bgp.Key]uint32, ended map[netip.Addr]int) {
	routes, ended = map[netip.Addr]map[bgp.Key]uint32{}, map[netip.Addr]int{}
	for _, e := range events {
		if routes[e.Peer] == nil {
			routes[e.Peer] = map[bgp.Key]uint32{}
		}
		switch e.Kind {
		case bgp.RouteUpdate:
			routes[e.Peer][e.Route.Key] = e.Route.Sequence
		case bgp.RouteWithdraw:
			delete(routes[e.Peer], e.Route.Key)
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
func sessions(r *rand.Rand, n int) []bgp.Event {
	var events []bgp.Event
	type session struct {
		up, eor bool
		keys    map[bgp.Key]bool
	}
	peers := map[netip.Addr]*session{}
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(3))})
		p := peers[addr]
		if p == nil {
			p = &session{keys: map[bgp.Key]bool{}}
			peers[addr] = p
		}
		add := func(kind bgp.Kind, k bgp.Key) {
			events = append(events, bgp.Event{Peer: addr, Kind: kind, Route: bgp.Route{Key: k, Sequence: uint32(i)}})
		}
		k := bgp.MACKey(rdLeaf, mac(byte(r.IntN(20))), netip.Addr{})
		switch x := r.IntN(100); {
		case !p.up:
			p.up, p.eor = true, false
			add(bgp.PeerUp, bgp.Key{})
		case x < 3:
			for k := range p.keys {
				add(bgp.RouteWithdraw, k)
			}
			clear(p.keys)
			p.up = false
			add(bgp.PeerDown, bgp.Key{})
		case x < 10 && !p.eor:
			p.eor = true
			add(bgp.EndOfRIB, bgp.Key{})
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
		short := compact(append([]bgp.Event(nil), events[cut:]...), evpnKey)
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
	e := func(kind bgp.Kind, sequence uint32) bgp.Event {
		return bgp.Event{Peer: leaf, Kind: kind, Route: bgp.Route{Key: leafRoute(1).Key, Sequence: sequence}}
	}
	got := compact([]bgp.Event{
		e(bgp.PeerUp, 0), e(bgp.RouteUpdate, 1), e(bgp.EndOfRIB, 0), e(bgp.RouteUpdate, 2),
	}, evpnKey)
	if len(got) != 3 || got[1].Kind != bgp.RouteUpdate || got[1].Route.Sequence != 2 || got[2].Kind != bgp.EndOfRIB {
		t.Errorf("got %v", got)
	}
}

func TestQueueHandsOverInOrderAndBoundedBatches(t *testing.T) {
	q := newQueue(evpnKey)
	ctx, cancel := context.WithCancel(t.Context())
	var owned sync.WaitGroup
	owned.Go(func() { q.run(ctx) })
	const n = 5 * maxBatch
	owned.Go(func() {
		for i := range n {
			k := bgp.MACKey(bgp.RD{1: 1, 4: byte(i >> 16), 5: byte(i >> 8), 6: byte(i)}, mac(1), netip.Addr{})
			q.push(bgp.Event{Peer: leaf, Kind: bgp.RouteUpdate, Route: bgp.Route{Key: k, Sequence: uint32(i)}})
		}
	})
	next := uint32(0)
	for next < n {
		batch := <-q.out
		if len(batch) > maxBatch {
			t.Fatalf("batch of %d", len(batch))
		}
		for _, e := range batch {
			if e.Route.Sequence != next {
				t.Fatalf("event %d came as %d", e.Route.Sequence, next)
			}
			next++
		}
	}
	cancel()
	owned.Wait()
}
