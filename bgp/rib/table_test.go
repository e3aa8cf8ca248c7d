package rib

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestAConsumerOfEVPNIsToldWhatIsLeftOfAPeersRoutes(t *testing.T) {
	for name, steps := range restarts {
		t.Run(name, func(t *testing.T) {
			table := NewTable()
			p := table.Peer(leaf, 0)
			for _, s := range steps {
				verb, n, _ := strings.Cut(s.does, " ")
				one := func() int { return int(n[0] - '0') }
				switch verb {
				case "up":
					p.Up(leaf, false)
				case "up-preserved":
					p.Up(leaf, true)
				case "update", "repeat":
					p.Take(&Batch{Attributes: attributes(), Reach: []bgp.NLRI{nlri(one())}})
				case "withdraw":
					p.Take(&Batch{Unreach: []bgp.Key{key(one())}})
				case "end":
					p.EndOfRIB()
				case "down":
					p.Down(false)
				case "down-kept":
					p.Down(true)
				}
				name := func(r bgp.Route) string { return string('0' + r.Key.MAC[5]) }
				if got := texts(drain(table), name); got != s.told {
					t.Errorf("%s: told %q, want %q", s.does, got, s.told)
				}
			}
		})
	}
}

// takes is a table whose peer, which is up, has the first routes, of which the consumer
// knows.
func takes(limit uint32, routes int) (*Table, *Peer) {
	table := NewTable()
	p := table.Peer(spine1, limit)
	p.Up(spine1, false)
	give(p, 0, routes)
	drain(table)
	return table, p
}

// give has a peer send some routes, 16 in an UPDATE.
func give(p *Peer, first, n int, change ...func(*bgp.Attributes)) (over bool) {
	b := Batch{Attributes: attributes(change...)}
	for i := first; i < first+n; i++ {
		if b.Reach = append(b.Reach, nlri(i)); len(b.Reach) == 16 || i == first+n-1 {
			over = p.Take(&b) || over
			b.Reach = b.Reach[:0]
		}
	}
	return over
}

func TestAnEventComesOnlyWhenTheWinnerSaysSomethingElse(t *testing.T) {
	table, p1 := takes(0, 1)
	p2 := table.Peer(spine2, 0)
	p2.Up(spine2, false)
	drain(table)
	sequence := func(n uint32) func(*bgp.Attributes) { return func(a *bgp.Attributes) { a.Sequence = n } }
	worse := func(a *bgp.Attributes) { a.PathLength = 9 }
	for _, tc := range []struct {
		what string
		do   func()
		want string
	}{
		{"the same again", func() { give(p1, 0, 1) }, ""},
		{"attributes that a route does not have",
			func() { give(p1, 0, 1, func(a *bgp.Attributes) { a.ClusterLength = 3 }) }, ""},
		{"a path that loses", func() { give(p2, 0, 1, worse) }, ""},
		{"a change of it", func() { give(p2, 0, 1, worse, sequence(7)) }, ""},
		{"it goes", func() { p2.Take(&Batch{Unreach: []bgp.Key{key(0)}}) }, ""},
		{"a change of the winner", func() { give(p1, 0, 1, sequence(1)) }, "update by 192.0.2.1"},
		{"a change and back", func() { give(p1, 0, 1, sequence(2)); give(p1, 0, 1, sequence(1)) }, ""},
		{"a withdrawal and back", func() { p1.Take(&Batch{Unreach: []bgp.Key{key(0)}}); give(p1, 0, 1, sequence(1)) }, ""},
		{"the same by a better peer",
			func() {
				give(p2, 0, 1, sequence(1), func(a *bgp.Attributes) { a.OriginatorID = netip.MustParseAddr("1.1.1.1") })
			},
			"update by 192.0.2.2"},
		{"the winner goes", func() { p2.Take(&Batch{Unreach: []bgp.Key{key(0)}}) }, "update by 192.0.2.1"},
		{"the last goes", func() { p1.Take(&Batch{Unreach: []bgp.Key{key(0)}}) }, "withdraw by 192.0.2.1"},
		{"what is not there goes", func() { p1.Take(&Batch{Unreach: []bgp.Key{key(0)}}) }, ""},
		{"a route that comes and goes", func() { give(p1, 1, 1); p1.Take(&Batch{Unreach: []bgp.Key{key(1)}}) }, ""},
	} {
		tc.do()
		var got []string
		for _, e := range drain(table) {
			got = append(got, e.Kind.String()+" by "+e.Peer.String())
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: told %q, want %q", tc.what, got, tc.want)
		}
	}
	if n := table.len(); n != 0 {
		t.Errorf("%d destinations are left", n)
	}
}

