package bfd

import (
	"strings"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

const ms = time.Millisecond

// in makes a session of a state, 3 × 100 ms, with a peer that says the same.
func in(state State) *Session {
	s := NewSession(1, Timing{100 * ms, 3}, start)
	for _, p := range map[State][]State{Down: nil, Init: {Down}, Up: {Down, Init}, AdminDown: nil}[state] {
		s.Receive(peer(p), start)
	}
	if state == AdminDown {
		s.Farewell(start)
	}
	return s
}

func peer(state State) *Packet {
	return &Packet{State: state, Mine: 2, Yours: 1, Multiplier: 3, DesiredMinTx: 100 * ms, RequiredMinRx: 100 * ms}
}

// RFC 5880 section 6.8.6, the last part; section 6.2 draws the same.
func TestAPacketChangesTheStateAsTheRFCSays(t *testing.T) {
	for _, c := range []struct {
		state, heard, want State
		why                Diagnostic
		failure            bool
	}{
		{AdminDown, AdminDown, AdminDown, AdminDownDiag, false},
		{AdminDown, Down, AdminDown, AdminDownDiag, false},
		{AdminDown, Init, AdminDown, AdminDownDiag, false},
		{AdminDown, Up, AdminDown, AdminDownDiag, false},
		{Down, AdminDown, Down, NoDiagnostic, false},
		{Down, Down, Init, NoDiagnostic, false},
		{Down, Init, Up, NoDiagnostic, false},
		{Down, Up, Down, NoDiagnostic, false},
		{Init, AdminDown, Down, NeighborDown, false},
		{Init, Down, Init, NoDiagnostic, false},
		{Init, Init, Up, NoDiagnostic, false},
		{Init, Up, Up, NoDiagnostic, false},
		{Up, AdminDown, Down, NeighborDown, false},
		{Up, Down, Down, NeighborDown, true},
		{Up, Init, Up, NoDiagnostic, false},
		{Up, Up, Up, NoDiagnostic, false},
	} {
		s := in(c.state)
		if s.state != c.state {
			t.Fatalf("the session is %v, want %v to begin with", s.state, c.state)
		}
		s.Receive(peer(c.heard), start.Add(ms))
		st := s.Status()
		if st.State != c.want || s.diagnostic != c.why || st.Failures > 0 != c.failure {
			t.Errorf("%v hears %v: %v, %v, %d failures; want %v, %v, failed: %v",
				c.state, c.heard, st.State, s.diagnostic, st.Failures, c.want, c.why, c.failure)
		}
		if st.State != c.state && !st.Since.Equal(start.Add(ms)) {
			t.Errorf("%v hears %v: since %v", c.state, c.heard, st.Since)
		}
	}
}

// FRR 8.4 takes its session away when BFD is switched off, and makes it anew when BGP is
// established: the first two are what it was seen to send then.
func TestAPeerThatTakesItsSessionAwayHasNotLostThePath(t *testing.T) {
	for name, change := range map[string]func(*Packet){
		"its session is another":  func(p *Packet) { p.Mine, p.Yours = 3, 0 },
		"we signaled it, it says": func(p *Packet) { p.Diagnostic = 3 },
		"administratively down":   func(p *Packet) { p.Diagnostic = 7 },
	} {
		s, p := in(Up), peer(Down)
		change(p)
		s.Receive(p, start)
		if st := s.Status(); st.State != Down || st.Failures != 0 {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// RFC 5880 section 6.8.4: the peer's multiplier times the greater of what we want to
// receive and what it wants to send, without jitter.
func TestThePathIsLostWhenTheDetectionTimeIsOver(t *testing.T) {
	for _, c := range []struct {
		ours, theirs time.Duration
		multiplier   uint8
		want         time.Duration
	}{
		{100 * ms, 100 * ms, 3, 300 * ms},
		{100 * ms, 50 * ms, 3, 300 * ms},
		{100 * ms, 200 * ms, 5, time.Second},
		{50 * ms, 50 * ms, 1, 50 * ms},
	} {
		s := NewSession(1, Timing{c.ours, 7}, start) // our own multiplier is the peer's business
		for _, state := range []State{Down, Init, Up} {
			p := peer(state)
			p.DesiredMinTx, p.Multiplier = c.theirs, c.multiplier
			s.Receive(p, start)
		}
		if s.Expire(start.Add(c.want - 1)) {
			t.Errorf("%+v: lost before its time", c)
		}
		at := start.Add(c.want)
		if !s.Expire(at) || s.state != Down || s.diagnostic != TimeExpired || s.yours != 0 || s.failures != 1 {
			t.Errorf("%+v: not lost in time: %+v", c, s.Status())
		}
		if s.Expire(at.Add(time.Hour)) {
			t.Errorf("%+v: lost twice", c)
		}
	}
	if s := in(Down); s.Expire(start.Add(time.Hour)) {
		t.Error("a session that is down was lost")
	}
	if s := in(Init); !s.Expire(start.Add(time.Hour)) || s.failures != 0 {
		t.Error("that a session did not come up is no loss of its path")
	}
}

// sent gives all packets of a session until a time, which is told when each was due.
func sent(s *Session, until time.Time, each func(Packet, time.Time)) {
	for {
		next, ok := s.due()
		if next.Before(start) {
			next = start
		}
		if !ok || next.After(until) {
			return
		}
		if p, ok := s.Transmit(next); ok {
			each(p, next)
		}
	}
}

// RFC 5880 section 6.8.7: the greater of both sides' intervals, less 0 to 25 %, and 10 to
// 25 % with a multiplier of 1.
func TestPacketsAreSentWithJitter(t *testing.T) {
	for multiplier, most := range map[uint8]float64{1: 0.9, 3: 1} {
		for random, want := range map[float64]float64{0: most, 1: 0.75} {
			if got := jitter(time.Second, multiplier, random); got != time.Duration(want*float64(time.Second)) {
				t.Errorf("multiplier %d: %v, want %v of a second", multiplier, got, want)
			}
		}
	}
	for _, c := range []struct{ ours, theirs, want time.Duration }{
		{100 * ms, 100 * ms, 100 * ms}, {100 * ms, 300 * ms, 300 * ms}, {100 * ms, 20 * ms, 100 * ms},
	} {
		s := in(Up)
		p := peer(Up)
		p.RequiredMinRx, p.Final = c.theirs, true
		s.Receive(p, start)
		last, n := start, 0
		sent(s, start.Add(20*time.Second), func(_ Packet, at time.Time) {
			if n++; n > 2 && (at.Sub(last) > c.want || at.Sub(last) < c.want*3/4) {
				t.Fatalf("%+v: sent after %v", c, at.Sub(last))
			}
			last = at
		})
		if n < 60 {
			t.Errorf("%+v: %d packets in 20 s", c, n)
		}
	}
}

// RFC 5880 section 6.8.3: at least a second while it is not up.
func TestASessionThatIsNotUpSendsSlowly(t *testing.T) {
	for _, state := range []State{AdminDown, Down, Init} {
		s, n := in(state), 0
		sent(s, start.Add(10*time.Second), func(p Packet, _ time.Time) {
			n++
			if p.DesiredMinTx != time.Second || p.RequiredMinRx != 100*ms || p.State != state || !p.Independent {
				t.Fatalf("%v sent %+v", state, p)
			}
		})
		if n < 10 || n > 15 {
			t.Errorf("%v: %d packets in 10 s", state, n)
		}
	}
}

func TestWhatASessionMayNotSendIsNotSent(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   State
		change  func(*Session, *Packet)
		packets bool
	}{
		{"a peer as usual", Up, func(*Session, *Packet) {}, true},
		{"a peer that wants none", Up, func(_ *Session, p *Packet) { p.RequiredMinRx = 0 }, false},
		{"a peer in demand mode", Up, func(_ *Session, p *Packet) { p.Demand = true }, false},
		{"a peer in demand mode that is asked", Up,
			func(_ *Session, p *Packet) { p.Demand = true }, true},
		{"a peer in demand mode that is not up", Init, func(_ *Session, p *Packet) { p.Demand = true }, true},
	} {
		s := in(c.state)
		p := peer(c.state)
		p.Final = true // ends the poll that comes with Up
		if c.state != Up {
			p.State = Down
		}
		c.change(s, p)
		s.Receive(p, start)
		if strings.HasSuffix(c.name, "asked") {
			s.Set(Timing{20 * ms, 3})
		}
		s.Transmit(start.Add(time.Second)) // what has changed
		n := 0
		sent(s, start.Add(10*time.Second), func(Packet, time.Time) { n++ })
		if n > 0 != c.packets {
			t.Errorf("%s: %d packets", c.name, n)
		}
	}
}

// RFC 5880 section 6.8.7: whatever else holds, and with the P bit clear.
func TestAPollIsAnsweredAtOnce(t *testing.T) {
	for _, state := range []State{Down, Init, Up} {
		s := in(state)
		sent(s, start.Add(time.Millisecond), func(Packet, time.Time) {})
		p := peer(Up)
		if state == Init {
			p.State = Down
		}
		p.Poll, p.Demand, p.RequiredMinRx = true, true, 0
		at := start.Add(2 * ms)
		s.Receive(p, at)
		got, ok := s.Transmit(at)
		if !ok || !got.Final || got.Poll {
			t.Errorf("%v: answered by %+v, %v", state, got, ok)
		}
		if got, ok := s.Transmit(at); ok && got.Final {
			t.Errorf("%v: answered twice", state)
		}
	}
}

// RFC 5880 section 6.8.3: who is up sends faster at once and slower after the peer has said
// that it knows; what it wants to receive the other way round.
func TestATimingChangesByAPollSequence(t *testing.T) {
	s := in(Up)
	confirm := func() {
		p := peer(Up)
		p.Final = true
		s.Receive(p, start)
	}
	if got, ok := s.Transmit(start.Add(time.Second)); !ok || !got.Poll || got.DesiredMinTx != 100*ms {
		t.Errorf("up, it says %+v, want a poll with its own interval", got)
	}
	confirm()
	if s.polling {
		t.Error("it polls on")
	}
	at := start
	for _, c := range []struct {
		to               time.Duration
		sends, detection time.Duration // before the peer confirms
	}{
		{200 * ms, 100 * ms, 600 * ms},
		{100 * ms, 100 * ms, 600 * ms},
	} {
		s.Set(Timing{c.to, 3})
		if got := s.Status(); got.Transmission != c.sends || got.Detection != c.detection {
			t.Errorf("to %v: %v and %v, want %v and %v before the peer knows", c.to, got.Transmission, got.Detection,
				c.sends, c.detection)
		}
		at = at.Add(time.Hour)
		if got, ok := s.Transmit(at); !ok || !got.Poll || got.DesiredMinTx != c.to || got.RequiredMinRx != c.to {
			t.Errorf("to %v: says %+v", c.to, got)
		}
		confirm()
		if got := s.Status(); got.Transmission != c.to || got.Detection != 3*c.to {
			t.Errorf("to %v: %v and %v afterwards", c.to, got.Transmission, got.Detection)
		}
	}
	s.Set(Timing{100 * ms, 9})
	if got, ok := s.Transmit(at.Add(time.Hour)); !ok || got.Multiplier != 9 || got.Poll {
		t.Errorf("another multiplier: says %+v, which needs no poll", got)
	}
}

// RFC 5880 section 6.8.7: a change is told before the next packet is due; a peer that flaps
// has us send at most a hundred packets a second all the same.
func TestAChangeIsToldSoonAndNotTooOften(t *testing.T) {
	s := in(Up)
	sent(s, start.Add(20*ms), func(Packet, time.Time) {})
	at := start.Add(30 * ms)
	s.Receive(peer(Down), at)
	if got, ok := s.Transmit(at); !ok || got.State != Down || got.Diagnostic != NeighborDown {
		t.Errorf("down, it says %+v, %v", got, ok)
	}
	n := 0
	for i := range 1000 {
		now := at.Add(time.Duration(i) * ms)
		s.Receive(peer([]State{Down, Init, Down}[i%3]), now)
		if _, ok := s.Transmit(now); ok {
			n++
		}
	}
	if n > 101 {
		t.Errorf("%d packets in a second to a peer that flaps", n)
	}
}

func TestTwoSessionsComeUpTogetherAndStay(t *testing.T) {
	a, b := NewSession(1, Timing{100 * ms, 3}, start), NewSession(2, Timing{50 * ms, 4}, start)
	now, up := start, time.Time{}
	for ; now.Before(start.Add(time.Minute)); now = now.Add(ms) {
		if p, ok := a.Transmit(now); ok {
			b.Receive(&p, now)
		}
		if p, ok := b.Transmit(now); ok {
			a.Receive(&p, now)
		}
		if a.Expire(now) || b.Expire(now) {
			t.Fatalf("lost after %v", now.Sub(start))
		}
		if up.IsZero() && a.state == Up && b.state == Up {
			up = now
		}
	}
	if up.IsZero() || up.After(start.Add(3*time.Second)) {
		t.Errorf("up at %v", up.Sub(start))
	}
	for s, want := range map[*Session]time.Duration{a: 400 * ms, b: 300 * ms} {
		if st := s.Status(); st.Transmission != 100*ms || st.Detection != want || s.polling {
			t.Errorf("%+v: want 100 ms and %v", st, want)
		}
	}
	p := b.Farewell(now)
	a.Receive(&p, now)
	if st := a.Status(); st.State != Down || st.Failures != 0 || st.RemoteState != AdminDown {
		t.Errorf("the peer was switched off: %+v", st)
	}
}
