package pipeline

import "sync/atomic"

// entry is a table entry. Readers hold it without a lock: all but what is
// atomic behind st and more is immutable once it is published, and Modify
// publishes a new one. It fills a cache line, since with many entries most of
// a lookup is waiting for memory.
type entry struct {
	// first holds the packed key, then for ternary tables the mask and for
	// each range field low and high, then the action's parameters, as far as
	// there is room: more has all of them if that is not far enough.
	first [4]uint64
	act   *boundAction // nil where the table has an action profile
	st    *entryState  // nil if the table neither counts nor ages nor meters
	more  *entryMore   // nil if not needed
	prio  int32
	plen  int32
}

// entryState survives Modify.
type entryState struct {
	packets, bytes atomic.Uint64
	hit            atomic.Int64 // coarse clock of the last hit or write
	timeout        int64        // ns; 0 for none; changed under the table's lock by a new entryState
}

// entryMore is what few entries have.
type entryMore struct {
	words    []uint64              // nil where entry.first is enough
	next     atomic.Pointer[entry] // with the same key and mask, and no higher priority
	meter    *meterCell            // survives Modify
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

// newEntry makes an entry of n words, to be filled through words and settled.
func newEntry(n int) *entry {
	e := new(entry)
	if n > len(e.first) {
		e.more = &entryMore{words: make([]uint64, n)}
	}
	return e
}

// words is key, mask, ranges and parameters; what is beyond them is zero.
func (e *entry) words() []uint64 {
	if e.more != nil && e.more.words != nil {
		return e.more.words
	}
	return e.first[:]
}

// settle ends the writing of words.
func (e *entry) settle() {
	if e.more != nil && e.more.words != nil {
		copy(e.first[:], e.more.words)
	}
}

// isKey reports whether the first words are a packed key.
func (e *entry) isKey(key []uint64) bool {
	words := e.first[:]
	if len(key) > len(words) {
		words = e.more.words
	}
	for i, k := range key {
		if words[i] != k {
			return false
		}
	}
	return true
}

// data is the action's parameters, which begin at word at.
func (e *entry) data(at int) []uint64 { return e.words()[at : at+e.act.words] }

// rest makes room for what few entries have.
func (e *entry) rest() *entryMore {
	if e.more == nil {
		e.more = new(entryMore)
	}
	return e.more
}

// chained is the next entry with the same key and mask.
func (e *entry) chained() *entry {
	if e.more == nil {
		return nil
	}
	return e.more.next.Load()
}

func (e *entry) metadata() string {
	if e.more == nil {
		return ""
	}
	return e.more.metadata
}

// meter is the direct meter; the table must have one.
func (e *entry) meter() *meterCell { return e.more.meter }
