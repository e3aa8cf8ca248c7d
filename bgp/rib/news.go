package rib

import (
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// item is what the consumer is to be told: of a destination, whose state when it is told
// counts, or of a session.
type item struct {
	d   *destination
	was *path // that the consumer knows of it; nil for none
	say *bgp.Event
}

// done reports whether there is nothing to be said any more: of a session that is over,
// or of an NLRI that came and went unheard.
func (i *item) done() bool {
	if i.d == nil {
		return i.say.Kind == 0
	}
	return i.d.paths == nil && i.was == nil
}

// push adds an item. When as many wait again as since the last time, those that are done
// are thrown away.
func (t *Table) push(i item) {
	t.pending = append(t.pending, i)
	if len(t.pending) < t.compactAt {
		return
	}
	t.pending = slices.DeleteFunc(t.pending, func(i item) bool {
		done := i.done()
		if done && i.d != nil {
			t.index.remove(i.d)
		}
		return done
	})
	t.compactAt = max(compactFloor, 2*len(t.pending))
}

// news has the consumer told of a destination, of which it knows a path. It keeps its
// place when more changes, so that it does not move behind an End-of-RIB.
func (t *Table) news(d *destination, was *path) {
	if !d.queued {
		d.queued = true
		t.push(item{d: d, was: was})
	}
}

// say tells the consumer of a peer's session. The end of one takes the place of all that
// was not told of it.
func (p *Peer) say(kind bgp.Kind, graceful bool) {
	if kind == bgp.PeerDown {
		for _, e := range p.said {
			e.Kind = 0
		}
		clear(p.said)
		p.said = p.said[:0]
	}
	e := &bgp.Event{Peer: p.address, Kind: kind, Graceful: graceful}
	p.said = append(p.said, e)
	p.table.push(item{say: e})
}

// next gives the next events, and whether there may be more.
func (t *Table) next() (events []bgp.Event, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.pending), maxBatch)
	events = make([]bgp.Event, 0, n)
	for i := range t.pending[:n] {
		if it := &t.pending[i]; it.d != nil {
			events = t.tell(events, it.d, it.was)
		} else if !it.done() {
			events = append(events, *it.say)
		}
	}
	clear(t.pending[:n])
	if t.pending = t.pending[n:]; len(t.pending) == 0 {
		t.pending, t.compactAt = nil, compactFloor // it may have been long
		return events, false
	}
	return events, true
}

// tell adds what is to be said of a destination to one who knows a path of it.
func (t *Table) tell(events []bgp.Event, d *destination, was *path) []bgp.Event {
	d.queued = false
	now := d.paths
	if now == nil {
		t.index.remove(d)
		if was == nil {
			return events
		}
		return append(events, bgp.Event{Peer: was.peer.address, Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: d.key}})
	}
	if now == was {
		return events
	}
	r := now.route(&d.key)
	if was != nil && was.peer == now.peer && was.route(&d.key) == r {
		return events
	}
	return append(events, bgp.Event{Peer: now.peer.address, Kind: bgp.RouteUpdate, Route: r})
}
