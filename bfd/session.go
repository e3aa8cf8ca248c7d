package bfd

import (
	"math/rand/v2"
	"time"
)

// slow is the least interval at which a session sends that is not up (RFC 5880 section
// 6.8.3).
const slow = time.Second

// Session is the state of RFC 5880 section 6.8.1. It is changed by Receive, Expire, Set
// and Farewell, and says by Next when what is to be done.
type Session struct {
	timing Timing

	state, remoteState       State
	mine, yours              uint32 // discriminators
	diagnostic, remoteDiag   Diagnostic
	independent, demand      bool // the peer's C and D bits
	desiredMinTx             time.Duration
	requiredMinRx            time.Duration
	remoteMinRx, remoteMinTx time.Duration
	remoteMultiplier         uint8
	// usedTx and usedRx are the values before a change that the peer has not confirmed (RFC
	// 5880 section 6.8.3).
	usedTx, usedRx time.Duration
	polling        bool

	since    time.Time  // of the state
	lastDown Diagnostic // of the last time that it left Up or Init
	failures uint64
	heard    time.Time     // of the last packet; zero without one
	sent     time.Time     // the last packet, or the beginning
	wait     time.Duration // from then until the next periodic packet
	urgent   bool          // what was sent last is not true any more
	final    bool          // a poll of the peer's is to be answered
}

// NewSession makes a session that is down. The discriminator is ours, not 0 and nobody
// else's on this machine.
func NewSession(discriminator uint32, timing Timing, now time.Time) *Session {
	s := &Session{
		timing: timing, state: Down, remoteState: Down, mine: discriminator,
		desiredMinTx: max(slow, timing.Interval), usedTx: max(slow, timing.Interval),
		requiredMinRx: timing.Interval, usedRx: timing.Interval,
		remoteMinRx: time.Microsecond, // RFC 5880 section 6.8.1
		since:       now, sent: now, urgent: true,
	}
	s.reschedule()
	return s
}

// Receive takes a packet that is the session's (RFC 5880 section 6.8.6).
func (s *Session) Receive(p *Packet, now time.Time) {
	// A peer that has another discriminator begins anew, as FRR's does when bgpd tells it more
	// of the session: we hear it, so that the path was not lost.
	anew := s.yours != 0 && p.Mine != s.yours
	s.yours, s.remoteState, s.demand = p.Mine, p.State, p.Demand
	s.remoteDiag, s.independent = p.Diagnostic, p.Independent
	if p.RequiredMinRx != s.remoteMinRx {
		s.remoteMinRx = p.RequiredMinRx
		s.reschedule()
	}
	s.remoteMinTx, s.remoteMultiplier = p.DesiredMinTx, p.Multiplier
	if p.Final && s.polling {
		s.polling = false
		s.usedTx, s.usedRx = s.desiredMinTx, s.requiredMinRx
		s.reschedule()
	}
	if s.state == AdminDown {
		return
	}
	s.heard = now
	switch {
	case p.State == AdminDown:
		if s.state != Down {
			s.enter(Down, NeighborDown, now)
		}
	case s.state == Down && p.State == Down:
		s.enter(Init, s.diagnostic, now)
	case s.state == Down && p.State == Init, s.state == Init && p.State >= Init:
		s.enter(Up, NoDiagnostic, now)
	case s.state == Up && p.State == Down:
		// FRR 8.4 says, of a session that it takes away, as when bgpd has BFD switched off, that
		// we signaled it to be down: we are up. Should the path be lost all the same, BGP's hold
		// time says so.
		if !anew && p.Diagnostic != NeighborDown && p.Diagnostic != AdminDownDiag {
			s.failures++
		}
		s.enter(Down, NeighborDown, now)
	}
	s.final = s.final || p.Poll
}

// Expire ends the session if its detection time is over (RFC 5880 section 6.8.4), and
// reports whether it did.
func (s *Session) Expire(now time.Time) bool {
	if s.state < Init || now.Before(s.heard.Add(s.Detection())) {
		return false
	}
	if s.state == Up {
		s.failures++
	}
	s.yours = 0
	s.enter(Down, TimeExpired, now)
	return true
}

// Detection is after what time without a packet the path is taken for dead; 0 while the
// peer has not said how often it sends.
func (s *Session) Detection() time.Duration {
	return time.Duration(s.remoteMultiplier) * max(s.usedRx, s.remoteMinTx)
}

