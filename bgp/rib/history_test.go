package rib

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// history plays random sessions of random peers, and knows without a table what they
// leave.
type history struct {
	rand     *rand.Rand
	table    *Table
	peers    []*player
	consumer consumer
}

// player is one peer of a history, with what it offers.
type player struct {
	*Peer
	up, kept bool
	offers   map[bgp.Key]offer
}

func newHistory(r *rand.Rand) *history {
	h := &history{rand: r, table: NewTable(), consumer: consumer{}}
	for i := range 2 + r.IntN(4) {
		p := h.table.Peer(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 0)
		h.peers = append(h.peers, &player{Peer: p, offers: map[bgp.Key]offer{}})
	}
	return h
}

// attributes are random ones of few, so that every step decides now and then.
func (h *history) attributes() *bgp.Attributes {
	few := func(n uint32) uint32 { return h.rand.Uint32N(n) }
	rarely := func() bool { return h.rand.IntN(8) == 0 }
	a := attributes()
	a.Preference = bgp.Preference{LocalPref: 100, NeighborAS: 1 + few(3), MED: few(3), PathLength: uint16(1 + few(2)),
		Internal: few(2) == 0}
	if rarely() {
		a.LocalPref, a.Origin = 200, uint8(few(3))
	}
	if a.Internal && rarely() {
		a.OriginatorID, a.ClusterLength = routerID(few(3)), uint16(few(3))
	}
	a.GracefulShutdown, a.LLGRStale, a.NoLLGR = rarely(), rarely(), rarely()
	a.Sequence = few(3)
	a.ESImport[5] = byte(few(2)) // what the consumer is not told
	return a
}

func routerID(n uint32) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 9, byte(n)}) }

func (h *history) step() {
	p := h.peers[h.rand.IntN(len(h.peers))]
	switch n := h.rand.IntN(100); {
	case !p.up && n < 60:
		h.sessionUp(p)
	case !p.up && p.kept && n < 80:
		h.longLived(p)
	case !p.up:
		p.Down(false)
		p.kept = false
		clear(p.offers)
	case n < 5:
		h.sessionDown(p, h.rand.IntN(3) > 0)
	case n < 12:
		if !p.Peer.ended { // others than the first mean nothing
			maps.DeleteFunc(p.offers, func(_ bgp.Key, o offer) bool { return o.stale })
		}
		p.EndOfRIB()
	default:
		h.update(p)
	}
}

func (h *history) sessionUp(p *player) {
	preserved, id := h.rand.IntN(3) > 0, routerID(h.rand.Uint32N(4))
	p.Up(id, preserved)
	p.up, p.kept = true, false
	for k, o := range p.offers {
		if o.routerID = id; preserved {
			p.offers[k] = o
		} else {
			delete(p.offers, k)
		}
	}
}

func (h *history) sessionDown(p *player, kept bool) {
	p.Down(kept)
	p.up, p.kept = false, kept
	for k, o := range p.offers {
		if o.stale && !o.longLived || !kept {
			delete(p.offers, k)
		} else {
			o.stale = true
			p.offers[k] = o
		}
	}
}

func (h *history) longLived(p *player) {
	p.LongLived()
	for k, o := range p.offers {
		switch {
		case !o.stale:
		case o.attributes.NoLLGR:
			delete(p.offers, k)
		default:
			o.longLived = true
			p.offers[k] = o
		}
	}
}

// update sends an UPDATE of some routes, some of them as they were, and some withdrawals.
func (h *history) update(p *player) {
	b := Batch{Attributes: h.attributes()}
	for range 1 + h.rand.IntN(3) {
		n := nlri(h.rand.IntN(6))
		if old, ok := p.offers[n.Key]; ok && h.rand.IntN(3) == 0 {
			same := *old.attributes // another pointer
			p.Take(&Batch{Attributes: &same, Reach: []bgp.NLRI{old.nlri}})
			old.stale, old.longLived = false, false
			p.offers[n.Key] = old
			continue
		}
		if h.rand.IntN(2) == 0 {
			b.Unreach = append(b.Unreach, n.Key)
			delete(p.offers, n.Key)
		}
	}
	for range h.rand.IntN(3) {
		n := nlri(h.rand.IntN(6))
		n.Label += h.rand.Uint32N(2)
		if h.rand.IntN(3) == 0 {
			n.ESI[9] = byte(h.rand.IntN(3))
		}
		b.Reach = append(b.Reach, n)
		p.offers[n.Key] = offer{peer: p.address, routerID: p.routerID, nlri: n, attributes: b.Attributes}
	}
	p.Take(&b)
}

// offers are all peers' offers by key.
func (h *history) offers() map[bgp.Key][]offer {
	all := map[bgp.Key][]offer{}
	for _, p := range h.peers {
		for k, o := range p.offers {
			all[k] = append(all[k], o)
		}
	}
	return all
}

// check holds what the consumer knows, and what Paths gives, against the oracle.
func (h *history) check(t *testing.T) {
	t.Helper()
	all := h.offers()
	winners := consumer{}
	steps := map[bgp.Key]map[netip.Addr]bgp.Step{}
	for k, offers := range all {
		winner, removed := oracle(offers)
		winners[k] = bgp.Event{Peer: winner.peer, Kind: bgp.RouteUpdate, Route: winner.route()}
		if steps[k] = removed; len(removed) > 0 {
			next, _ := oracle(slices.DeleteFunc(slices.Clone(offers), func(o offer) bool { return o.peer == winner.peer }))
			removed[winner.peer] = removed[next.peer]
		}
	}
	if !maps.Equal(h.consumer, winners) {
		t.Fatalf("the consumer has\n%+v\nwant\n%+v", h.consumer, winners)
	}
	rows := 0
	for path := range h.table.Paths() {
		rows++
		i := slices.IndexFunc(all[path.Key], func(o offer) bool { return o.peer == path.Peer })
		if i < 0 {
			t.Fatalf("%v has no %v", path.Peer, path.Key)
		}
		want := bgp.Path{Route: all[path.Key][i].route(), Peer: path.Peer, Best: winners[path.Key].Peer == path.Peer,
			Step: steps[path.Key][path.Peer], Stale: all[path.Key][i].stale}
		if path != want {
			t.Fatalf("shown %+v\nwant  %+v", path, want)
		}
	}
	n := 0
	for _, p := range h.peers {
		n += len(p.offers)
		if p.Len() != len(p.offers) {
			t.Fatalf("%v has %d routes, want %d", p.address, p.Len(), len(p.offers))
		}
	}
	if rows != n {
		t.Fatalf("%d rows, want %d", rows, n)
	}
}

// inAnotherOrder gives the winners among the offers as they are in the end, when they come
// in random order.
func (h *history) inAnotherOrder() consumer {
	table, got := NewTable(), consumer{}
	peers := map[netip.Addr]*Peer{}
	var offers []offer
	for _, some := range h.offers() {
		offers = append(offers, some...)
	}
	h.rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	for _, o := range offers {
		if peers[o.peer] == nil {
			peers[o.peer] = table.Peer(o.peer, 0)
			peers[o.peer].Up(o.routerID, false)
		}
		a := *o.attributes
		a.LLGRStale = o.leastPreferred() // here it cannot be said otherwise
		peers[o.peer].Take(&Batch{Attributes: &a, Reach: []bgp.NLRI{o.nlri}})
	}
	got.take(drain(table))
	return got
}
