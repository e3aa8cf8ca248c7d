package liveness

import (
	"context"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
)

// session is one with a peer; run has it.
type session struct {
	e       *Endpoint
	peer    Peer // guarded by e.mu
	address netip.Addr
	minTTL  int
	heard   chan heard
	timing  chan bfd.Timing
	off     chan struct{} // closed when it is to say farewell
	gone    chan struct{} // closed when it is to end that
	out     sender

	// The goroutine's own.
	state   *bfd.Session
	told    bfd.Status
	excused bool
}

// heard is a packet, and when it was read.
type heard struct {
	packet bfd.Packet
	at     time.Time
}

// backlog is how many packets of a peer wait at most. One that sends as agreed has none
// waiting.
const backlog = 16

func newSession(e *Endpoint, p Peer, number uint32) *session {
	return &session{
		e: e, peer: p, address: p.Address, minTTL: p.minTTL(),
		heard: make(chan heard, backlog), timing: make(chan bfd.Timing, 1), off: make(chan struct{}),
		gone:  make(chan struct{}),
		out:   sender{local: p.Local, to: netip.AddrPortFrom(p.Address, reception{multihop: p.Hops > 1}.port())},
		state: bfd.NewSession(number, p.timing(), time.Now()),
	}
}

func (s *session) multihop() bool { return s.minTTL < 255 }

// set has run change the timing; e.mu is held, so that there is one who asks.
func (s *session) set(t bfd.Timing) {
	select {
	case <-s.timing: // which run has not taken
	default:
	}
	s.timing <- t
}

// hear has run take a packet.
func (s *session) hear(p bfd.Packet) bfd.Reason {
	select {
	case s.heard <- heard{p, time.Now()}:
		return bfd.Taken
	default:
		return bfd.Busy
	}
}

// run holds the session until ctx ends or it is switched off.
func (s *session) run(ctx context.Context) {
	defer s.out.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := s.state.Next()
		if due.IsZero() {
			due = time.Now().Add(time.Hour) // until something is heard
		}
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			if s.e.cfg.Farewell {
				s.say(s.state.Farewell(time.Now()))
			}
			return
		case <-s.off:
			s.farewell(ctx)
			return
		case t := <-s.timing:
			s.state.Set(t)
		case h := <-s.heard:
			s.take(h)
		case <-timer.C:
			s.drain()
			s.expire(due)
		}
		if p, ok := s.state.Transmit(time.Now()); ok {
			s.say(p)
		}
		s.publish()
	}
}

func (s *session) take(h heard) {
	s.excused = false
	s.state.Receive(&h.packet, h.at)
}

// drain takes what waits.
func (s *session) drain() {
	for {
		select {
		case h := <-s.heard:
			s.take(h)
		default:
			return
		}
	}
}

// A process that did not run when it should have did not listen either: what came meanwhile
// is still in the socket. Those who read it get a moment before the peer is given up.
const (
	late  = 5 * time.Millisecond
	grace = 20 * time.Millisecond
)

// expire gives the peer up if nothing was heard of it for too long; due is when we wanted to
// look.
func (s *session) expire(due time.Time) {
	now := time.Now()
	if now.Sub(due) > late && !s.excused {
		s.excused = true
		time.Sleep(grace)
		s.drain()
		now = time.Now()
	}
	s.state.Expire(now)
}

// publish has the client hear of what changed.
func (s *session) publish() {
	st := s.state.Status()
	st.Peer, st.Trouble = s.address, s.out.trouble
	if st != s.told {
		s.told = st
		s.e.publish(s, st)
	}
}

// say sends a packet.
func (s *session) say(p bfd.Packet) {
	if s.out.send(p.Append(nil)) {
		s.e.sent.Add(1)
	}
}

// farewells is how often a peer is told that its session is switched off, should one be
// lost; spread over what it would take to notice that nothing comes any more.
const farewells = 3

// farewell tells the peer (RFC 5880 section 6.8.16).
func (s *session) farewell(ctx context.Context) {
	pause := min(s.told.Transmission, time.Second)
	for range farewells {
		s.say(s.state.Farewell(time.Now()))
		select {
		case <-time.After(pause):
		case <-s.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}