// len counts the destinations.
func (t *Table) len() int { return t.index.Len() }

func TestWhatChangedBeforeAnEndOfRIBIsToldBeforeIt(t *testing.T) {
	table, p := takes(0, 0)
	give(p, 1, 1)
	p.EndOfRIB()
	give(p, 1, 1, func(a *bgp.Attributes) { a.Sequence = 2 })
	give(p, 2, 1)
	table.Converge()
	got := drain(table)
	if len(got) != 4 || got[0].Route.Sequence != 2 || got[1].Kind != bgp.EndOfRIB || got[2].Route.Key != key(2) ||
		got[3].Kind != bgp.Converged {
		t.Errorf("told %+v", got)
	}
}

func TestAConsumerThatIsAwayIsToldOnlyTheEndOfSessionsThatAreOver(t *testing.T) {
	table, p := takes(0, 2)
	for range 3 * sweepFloor {
		p.EndOfRIB()
		p.Down(true)
		p.Up(spine1, true)
		give(p, 0, 2)
	}
	if n := len(p.line.items); n > sweepFloor {
		t.Errorf("%d events wait", n)
	}
	if got, want := kinds(drain(table)), "peer down, peer up"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func kinds(events []bgp.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Kind.String())
	}
	return strings.Join(all, ", ")
}

func TestWhatWaitsIsBoundedByTheRoutesThereAre(t *testing.T) {
	const routes = 100
	table, p := takes(0, routes)
	for i := range 3 * sweepFloor {
		give(p, i%routes, 1, func(a *bgp.Attributes) { a.Sequence = uint32(i + 1) }) // always other ones
		give(p, routes+i, 1)                                                         // and one that is new
		p.Take(&Batch{Unreach: []bgp.Key{key(routes + i)}})
		if n := len(p.line.items); n > routes+sweepFloor {
			t.Fatalf("%d events wait for %d routes", n, routes)
		}
		if n := table.len(); n > routes+sweepFloor {
			t.Fatalf("%d destinations for %d routes", n, routes)
		}
	}
	if got := drain(table); len(got) != routes || table.len() != routes {
		t.Errorf("%d events and %d destinations of %d routes", len(got), table.len(), routes)
	}
}

func TestAPeerOverItsLimitIsSaidToBe(t *testing.T) {
	table, p := takes(20, 20)
	if give(p, 0, 20, func(a *bgp.Attributes) { a.Sequence = 1 }) {
		t.Error("over the limit with routes that it has")
	}
	if !give(p, 20, 1) || p.Len() != 20 {
		t.Errorf("%d routes of 20 allowed", p.Len())
	}
	p.Take(&Batch{Unreach: []bgp.Key{key(3)}})
	if give(p, 20, 1) {
		t.Error("over the limit after a withdrawal")
	}
	got := consumer{}
	if got.take(drain(table)); len(got) != 20 { // 19 that changed and a new one
		t.Errorf("told of %d routes", len(got))
	}
}

