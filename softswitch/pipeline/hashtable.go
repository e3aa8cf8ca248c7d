package pipeline

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// hashTable maps packed keys of a fixed number of words to entries: open
// addressing with linear probing. One writer at a time; readers need no lock.
// Removed entries leave a tombstone behind, so that a reader on its way never
// misses what lies beyond; a rebuild into a new array clears them.
type hashTable struct {
	keyWords int
	seed     uint64
	array    atomic.Pointer[hashArray]
	used     int // entries and tombstones
	live     int
}

type hashArray struct {
	shift uint8 // 32 - log2(len(slots))
	slots []hashSlot
}

// hashSlot has beside an entry the hash of its key, so that a search looks at no other entry
// than the one that is meant, and a rebuild at none: with many, each look waits for memory.
// The hash is there before the entry, and a reader takes the entry first.
type hashSlot struct {
	entry atomic.Pointer[entry]
	hash  atomic.Uint32
}

var tombstone = &entry{}

const minHashSlots = 8

func newHashTable(keyWords int) *hashTable {
	h := &hashTable{keyWords: keyWords, seed: rand.Uint64()}
	h.array.Store(newHashArray(minHashSlots))
	return h
}

func newHashArray(n int) *hashArray {
	return &hashArray{
		shift: uint8(32 - bits.TrailingZeros(uint(n))),
		slots: make([]hashSlot, n),
	}
}

const (
	mix0 = 0xa0761d6478bd642f
	mix1 = 0xe7037ed1a0b428db
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (h *hashTable) hash(key []uint64) uint32 {
	sum := h.seed
	for _, k := range key {
		sum = mix(sum^k^mix0, mix1)
	}
	return uint32(mix(sum, mix0) >> 32)
}

// find returns the entry with this key, or nil.
func (h *hashTable) find(key []uint64) *entry {
	if len(key) == 1 {
		return h.find1(key[0])
	}
	a := h.array.Load()
	mask := uint32(len(a.slots) - 1)
	hash := h.hash(key)
	for i := hash >> a.shift; ; i++ {
		slot := &a.slots[i&mask]
		e := slot.entry.Load()
		if e == nil {
			return nil
		}
		if slot.hash.Load() == hash && e != tombstone && e.isKey(key) {
			return e
		}
	}
}

// find1 is find for keys of one word.
func (h *hashTable) find1(key uint64) *entry {
	a := h.array.Load()
	mask := uint32(len(a.slots) - 1)
	hash := uint32(mix(mix(h.seed^key^mix0, mix1), mix0) >> 32)
	for i := hash >> a.shift; ; i++ {
		slot := &a.slots[i&mask]
		e := slot.entry.Load()
		if e == nil {
			return nil
		}
		if slot.hash.Load() == hash && e != tombstone && e.first[0] == key {
			return e
		}
	}
}

// insert adds an entry whose key is not there.
func (h *hashTable) insert(e *entry) {
	if (h.used+1)*2 > len(h.array.Load().slots) {
		h.rebuild()
	}
	if h.array.Load().place(e, h.hash(e.words()[:h.keyWords])) {
		h.used++
	}
	h.live++
}

// place puts e into the first free slot; false if that was a tombstone.
func (a *hashArray) place(e *entry, hash uint32) bool {
	mask := uint32(len(a.slots) - 1)
	for i := hash >> a.shift; ; i++ {
		slot := &a.slots[i&mask]
		if was := slot.entry.Load(); was == nil || was == tombstone {
			slot.hash.Store(hash)
			slot.entry.Store(e)
			return was == nil
		}
	}
}

// rebuild makes a fresh array with room for twice what is there.
func (h *hashTable) rebuild() {
	n := minHashSlots
	for n < h.live*4 {
		n *= 2
	}
	a := newHashArray(n)
	old := h.array.Load()
	for i := range old.slots {
		if e := old.slots[i].entry.Load(); e != nil && e != tombstone {
			a.place(e, old.slots[i].hash.Load())
		}
	}
	h.array.Store(a)
	h.used = h.live
}

// swap replaces old, which is in the table, by e, which has the same key, or
// removes it where e is nil.
func (h *hashTable) swap(old, e *entry) {
	a := h.array.Load()
	mask := uint32(len(a.slots) - 1)
	for i := h.hash(old.words()[:h.keyWords]) >> a.shift; ; i++ {
		slot := &a.slots[i&mask].entry
		if slot.Load() != old {
			continue
		}
		if e != nil {
			slot.Store(e)
			return
		}
		slot.Store(tombstone)
		h.live--
		if n := len(a.slots); n > 64 && h.live*8 < n {
			h.rebuild()
		}
		return
	}
}

// each visits a snapshot of the slots.
func (h *hashTable) each(f func(*entry) bool) bool {
	a := h.array.Load()
	for i := range a.slots {
		if e := a.slots[i].entry.Load(); e != nil && e != tombstone && !f(e) {
			return false
		}
	}
	return true
}
