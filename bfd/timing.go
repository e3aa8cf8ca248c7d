package bfd

import (
	"fmt"
	"time"
)

// Timing is how a session is configured.
type Timing struct {
	// Interval is the least between two packets, that we send and that we want to receive.
	Interval time.Duration
	// Multiplier is how many of ours may be missing in a row when the peer takes the path
	// for dead; its own counts for us.
	Multiplier uint8
}

// What a Timing is that nobody gave, and what it may be.
const (
	DefaultInterval   = 100 * time.Millisecond
	DefaultMultiplier = 3
	MinInterval       = 10 * time.Millisecond
	MaxInterval       = time.Minute
)

// CheckInterval checks an interval: whole milliseconds.
func CheckInterval(d time.Duration) error {
	if d < MinInterval || d > MaxInterval || d%time.Millisecond != 0 {
		return fmt.Errorf("%v: want whole milliseconds from %v to %v", d, MinInterval, MaxInterval)
	}
	return nil
}
