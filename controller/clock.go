package controller

import "time"

// Clock is the time that the loop and all that it owns go by: retries, holds,
// audits, ages, freezes. A test has its own. The loop alone calls it.
type Clock interface {
	// Now may go back, as when somebody sets the machine's clock: the loop never
	// does.
	Now() time.Time
	// Wake gives what receives once, after that while. What it gave before
	// receives nothing any more.
	Wake(after time.Duration) <-chan time.Time
}

// systemClock is the machine's.
type systemClock struct{ timer *time.Timer }

func newSystemClock() *systemClock {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &systemClock{t}
}

func (*systemClock) Now() time.Time { return time.Now() }

func (c *systemClock) Wake(after time.Duration) <-chan time.Time {
	c.timer.Reset(after)
	return c.timer.C
}

// steady is a Clock that never goes back: what was to happen after a while happens
// after that while.
type steady struct {
	clock  Clock
	latest time.Time
	skew   time.Duration // that the clock went back, in all
}

func (s *steady) now() time.Time {
	now := s.clock.Now().Add(s.skew)
	if now.Before(s.latest) {
		s.skew += s.latest.Sub(now)
		now = s.latest
	}
	s.latest = now
	return now
}
