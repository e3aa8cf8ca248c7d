package gobgp

import (
	"sync/atomic"

	"github.com/p4evpn/p4evpn/bgp"
)

// counters are what Stats is of.
type counters struct {
	updates, withdrawals atomic.Uint64
	dropped              [bgp.Reasons]atomic.Uint64
}

// count counts one path that a peer sent: what it was decoded to, or why it was not
// taken.
func (c *counters) count(kind bgp.Kind, reason bgp.Reason) {
	switch {
	case reason != bgp.Accepted:
		c.dropped[reason].Add(1)
	case kind == bgp.RouteUpdate:
		c.updates.Add(1)
	default:
		c.withdrawals.Add(1)
	}
}

func (c *counters) snapshot() bgp.Stats {
	s := bgp.Stats{Updates: c.updates.Load(), Withdrawals: c.withdrawals.Load(), Dropped: make(map[bgp.Reason]uint64)}
	for r := range c.dropped {
		if n := c.dropped[r].Load(); n > 0 {
			s.Dropped[bgp.Reason(r)] = n
		}
	}
	return s
}
