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
// from that of its hash on. It is large, and values are anywhere: beside each slot is the
// hash of what is in it, so that no other value is looked at than the one that is meant.
type shard[V any] struct {
	slots  []*V // a power of two
	hashes []uint32
	n      int
}

// free is the hash of a slot with nothing in it.
const free = 0

// minSlots is how many slots the smallest shard with something in it has.
const minSlots = 8

// New makes a set of values that have their key where key says, and keep it.
func New[K comparable, V any](key func(*V) K) *Set[K, V] {
	return &Set[K, V]{key: key, seed: maphash.MakeSeed(), mask: math.MaxUint64}
}

// Len is how many values there are.
func (s *Set[K, V]) Len() int { return s.n }

// of gives the shard of a key, and its hash in there: the upper bits choose the one, the
// lower ones a slot. It is never that of a free slot.
func (s *Set[K, V]) of(k K) (*shard[V], uint32) {
	h := maphash.Comparable(s.seed, k) & s.mask
	return &s.shards[h>>56], uint32(h) | 1<<31
}

// Find gives the value of a key, nil if there is none.
func (s *Set[K, V]) Find(k K) *V {
	t, h := s.of(k)
	if t.n == 0 {
		return nil
	}
	for i := t.slot(h); t.hashes[i] != free; i = t.next(i) {
		if t.hashes[i] != h {
			continue
		}
		if v := t.slots[i]; s.key(v) == k {
			return v
		}
	}
	return nil
}

// Add adds a value whose key is not there.
func (s *Set[K, V]) Add(v *V) {
	t, h := s.of(s.key(v))
	if 4*(t.n+1) > 3*len(t.slots) {
		t.resize(2 * len(t.slots))
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
	for ; t.slots[i] != v; i = t.next(i) {
		if t.hashes[i] == free {
			return
		}
	}
	// Those behind it that it kept from their place move up.
	for j := t.next(i); t.hashes[j] != free; j = t.next(j) {
		if t.distance(t.slot(t.hashes[j]), j) >= t.distance(i, j) {
			t.slots[i], t.hashes[i], i = t.slots[j], t.hashes[j], j
		}
	}
	t.slots[i], t.hashes[i] = nil, free
	s.n--
	switch t.n--; {
	case t.n == 0:
		t.slots, t.hashes = nil, nil
	case len(t.slots) > minSlots && 8*t.n < len(t.slots):
		t.resize(len(t.slots) / 4)
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

func (t *shard[V]) resize(n int) {
	slots, hashes := t.slots, t.hashes
	n = max(minSlots, n)
	t.slots, t.hashes = make([]*V, n), make([]uint32, n)
	for i, v := range slots {
		if v != nil {
			t.put(v, hashes[i])
		}
	}
}

func (t *shard[V]) put(v *V, hash uint32) {
	i := t.slot(hash)
	for t.hashes[i] != free {
		i = t.next(i)
	}
	t.slots[i], t.hashes[i] = v, hash
}

// slot is where a value of that hash belongs.
func (t *shard[V]) slot(hash uint32) int { return int(hash) & (len(t.slots) - 1) }

// next is the slot behind another one; the first is behind the last.
func (t *shard[V]) next(i int) int { return (i + 1) & (len(t.slots) - 1) }

// distance is how many steps it takes from one slot to another.
func (t *shard[V]) distance(from, to int) int { return (to - from) & (len(t.slots) - 1) }
