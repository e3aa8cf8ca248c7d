package gobgp

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

// queue holds changes of routes R, which have a key K, between GoBGP's watcher,
// which must not be blocked because GoBGP would then queue whole messages without
// bound, and a consumer that may be slow. What waits is bounded by the number of
// distinct keys: when it has doubled since the last time, superseded changes are
// thrown away by compact.
type queue[K comparable, R any] struct {
	key       func(*R) *K // where a route has its key
	out       chan []bgp.Change[R]
	mu        sync.Mutex
	pending   []bgp.Change[R]
	compactAt int
	converged bool // was said
	wake      chan struct{}
}

func newQueue[K comparable, R any](key func(*R) *K) *queue[K, R] {
	return &queue[K, R]{
		key: key, out: make(chan []bgp.Change[R], 4), compactAt: compactFloor, wake: make(chan struct{}, 1),
	}
}

func evpnKey(r *bgp.Route) *bgp.Key { return &r.Key }

func unicastKey(r *bgp.UnicastRoute) *netip.Prefix { return &r.Prefix }

// push never blocks. It copies changes.
func (q *queue[K, R]) push(changes ...bgp.Change[R]) {
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

// converge says Converged, unless it was said.
func (q *queue[K, R]) converge() {
	q.mu.Lock()
	said := q.converged
	q.converged = true
	q.mu.Unlock()
	if !said {
		q.push(bgp.Change[R]{Kind: bgp.Converged})
	}
}

func (q *queue[K, R]) take() []bgp.Change[R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	changes := q.pending
	q.pending = nil
	q.compactAt = compactFloor
	return changes
}

// run hands the changes over in batches until ctx ends.
func (q *queue[K, R]) run(ctx context.Context) {
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
