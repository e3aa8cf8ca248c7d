package controller

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/p4"
)

// BenchmarkRoutes times type-2 routes as events of the speaker to acknowledged
// entries on the test target, which takes most of the time itself: `make bench`
// has the figures with the embedded switch. B/route is what they leave in
// memory of controller and target together.
func BenchmarkRoutes(b *testing.B) {
	const routes, batch = 100_000, 256
	for range b.N {
		g := start(b, options{target: p4rttest.Config{MayFail: true, Check: nil}})
		bridge := g.bridge(10, 100)
		g.settle()
		before := heapSize()
		b.StartTimer()
		for i := 0; i < routes; i += batch {
			events := make([]bgp.Event, 0, batch)
			for j := i; j < min(i+batch, routes); j++ {
				events = append(events, update(peer1, macRoute(leaf1, 100, mac(j))))
			}
			g.send(events...)
		}
		g.settle()
		b.StopTimer()
		b.ReportMetric(float64(heapSize()-before)/routes, "B/route")
		g.peek(func(l *loop) {
			if n := len(l.bridges[bridge].macs); n != routes {
				b.Fatalf("%d MACs", n)
			}
		})
	}
}

func heapSize() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// newHastyLoop is a loop with a target that does everything at once, and with time
// that goes by fast, so that nothing gathers. The target was read.
func newHastyLoop(b testing.TB) *loop { return newHastyLoopTo(b, hastyTarget{}) }

func newHastyLoopTo(b testing.TB, t Target) *loop {
	cfg := testConfig().withDefaults()
	cfg.Clock = &hastyClock{}
	in := Inputs{Speaker: controllertest.NewSpeaker(), Underlay: newUnderlay(), Target: t}
	l := newLoop(cfg, in, p4.P4Info(), tables(), newStats())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { l.target.Run(ctx) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	l.target.Up(p4rt.Up{})
	l.write()
	return l
}

// finish has all that is marked written, and what follows from that.
func (l *loop) finish() {
	for l.flush(); !l.target.Settled() || len(l.nextHops.dirty) > 0; l.flush() {
		select {
		case r := <-l.target.Results():
			l.target.Take(r)
		case <-time.After(time.Millisecond): // what was computed marked something else
		}
	}
}

// write has what is marked written.
func (l *loop) write() {
	l.flush()
	l.target.Take(<-l.target.Results())
}

type hastyTarget struct{ Target }

func (hastyTarget) Write(_ context.Context, u []p4rt.Update) ([]error, error) {
	return make([]error, len(u)), nil
}

func (hastyTarget) Read(context.Context, []*p4v1.Entity, func(*p4v1.Entity) error) error { return nil }

type hastyClock struct {
	Clock
	now time.Time
}

func (c *hastyClock) Now() time.Time {
	c.now = c.now.Add(time.Second)
	return c.now
}

// BenchmarkLoop times what the loop itself does for a type-2 route, from the event
// to the change for the writer and its acknowledgement.
func BenchmarkLoop(b *testing.B) {
	l := newHastyLoop(b)
	l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	l.write()
	l.underlayChanged(underlay.Change{VTEP: leaf1, Paths: []underlay.Path{path1}})
	events := make([]bgp.Event, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		events[0] = update(peer1, macRoute(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 100, mac(i%1_000_000)))
		l.bgpChanged(events)
		l.write()
	}
	if b.N > 1 && l.target.Len() == 0 {
		b.Fatal("nothing was acknowledged")
	}
}

// BenchmarkWithdrawal times what the loop does when a peer takes many type-2 routes back,
// from the events to the last acknowledgement.
func BenchmarkWithdrawal(b *testing.B) {
	const routes, batch = 300_000, 256
	l := newHastyLoop(b)
	l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	l.write()
	l.underlayChanged(underlay.Change{VTEP: leaf1, Paths: []underlay.Path{path1}})
	pass := func(event func(i int) bgp.Event) {
		for i := 0; i < routes; i += batch {
			events := make([]bgp.Event, 0, batch)
			for j := i; j < min(i+batch, routes); j++ {
				events = append(events, event(j))
			}
			l.bgpChanged(events)
			l.finish()
		}
	}
	b.ReportAllocs()
	b.StopTimer()
	l.finish()
	before := l.target.Counts()["bridge.fdb"]
	for range b.N {
		pass(func(i int) bgp.Event { return update(peer1, macRoute(leaf1, 100, mac(i))) })
		b.StartTimer()
		pass(func(i int) bgp.Event { return withdraw(peer1, macRoute(leaf1, 100, mac(i))) })
		b.StopTimer()
		if n := l.target.Counts()["bridge.fdb"]; n != before {
			b.Fatalf("%d entries are left, %d were there before", n, before)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/routes, "ns/route")
}
