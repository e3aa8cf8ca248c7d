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
