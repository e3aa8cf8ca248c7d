package rib

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

var (
	leaf   = netip.MustParseAddr("10.0.0.4")
	spine1 = netip.MustParseAddr("192.0.2.1")
	spine2 = netip.MustParseAddr("192.0.2.2")
	rd     = bgp.RouterRD(leaf, 100)
)

// key is that of a MAC route.
func key(n int) bgp.Key {
	return bgp.MACKey(rd, ether.MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, netip.Addr{})
}

func nlri(n int) bgp.NLRI { return bgp.NLRI{Key: key(n), Label: 100} }

// attributes are those of an eBGP peer's own routes, changed.
func attributes(change ...func(*bgp.Attributes)) *bgp.Attributes {
	a := &bgp.Attributes{NextHop: leaf, RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65002, 100))}
	a.Preference = bgp.Preference{LocalPref: bgp.DefaultLocalPref, NeighborAS: 65002, PathLength: 1}
	for _, c := range change {
		c(a)
	}
	return a
}

// drain gives all that waits for the consumer.
func drain(t *Table) (events []bgp.Event) {
	for more := true; more; {
		var some []bgp.Event
		some, more = t.next(nil)
		events = append(events, some...)
	}
	return events
}

// consumer keeps what events tell, as they are documented.
type consumer map[bgp.Key]bgp.Event

func (c consumer) take(events []bgp.Event) {
	for _, e := range events {
		switch e.Kind {
		case bgp.RouteUpdate:
			c[e.Route.Key] = e
		case bgp.RouteWithdraw:
			delete(c, e.Route.Key)
		}
	}
}
