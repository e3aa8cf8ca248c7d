package front

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestRoutesThatComeAndGoLeaveNoMemoryBehind(t *testing.T) {
	const routes, rounds, perRoute = 4_000, 8, 100 // bytes; GoBGP's destination alone has 700
	l := newLab(t)
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() { _ = s.Run(ctx) })
	defer owned.Wait()
	defer cancel()
	load := bytes.Join(append(bgptest.MACUpdates(65002, leaf, 100, 0, routes, 16),
		bgptest.MACWithdrawals(leaf, 100, 0, routes, 16)...), nil)
	owned.Go(func() {
		for range s.Events() { // nobody waits
		}
	})
	peer := l.dial(2, 65002)
	sent := uint64(0)
	round := func() {
		must(t, peer, load)
		sent += routes
		for late := time.Now().Add(patience); s.Stats().Withdrawals < sent; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%d withdrawals, want %d", s.Stats().Withdrawals, sent)
			}
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	round()
	before := heap()
	for range rounds {
		round()
	}
	if grown := heap() - before; grown > rounds*routes*perRoute {
		t.Errorf("%d routes came and went %d times: %d bytes more, %d a route each time", routes, rounds, grown,
			grown/rounds/routes)
	}
}
