package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

var routedChecks = []claim[*routed]{
	{"tenants ping their gateway, and its addresses in other subnets", gatewayPings},
	{"the gateway routes between two of its own bridges", ownBridges},
	{"symmetric IRB: hosts behind the gateway and behind the leaf reach each other by the L3 VNI", symmetricPings},
	{"asymmetric IRB: so do those of a VRF without one", asymmetricPings},
	{"a prefix that the leaf advertises by type 5 is reached, and more by its default route", prefixPings},
	{"all of this works by IPv6 too", ipv6Pings},
}

// way is a ping from a host to an address.
type way struct {
	from string
	to   netip.Addr
}

// pings sends echo requests each way until they are answered.
func (r *routed) pings(ctx context.Context, ways ...way) (string, error) {
	var longest time.Duration
	for _, w := range ways {
		took, err := r.hosts[w.from].Reach(ctx, w.to, patience)
		if err != nil {
			return "", err
		}
		longest = max(longest, took)
	}
	return fmt.Sprintf("%d pings, the slowest start to answer %d ms", len(ways), longest.Milliseconds()), nil
}

// bothWays gives the ways between two hosts.
func (r *routed) bothWays(a, b string) []way {
	return []way{{a, r.hosts[b].Address.Addr()}, {b, r.hosts[a].Address.Addr()}}
}

func gatewayPings(ctx context.Context, r *routed) (string, error) {
	var ways []way
	for _, s := range segments {
		if s.atPort {
			ways = append(ways, way{s.host, r.hosts[s.host].Gateway})
		}
	}
	west, _ := segments[1].gateways()
	return r.pings(ctx, append(ways, way{"east1", west.Addr()}, way{"east1", tenantLoopback.Addr()},
		way{"far1", tenantLoopback.Addr()})...)
}

func ownBridges(ctx context.Context, r *routed) (string, error) {
	return r.pings(ctx, r.bothWays("east1", "west1")...)
}

func symmetricPings(ctx context.Context, r *routed) (string, error) {
	return r.pings(ctx, append(r.bothWays("east1", "far1"), r.bothWays("twin1", "twinfar")...)...)
}

func asymmetricPings(ctx context.Context, r *routed) (string, error) {
	return r.pings(ctx, r.bothWays("near1", "near2")...)
}

func prefixPings(ctx context.Context, r *routed) (string, error) {
	return r.pings(ctx, way{"east1", farPrefix4.Addr()}, way{"west1", farPrefix4.Addr()}, way{"east1", hidden4.Addr()})
}

func ipv6Pings(ctx context.Context, r *routed) (string, error) {
	ways := []way{{"east1", farPrefix6.Addr()}, {"east1", hidden6.Addr()}}
	for _, s := range segments {
		if s.atPort {
			ways = append(ways, way{s.host, r.hosts[s.host].Gateway6})
		}
	}
	for _, pair := range [][2]string{{"east1", "west1"}, {"east1", "far1"}, {"near1", "near2"}} {
		a, b := pair[0], pair[1]
		ways = append(ways, way{a, r.hosts[b].Address6.Addr()}, way{b, r.hosts[a].Address6.Addr()})
	}
	return r.pings(ctx, ways...)
}
