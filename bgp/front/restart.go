package front

import (
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
	"github.com/p4evpn/p4evpn/internal/events"
)

// restart is what is known of a neighbour's graceful restart (RFC 4724), of which the
// peer's OPEN of each session says how it is.
type restart struct {
	families []bgp.Family // whose routes we keep while it is away
	// longLived is for how long those of EVPN are kept after the restart time (RFC 9494),
	// long that this time runs.
	longLived time.Duration
	long      bool
	away      bool // down, and its routes are kept; n.mu guards changes of it
	// timer ends the time for which routes are kept, or the wait for those of a peer that
	// sends no End-of-RIB.
	timer *time.Timer
}

func newRestart() restart { return restart{timer: stoppedTimer()} }

// silence is how long a peer that sends no End-of-RIB has been silent when it is
// taken to have sent all its routes.
const silence = 2 * time.Second

// graceful reports whether both sides do graceful restart.
func (s *session) graceful() bool {
	return s.ours.GracefulRestart != nil && s.open.GracefulRestart != nil
}

// notifies reports whether NOTIFICATIONs but hard resets leave routes in place (RFC 8538
// section 3): both sides have the N bit.
func (s *session) notifies() bool {
	return s.graceful() && s.ours.GracefulRestart.Notification && s.open.GracefulRestart.Notification
}

// up takes over a session that was established.
func (n *neighbor) up(s *session) {
	r := &n.restart
	r.timer.Stop()
	n.restarted = true
	preserved := n.preserved(s)
	wasAway := r.away
	r.families, r.longLived, r.long = nil, 0, false
	if s.graceful() {
		for _, f := range s.open.GracefulRestart.Families {
			if known := f.Known(); known != 0 && slices.Contains(s.families(&n.cfg), known) {
				r.families = append(r.families, known)
			}
		}
		for _, l := range s.open.LongLived {
			if l.Family == wire.EVPN && slices.Contains(r.families, bgp.EVPN) {
				r.longLived = time.Duration(l.Time) * time.Second
			}
		}
	}
	n.log.Info("BGP session up", events.Key, events.Session, "graceful_restart", s.graceful(), "returned", wasAway)
	if n.evpn != nil {
		n.evpn.Up(s.open.ID, slices.Contains(preserved, bgp.EVPN))
	}
	n.mu.Lock()
	r.away = false
	n.state.Up, n.state.Since, n.state.Graceful = true, time.Now(), s.graceful()
	n.state.RouterID = s.open.ID
	n.unicast.Up(slices.Contains(preserved, n.unicast.Family()))
	n.mu.Unlock()
	if !s.graceful() {
		r.timer.Reset(silence)
	}
}

// preserved are the families whose stale routes stay until End-of-RIB: those of which the
// peer says that it went on forwarding (RFC 4724 section 4.2, RFC 9494 section 4.2).
func (n *neighbor) preserved(s *session) (list []bgp.Family) {
	if !s.graceful() {
		return nil
	}
	for _, f := range s.open.GracefulRestart.Families {
		if known := f.Known(); known != 0 && f.Forwarding && !(n.restart.long && known == bgp.EVPN) {
			list = append(list, known)
		}
	}
	for _, l := range s.open.LongLived {
		if n.restart.long && l.Family == wire.EVPN && l.Forwarding {
			list = append(list, bgp.EVPN)
		}
	}
	return list
}

// down keeps the routes of a peer that may come back, or sees to it that all of them are
// withdrawn.
func (n *neighbor) down(s *session, e *ending) {
	r := &n.restart
	r.timer.Stop()
	away := !e.hard && s.graceful() && (e.graceful || s.notifies()) && len(r.families) > 0
	n.log.Info("BGP session down", events.Key, events.Session, "reason", e.reason, "graceful", away)
	if n.evpn != nil {
		kept := away && slices.Contains(r.families, bgp.EVPN)
		if !kept {
			n.s.counts.withdrawals.Add(uint64(n.evpn.Len()))
		}
		n.evpn.Down(kept)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r.away = away
	n.state.Up, n.state.Since, n.state.Graceful = false, time.Now(), away
	n.state.Flaps++
	n.state.LastDown = e.reason
	n.unicast.Down(away && slices.Contains(r.families, n.unicast.Family()))
	if away {
		r.timer.Reset(time.Duration(s.open.GracefulRestart.Time) * time.Second)
	}
	if e.excess {
		n.excess.hold(n.s.timing, time.Since(s.since))
	}
}

// restartOver is called when the restart timer ends.
func (n *neighbor) restartOver() {
	r := &n.restart
	switch {
	case n.session != nil: // it sends no End-of-RIB
		heard := time.Duration(n.session.heard.Load())
		if left := silence - (time.Since(n.session.since) - heard); left > 0 {
			r.timer.Reset(left)
			return
		}
		n.waive()
		n.s.checkConverged()
	case !r.away:
	case r.longLived > 0 && !r.long:
		n.log.Info("a BGP neighbour did not come back within its restart time, its EVPN routes are kept as a last resort",
			events.Key, events.Session,
			"for", r.longLived)
		r.long = true
		n.evpn.LongLived()
		n.mu.Lock()
		n.unicast.Down(false)
		n.mu.Unlock()
		r.timer.Reset(r.longLived)
	default:
		n.log.Info("a BGP neighbour did not come back within its restart time, its routes go", events.Key, events.Session)
		n.abandon()
	}
}

// abandon lets the routes go that are kept for a peer that is away.
func (n *neighbor) abandon() {
	r := &n.restart
	r.timer.Stop()
	if n.evpn != nil {
		n.s.counts.withdrawals.Add(uint64(n.evpn.Len()))
		n.evpn.Down(false)
	}
	n.mu.Lock()
	if !r.long {
		n.unicast.Down(false)
	}
	r.away, n.state.Graceful = false, false
	n.mu.Unlock()
	r.long = false
}

// endOfRIB takes an End-of-RIB of the session.
func (n *neighbor) endOfRIB(f bgp.Family) {
	if f == bgp.EVPN && n.evpn != nil {
		n.evpn.EndOfRIB()
	}
	n.mu.Lock()
	if f == n.unicast.Family() {
		n.unicast.EndOfRIB()
	}
	n.awaited = slices.DeleteFunc(n.awaited, func(a bgp.Family) bool { return a == f })
	n.mu.Unlock()
	n.s.checkConverged()
}

// waive waits for the peer's routes no more, and gives the families of which it did.
func (n *neighbor) waive() []bgp.Family {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.awaited
	n.awaited = nil
	return was
}

// converge says Converged to each consumer that was not told and has nothing to
// wait for; over ends the waiting.
func (s *Speaker) converge(over bool) {
	s.mu.Lock()
	neighbors := slices.Clone(s.neighbors)
	s.running = true
	s.mu.Unlock()
	if over {
		for _, n := range neighbors {
			for _, f := range n.waive() {
				n.log.Warn("a BGP neighbour has not sent its routes in time, going on without", "family", f)
			}
		}
	}
	s.checkConverged()
}

// checkConverged is called after what is waited for became less.
func (s *Speaker) checkConverged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return
	}
	evpn, unicast := true, true
	for _, n := range s.neighbors {
		n.mu.Lock()
		for _, f := range n.awaited {
			evpn, unicast = evpn && f != bgp.EVPN, unicast && f == bgp.EVPN
		}
		n.mu.Unlock()
	}
	if evpn {
		s.table.Converge()
	}
	if unicast {
		s.unicast.Converge()
	}
}