func TestLongLivedStaleRoutesAreLeastPreferredAndThoseThatDoNotWantItGo(t *testing.T) {
	table, p1 := takes(0, 3)
	p2 := table.Peer(spine2, 0)
	p2.Up(spine2, false)
	give(p1, 2, 1, func(a *bgp.Attributes) { a.NoLLGR = true })
	give(p2, 0, 1, func(a *bgp.Attributes) { a.LocalPref = 1 })
	got := consumer{}
	got.take(drain(table))
	p1.Down(true)
	got.take(drain(table))
	if got[key(0)].Peer == spine2 {
		t.Error("a route is no worse for being stale alone (RFC 4724)")
	}
	p1.LongLived()
	got.take(drain(table))
	if e := got[key(0)]; e.Peer != spine2 || e.Route.Preference.LocalPref != 1 {
		t.Errorf("beside a stale one: %+v", e) // RFC 9494 section 4.4
	}
	if e := got[key(1)]; e.Peer != spine1 || e.Route.Preference.LocalPref != 0 {
		t.Errorf("a stale one alone: %+v", e)
	}
	if e, ok := got[key(2)]; ok {
		t.Errorf("NO_LLGR: %+v", e) // RFC 9494 section 4.2
	}
	p1.Up(spine1, true)
	give(p1, 0, 2)
	got.take(drain(table))
	for n := range 2 {
		if e := got[key(n)]; e.Peer != spine1 || e.Route.Preference.LocalPref != 100 {
			t.Errorf("repeated: %+v", e)
		}
	}
	p1.EndOfRIB()
	p1.Down(true)
	p1.LongLived()
	p1.Up(spine1, true)
	give(p1, 0, 1)
	p1.Down(true) // before End-of-RIB
	got.take(drain(table))
	if e := got[key(0)]; e.Peer != spine1 {
		t.Errorf("stale once more: %+v", e)
	}
	if e := got[key(1)]; e.Peer != spine1 || e.Route.Preference.LocalPref != 0 {
		t.Errorf("still long-lived: %+v", e) // RFC 9494 section 4.2
	}
	p1.Down(false)
	got.take(drain(table))
	if len(got) != 1 || p1.Len() != 0 {
		t.Errorf("%+v after the long-lived stale time", got)
	}
}

func TestARemovedPeerLeavesNothing(t *testing.T) {
	table, p := takes(0, 100)
	table.Remove(p)
	give(p, 0, 10) // of a session that is over
	if got := drain(table); len(got) != 101 || got[100].Kind != bgp.PeerDown || table.len() != 0 || p.Awaited() {
		t.Errorf("%d events, %d routes", len(got), table.len())
	}
}

func TestPeersConsumerAndReadersDoNotWaitForEachOther(t *testing.T) {
	table := NewTable()
	ctx, cancel := context.WithCancel(t.Context())
	var owned, sessions sync.WaitGroup
	owned.Go(func() { table.Run(ctx) })
	got, converged := consumer{}, make(chan struct{})
	owned.Go(func() {
		for batch := range table.Events() {
			if len(batch) == 0 || len(batch) > maxEvents {
				t.Errorf("a batch of %d", len(batch))
			}
			got.take(batch)
			if batch[len(batch)-1].Kind == bgp.Converged { // the last thing that is said
				close(converged)
			}
		}
	})
	const routes = 3000
	for i := range 4 {
		sessions.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			p := table.Peer(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 0)
			for range 20 {
				p.Up(routerID(uint32(i)), true)
				for range 20 {
					first := r.IntN(routes)
					give(p, first, 100, func(a *bgp.Attributes) { a.PathLength = uint16(r.IntN(3)) })
					p.Take(&Batch{Unreach: []bgp.Key{key(first)}})
				}
				p.EndOfRIB()
				p.Down(r.IntN(2) == 0)
				p.LongLived()
			}
		})
	}
	for range 20 {
		for path := range table.Paths() {
			if !path.Peer.IsValid() {
				t.Error("a path of nobody")
			}
		}
	}
	sessions.Wait()
	table.Converge()
	<-converged
	cancel()
	owned.Wait()
	want := consumer{}
	for path := range table.Paths() {
		if path.Best {
			want[path.Key] = bgp.Event{Peer: path.Peer, Kind: bgp.RouteUpdate, Route: path.Route}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the consumer has %d routes, there are %d", len(got), len(want))
	}
}

func TestBatchesAreBounded(t *testing.T) {
	table, p := takes(0, 0)
	give(p, 0, 3*maxEvents)
	var sizes []int
	for more := true; more; {
		var some []bgp.Event
		some, more = table.next(nil)
		sizes = append(sizes, len(some))
	}
	if slices.Max(sizes) > maxEvents {
		t.Errorf("batches of %v", sizes)
	}
}
