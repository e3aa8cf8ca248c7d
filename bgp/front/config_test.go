package front

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
)

func TestBadConfigurationNamesTheField(t *testing.T) {
	good := bgp.Config{AS: 65000, RouterID: ours, Neighbors: []bgp.Neighbor{{Address: leaf, AS: 65002}}}
	if _, err := New(Config{BGP: good, Logger: discard}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*bgp.Config){
		"bgp configuration: router id ::1: want an IPv4 address":                          func(c *bgp.Config) { c.RouterID = netip.IPv6Loopback() },
		"bgp configuration: listen port 70000: want 1 to 65535, 0 for 179 or -1 for none": func(c *bgp.Config) { c.ListenPort = 70000 },
		"bgp configuration: neighbor 10.0.0.4: as: want 1 to 4294967295":                  func(c *bgp.Config) { c.Neighbors[0].AS = 0 },
		"bgp configuration: neighbor 10.0.0.4: configured twice": func(c *bgp.Config) {
			c.Neighbors = append(c.Neighbors, c.Neighbors[0])
		},
		"bgp configuration: neighbor 10.0.0.4: hold time 1s: want whole seconds from 3s to 18h12m15s": func(c *bgp.Config) {
			c.Neighbors[0].HoldTime = time.Second
		},
		"bgp configuration: neighbor 10.0.0.4: local address ::1: want the same IP version as the neighbor's": func(c *bgp.Config) {
			c.Neighbors[0].LocalAddress = netip.IPv6Loopback()
		},
		"bgp configuration: neighbor 10.0.0.4: password of 81 bytes: TCP MD5 takes at most 80": func(c *bgp.Config) {
			c.Neighbors[0].Password = string(make([]byte, 81))
		},
		"bgp configuration: neighbor 10.0.0.4: address family ipv6: want evpn or, for a neighbor with this address, ipv4": func(c *bgp.Config) {
			c.Neighbors[0].Families = []bgp.Family{bgp.EVPN, bgp.IPv6Unicast}
		},
		"bgp configuration: neighbor 10.0.0.4: address family ipv4: given twice": func(c *bgp.Config) {
			c.Neighbors[0].Families = []bgp.Family{bgp.IPv4Unicast, bgp.IPv4Unicast}
		},
		"bgp configuration: neighbor invalid IP: address: want the unicast address of a peer": func(c *bgp.Config) {
			c.Neighbors[0].Address = netip.Addr{}
		},
	} {
		c := good
		c.Neighbors = slices.Clone(good.Neighbors)
		change(&c)
		if _, err := New(Config{BGP: c, Logger: discard}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
