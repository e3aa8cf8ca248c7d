package underlay

import (
	"time"
)

// A VTEP that was lost so often within a window has to stay reached for a while before that
// counts: what follows from a loss, and from its end, may be work for each route of the VTEP.
// One that is lost and comes back for once, as when its routes move, does not wait.
const (
	losses = 3
	window = time.Second
	stay   = 100 * time.Millisecond
)

// flaps are the latest losses of a VTEP.
type flaps struct {
	reached bool
	lost    [losses]time.Time // the oldest first
	until   time.Time         // zero = it does not wait
}

// take takes whether the VTEP is reached now, and gives until when it has to stay so before
// that counts, zero if it counts.
func (f *flaps) take(now time.Time, reached bool) time.Time {
	switch {
	case f.reached && !reached:
		copy(f.lost[:], f.lost[1:])
		f.lost[losses-1] = now
	case !f.reached && reached && now.Sub(f.lost[0]) < window:
		f.until = now.Add(stay)
	}
	f.reached = reached
	if !reached || !now.Before(f.until) {
		f.until = time.Time{}
	}
	return f.until
}

// release has VTEPs count that stayed for long enough, and says when to look again.
func (l *loop) release(now time.Time) time.Time {
	next := now.Add(time.Hour)
	for a, until := range l.held {
		if until.After(now) {
			next = earlier(next, until)
			continue
		}
		l.evaluate(a)
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
