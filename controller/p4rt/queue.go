package p4rt

import (
	"context"
	"slices"
	"sync"
)

// queue hands events on in order, from a session that must not wait to a reader
// that may take its time.
type queue struct {
	out     chan Event
	limit   int // of each kind that may be dropped
	metrics *metrics

	mu      sync.Mutex
	waiting []Event
	kinds   map[string]int // how many of each kind wait
	up      Up             // what the Ups said that have not been taken
	wake    chan struct{}
}

func newQueue(limit int, m *metrics) *queue {
	return &queue{out: make(chan Event), limit: limit, metrics: m, kinds: map[string]int{}, wake: make(chan struct{}, 1)}
}

// kind names the events that may be dropped, as metrics name them.
func kind(e Event) string {
	switch e.(type) {
	case Digest:
		return "digest"
	case PacketIn:
		return "packet_in"
	case Idle:
		return "idle"
	case PortStates:
		return "ports"
	}
	return "state"
}

// offer queues an event that may be dropped, and drops it when too many wait.
func (q *queue) offer(e Event) {
	k := kind(e)
	q.metrics.received.WithLabelValues(k).Inc()
	q.mu.Lock()
	full := q.kinds[k] >= q.limit
	if !full {
		q.append(e)
	}
	q.mu.Unlock()
	if full {
		q.metrics.dropped.WithLabelValues(k).Inc()
	}
}

// state queues a state. Of the states that wait, at most one Down or NotPrimary
// and one Up after it are kept. What before does has been done for whoever takes it.
func (q *queue) state(e Event, before func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if before != nil {
		before()
	}
	up, isUp := e.(Up)
	if isUp {
		q.up = Up{Pushed: q.up.Pushed || up.Pushed, Emptied: q.up.Emptied || up.Emptied}
		e = q.up
	}
	kept := q.waiting[:0]
	for _, w := range q.waiting {
		_, wasUp := w.(Up)
		if kind(w) == "state" && (wasUp || !isUp) {
			q.kinds["state"]--
			continue
		}
		kept = append(kept, w)
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	q.append(e)
}

// ports queues the states of ports in place of those that wait.
func (q *queue) ports(e PortStates) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w Event) bool { return kind(w) == kind(e) })
	q.kinds[kind(e)] = 0
	q.append(e)
}

// append needs q.mu.
func (q *queue) append(e Event) {
	q.kinds[kind(e)]++
	q.waiting = append(q.waiting, e)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, false
	}
	e := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	q.kinds[kind(e)]--
	if _, ok := e.(Up); ok {
		q.up = Up{}
	}
	return e, true
}

// run delivers until ctx ends, and acknowledges each digest list once it has
// been received.
func (q *queue) run(ctx context.Context) {
	defer close(q.out)
	for {
		e, ok := q.take()
		if !ok {
			select {
			case <-q.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case q.out <- e:
			if d, ok := e.(Digest); ok && d.from != nil {
				d.from.acknowledge(d)
			}
		case <-ctx.Done():
			return
		}
	}
}

// length is how many events wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
