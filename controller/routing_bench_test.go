package controller

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// BenchmarkRoutedRoutes is BenchmarkRoutes for what routing adds: hosts of a
// bridge with an SVI, hosts of symmetric IRB, and prefixes.
func BenchmarkRoutedRoutes(b *testing.B) {
	host := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}) }
	for name, route := range map[string]func(i int) bgp.Route{
		"macip":     func(i int) bgp.Route { return hostRoute(leaf1, 100, mac(i), host(i).String(), 5000) },
		"symmetric": func(i int) bgp.Route { return hostRoute(leaf1, 777, mac(i), host(i).String(), 5000) },
		"type5":     func(i int) bgp.Route { return prefixRoute(leaf1, 5000, single(host(i)).String()) },
	} {
		b.Run(name, func(b *testing.B) {
			const routes, batch = 100_000, 256
			events := make([]bgp.Event, routes)
			for i := range events {
				events[i] = update(peer1, route(i))
			}
			for range b.N {
				b.StopTimer()
				g := start(b, options{target: p4rttest.Config{MayFail: true}})
				g.bridge(10, 100)
				v := g.vrf("blue", 5000)
				g.svi("blue", 10, "10.0.0.1/8")
				g.settle()
				before := heapSize()
				b.StartTimer()
				for i := 0; i < routes; i += batch {
					g.send(events[i:min(i+batch, routes)]...)
				}
				g.settle()
				b.StopTimer()
				b.ReportMetric(float64(heapSize()-before)/routes, "B/route")
				if r := g.routeTo(v, single(host(routes-1)).String()); r == "nowhere" {
					b.Fatal("the last route is not on the target")
				}
			}
		})
	}
}

// BenchmarkRoutedLoop times what the loop itself does for 100,000 type-2 routes
// with an address, from the events to the changes for the writer and their
// acknowledgement: three entries each.
func BenchmarkRoutedLoop(b *testing.B) {
	const routes, batch = 100_000, 256
	events := make([]bgp.Event, routes)
	for i := range events {
		ip := netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)})
		events[i] = update(peer1, hostRoute(leaf1, 100, mac(i), ip.String(), 5000))
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l := newHastyLoop(b)
		l.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
		l.vrfChanged(intent.VRF{ID: "blue", VNI: 5000, Index: 1}, false)
		l.sviChanged(intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10",
			Gateways: []netip.Prefix{prefix("10.0.0.1/8")}}, false)
		l.write()
		b.StartTimer()
		for i := 0; i < routes; i += batch {
			l.bgpChanged(events[i:min(i+batch, routes)])
			l.settle()
			if i%(8*batch) == 0 {
				l.write()
			}
		}
		if n := len(l.bridges[1].addresses); n != routes {
			b.Fatalf("%d hosts", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/routes, "ns/route")
}
