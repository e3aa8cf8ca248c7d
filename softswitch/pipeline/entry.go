package pipeline

import "sync/atomic"

// entry is a table entry. Readers hold it without a lock: all but next, the
// state behind st and the sets in ext is immutable once it is published, and
// Modify publishes a new one.
type entry struct {
	// words is the packed key, then for ternary tables the mask and for each
	// range field low and high, then the action's parameters. It points to
	// room if that is enough.
	words []uint64
	data  []uint64     // the parameters' part of words
	act   *boundAction // nil where ext says what to do
	st    *entryState  // nil if the table neither counts nor ages nor meters
	next  atomic.Pointer[entry]
	ext   *entryExt // nil if not needed
	prio  int32
	plen  int32
	room  [3]uint64
}

// entryState survives Modify.
type entryState struct {
	packets, bytes atomic.Uint64
	hit            atomic.Int64 // coarse clock of the last hit or write
	timeout        int64        // ns; 0 for none; changed under the table's lock by a new entryState
	meter          *meterCell
}

// entryExt is what few entries have.
type entryExt struct {
	metadata string
	// For entries of a table with an action profile, either:
	member            *member
	group             *group
	memberID, groupID uint32 // 0 for an entry's own set of actions
}

// boundAction is an action as one table uses it.
type boundAction struct {
	*action      // nil if the table does not have the action
	hitNext  int // node after a hit with this action
	missNext int // node after this action as the default
}

func newEntry(n int) *entry {
	e := new(entry)
	if n <= len(e.room) {
		e.words = e.room[:n:n]
	} else {
		e.words = make([]uint64, n)
	}
	return e
}

func (e *entry) metadata() string {
	if e.ext == nil {
		return ""
	}
	return e.ext.metadata
}
