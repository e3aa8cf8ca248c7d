package view

import (
	"errors"
	"time"
)

// ErrUnknown is of a query for what there is not: the error that wraps it names it.
var ErrUnknown = errors.New("there is none")

// DropQuery says which dropped frames are meant.
type DropQuery struct {
	Port   string // those that came by this port of the target or bridge port; "" = any
	Bridge string // those that were in this bridge when ingress dropped them; "" = any
	// Totals leaves out ports, bridges and samples, which cost a target more to tell.
	Totals bool
	// Over is the time over which they are counted; 0 = since the program was loaded.
	Over time.Duration
}

// Drop is frames that the target dropped for one reason.
type Drop struct {
	Stage  string // "ingress" or "egress"
	Reason string // "spoofed"
	Means  string // in words
	Dropped
	// By where they came from, and by the bridge that they were in, most first. Some came no
	// further than their port, and egress does not know bridges.
	Ports, Bridges []DropsOf
	Sample         *DropSample // the last one of ingress; nil = there is none
}

// Dropped is how much was dropped.
type Dropped struct {
	Packets, Bytes uint64
	Rate           float64 // frames a second; 0 = not over a time
}

// DropsOf is the part of a port or a bridge.
type DropsOf struct {
	Name string
	Dropped
}

// DropSample is a frame that was dropped, as it came.
type DropSample struct {
	Port  string
	Time  time.Time
	Frame []byte
}
