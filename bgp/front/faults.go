package front

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/internal/events"
)

// keptFaults is how many faults of a peer are kept, and logEvery how often one of a
// reason is logged.
const (
	keptFaults = 10
	logEvery   = time.Minute
)

// faults is what was wrong with what a peer sent.
type faults struct {
	counts [bgp.Reasons]uint64
	recent []bgp.Fault // the oldest first
	logged [bgp.Reasons]time.Time
}

// note counts faults, keeps the last ones, and logs those that are worth a line.
func (n *neighbor) note(list []bgp.Fault) {
	if len(list) == 0 {
		return
	}
	now := time.Now()
	var lines []bgp.Fault
	n.mu.Lock()
	for _, f := range list {
		f.Time = now
		n.s.counts.dropped[f.Reason].Add(uint64(f.Routes))
		n.faults.counts[f.Reason]++
		if n.faults.recent = append(n.faults.recent, f); len(n.faults.recent) > keptFaults {
			n.faults.recent = n.faults.recent[1:]
		}
		if last := &n.faults.logged[f.Reason]; now.Sub(*last) >= logEvery {
			*last = now
			lines = append(lines, f)
		}
	}
	n.mu.Unlock()
	for _, f := range lines {
		level := slog.LevelWarn
		if f.Reason == bgp.ASLoop || f.Reason == bgp.RouterLoop {
			level = slog.LevelDebug // spines and reflectors send routes also to whom they are of
		}
		n.log.Log(context.Background(), level, "a BGP neighbour sent what cannot be taken as it stands", events.Key,
			events.Fault, "reason", f.Reason, "what", f.What, "action", f.Action, "bytes", fmt.Sprintf("% x", f.Bytes))
	}
}

// snapshot gives the counts, of which those that never occurred are absent, and the last
// faults.
func (f *faults) snapshot() (map[bgp.Reason]uint64, []bgp.Fault) {
	var counts map[bgp.Reason]uint64
	for r, n := range f.counts {
		if n > 0 {
			if counts == nil {
				counts = make(map[bgp.Reason]uint64)
			}
			counts[bgp.Reason(r)] = n
		}
	}
	return counts, append([]bgp.Fault(nil), f.recent...)
}

// counters are what Stats is of, and what Drain waits for.
type counters struct {
	updates, withdrawals atomic.Uint64
	dropped              [bgp.Reasons]atomic.Uint64
	strangers            atomic.Uint64 // connections of nobody's address
	sent                 atomic.Uint64 // UPDATEs to peers
	sending              atomic.Int64  // sessions that are writing now
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
