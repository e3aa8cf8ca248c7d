package controller

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
)

// crowded are routes of one key under many RDs.
var crowded = map[string]func(i int) bgp.Route{
	"MAC":                func(i int) bgp.Route { return macRoute(leaf1, 100, mac(5)) },
	"MAC of many VTEPs":  func(i int) bgp.Route { return macRoute(manyVTEPs(i), 100, mac(5)) },
	"MAC that moves":     func(i int) bgp.Route { return with(macRoute(leaf1, 100, mac(5)), uint32(i)) },
	"MAC+IP":             func(i int) bgp.Route { return hostRoute(leaf1, 100, mac(5), "10.10.0.5", 5000) },
	"MAC+IP, many VTEPs": func(i int) bgp.Route { return hostRoute(manyVTEPs(i), 100, mac(5), "10.10.0.5", 5000) },
	"IP of many MACs":    func(i int) bgp.Route { return hostRoute(leaf1, 100, mac(i), "10.10.0.5", 5000) },
	"MAC of many IPs": func(i int) bgp.Route {
		return hostRoute(leaf1, 100, mac(5), netip.AddrFrom4([4]byte{10, 11, byte(i >> 8), byte(i)}).String(), 5000)
	},
	"gateway of many MACs": func(i int) bgp.Route { return gatewayRoute(leaf1, 100, mac(i), "10.10.0.1") },
	"gateway of many VTEPs": func(i int) bgp.Route {
		return gatewayRoute(manyVTEPs(i), 100, mac(5), "10.10.0.1")
	},
	"type 3":               func(i int) bgp.Route { return floodRoute(leaf1, 100) },
	"type 5":               func(i int) bgp.Route { return prefixRoute(leaf1, 5000, "10.50.0.0/16") },
	"type 5 of many VTEPs": func(i int) bgp.Route { return prefixRoute(manyVTEPs(i), 5000, "10.50.0.0/16") },
	"type 5 of many ASes": func(i int) bgp.Route {
		r := prefixRoute(leaf1, 5000, "10.50.0.0/16")
		r.Preference = bgp.Preference{LocalPref: 100, NeighborAS: uint32(i / 3), MED: uint32(i % 3)}
		return r
	},
}

func manyVTEPs(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// crowd is a gateway's loop and n routes of one key.
func newCrowd(tb testing.TB, n int, of func(int) bgp.Route) (*loop, []bgp.Event) {
	l := newHastyLoop(tb)
	l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	l.vrfChanged(intent.VRF{ID: "blue", VNI: 5000, Index: 1}, false)
	l.sviChanged(intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10",
		Gateways: []netip.Prefix{prefix("10.10.0.1/24")}}, false)
	l.bgpChanged([]bgp.Event{{Kind: bgp.Converged}})
	l.finish()
	events := make([]bgp.Event, n)
	for i := range events {
		r := of(i)
		r.RD = bgp.RouterRD(leaf1, uint16(i))
		events[i] = update(peer1, r)
	}
	return l, events
}

// live has the routes come, their VTEPs be found and lost, and the routes go.
func (l *loop) live(events []bgp.Event) {
	const batch = 256
	vteps := map[netip.Addr]struct{}{}
	for i := 0; i < len(events); i += batch {
		l.bgpChanged(events[i:min(i+batch, len(events))])
		l.settle()
	}
	for i := range events {
		vteps[events[i].Route.NextHop] = struct{}{}
	}
	for _, paths := range [][]underlay.Path{{path1}, nil, {path2}} {
		for a := range vteps {
			l.underlayChanged(underlay.Change{VTEP: a, Paths: paths})
			l.settle()
		}
	}
	l.finish()
	gone := make([]bgp.Event, len(events))
	for i := range gone {
		gone[i] = withdraw(peer1, events[i].Route)
	}
	for i := 0; i < len(events); i += batch {
		l.bgpChanged(gone[i:min(i+batch, len(events))])
		l.settle()
	}
	l.finish()
}

// cost is the processor's time that the thread takes for something, whatever else the
// machine does.
func cost(t *testing.T, do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took [2]time.Duration
	for i := range took {
		if i == 1 {
			do()
		}
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return took[1] - took[0]
}

// Whatever key a peer advertises under however many RDs, the cost of a route hardly grows
// with their number. Eight times as many may cost 24 times as much, where quadratic growth
// is 64: what is measured is short, and a machine has caches.
func TestTheCostOfARouteHardlyGrowsWithThoseOfItsKey(t *testing.T) {
	const few, many, bound = 2_000, 16_000, 24
	for name, route := range crowded {
		t.Run(name, func(t *testing.T) {
			takes := func(n int) time.Duration {
				l, events := newCrowd(t, n, route)
				took := cost(t, func() { l.live(events) })
				if left := len(l.tunnels) + len(l.routeTargets) + len(l.bridges[1].macs) + len(l.bridges[1].addresses) +
					len(l.bridges[1].flood) + len(l.vrfs[1].prefixes); left > 0 {
					t.Fatalf("%d things are left of routes that are gone", left)
				}
				return took
			}
			for try := 1; ; try++ {
				a, b := takes(few), takes(many)
				t.Logf("%d routes: %v, %d: %v, which is %.1f times", few, a, many, b, float64(b)/float64(a))
				if b <= bound*a {
					return
				}
				if try == 3 {
					t.Fatalf("%d routes cost %v, %d cost %v: more than %d times, three times", few, a, many, b, bound)
				}
			}
		})
	}
}

// A local MAC with many addresses, and many routes for it that change nothing.
func TestRoutesThatLoseToALocalMACDoNotCostWhatItHasOfAddresses(t *testing.T) {
	l, events := newCrowd(t, 4_000, func(int) bgp.Route { return macRoute(leaf1, 100, mac(5)) })
	l.cfg.MaxAddresses = 1000
	b := l.bridges[1]
	b.station(mac(5)).static = 1
	for i := range l.cfg.MaxAddresses {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|11<<16|uint32(i))
		l.heard(b, sighting{ip: netip.AddrFrom4(a), mac: mac(5), port: 1, by: byHost})
	}
	l.finish()
	l.bgpChanged(events)
	if n := l.target.Depth(); n > 10 {
		t.Errorf("%d entries are computed anew, want a few", n)
	}
}

// BenchmarkCrowd is what a route costs among many of its key.
func BenchmarkCrowd(b *testing.B) {
	for name, route := range crowded {
		b.Run(name, func(b *testing.B) {
			const n = 8_000
			for b.Loop() {
				b.StopTimer()
				l, events := newCrowd(b, n, route)
				b.StartTimer()
				l.live(events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/route")
		})
	}
}
