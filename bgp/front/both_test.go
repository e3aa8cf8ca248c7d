//go:build !race

// Two GoBGPs in one process share variables, which the race detector sees.

package front

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestTwoSpeakersThatDialAtTheSameTimeAreUpWithinSecondsAlways(t *testing.T) {
	const (
		sessions = 10 // at the same time, which spreads the steps of each
		rounds   = 20
		within   = 3 * time.Second
	)
	l := newLab(t)
	var sides [2]*view
	var neighbors [2][]bgp.Neighbor
	for side := range sides {
		s := l.config()
		s.AS, s.RouterID, s.ListenAddresses = uint32(65000+side), netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + side)}), nil
		for i := range byte(sessions) {
			ends := [2]netip.Addr{l.addr(1 + i), l.addr(101 + i)}
			s.ListenAddresses = append(s.ListenAddresses, ends[side])
			neighbors[side] = append(neighbors[side], bgp.Neighbor{
				Address: ends[1-side], AS: uint32(65001 - side), LocalAddress: ends[side], Port: l.port,
			})
		}
		sides[side] = run(t, s)
		sides[side].await(nobody, "converged", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) > 0 })
	}
	both := func(do func(side int)) {
		var doing sync.WaitGroup
		for side := range sides {
			doing.Go(func() { do(side) })
		}
		doing.Wait()
	}
	for round := range rounds {
		start := time.Now()
		both(func(side int) {
			if err := sides[side].SetNeighbors(t.Context(), neighbors[side]); err != nil {
				t.Error(err)
			}
		})
		for side, v := range sides {
			for _, n := range neighbors[side] {
				v.awaitLast(n.Address, "peer up")
			}
		}
		if took := time.Since(start); took > within {
			t.Errorf("round %d: the last was up after %v, want %v", round, took, within)
		}
		both(func(side int) {
			if err := sides[side].SetNeighbors(t.Context(), nil); err != nil {
				t.Error(err)
			}
			for _, n := range neighbors[side] {
				sides[side].forget(n.Address)
			}
		})
	}
}
