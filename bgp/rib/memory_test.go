package rib

import (
	"flag"
	"net/netip"
	"runtime"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// A quarter of a million fills the index as a million does, least.
var many = flag.Int("routes", 250_000, "how many routes the test of a path's memory gives to a table")

// heap is how much memory is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what was interned goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryOfAPathIsSmallAndComesBackWhenItsPeerGoes(t *testing.T) {
	const aim = 170 // bytes a path, of one peer
	routes := *many
	table, stays := takes(0, 1000)
	empty := heap()
	p := table.Peer(spine2, 0)
	p.Up(spine2, false)
	for first := 0; first < routes; first += 100_000 {
		give(p, 1000+first, min(100_000, routes-first))
		discard(table)
	}
	full := heap()
	each := float64(full-empty) / float64(routes)
	t.Logf("%d paths of one peer: %.1f bytes each", routes, each)
	if each > 1.1*aim {
		t.Errorf("%.1f bytes a path, want %d", each, aim)
	}
	p.Down(false)
	drain(table)
	if left := heap() - empty; left > (full-empty)/20 {
		t.Errorf("%d bytes are left of %d", left, full-empty)
	}
	if stays.Len() != 1000 || table.len() != 1000 {
		t.Errorf("%d routes of the other peer, %d destinations", stays.Len(), table.len())
	}
	runtime.KeepAlive(p)
}

func TestMemoryComesBackWhenAPeerWithdraws(t *testing.T) {
	const routes = 20_000
	table, p := takes(0, 0)
	empty := heap()
	give(p, 0, routes)
	drain(table)
	full := heap()
	for i := range routes {
		p.Take(&Batch{Unreach: []bgp.Key{key(i)}})
	}
	drain(table)
	if left := heap() - empty; left > (full-empty)/20 {
		t.Errorf("%d bytes are left of %d", left, full-empty)
	}
	runtime.KeepAlive(table)
}

func TestARouteThatIsKnownAndEqualCostsNoMemory(t *testing.T) {
	table := NewTable()
	p := table.Peer(spine1, 0)
	p.Up(spine1, false)
	same := [2]*bgp.Attributes{attributes(), attributes()} // decoded twice
	b := Batch{}
	for i := range 16 {
		n := nlri(i)
		if i%2 == 0 {
			n.IP, n.Label2, n.ESI = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 5000, bgp.ESI{1, 2, 3}
		}
		b.Reach = append(b.Reach, n)
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		i++
		b.Attributes = same[i%2]
		p.Take(&b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.Len() != 16 {
		t.Errorf("%d routes", p.Len())
	}
	drain(table)
}

// discard is a consumer that wants nothing.
func discard(t *Table) {
	for more := true; more; {
		_, more = t.next(nil)
	}
}

// BenchmarkTake has a peer send routes, 16 in an UPDATE, that are new, known and equal, or
// changed, and drains what the consumer is told.
func BenchmarkTake(b *testing.B) {
	const routes = 100_000
	run := func(name string, peers int, do func(i int, p *Peer)) {
		b.Run(name, func(b *testing.B) {
			i := 0
			table := NewTable()
			for range peers {
				p := table.Peer(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 0)
				p.Up(routerID(uint32(i)), false)
				give(p, 0, routes)
			}
			discard(table)
			p := table.Peer(leaf, 0)
			p.Up(leaf, false)
			for b.Loop() {
				do(i, p)
				discard(table)
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i*routes), "ns/route")
		})
	}
	fresh := func(i int, p *Peer) {
		p.Down(false)
		p.Up(leaf, false)
		give(p, 0, routes)
	}
	run("new", 0, fresh)
	run("new beside another peer's", 1, fresh)
	run("equal", 0, func(_ int, p *Peer) { give(p, 0, routes) })
	run("changed", 0, func(i int, p *Peer) { give(p, 0, routes, func(a *bgp.Attributes) { a.Sequence = uint32(i) }) })
}
