package pipeline

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/gaissmai/bart"
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
	return m.hashTable.find(like.words[:m.keyWords])
}

// lpmMatcher has a trie for each value of the exact part of the key. The
// prefix field of up to 128 bits is the last word, or the last two, of the
// packed key.
type lpmMatcher struct {
	exact  int // words of the exact part
	bits   int // of the prefix field
	root   *entryExt
	parts  *hashTable // exact part -> entry with ext.lpm
	number int
}

func newLPMMatcher(exact, bits int) *lpmMatcher {
	m := &lpmMatcher{exact: exact, bits: bits, root: new(entryExt)}
	m.root.lpm.Store(new(bart.Table[*entry]))
	if exact > 0 {
		m.parts = newHashTable(exact)
	}
	return m
}

// address left-aligns the prefix field: an IPv4 address up to 32 bits, else
// an IPv6 one. A v4-mapped one would be taken for IPv4, so fields of 33 bits
// and more are never put where that could happen: such an address starts with
// 80 zero bits and bart keeps families apart by Is4, which mapped ones fail.
func (m *lpmMatcher) address(key []uint64) netip.Addr {
	if m.bits <= 32 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(key[0])<<(32-m.bits))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	if m.bits <= 64 {
		binary.BigEndian.PutUint64(b[:], key[0]<<(64-m.bits))
		return netip.AddrFrom16(b)
	}
	s := uint(128 - m.bits)
	binary.BigEndian.PutUint64(b[:], key[1]<<s|key[0]>>(64-s))
	binary.BigEndian.PutUint64(b[8:], key[0]<<s)
	return netip.AddrFrom16(b)
}

// part is the trie of the key's exact part, or nil.
func (m *lpmMatcher) part(key []uint64) *entryExt {
	if m.exact == 0 {
		return m.root
	}
	if p := m.parts.find(key[:m.exact]); p != nil {
		return p.ext
	}
	return nil
}

func (m *lpmMatcher) lookup(key []uint64) *entry {
	p := m.part(key)
	if p == nil {
		return nil
	}
	e, _ := p.lpm.Load().Lookup(m.address(key[m.exact:]))
	return e
}

func (m *lpmMatcher) prefix(e *entry) netip.Prefix {
	return netip.PrefixFrom(m.address(e.words[m.exact:]), int(e.plen))
}

func (m *lpmMatcher) find(like *entry) *entry {
	p := m.part(like.words)
	if p == nil {
		return nil
	}
	e, _ := p.lpm.Load().Get(m.prefix(like))
	return e
}

func (m *lpmMatcher) insert(e *entry) {
	p := m.part(e.words)
	if p == nil {
		root := newEntry(m.exact)
		copy(root.words, e.words)
		root.ext = new(entryExt)
		root.ext.lpm.Store(new(bart.Table[*entry]))
		m.parts.insert(root)
		p = root.ext
	}
	p.lpm.Store(p.lpm.Load().InsertPersist(m.prefix(e), e))
}

func (m *lpmMatcher) swap(old, e *entry) {
	p := m.part(old.words)
	if e != nil {
		p.lpm.Store(p.lpm.Load().InsertPersist(m.prefix(e), e))
		return
	}
	t := p.lpm.Load().DeletePersist(m.prefix(old))
	p.lpm.Store(t)
	if m.exact > 0 && t.Size() == 0 {
		m.parts.swap(m.parts.find(old.words[:m.exact]), nil)
	}
}

func (m *lpmMatcher) each(f func(*entry) bool) bool {
	one := func(p *entryExt) bool {
		for _, e := range p.lpm.Load().All() {
			if !f(e) {
				return false
			}
		}
		return true
	}
	if m.exact == 0 {
		return one(m.root)
	}
	return m.parts.each(func(p *entry) bool { return one(p.ext) })
}

// ternaryMatcher is tuple space search: a hash table for each mask in use,
// tried in the order of their highest priority. A range field is no part of
// the mask: entries that differ only there share a chain, in which each is
// checked, highest priority first.
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
		for e := t.table.find(masked[:m.words]); e != nil; e = e.next.Load() {
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

// inRange checks the range fields, whose bounds follow value and mask.
func (m *ternaryMatcher) inRange(e *entry, key []uint64) bool {
	bounds := e.words[2*m.words:]
	for i, word := range m.ranges {
		if k := key[word]; k < bounds[2*i] || k > bounds[2*i+1] {
			return false
		}
	}
	return true
}

// matchPart is the part of an entry's words that identifies it.
func (m *ternaryMatcher) matchPart(e *entry) []uint64 {
	return e.words[:2*m.words+2*len(m.ranges)]
}

func maskKey(mask []uint64) string {
	b := make([]byte, 0, 8*len(mask))
	for _, w := range mask {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return string(b)
}

func (m *ternaryMatcher) tupleOf(e *entry) *tuple {
	return m.byMask[maskKey(e.words[m.words:2*m.words])]
}

func (m *ternaryMatcher) find(like *entry) *entry {
	t := m.tupleOf(like)
	if t == nil {
		return nil
	}
	for e := t.table.find(like.words[:m.words]); e != nil; e = e.next.Load() {
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
			mask:  slices.Clone(e.words[m.words : 2*m.words]),
			table: newHashTable(m.words), prios: map[int32]int{}, max: lowestPriority,
		}
		m.byMask[maskKey(t.mask)] = t
	}
	head := t.table.find(e.words[:m.words])
	switch {
	case head == nil:
		t.table.insert(e)
	case e.prio > head.prio:
		e.next.Store(head)
		t.table.swap(head, e)
	default:
		at := head
		for n := at.next.Load(); n != nil && n.prio >= e.prio; n = at.next.Load() {
			at = n
		}
		e.next.Store(at.next.Load())
		at.next.Store(e)
	}
	t.prios[e.prio]++
	m.rank(t, max(t.max, e.prio))
}

func (m *ternaryMatcher) swap(old, e *entry) {
	t := m.tupleOf(old)
	with := old.next.Load()
	if e != nil {
		e.next.Store(with)
		with = e
	}
	head := t.table.find(old.words[:m.words])
	if head == old {
		t.table.swap(old, with)
	} else {
		for head.next.Load() != old {
			head = head.next.Load()
		}
		head.next.Store(with)
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
			for ; e != nil; e = e.next.Load() {
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

// isPrefixMask gives the length of a mask that is a prefix, or -1.
func isPrefixMask(mask []uint64, width int) int {
	ones := 0
	for _, w := range mask {
		ones += bits.OnesCount64(w)
	}
	if slices.Equal(mask, prefixMask(width, ones)) {
		return ones
	}
	return -1
}
