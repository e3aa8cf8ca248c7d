package gobgp

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestRoutesThatComeAndGoLeaveNoMemoryBehind(t *testing.T) {
	const routes, rounds, perRoute = 4_000, 8, 100 // bytes; GoBGP's destination alone has 700
	l := newLab(t)
	s, err := New(l.config(l.raw(2, 65002)), discard)
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
	peer := l.dial(2, 65002)
	// The withdrawal of the last route ends a round.
	round := func() {
		must(t, peer, load)
		for batch := range s.Events() {
			for _, e := range batch {
				if e.Kind == bgp.RouteWithdraw && e.Route.Key.MAC == lastMAC(routes) {
					return
				}
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

func lastMAC(n int) (m [6]byte) {
	m[0] = 2
	binary.BigEndian.PutUint32(m[2:], uint32(n-1))
	return m
}
