package front

import (
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
	"github.com/p4evpn/p4evpn/internal/events"
)

// excess is what becomes of a neighbour that sends more routes of a family than it may:
// its session ends, and it is let be for a time that grows while it does that again.
type excess struct {
	limit uint32
	until time.Time // no session before that
	wait  time.Duration
}

// held reports whether the neighbour is let be.
func (x *excess) held() bool { return time.Now().Before(x.until) }

// hold lets the neighbour be, whose session has lasted for a while.
func (x *excess) hold(t timing, lasted time.Duration) {
	if lasted > t.limitMost {
		x.wait = 0
	}
	x.wait = min(max(2*x.wait, t.limitRetry), t.limitMost)
	x.until = time.Now().Add(x.wait)
}

// ending is that of a session with too many routes of a family (RFC 4486 section 4). None
// of them are kept.
func (x *excess) ending(f bgp.Family) *ending {
	e := ended(wire.TooManyPrefixes(f, x.limit))
	e.hard, e.excess = true, true
	return e
}

// The part of the limit at which there is a warning.
const warnPercent = 80

// warn says once a session that a family comes near the limit.
func (s *session) warn(count func() int, f bgp.Family) {
	if s.warned {
		return
	}
	limit := uint64(s.n.excess.limit) * warnPercent / 100
	if n := uint64(count()); n >= max(1, limit) {
		s.warned = true
		s.n.log.Warn("a BGP neighbour has sent nearly as many routes as it may", events.Key, events.Limit, "family", f,
			"routes", n, "limit", s.n.excess.limit)
	}
}
