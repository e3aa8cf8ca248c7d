package controller

import "math/bits"

// ids gives out small numbers, always the lowest free one from first on, so
// that the same inputs end with few and stable ids. The zero value needs first
// and last set.
type ids struct {
	first, last uint16
	used        []uint64 // bitmap
	hint        int      // no word before it has a free bit
}

// take gives the lowest free id, false when all are in use.
func (s *ids) take() (uint16, bool) {
	for w := s.hint; w <= int(s.last)/64; w++ {
		s.grow(w)
		for free := ^s.used[w]; free != 0; free &= free - 1 {
			id := w*64 + bits.TrailingZeros64(free)
			if id < int(s.first) {
				continue
			}
			if id > int(s.last) {
				return 0, false
			}
			s.hint = w
			s.used[w] |= 1 << (id % 64)
			return uint16(id), true
		}
	}
	return 0, false
}

// reserve takes a given id; false if it is out of range or in use.
func (s *ids) reserve(id uint16) bool {
	w := int(id) / 64
	if id < s.first || id > s.last {
		return false
	}
	s.grow(w)
	if s.used[w]&(1<<(id%64)) != 0 {
		return false
	}
	s.used[w] |= 1 << (id % 64)
	return true
}

func (s *ids) release(id uint16) {
	w := int(id) / 64
	s.used[w] &^= 1 << (id % 64)
	s.hint = min(s.hint, w)
}

func (s *ids) grow(w int) {
	for len(s.used) <= w {
		s.used = append(s.used, 0)
	}
}
