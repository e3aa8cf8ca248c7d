package controller

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
)

func TestWhatRoutesTakeIsLittleAndComesBackWhenTheyGo(t *testing.T) {
	const routes, batch = 100_000, 2000
	const bound = 400 // bytes a route with its MAC and its entry
	l := newHastyLoop(t)
	l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	l.write()
	events := make([]bgp.Event, batch)
	all := func(kind bgp.Kind) {
		for first := 0; first < routes; first += batch {
			for i := range events {
				m := ether.MAC{2}
				binary.BigEndian.PutUint32(m[2:], uint32(first+i))
				events[i] = update(peer1, macRoute(leaf1, 100, m))
				events[i].Kind = kind
			}
			l.bgpChanged(events)
			l.underlayChanged(underlay.Change{VTEP: leaf1, Paths: []underlay.Path{path1}})
			l.finish()
		}
	}
	empty := heapSize()
	all(bgp.RouteUpdate)
	if n := l.target.Len(); n < routes {
		t.Fatalf("%d entries", n)
	}
	full := heapSize()
	if each := float64(full-empty) / routes; each > bound {
		t.Errorf("%.0f bytes a route, want no more than %d", each, bound)
	}
	all(bgp.RouteWithdraw)
	if left := int64(heapSize()) - int64(empty); left > int64(full-empty)/20 {
		t.Errorf("%d bytes are left of %d", left, full-empty)
	}
	runtime.KeepAlive(l)
}
