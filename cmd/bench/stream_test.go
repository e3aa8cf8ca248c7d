package main

import (
	"bytes"
	"testing"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestBlocksAreTheSameRoutesAsUpdatesEncodedOneByOne(t *testing.T) {
	for _, n := range []int{16, blockRoutes, 2*blockRoutes + 3*perUpdate} {
		want := bytes.Join(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, 0, n, perUpdate), nil)
		blocks := macBlocks(n)
		for range 2 { // a load may be sent more than once
			var got bytes.Buffer
			for b := range blocks {
				got.Write(b)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d routes are not as they should be", n)
			}
		}
	}
}

func TestEveryRouteOfTheSameHostHasADistinguisherOfItsOwn(t *testing.T) {
	announce, withdraw := sameHostUpdates()
	mac := stationMAC(benchRoutes)
	for name, wire := range map[string][]byte{"announced": announce, "withdrawn": withdraw} {
		seen := map[string]bool{}
		for rest := wire; ; {
			at := bytes.Index(rest, append([]byte{48}, mac[:]...)) // RFC 7432 section 7.2: behind RD, ESI, tag
			if at < 0 {
				break
			}
			seen[string(rest[at-8-10-4:at-10-4])] = true
			rest = rest[at+1:]
		}
		if len(seen) != sameHostRoutes {
			t.Errorf("%d distinguishers are %s, want %d", len(seen), name, sameHostRoutes)
		}
	}
}
