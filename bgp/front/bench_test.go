package front

import (
	"bytes"
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

const benchRoutes = 100_000

// BenchmarkType2 takes 100,000 type-2 routes, 16 in an UPDATE, encoded
// beforehand, from a raw session: to the last event from the speaker, and to
// the last path that GoBGP alone hands to a watcher of the same kind.
func BenchmarkType2(b *testing.B) {
	load := bytes.Join(bgptest.MACUpdates(65002, leaf, 100, 0, benchRoutes, 16), nil)
	b.Run("speaker", func(b *testing.B) { benchmark(b, load, startSpeaker) })
	b.Run("gobgp", func(b *testing.B) { benchmark(b, load, startGoBGP) })
}

// benchmark gives the load to what start starts, which calls got for routes.
func benchmark(b *testing.B, load []byte, start func(b *testing.B, l *lab, got func(int)) (stop func())) {
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		var n atomic.Int64
		done := make(chan struct{})
		l := newLab(b)
		stop := start(b, l, func(more int) {
			if more > 0 && n.Add(int64(more)) == benchRoutes {
				close(done)
			}
		})
		s := l.dial(2, 65002)
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		must(b, s, load)
		<-done
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchRoutes, "B/route")
		s.Close()
		stop()
		b.StartTimer()
	}
}

func startSpeaker(b *testing.B, l *lab, got func(int)) func() {
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: discard})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() { _ = s.Run(ctx) })
	owned.Go(func() {
		for batch := range s.Events() {
			routes := 0
			for i := range batch {
				if batch[i].Kind == bgp.RouteUpdate {
					routes++
				}
			}
			got(routes)
		}
	})
	return func() { cancel(); owned.Wait() }
}

func startGoBGP(b *testing.B, l *lab, got func(int)) func() {
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() {
		r := bgptest.Reference{
			Listen: netip.AddrPortFrom(l.addr(1), l.port), AS: 65000,
			Neighbor: l.addr(2), NeighborAS: 65002, Got: got,
		}
		if err := r.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	return func() { cancel(); owned.Wait() }
}

// BenchmarkLatency is the time from one UPDATE on the wire to its event while
// nothing else happens.
func BenchmarkLatency(b *testing.B) {
	l := newLab(b)
	got := make(chan struct{}, 1)
	stop := startSpeaker(b, l, func(n int) {
		if n > 0 {
			got <- struct{}{}
		}
	})
	defer stop()
	s := l.dial(2, 65002)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		update := bgptest.Update(leafAttributes(bgptest.MACMobility(uint32(i), false)), leafMAC(1))
		start := time.Now()
		must(b, s, update)
		<-got
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
