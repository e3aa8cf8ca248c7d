package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// load are n type-2 routes, 16 an UPDATE, in so many sets of attributes.
func load(s *Session, n, sets int) [][]byte {
	var list [][]byte
	var routes []bgp.NLRI
	for i := range n {
		mac := ether.MAC{2}
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		routes = append(routes, bgp.NLRI{Key: bgp.MACKey(rd1, mac, netip.Addr{}), Label: 100})
		if len(routes) == 16 || i == n-1 {
			a := bgp.Attributes{NextHop: leaf, Encapsulation: bgp.EncapsulationVXLAN, Sequence: uint32(len(list) % sets)}
			a.LocalPref, a.PathLength, a.NeighborAS = bgp.DefaultLocalPref, 1, theirAS
			a.RouteTargets = bgp.MakeRouteTargets(bgp.AutoRouteTarget(theirAS, 100))
			list = append(list, encode(s, &a, routes...))
			routes = routes[:0]
		}
	}
	return list
}

// BenchmarkType2 decodes 100,000 routes.
func BenchmarkType2(b *testing.B) {
	s := external()
	for name, sets := range map[string]int{"OneSet": 1, "EachItsOwn": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			updates := load(&s, 100000, sets)
			d := NewDecoder(s)
			var u Update
			b.ReportAllocs()
			for b.Loop() {
				for _, body := range updates {
					if n := d.Update(body, &u); n != nil || len(u.Faults) > 0 {
						b.Fatal(n, u.Faults)
					}
				}
			}
		})
	}
}

func TestUpdateWithKnownAttributesAllocatesNothing(t *testing.T) {
	s := external()
	updates := load(&s, 1600, 4)
	for _, b := range updates[:8] {
		updates = append(updates, body(nil, unreach(EVPN, encodeNLRI(macRoute(1), macRoute(2))), nil), b)
	}
	// Nor does one of which an attribute is discarded, each time.
	updates = append(updates, announced(given(s, attr(transitive, attrLocalPref, 0, 0, 0, 1)), two()),
		body(nil, given(s, attr(transitive, attrNextHop, 10, 0, 0, 2)), []byte{8, 10, 8, 11}))
	d := NewDecoder(s)
	var u Update
	all := func() {
		for _, b := range updates {
			if n := d.Update(b, &u); n != nil {
				t.Fatal(n)
			}
		}
	}
	all()
	if n := testing.AllocsPerRun(10, all); n > 0 {
		t.Errorf("%v allocations for %d UPDATEs", n, len(updates))
	}
}
