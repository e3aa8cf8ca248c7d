package main

import (
	"bytes"
	"encoding/binary"
	"iter"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// blockRoutes is how many routes are encoded at a time where there are too many to
// be kept.
const blockRoutes = 1024 * perUpdate

// macBlocks gives the UPDATEs of the first n type-2 routes, MAC alone, as
// bgptest.MACUpdates makes them of one leaf, in blocks. All but the last are one
// buffer, encoded beforehand, with other MACs in it: a million routes take little
// memory and a few milliseconds.
func macBlocks(n int) iter.Seq[[]byte] {
	updates := func(first, n int) []byte {
		return bytes.Join(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, first, n, perUpdate), nil)
	}
	size := min(n, blockRoutes)
	block, rest := updates(0, size), updates(n-n%size, n%size)
	at := macNumbers(block, size)
	return func(yield func([]byte) bool) {
		for first := 0; first+size <= n; first += size {
			for i, offset := range at {
				binary.BigEndian.PutUint32(block[offset:], uint32(first+i))
			}
			if !yield(block) {
				return
			}
		}
		if len(rest) > 0 {
			yield(rest)
		}
	}
}

// macNumbers finds where the numbers of the MACs from 0 to n-1 are: they follow
// each other, each behind the length of a MAC in bits (RFC 7432 section 7.2).
func macNumbers(block []byte, n int) []int {
	var at []int
	from := 0
	for i := range n {
		mac := stationMAC(uint32(i))
		from += bytes.Index(block[from:], append([]byte{48}, mac[:]...)) + 3
		at = append(at, from)
	}
	return at
}

// sendBlocks sends all of a load.
func sendBlocks(s *bgptest.Session, blocks iter.Seq[[]byte]) error {
	for b := range blocks {
		if err := s.Send(b); err != nil {
			return err
		}
	}
	return nil
}
