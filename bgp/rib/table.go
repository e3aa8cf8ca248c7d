package rib

import (
	"context"
	"iter"
	"net/netip"
	"sync"
	"unique"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/internal/keyed"
)

// Table is the Adj-RIB-In of all peers for EVPN, with the decision between the paths of
// one NLRI. It is safe for concurrent use; the methods of one Peer that say what happened
// to its session are for one goroutine at a time.
type Table struct {
	out  chan []bgp.Event
	wake chan struct{}

	mu         sync.Mutex // guards what follows and all peers
	index      *keyed.Set[bgp.Key, destination]
	turns      []*line // those in which something waits for the consumer, the next first
	sweeps     uint32
	converged  bool
	before     int         // how many lines Converged comes after
	contenders []contender // of one decision
}

// NewTable makes an empty Table.
func NewTable() *Table {
	return &Table{
		out: make(chan []bgp.Event), wake: make(chan struct{}, 1),
		index: keyed.New(func(d *destination) bgp.Key { return d.key }),
	}
}

// Events gives the changes in batches: see bgp.Event. A batch is the receiver's until it
// receives the next one. What waits while nobody receives is bounded by the number of NLRIs
// and peers. It is closed when Run returns.
func (t *Table) Events() <-chan []bgp.Event { return t.out }

// Paths gives all paths of all peers, those of one NLRI together and the best of them
// first, in no other order. What changes meanwhile may be missed.
func (t *Table) Paths() iter.Seq[bgp.Path] {
	return func(yield func(bgp.Path) bool) {
		var some []bgp.Path
		for i := range keyed.Shards {
			some = t.explainShard(i, some[:0])
			for j := range some {
				if !yield(some[j]) {
					return
				}
			}
		}
	}
}

// PathsOf gives all paths of one NLRI, the best of them first.
func (t *Table) PathsOf(key bgp.Key) []bgp.Path {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.index.Find(key); d != nil {
		return explain(d, nil)
	}
	return nil
}

func (t *Table) explainShard(i int, into []bgp.Path) []bgp.Path {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d := range t.index.Shard(i) {
		into = explain(d, into)
	}
	return into
}

// Batch is what one UPDATE says of EVPN routes.
type Batch struct {
	Attributes *bgp.Attributes // of Reach; nothing changes them
	Reach      []bgp.NLRI
	Unreach    []bgp.Key // what Reach has too is reached (RFC 4271 section 4.3)
}

// Peer is one neighbour's Adj-RIB-In. It outlives the sessions.
type Peer struct {
	table   *Table
	address netip.Addr
	limit   uint32

	routerID netip.Addr
	list     []*destination // that it has a path of
	up       bool           // there is a session
	kept     bool           // there is none, and its routes are kept
	ended    bool           // End-of-RIB was received in this session
	awaited  bool           // it may have to send routes that it has had since before we began
	// round changes when a session goes down and the routes are kept: those of the
	// other one, of which there are stale, are stale.
	round bool
	stale int
	line  line // what the consumer is to be told because of it
	// said are the events of its sessions that may not have been told.
	said []*item
	// attributes are those of the UPDATE before, given as that pointer.
	given      *bgp.Attributes
	attributes unique.Handle[bgp.Attributes]
}

// Peer makes the part of a neighbour that has EVPN, of no more than limit routes; 0 is no
// limit.
func (t *Table) Peer(address netip.Addr, limit uint32) *Peer {
	return &Peer{table: t, address: address, limit: limit, awaited: true}
}

// Remove takes away all that a peer told, which is nobody's neighbour any more, as Down
// does.
func (t *Table) Remove(p *Peer) {
	p.Down(false)
	p.Waive()
}

// signal wakes Run.
func (t *Table) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Converge says Converged, unless it was said.
func (t *Table) Converge() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.converged {
		t.converged = true
		t.converge()
		t.signal()
	}
}

// Run hands the changes over until ctx ends. It may be called once.
func (t *Table) Run(ctx context.Context) {
	defer close(t.out)
	// Who receives one batch is done with the one before: two take turns.
	var batch, other []bgp.Event
	for {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			if batch, more = t.next(batch[:0]); len(batch) == 0 {
				continue
			}
			select {
			case t.out <- batch:
				batch, other = other, batch
			case <-ctx.Done():
				return
			}
		}
	}
}
