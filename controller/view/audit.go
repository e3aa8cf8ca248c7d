package view

import "context"

// Auditor compares what the target holds with what it acknowledged, and has put
// right what differs.
type Auditor interface {
	Audit(context.Context) (Audit, error)
}

// Audit is what was found.
type Audit struct {
	Entries     int // that the target holds
	Differences []Difference
}

// Difference is one entry that somebody else deleted, added or changed.
type Difference struct {
	Kind  string // "missing", "unexpected" or "changed"
	Table string // "bridge.fdb", "multicast_group" ...
	Was   string // as the target acknowledged it, readable; empty if it did not
	Is    string // as it holds it; empty if it does not
}
