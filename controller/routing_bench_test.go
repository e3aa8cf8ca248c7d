package controller

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
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
				before := heap()
				b.StartTimer()
				for i := 0; i < routes; i += batch {
					g.speaker.events <- events[i:min(i+batch, routes)]
				}
				g.settle()
				b.StopTimer()
				b.ReportMetric(float64(heap()-before)/routes, "B/route")
				if r := g.routeTo(v, single(host(routes-1)).String()); r == "nowhere" {
					b.Fatal("the last route is not on the target")
				}
			}
		})
	}
}
