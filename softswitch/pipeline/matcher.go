package pipeline

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync/atomic"
)

// matcher finds entries by a packed key. lookup is for packets and may run at
// any time; the others are called under the table's lock.
type matcher interface {
	// lookup finds the entry that matches; key is words long as the table's.
	lookup(key []uint64) *entry
	// find is the entry with exactly this key, mask, priority, prefix.
	find(like *entry) *entry
	insert(e *entry)
	// swap replaces old by e, or removes it where e is nil.
	swap(old, e *entry)
	each(f func(*entry) bool) bool
}

// exactMatcher is a hash table.
type exactMatcher struct{ *hashTable }

func (m exactMatcher) lookup(key []uint64) *entry { return m.hashTable.find(key) }
func (m exactMatcher) find(like *entry) *entry {
	return m.hashTable.find(like.words()[:m.keyWords])
}

// ternaryMatcher is tuple space search: a hash table for each mask in use,
// tried in the order of their highest priority. Longest prefix match is the
// case in which the prefix length is the priority: a hash table for each
// length in use. A range field is no part of the mask: entries that differ
// only there share a chain, in which each is checked, highest priority first.
type ternaryMatcher struct {
	words  int
	ranges []int // word of each range field in the packed key
	tuples atomic.Pointer[[]tupleRef]
	byMask map[string]*tuple
}

type tupleRef struct {
	prio int32
	*tuple
}

type tuple struct {
	mask  []uint64
	table *hashTable
	prios map[int32]int // entries by priority; the writer's
	max   int32
}

func newTernaryMatcher(words int, ranges []int) *ternaryMatcher {
	m := &ternaryMatcher{words: words, ranges: ranges, byMask: map[string]*tuple{}}
	m.tuples.Store(new([]tupleRef))
	return m
}

const (
	maxTernaryWords = 16
	lowestPriority  = -1 << 31
)

func (m *ternaryMatcher) lookup(key []uint64) *entry {
	var masked [maxTernaryWords]uint64
	var best *entry
	for _, t := range *m.tuples.Load() {
		if best != nil && best.prio >= t.prio {
			break
		}
		for i, k := range t.mask {
			masked[i] = key[i] & k
		}
		for e := t.table.find(masked[:m.words]); e != nil; e = e.chained() {
			if m.ranges != nil && !m.inRange(e, key) {
				continue
			}
			if best == nil || e.prio > best.prio {
				best = e
			}
			break
		}
	}
	return best
}

// inRange reports whether the key is within the range fields, whose bounds follow value
// and mask.
func (m *ternaryMatcher) inRange(e *entry, key []uint64) bool {
	bounds := e.words()[2*m.words:]
	for i, word := range m.ranges {
		if k := key[word]; k < bounds[2*i] || k > bounds[2*i+1] {
			return false
		}
	}
	return true
}

// matchPart is the part of an entry's words that identifies it.
func (m *ternaryMatcher) matchPart(e *entry) []uint64 {
	return e.words()[:2*m.words+2*len(m.ranges)]
}

func maskKey(mask []uint64) string {
	b := make([]byte, 0, 8*len(mask))
	for _, w := range mask {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return string(b)
}

func (m *ternaryMatcher) tupleOf(e *entry) *tuple {
	return m.byMask[maskKey(e.words()[m.words:2*m.words])]
}

func (m *ternaryMatcher) find(like *entry) *entry {
	t := m.tupleOf(like)
	if t == nil {
		return nil
	}
	for e := t.table.find(like.words()[:m.words]); e != nil; e = e.chained() {
		if e.prio == like.prio && slices.Equal(m.matchPart(e), m.matchPart(like)) {
			return e
		}
	}
	return nil
}

func (m *ternaryMatcher) insert(e *entry) {
	t := m.tupleOf(e)
	if t == nil {
		t = &tuple{
			mask:  slices.Clone(e.words()[m.words : 2*m.words]),
			table: newHashTable(m.words), prios: map[int32]int{}, max: lowestPriority,
		}
		m.byMask[maskKey(t.mask)] = t
	}
	head := t.table.find(e.words()[:m.words])
	switch {
	case head == nil:
		t.table.insert(e)
	case e.prio > head.prio:
		e.more.next.Store(head)
		t.table.swap(head, e)
	default:
		at := head
		for n := at.chained(); n != nil && n.prio >= e.prio; n = at.chained() {
			at = n
		}
		e.more.next.Store(at.chained())
		at.more.next.Store(e)
	}
	t.prios[e.prio]++
	m.rank(t, max(t.max, e.prio))
}

func (m *ternaryMatcher) swap(old, e *entry) {
	t := m.tupleOf(old)
	with := old.chained()
	if e != nil {
		if with != nil {
			e.more.next.Store(with)
		}
		with = e
	}
	head := t.table.find(old.words()[:m.words])
	if head == old {
		t.table.swap(old, with)
	} else {
		for head.chained() != old {
			head = head.chained()
		}
		head.more.next.Store(with)
	}
	if e != nil {
		return
	}
	if t.prios[old.prio]--; t.prios[old.prio] > 0 {
		return
	}
	delete(t.prios, old.prio)
	highest := t.max
	if old.prio == t.max {
		highest = lowestPriority
		for p := range t.prios {
			highest = max(highest, p)
		}
	}
	if len(t.prios) == 0 {
		delete(m.byMask, maskKey(t.mask))
	}
	m.rank(t, highest)
}

// rank puts the tuples in order again after the entries of t changed.
func (m *ternaryMatcher) rank(t *tuple, highest int32) {
	refs := *m.tuples.Load()
	listed := slices.ContainsFunc(refs, func(r tupleRef) bool { return r.tuple == t })
	if listed && t.max == highest {
		return
	}
	t.max = highest
	next := slices.DeleteFunc(slices.Clone(refs), func(r tupleRef) bool { return r.tuple == t })
	if len(t.prios) > 0 {
		next = append(next, tupleRef{highest, t})
	}
	slices.SortStableFunc(next, func(a, b tupleRef) int { return cmp.Compare(b.prio, a.prio) })
	m.tuples.Store(&next)
}

func (m *ternaryMatcher) each(f func(*entry) bool) bool {
	for _, t := range *m.tuples.Load() {
		ok := t.table.each(func(e *entry) bool {
			for ; e != nil; e = e.chained() {
				if !f(e) {
					return false
				}
			}
			return true
		})
		if !ok {
			return false
		}
	}
	return true
}

// prefixMask covers the highest plen of width bits.
func prefixMask(width, plen int) []uint64 {
	out := make([]uint64, (width+63)/64)
	for i := width - plen; i < width; i++ {
		out[i/64] |= 1 << (i % 64)
	}
	return out
}
