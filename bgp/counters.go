package bgp

import "sync/atomic"

// counters are what Stats is of.
type counters struct {
	updates, withdrawals atomic.Uint64
	dropped              [Reasons]atomic.Uint64
}

func (c *counters) snapshot() Stats {
	s := Stats{Updates: c.updates.Load(), Withdrawals: c.withdrawals.Load(), Dropped: make(map[Reason]uint64)}
	for r := range c.dropped {
		if n := c.dropped[r].Load(); n > 0 {
			s.Dropped[Reason(r)] = n
		}
	}
	return s
}
