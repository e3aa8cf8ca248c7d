//go:build !race

// GoBGP 4.8.0's manager of outgoing connections reads what its state machine writes,
// which the race detector sees in one collision of some hundreds.

package gobgp

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestTwoSpeakersThatDialAtTheSameTimeAreUpWithinSeconds(t *testing.T) {
	const (
		sessions = 40 // at the same time, which is load enough to spread the steps of each
		within   = 20 * time.Second
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
	start := time.Now()
	var setting sync.WaitGroup
	for side, v := range sides {
		setting.Go(func() {
			if err := v.SetNeighbors(t.Context(), neighbors[side]); err != nil {
				t.Error(err)
			}
		})
	}
	setting.Wait()
	for side, v := range sides {
		for _, n := range neighbors[side] {
			v.awaitLast(n.Address, "peer up")
		}
	}
	if took := time.Since(start); took > within {
		t.Errorf("the last was up after %v, want %v", took, within)
	}
}
