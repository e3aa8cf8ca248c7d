package bgp

import (
	"context"
	"net/netip"
	"sync"
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
// it has doubled since the last time, superseded events are thrown away.
type queue struct {
	mu        sync.Mutex
	pending   []Event
	compactAt int
	wake      chan struct{}
}

func newQueue() *queue { return &queue{compactAt: compactFloor, wake: make(chan struct{}, 1)} }

// push never blocks. It copies events.
func (q *queue) push(events ...Event) {
	if len(events) == 0 {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, events...)
	if len(q.pending) >= q.compactAt {
		q.pending = compact(q.pending)
		q.compactAt = max(compactFloor, 2*len(q.pending))
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.pending
	q.pending = nil
	q.compactAt = compactFloor
	return events
}

// run hands the events over in batches until ctx ends.
func (q *queue) run(ctx context.Context, out chan<- []Event) {
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

// compact throws away, in place, what later events supersede: of several
// changes of one key the last stays, in the place of the first, so that it
// does not move behind an End-of-RIB; and of a session that is over, whose
// routes were all withdrawn one by one, the withdrawals and its PeerDown stay.
func compact(events []Event) []Event {
	type peerKey struct {
		peer netip.Addr
		key  Key
		old  bool // of a session that is over
	}
	lastDown := make(map[netip.Addr]int)
	for i := range events {
		if events[i].Kind == PeerDown && !events[i].Graceful {
			lastDown[events[i].Peer] = i
		}
	}
	at := make(map[peerKey]int, len(events)/2)
	out := events[:0]
	for i := range events {
		e := events[i]
		down, fell := lastDown[e.Peer]
		old := fell && i < down
		if e.Kind != RouteUpdate && e.Kind != RouteWithdraw {
			if !old {
				out = append(out, e)
			}
			continue
		}
		if old && e.Kind == RouteUpdate {
			continue
		}
		k := peerKey{e.Peer, e.Route.Key, old}
		if j, ok := at[k]; ok {
			out[j] = e
			continue
		}
		at[k] = len(out)
		out = append(out, e)
	}
	clear(events[len(out):])
	return out
}