// Set changes the timing, by a poll sequence where the session is up.
func (s *Session) Set(t Timing) {
	if t == s.timing {
		return
	}
	s.timing = t
	s.urgent = true
	s.retime()
}

func (s *Session) enter(state State, why Diagnostic, now time.Time) {
	if state <= Down {
		s.lastDown = why
	}
	s.state, s.diagnostic, s.since, s.urgent = state, why, now, true
	s.retime()
}

// retime has the intervals be those of the state and the timing.
func (s *Session) retime() {
	tx := s.timing.Interval
	if s.state != Up {
		tx = max(tx, slow)
	}
	s.polling = s.polling || s.state == Up && (tx != s.desiredMinTx || s.timing.Interval != s.requiredMinRx)
	s.desiredMinTx, s.requiredMinRx = tx, s.timing.Interval
	if s.state != Up {
		s.polling = false
		s.usedTx, s.usedRx = tx, s.timing.Interval
	}
	// What makes us send more, or wait longer, needs no leave of the peer's.
	s.usedTx, s.usedRx = min(s.usedTx, tx), max(s.usedRx, s.timing.Interval)
	s.reschedule()
}

// reschedule draws anew when the next periodic packet is due: its interval less up to a
// quarter (RFC 5880 section 6.8.7).
func (s *Session) reschedule() {
	s.wait = jitter(s.transmission(), s.timing.Multiplier, rand.Float64())
}

// jitter takes 0 to 25 % off an interval, by a random number from 0 to 1. With a multiplier
// of 1 it is 10 to 25 %, so that the next packet comes before the first is missed.
func jitter(interval time.Duration, multiplier uint8, random float64) time.Duration {
	most, least := 1.0, 0.75
	if multiplier == 1 {
		most = 0.9
	}
	return time.Duration(float64(interval) * (most - random*(most-least)))
}

// transmission is the interval of periodic packets, before jitter.
func (s *Session) transmission() time.Duration { return max(s.usedTx, s.remoteMinRx) }

// periodic reports whether packets are sent from time to time at all (RFC 5880 section
// 6.8.7): not to a peer that asks for none, nor to one in demand mode that has no question.
func (s *Session) periodic() bool {
	resting := s.demand && s.state == Up && s.remoteState == Up && !s.polling
	return s.remoteMinRx > 0 && !resting
}

// Next is when there is something to do, to send or to expire; zero for never.
func (s *Session) Next() time.Time {
	var next time.Time
	if s.state >= Init {
		next = s.heard.Add(s.Detection())
	}
	if due, ok := s.due(); ok && (next.IsZero() || due.Before(next)) {
		next = due
	}
	return next
}

// least is how long after one packet the next may be sent because something changed: a
// peer that flaps has us send no faster. An answer to a poll does not wait.
const least = 10 * time.Millisecond

// due is when the next packet is to be sent, if any is.
func (s *Session) due() (time.Time, bool) {
	switch {
	case s.final:
		return s.sent, true
	case s.urgent && s.remoteMinRx > 0:
		return s.sent.Add(min(least, s.wait)), true
	case s.periodic():
		return s.sent.Add(s.wait), true
	}
	return time.Time{}, false
}

// Transmit gives the packet that is to be sent now, if one is.
func (s *Session) Transmit(now time.Time) (Packet, bool) {
	if due, ok := s.due(); !ok || now.Before(due) {
		return Packet{}, false
	}
	p := s.packet()
	s.urgent, s.final = false, false
	s.sent = now
	s.reschedule()
	return p, true
}

// Farewell takes the session down for good, and gives the packet that tells the peer so: it
// is no failure (RFC 5880 section 6.8.16).
func (s *Session) Farewell(now time.Time) Packet {
	if s.state != AdminDown {
		s.enter(AdminDown, AdminDownDiag, now)
	}
	return s.packet()
}

func (s *Session) packet() Packet {
	return Packet{
		State: s.state, Diagnostic: s.diagnostic, Poll: s.polling && !s.final, Final: s.final, Independent: true,
		Multiplier: s.timing.Multiplier, Mine: s.mine, Yours: s.yours,
		DesiredMinTx: s.desiredMinTx, RequiredMinRx: s.requiredMinRx,
	}
}
