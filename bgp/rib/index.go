package rib

import (
	"hash/maphash"

	"github.com/p4evpn/p4evpn/bgp"
)

// shards is how many tables an index has. Each grows, and is walked, by itself, so that
// nobody waits for a million routes.
const shards = 256

// index finds destinations by their key. It is not a map since that would hold each key a
// second time, and not give back its memory.
type index struct {
	seed   maphash.Seed
	mask   uint32 // of hashes: all ones but in tests, where keys are to meet
	shards [shards]shard
}

// shard is a hash table with linear probing: a destination is in the first slot that was
// free from that of its hash on.
type shard struct {
	slots []*destination // a power of two
	n     int
}

// minSlots is how many slots the smallest shard with something in it has.
const minSlots = 8

// hash is that of a key. Peers cannot foresee it, so that they cannot make keys meet.
func (x *index) hash(k *bgp.Key) uint32 { return uint32(maphash.Comparable(x.seed, *k)) & x.mask }

// of is the shard of a hash: the upper bits choose it, the lower ones the slot.
func (x *index) of(hash uint32) *shard { return &x.shards[hash>>24] }

// find gives the destination of a key, nil if there is none, and the hash.
func (x *index) find(k *bgp.Key) (*destination, uint32) {
	h := x.hash(k)
	s := x.of(h)
	if s.n == 0 {
		return nil, h
	}
	for i := s.home(h); ; i = s.after(i) {
		if d := s.slots[i]; d == nil || d.hash == h && d.key == *k {
			return d, h
		}
	}
}

// add adds a destination whose key is not there.
func (x *index) add(d *destination) {
	s := x.of(d.hash)
	if 4*(s.n+1) > 3*len(s.slots) {
		s.resize(max(minSlots, 2*len(s.slots)))
	}
	s.put(d)
	s.n++
}

// remove removes a destination that is there.
func (x *index) remove(d *destination) {
	s := x.of(d.hash)
	i := s.home(d.hash)
	for s.slots[i] != d {
		i = s.after(i)
	}
	// Those behind it that it kept from their place move up.
	for j := s.after(i); s.slots[j] != nil; j = s.after(j) {
		if s.distance(s.home(s.slots[j].hash), j) >= s.distance(i, j) {
			s.slots[i], i = s.slots[j], j
		}
	}
	s.slots[i] = nil
	switch s.n--; {
	case s.n == 0:
		s.slots = nil
	case len(s.slots) > minSlots && 8*s.n < len(s.slots):
		s.resize(len(s.slots) / 4)
	}
}

func (s *shard) home(hash uint32) int { return int(hash) & (len(s.slots) - 1) }
func (s *shard) after(i int) int      { return (i + 1) & (len(s.slots) - 1) }

// distance is how many slots j is behind i.
func (s *shard) distance(i, j int) int { return (j - i) & (len(s.slots) - 1) }

func (s *shard) put(d *destination) {
	i := s.home(d.hash)
	for s.slots[i] != nil {
		i = s.after(i)
	}
	s.slots[i] = d
}

func (s *shard) resize(n int) {
	old := s.slots
	s.slots = make([]*destination, max(minSlots, n))
	for _, d := range old {
		if d != nil {
			s.put(d)
		}
	}
}
