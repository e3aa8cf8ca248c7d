package rib

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
)

// AdjRIBIn is what one peer has in its Adj-RIB-In of one family, as the consumer of such
// routes, R with a key K, is told it. It holds no route but the keys of all. It is not safe
// for concurrent use.
type AdjRIBIn[K comparable, R any] struct {
	queue   *Queue[K, R] // of the consumer
	peer    netip.Addr
	family  bgp.Family
	has     bool // the neighbour is to have the family
	up      bool // there is a session
	kept    bool // there is none, and its routes are kept
	ended   bool // its End-of-RIB was received in this session
	awaited bool // it may have to send routes that it has had since before we began
	// routes are those that the consumer was told, true for one that is stale: the
	// session went down since.
	routes map[K]bool
}

// NewAdjRIBIn makes the Adj-RIB-In of a neighbour, which need not have the family.
func NewAdjRIBIn[K comparable, R any](q *Queue[K, R], n *bgp.Neighbor, f bgp.Family) AdjRIBIn[K, R] {
	return AdjRIBIn[K, R]{
		queue: q, peer: n.Address, family: f, has: n.Has(f), awaited: n.Has(f), routes: make(map[K]bool),
	}
}

// Family is that of the routes.
func (a *AdjRIBIn[K, R]) Family() bgp.Family { return a.family }

// Up begins a session of a peer that has preserved its forwarding in the family, or not:
// then what is stale goes (RFC 4724 section 4.2).
func (a *AdjRIBIn[K, R]) Up(preserved bool) {
	a.up, a.kept, a.ended = true, false, false
	a.say(bgp.Change[R]{Kind: bgp.PeerUp})
	if !preserved {
		a.drop()
	}
}

// Take takes updates and withdrawals of the session, and may change them.
func (a *AdjRIBIn[K, R]) Take(changes []bgp.Change[R]) {
	if !a.up {
		return // a session that is over
	}
	for i := range changes {
		c := &changes[i]
		c.Peer = a.peer
		if key := *a.queue.key(&c.Route); c.Kind == bgp.RouteUpdate {
			a.routes[key] = false
		} else {
			delete(a.routes, key)
		}
	}
	a.queue.Push(changes...)
}

// EndOfRIB takes the session's End-of-RIB. Others than the first mean nothing.
func (a *AdjRIBIn[K, R]) EndOfRIB() {
	if !a.up || a.ended {
		return
	}
	a.drop()
	a.say(bgp.Change[R]{Kind: bgp.EndOfRIB})
	a.ended, a.awaited = true, false
}

// Down ends a session: its routes are kept, as stale, or go. It ends the time for
// which they were kept, too. Those that are stale since an earlier session go in
// any case (RFC 4724 section 4.2). Without a session or routes that are kept it does
// nothing.
func (a *AdjRIBIn[K, R]) Down(kept bool) {
	if !a.up && (kept || !a.kept) {
		return
	}
	a.up, a.kept = false, kept
	if kept {
		a.drop()
	}
	for k := range a.routes {
		a.routes[k] = true
	}
	if !kept {
		a.drop()
		a.routes = make(map[K]bool) // it may have been large
	}
	a.say(bgp.Change[R]{Kind: bgp.PeerDown, Graceful: kept})
}

// Len is how many routes the peer has here, stale ones too.
func (a *AdjRIBIn[K, R]) Len() int { return len(a.routes) }

// Ended reports whether this session's End-of-RIB was received.
func (a *AdjRIBIn[K, R]) Ended() bool { return a.ended }

// Awaited reports whether the peer may have to send routes that it has had since
// before we began.
func (a *AdjRIBIn[K, R]) Awaited() bool { return a.awaited }

// Waive waits for the peer's routes no more, and reports whether it did.
func (a *AdjRIBIn[K, R]) Waive() bool {
	awaited := a.awaited
	a.awaited = false
	return awaited
}

// drop withdraws the routes that are stale.
func (a *AdjRIBIn[K, R]) drop() {
	var gone []bgp.Change[R]
	for k, stale := range a.routes {
		if stale {
			delete(a.routes, k)
			c := bgp.Change[R]{Peer: a.peer, Kind: bgp.RouteWithdraw}
			*a.queue.key(&c.Route) = k
			gone = append(gone, c)
		}
	}
	a.queue.Push(gone...)
}

// say tells the consumer of the session, if that is to have the family.
func (a *AdjRIBIn[K, R]) say(c bgp.Change[R]) {
	if a.has {
		c.Peer = a.peer
		a.queue.Push(c)
	}
}
