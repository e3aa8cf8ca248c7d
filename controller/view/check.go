package view

import (
	"context"
	"time"
)

// Checker says whether the target does what objects, configuration and routes ask for. An
// error is one of ctx, of the request (*CheckError), or says why nothing can be said now.
type Checker interface {
	Check(context.Context, CheckRequest) (Check, error)
}

// CheckError says what is wrong with a request.
type CheckError struct{ Problem string }

func (e *CheckError) Error() string { return e.Problem }

// CheckRequest is what to check: a bridge, a VRF by id, both, or all if neither is named.
type CheckRequest struct {
	Bridge, VRF string
	// Read reads the target first, instead of taking what it acknowledged.
	Read bool
}

// Check is what was found.
type Check struct {
	Frames  int  // that were tried
	Entries int  // of the target
	Read    bool // they were read from it
	// Differences are the first of those that were found; More is how many others there are.
	Differences []CheckDifference
	More        int
	Took        time.Duration
}

// CheckDifference is a frame that does not end where it must.
type CheckDifference struct {
	Object      string // what it is of: "MAC 02:00:00:00:00:01 of bridge blue"
	Bridge, VRF string // ids, "" = of none
	Port        string // where the frame arrives
	Frame       []byte
	Arrives     string // the same in words
	Expected    string
	Rule        string // by which
	Actual      string
	Steps       []CheckStep // the tables that it met
}

// CheckStep is a table that a frame met.
type CheckStep struct {
	Text  string
	Entry string // that was hit
	Why   string // it is there
	Odd   string // what the gateway wrote instead, if the target has something else
}
