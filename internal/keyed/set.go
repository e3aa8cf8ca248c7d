// Package keyed has sets of many values that hold their own key. It knows nothing of what
// they are.
package keyed

import (
	"hash/maphash"
	"iter"
	"math"
)

// Shards is how many tables a Set has. Each grows, and can be walked, by itself, so that
// nobody waits for a million values.
const Shards = 256

// Set finds values by their key. It is not a map since that would hold each key a second
// time, and not give back its memory. Nobody who chooses keys can make them meet.
type Set[K comparable, V any] struct {
	key    func(*V) K
	seed   maphash.Seed
	mask   uint64 // of hashes: all ones but in tests, where keys are to meet
	shards [Shards]shard[V]
	n      int
}

// shard is a hash table with linear probing: a value is in the first slot that was free
// from that of its hash on.
type shard[V any] struct {
	slots []*V // a power of two
	n     int
}

// minSlots is how many slots the smallest shard with something in it has.
const minSlots = 8

// New makes a set of values that have their key where key says, and keep it.
func New[K comparable, V any](key func(*V) K) *Set[K, V] {
	return &Set[K, V]{key: key, seed: maphash.MakeSeed(), mask: math.MaxUint64}
}

// Len is how many values there are.
func (s *Set[K, V]) Len() int { return s.n }

// of gives the shard of a key, and its hash: the upper bits choose the one, the lower ones
// a slot.
func (s *Set[K, V]) of(k K) (*shard[V], int) {
	h := maphash.Comparable(s.seed, k) & s.mask
	return &s.shards[h>>56], int(uint32(h))
}

// Find gives the value of a key, nil if there is none.
func (s *Set[K, V]) Find(k K) *V {
	t, h := s.of(k)
	if t.n == 0 {
		return nil
	}
	for i := t.slot(h); ; i = t.slot(i + 1) {
		if v := t.slots[i]; v == nil || s.key(v) == k {
			return v
		}
	}
}

// Add adds a value whose key is not there.
func (s *Set[K, V]) Add(v *V) {
	t, h := s.of(s.key(v))
	if 4*(t.n+1) > 3*len(t.slots) {
		s.resize(t, 2*len(t.slots))
	}
	t.put(v, h)
	t.n++
	s.n++
}

// Remove removes a value, if it is there.
func (s *Set[K, V]) Remove(v *V) {
	t, h := s.of(s.key(v))
	if t.n == 0 {
		return
	}
	i := t.slot(h)
	for ; t.slots[i] != v; i = t.slot(i + 1) {
		if t.slots[i] == nil {
			return
		}
	}
	// Those behind it that it kept from their place move up.
	for j := t.slot(i + 1); t.slots[j] != nil; j = t.slot(j + 1) {
		_, h := s.of(s.key(t.slots[j]))
		if t.slot(j-t.slot(h)) >= t.slot(j-i) {
			t.slots[i], i = t.slots[j], j
		}
	}
	t.slots[i] = nil
	s.n--
	switch t.n--; {
	case t.n == 0:
		t.slots = nil
	case len(t.slots) > minSlots && 8*t.n < len(t.slots):
		s.resize(t, len(t.slots)/4)
	}
}

// All yields the values in no order. None may be added or removed meanwhile.
func (s *Set[K, V]) All() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		for i := range Shards {
			for v := range s.Shard(i) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Shard yields the values of one table; between two tables values may come and go.
func (s *Set[K, V]) Shard(i int) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		for _, v := range s.shards[i].slots {
			if v != nil && !yield(v) {
				return
			}
		}
	}
}

func (s *Set[K, V]) resize(t *shard[V], n int) {
	old := t.slots
	t.slots = make([]*V, max(minSlots, n))
	for _, v := range old {
		if v != nil {
			_, h := s.of(s.key(v))
			t.put(v, h)
		}
	}
}

// slot wraps a number round the table.
func (t *shard[V]) slot(i int) int { return i & (len(t.slots) - 1) }

func (t *shard[V]) put(v *V, hash int) {
	i := t.slot(hash)
	for t.slots[i] != nil {
		i = t.slot(i + 1)
	}
	t.slots[i] = v
}
