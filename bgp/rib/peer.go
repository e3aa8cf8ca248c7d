package rib

import (
	"math"
	"net/netip"
	"unique"

	"github.com/p4evpn/p4evpn/bgp"
)

// Up begins a session with the BGP identifier of the peer, which has preserved its
// forwarding of EVPN, or not: then what is stale goes (RFC 4724 section 4.2, and RFC 9494
// section 4.2 after LongLived).
func (p *Peer) Up(routerID netip.Addr, preserved bool) {
	t := p.table
	t.mu.Lock()
	other := p.routerID != routerID
	p.up, p.kept, p.ended, p.routerID = true, false, false, routerID
	p.say(bgp.PeerUp, false)
	t.signal()
	t.mu.Unlock()
	if !preserved {
		p.dropStale(true)
	}
	if other {
		p.each(func(d *destination, _ *path) { t.settle(p, d, d.paths) })
	}
}

// Take takes what one UPDATE of the session says. It reports whether the peer has sent
// more than its limit: then the rest was not taken.
func (p *Peer) Take(b *Batch) (over bool) {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if !p.up {
		return false // a session that is over
	}
	defer t.signal()
	for i := range b.Unreach {
		if d := t.index.Find(b.Unreach[i]); d != nil {
			if a := d.of(p); a != nil {
				p.drop(d, a)
			}
		}
	}
	if len(b.Reach) == 0 || b.Attributes == nil {
		return false
	}
	if b.Attributes != p.given {
		p.given, p.attributes = b.Attributes, unique.Make(*b.Attributes)
	}
	for i := range b.Reach {
		if !p.update(&b.Reach[i]) {
			return true
		}
	}
	return false
}

// update takes a route, and reports whether the limit allows it.
func (p *Peer) update(n *bgp.NLRI) bool {
	t := p.table
	d := t.index.Find(n.Key)
	var old *path
	if d != nil {
		old = d.of(p)
	}
	a := makePath(p, n, p.attributes)
	if old != nil {
		if old.stale() {
			p.stale--
		}
		if old.says(&a) {
			old.round = p.round
		} else {
			p.replace(d, old, a)
		}
		return true
	}
	if p.limit != 0 && len(p.list) >= int(p.limit) || uint64(len(p.list)) >= math.MaxUint32 {
		return false
	}
	if d == nil {
		d = &destination{key: n.Key}
		t.index.Add(d)
	}
	was := d.paths
	a.at = uint32(len(p.list))
	p.list = append(p.list, d)
	d.add(stored(a))
	t.settle(p, d, was)
	return true
}

// replace puts another path of the peer in the place of one that it has.
func (p *Peer) replace(d *destination, old *path, a path) {
	was := d.paths
	a.at = old.at
	d.replace(old, stored(a))
	p.table.settle(p, d, was)
}

// stored is a path that is kept: only here it costs memory.
func stored(a path) *path { return &a }

// drop takes away a path of the peer.
func (p *Peer) drop(d *destination, a *path) {
	if a.stale() {
		p.stale--
	}
	end := len(p.list) - 1
	if moved := p.list[end]; moved != d {
		p.list[a.at] = moved
		moved.of(p).at = a.at
	}
	p.list[end] = nil
	p.list = p.list[:end]
	if c := cap(p.list); c > 1024 && end < c/4 {
		p.list = append(make([]*destination, 0, c/2), p.list...)
	}
	was := d.paths
	d.replace(a, nil)
	p.table.settle(p, d, was)
}

// handful is how many paths of a peer are gone through before others have their turn.
const handful = 1024

// each calls do for all destinations of the peer with its path, which do may take away or
// replace.
func (p *Peer) each(do func(*destination, *path)) {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.signal()
	for i := len(p.list); i > 0; i-- {
		if i%handful == 0 {
			t.signal()
			t.mu.Unlock()
			t.mu.Lock()
		}
		if i > len(p.list) {
			continue
		}
		d := p.list[i-1]
		do(d, d.of(p))
	}
}

// dropStale takes away what is stale, with or without what is so for longer.
func (p *Peer) dropStale(longLived bool) {
	p.table.mu.Lock()
	none := p.stale == 0
	p.table.mu.Unlock()
	if none {
		return
	}
	p.each(func(d *destination, a *path) {
		if a.stale() && (longLived || !a.longLived) {
			p.drop(d, a)
		}
	})
}

// EndOfRIB takes the session's End-of-RIB: what is stale goes (RFC 4724 section 4.2).
// Others than the first mean nothing.
func (p *Peer) EndOfRIB() {
	t := p.table
	t.mu.Lock()
	first := p.up && !p.ended
	t.mu.Unlock()
	if !first {
		return
	}
	p.dropStale(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	p.ended, p.awaited = true, false
	p.say(bgp.EndOfRIB, false)
	t.signal()
}

// Down ends a session: the routes are kept, as stale, or go. It ends the time for which
// they were kept, too. Those that are stale since an earlier session go in any case (RFC
// 4724 section 4.2), unless they are so for longer (RFC 9494 section 4.2). Without a session
// or routes that are kept it does nothing.
func (p *Peer) Down(kept bool) {
	t := p.table
	t.mu.Lock()
	nothing := !p.up && (kept || !p.kept)
	if !nothing {
		p.up, p.kept = false, kept
		p.given, p.attributes = nil, unique.Handle[bgp.Attributes]{}
	}
	t.mu.Unlock()
	if nothing {
		return
	}
	if kept {
		p.dropStale(false)
	} else {
		p.each(p.drop)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if kept {
		p.round, p.stale = !p.round, len(p.list)
	} else {
		p.list = nil
	}
	p.say(bgp.PeerDown, kept)
	t.signal()
}

// LongLived ends the restart time of a peer whose routes are kept for longer (RFC 9494
// section 4.2): they are least preferred from now on, and those that do not want that go.
// Those that the peer repeats in its next session are as any other.
func (p *Peer) LongLived() {
	p.each(func(d *destination, a *path) {
		switch {
		case !a.stale() || a.longLived:
		case a.attributes.Value().NoLLGR:
			p.drop(d, a)
		default:
			b := *a
			b.longLived = true
			p.replace(d, a, b)
		}
	})
}

// Len is how many routes the peer has here, stale ones too.
func (p *Peer) Len() int {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return len(p.list)
}

// Waiting is how much of what the peer changed the consumer is yet to be told.
func (p *Peer) Waiting() int {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return len(p.line.items)
}

// Ended reports whether this session's End-of-RIB was received.
func (p *Peer) Ended() bool {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return p.ended
}

// Awaited reports whether the peer may have to send routes that it has had since before
// we began.
func (p *Peer) Awaited() bool {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return p.awaited
}

// Waive waits for the peer's routes no more, and reports whether it did.
func (p *Peer) Waive() bool {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	awaited := p.awaited
	p.awaited = false
	return awaited
}
