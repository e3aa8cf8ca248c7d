package gobgp

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// adjRIBIn is what one peer has in its Adj-RIB-In (RFC 4271 section 3.2) of one
// family, EVPN or unicast, as the consumer of such routes, R with a key K, is told
// it. The speaker's mutex guards it.
type adjRIBIn[K comparable, R any] struct {
	queue   *queue[K, R] // of the consumer
	peer    netip.Addr
	family  bgp.Family
	has     bool // the neighbour is to have the family
	ended   bool // its End-of-RIB was received in this session
	awaited bool // it may have to send routes that it has had since before Run
	// stale is kept of a peer that does graceful restart: each of its routes,
	// true since the session went down. GoBGP does not say which of them it
	// drops at the restarted peer's End-of-RIB.
	stale map[K]bool
}

func newAdjRIBIn[K comparable, R any](q *queue[K, R], n *bgp.Neighbor, f bgp.Family) adjRIBIn[K, R] {
	return adjRIBIn[K, R]{queue: q, peer: n.Address, family: f, has: n.Has(f), awaited: n.Has(f)}
}

// up begins a session, of a peer that has preserved its forwarding in some
// families.
func (a *adjRIBIn[K, R]) up(preserved []bgp.Family) {
	a.ended = false
	if len(preserved) > 0 && a.stale == nil {
		a.stale = make(map[K]bool)
	}
	a.say(bgp.Change[R]{Kind: bgp.PeerUp})
	if !slices.Contains(preserved, a.family) {
		a.drop() // RFC 4724 section 4.2
	}
}

// take takes updates and withdrawals of the session, and may change them.
func (a *adjRIBIn[K, R]) take(changes []bgp.Change[R]) {
	for i := range changes {
		c := &changes[i]
		c.Peer = a.peer
		switch key := *a.queue.key(&c.Route); {
		case a.stale == nil:
		case c.Kind == bgp.RouteUpdate:
			a.stale[key] = false
		default:
			delete(a.stale, key)
		}
	}
	a.queue.push(changes...)
}

// end takes the session's End-of-RIB. Others than the first mean nothing.
func (a *adjRIBIn[K, R]) end() {
	if a.ended {
		return
	}
	a.drop()
	a.say(bgp.Change[R]{Kind: bgp.EndOfRIB})
	a.ended, a.awaited = true, false
}

// down ends a session: its routes are kept, as stale, or go. It ends the time for
// which they were kept, too.
func (a *adjRIBIn[K, R]) down(kept bool) {
	for k := range a.stale {
		a.stale[k] = true
	}
	if !kept {
		a.drop()
	}
	a.say(bgp.Change[R]{Kind: bgp.PeerDown, Graceful: kept})
}

// waive waits for the peer's routes no more, and reports whether it did.
func (a *adjRIBIn[K, R]) waive() bool {
	awaited := a.awaited
	a.awaited = false
	return awaited
}

// drop withdraws the routes that are stale.
func (a *adjRIBIn[K, R]) drop() {
	var gone []bgp.Change[R]
	for k, stale := range a.stale {
		if stale {
			delete(a.stale, k)
			c := bgp.Change[R]{Peer: a.peer, Kind: bgp.RouteWithdraw}
			*a.queue.key(&c.Route) = k
			gone = append(gone, c)
		}
	}
	a.queue.push(gone...)
}

// say tells the consumer of the session, if that is to have the family.
func (a *adjRIBIn[K, R]) say(c bgp.Change[R]) {
	if a.has {
		c.Peer = a.peer
		a.queue.push(c)
	}
}
