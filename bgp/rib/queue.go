package rib

import (
	"context"
	"net/netip"
	"sync"

	"github.com/p4evpn/p4evpn/bgp"
)

// How much is handed over at once, and how much may wait before what is
// superseded is thrown away.
const (
	maxBatch     = 2048
	compactFloor = 4 * maxBatch
)

// Queue holds changes of routes R, which have a key K, between sessions, which must not
// be blocked, and a consumer that may be slow. What waits is bounded by the number of
// distinct keys of each peer: when it has doubled since the last time, superseded changes
// are thrown away by compact. It is safe for concurrent use.
type Queue[K comparable, R any] struct {
	key       func(*R) *K // where a route has its key
	out       chan []bgp.Change[R]
	mu        sync.Mutex
	pending   []bgp.Change[R]
	compactAt int
	converged bool // was said
	wake      chan struct{}
}

// NewQueue makes a queue of routes that have their key where key says.
func NewQueue[K comparable, R any](key func(*R) *K) *Queue[K, R] {
	return &Queue[K, R]{
		key: key, out: make(chan []bgp.Change[R], 4), compactAt: compactFloor, wake: make(chan struct{}, 1),
	}
}

// UnicastKey is where a unicast route has its key.
func UnicastKey(r *bgp.UnicastRoute) *netip.Prefix { return &r.Prefix }

// Events gives the changes in batches, of which none is lost. It is closed when Run
// returns.
func (q *Queue[K, R]) Events() <-chan []bgp.Change[R] { return q.out }

// Push never blocks. It copies changes.
func (q *Queue[K, R]) Push(changes ...bgp.Change[R]) {
	if len(changes) == 0 {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, changes...)
	if len(q.pending) >= q.compactAt {
		q.pending = compact(q.pending, q.key)
		q.compactAt = max(compactFloor, 2*len(q.pending))
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Converge says Converged, unless it was said.
func (q *Queue[K, R]) Converge() {
	q.mu.Lock()
	said := q.converged
	q.converged = true
	q.mu.Unlock()
	if !said {
		q.Push(bgp.Change[R]{Kind: bgp.Converged})
	}
}

func (q *Queue[K, R]) take() []bgp.Change[R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	changes := q.pending
	q.pending = nil
	q.compactAt = compactFloor
	return changes
}

// Run hands the changes over in batches until ctx ends. It may be called once.
func (q *Queue[K, R]) Run(ctx context.Context) {
	defer close(q.out)
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		for changes := q.take(); len(changes) > 0; {
			n := min(len(changes), maxBatch)
			select {
			case q.out <- changes[:n:n]:
			case <-ctx.Done():
				return
			}
			changes = changes[n:]
		}
	}
}

// compact throws away, in place, what later changes supersede: of several
// changes of one key the last stays, in the place of the first, so that it
// does not move behind an End-of-RIB; and of a session that is over, whose
// routes were all withdrawn one by one, the withdrawals and its PeerDown stay.
func compact[K comparable, R any](changes []bgp.Change[R], key func(*R) *K) []bgp.Change[R] {
	type peerKey struct {
		peer netip.Addr
		key  K
		old  bool // of a session that is over
	}
	lastDown := make(map[netip.Addr]int)
	for i := range changes {
		if c := &changes[i]; c.Kind == bgp.PeerDown && !c.Graceful {
			lastDown[c.Peer] = i
		}
	}
	at := make(map[peerKey]int, len(changes)/2)
	out := changes[:0]
	for i := range changes {
		c := &changes[i]
		down, fell := lastDown[c.Peer]
		old := fell && i < down
		if c.Kind != bgp.RouteUpdate && c.Kind != bgp.RouteWithdraw {
			if !old {
				out = append(out, *c)
			}
			continue
		}
		if old && c.Kind == bgp.RouteUpdate {
			continue
		}
		k := peerKey{c.Peer, *key(&c.Route), old}
		if j, ok := at[k]; ok {
			out[j] = *c
			continue
		}
		at[k] = len(out)
		out = append(out, *c)
	}
	clear(changes[len(out):])
	return out
}
