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

// queue holds events between GoBGP's watcher, which must not be blocked
// because GoBGP would then queue whole messages without bound, and a consumer
// that may be slow. What waits is bounded by the number of distinct keys: when
// it has doubled since the last time, superseded events are thrown away by
// compact.
type queue[E any] struct {
	compact   func([]E) []E
	mu        sync.Mutex
	pending   []E
	compactAt int
	wake      chan struct{}
}

func newQueue[E any](compact func([]E) []E) *queue[E] {
	return &queue[E]{compact: compact, compactAt: compactFloor, wake: make(chan struct{}, 1)}
}

// push never blocks. It copies events.
func (q *queue[E]) push(events ...E) {
	if len(events) == 0 {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, events...)
	if len(q.pending) >= q.compactAt {
		q.pending = q.compact(q.pending)
		q.compactAt = max(compactFloor, 2*len(q.pending))
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue[E]) take() []E {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.pending
	q.pending = nil
	q.compactAt = compactFloor
	return events
}

// run hands the events over in batches until ctx ends.
func (q *queue[E]) run(ctx context.Context, out chan<- []E) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		for events := q.take(); len(events) > 0; {
			n := min(len(events), maxBatch)
			select {
			case out <- events[:n:n]:
			case <-ctx.Done():
				return
			}
			events = events[n:]
		}
	}
}

// subject is what compaction needs to know of an event.
type subject[K comparable] struct {
	peer     netip.Addr
	kind     bgp.Kind
	graceful bool
	key      K // of an update or a withdrawal
}

// compact throws away, in place, what later events supersede: of several
// changes of one key the last stays, in the place of the first, so that it
// does not move behind an End-of-RIB; and of a session that is over, whose
// routes were all withdrawn one by one, the withdrawals and its PeerDown stay.
func compact[E any, K comparable](events []E, of func(*E) subject[K]) []E {
	type peerKey struct {
		peer netip.Addr
		key  K
		old  bool // of a session that is over
	}
	lastDown := make(map[netip.Addr]int)
	for i := range events {
		if e := of(&events[i]); e.kind == bgp.PeerDown && !e.graceful {
			lastDown[e.peer] = i
		}
	}
	at := make(map[peerKey]int, len(events)/2)
	out := events[:0]
	for i := range events {
		e := of(&events[i])
		down, fell := lastDown[e.peer]
		old := fell && i < down
		if e.kind != bgp.RouteUpdate && e.kind != bgp.RouteWithdraw {
			if !old {
				out = append(out, events[i])
			}
			continue
		}
		if old && e.kind == bgp.RouteUpdate {
			continue
		}
		k := peerKey{e.peer, e.key, old}
		if j, ok := at[k]; ok {
			out[j] = events[i]
			continue
		}
		at[k] = len(out)
		out = append(out, events[i])
	}
	clear(events[len(out):])
	return out
}

func compactEvents(events []bgp.Event) []bgp.Event {
	return compact(events, func(e *bgp.Event) subject[bgp.Key] {
		return subject[bgp.Key]{e.Peer, e.Kind, e.Graceful, e.Route.Key}
	})
}

func compactUnicast(events []bgp.UnicastEvent) []bgp.UnicastEvent {
	return compact(events, func(e *bgp.UnicastEvent) subject[netip.Prefix] {
		return subject[netip.Prefix]{e.Peer, e.Kind, e.Graceful, e.Route.Prefix}
	})
}
