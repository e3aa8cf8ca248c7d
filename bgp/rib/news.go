package rib

import (
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// How much is handed over at once, of that how much of one peer before the next has its
// turn, and how much may wait of a peer before what is superseded is thrown away. What is
// handed over is what a change waits for that comes meanwhile: it is little.
const (
	maxEvents  = 256
	turn       = 32
	sweepFloor = 8192
)

// item is what the consumer is to be told: of a destination, whose state when it is told
// counts, or of a session. It is in the line of each peer that changed the destination;
// the first one that comes to it tells it.
type item struct {
	d        *destination // nil once it was told, and of a session
	was      *path        // that the consumer knows of it; nil for none
	of       *Peer        // in whose line it was put last; nil for Converged
	swept    uint32       // the sweep that saw it last
	kind     bgp.Kind     // of a session; 0 once that is over
	graceful bool
}

// done reports whether there is nothing to be said any more: of what was told, of a
// session that is over, or of an NLRI that came and went unheard.
func (i *item) done() bool {
	if i.d == nil {
		return i.kind == 0
	}
	return i.d.paths == nil && i.was == nil
}

// line is what waits for the consumer because of one peer, in the order of its sessions.
type line struct {
	items   []*item
	sweepAt int
	waits   bool // it is among those that take turns
}

// push adds an item to a line, which then takes its turn. When as many wait again as
// since the last time, those that are done are thrown away.
func (t *Table) push(l *line, i *item) {
	if !l.waits {
		l.waits, l.sweepAt = true, sweepFloor
		t.turns = append(t.turns, l)
	}
	l.items = append(l.items, i)
	if len(l.items) >= l.sweepAt {
		t.sweep(l)
	}
}

// sweep throws away what is done, and what is in a line twice but for its first place: so
// no more is left than the NLRIs that the peer changed.
func (t *Table) sweep(l *line) {
	t.sweeps++
	l.items = slices.DeleteFunc(l.items, func(i *item) bool {
		if i.done() {
			if i.d != nil {
				t.index.Remove(i.d)
				i.d.news, i.d = nil, nil
			}
			return true
		}
		again := i.swept == t.sweeps
		i.swept = t.sweeps
		return again
	})
	l.sweepAt = max(sweepFloor, 2*len(l.items))
}

// news has the consumer told of a destination that a peer changed, and of which it knows a
// path. It keeps its place when more changes, so that it does not move behind an
// End-of-RIB.
func (t *Table) news(p *Peer, d *destination, was *path) {
	switch {
	case d.news == nil:
		d.news = &item{d: d, was: was}
	case d.news.of == p:
		return
	}
	d.news.of = p
	t.push(&p.line, d.news)
}

// say tells the consumer of a peer's session. The end of one takes the place of all that
// was not told of it.
func (p *Peer) say(kind bgp.Kind, graceful bool) {
	if kind == bgp.PeerDown {
		for _, i := range p.said {
			i.kind = 0
		}
		clear(p.said)
		p.said = p.said[:0]
	}
	i := &item{of: p, kind: kind, graceful: graceful}
	p.said = append(p.said, i)
	p.table.push(&p.line, i)
}

// converge says Converged after all that waits: it stands at the end of each line, and in
// one of its own.
func (t *Table) converge() {
	i := &item{kind: bgp.Converged}
	t.push(&line{}, i)
	t.before = len(t.turns)
	for _, l := range t.turns[:t.before-1] {
		t.push(l, i)
	}
}

// next adds the next events to some, and says whether there may be more.
func (t *Table) next(events []bgp.Event) (_ []bgp.Event, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := 0
	for _, l := range t.turns {
		waiting += len(l.items)
	}
	left := min(waiting, maxEvents)
	events = slices.Grow(events, left)
	for left > 0 {
		l := t.turns[0]
		n := min(len(l.items), turn, left)
		for _, i := range l.items[:n] {
			events = t.tell(events, i)
		}
		left -= n
		clear(l.items[:n])
		t.turns[0], t.turns = nil, t.turns[1:]
		if l.items = l.items[n:]; len(l.items) > 0 {
			t.turns = append(t.turns, l)
		} else {
			l.items, l.waits = nil, false // it may have been long
		}
	}
	return events, len(t.turns) > 0
}

// tell adds what is to be said of an item.
func (t *Table) tell(events []bgp.Event, i *item) []bgp.Event {
	switch {
	case i.d != nil:
		d := i.d
		d.news, i.d = nil, nil
		return t.tellOf(events, d, i.was)
	case i.kind == bgp.Converged:
		if t.before--; t.before > 0 {
			return events
		}
		return append(events, bgp.Event{Kind: bgp.Converged})
	case i.kind != 0:
		return append(events, bgp.Event{Peer: i.of.address, Kind: i.kind, Graceful: i.graceful})
	}
	return events
}

// tellOf adds what is to be said of a destination to one who knows a path of it.
func (t *Table) tellOf(events []bgp.Event, d *destination, was *path) []bgp.Event {
	now := d.paths
	if now == nil {
		t.index.Remove(d)
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
