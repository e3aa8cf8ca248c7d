package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

const (
	sameHostRoutes = 8000
	sameHostLimit  = 30 * time.Second // of each way
)

// unreachedVTEP ranks before vtep(0) (RFC 7432 section 15: the lower address) and has
// no route in the underlay.
var unreachedVTEP = netip.MustParseAddr("10.255.0.200")

// measureSameHost has a leaf send as many type-2 routes for one MAC and address,
// each under a route distinguisher of its own, and take them back. Every route is a
// candidate for the same three entries. All but the last few are of a VTEP that ranks
// first and cannot be reached, so that the one to use has to be found among the rest.
func measureSameHost(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := g.connect(ctx, 0); err != nil {
			return nil, err
		}
		before, err := g.Metrics(ctx)
		if err != nil {
			return nil, err
		}
		announce, withdraw := sameHostUpdates()
		start := time.Now()
		err = g.sendAndPoll(ctx, announce, func(now map[string]float64) string {
			return sameHostMissing(before, now, sameHostRoutes, 1)
		})
		there := time.Since(start)
		if err == nil {
			err = g.sendAndPoll(ctx, withdraw, func(now map[string]float64) string {
				return sameHostMissing(before, now, 0, 0)
			})
		}
		took := time.Since(start)
		var gave late
		over := errors.As(err, &gave)
		if err != nil && !over {
			return nil, err
		}
		how := fmt.Sprintf("type-2 routes for one MAC and IP under %d RDs, of a VTEP without a path but for the last, until "+
			"the last entry is acknowledged (%.2g s), and until all is as before", sameHostRoutes, there.Seconds())
		if over {
			how = fmt.Sprintf("type-2 routes for one MAC and IP under %d RDs, given up: %s", sameHostRoutes,
				gave.progress)
			_ = g.KillController() // what it does may take minutes
		}
		return []value{{name: "same_host_8000", number: took.Seconds(), unit: "s", goal: atMost(1), over: over,
			against: how}}, nil
	})
}

// sendAndPoll sends messages and waits for what follows.
func (g *liveGateway) sendAndPoll(ctx context.Context, wire []byte, missing func(map[string]float64) string) error {
	sent := make(chan error, 1)
	g.owned.Go(func() { sent <- g.leaf.Send(wire) }) // the end of the session ends it
	if err := g.poll(ctx, sameHostLimit, missing); err != nil {
		return err
	}
	return <-sent
}

// sameHostMissing says what is missing of routes and of entries of the host.
func sameHostMissing(before, now map[string]float64, routes, entries float64) string {
	if n := now[routesMetric] - before[routesMetric]; n != routes {
		return fmt.Sprintf("%.0f routes are taken, %.0f are wanted", n, routes)
	}
	for _, table := range []string{"bridge.fdb", "arp.host", "router.ipv4"} {
		n, known := now[entriesMetric(table)]
		if !known {
			return "the controller does not answer"
		}
		if n -= before[entriesMetric(table)]; n != entries {
			return fmt.Sprintf("%s has %.0f entries more than before, %.0f are wanted", table, n, entries)
		}
	}
	if n := now["p4evpn_controller_queue_depth"]; n > 0 {
		return fmt.Sprintf("%.0f entries wait to be computed", n)
	}
	return ""
}

// sameHostUpdates announce and withdraw the routes of a host of the bridge east.
func sameHostUpdates() (announce, withdraw []byte) {
	const east = 2 // of liveHosts
	vni := uint32(firstVNI + east)
	var there, back [][]byte
	for i := 0; i < sameHostRoutes; i += perUpdate {
		attributes := bgptest.Attributes{NextHop: unreachedVTEP, ASPath: []uint32{leafAS},
			Communities: [][8]byte{bgptest.VXLAN(), bgptest.RouteTarget(leafAS, vni)}}
		if i+perUpdate >= sameHostRoutes {
			attributes.NextHop = vtep(0)
		}
		var nlri [][]byte
		for j := range perUpdate {
			rd := [8]byte{0, 1}
			next := attributes.NextHop.As4()
			copy(rd[2:], next[:])
			binary.BigEndian.PutUint16(rd[6:], uint16(i+j))
			nlri = append(nlri, bgptest.MACRoute(rd, 0, stationMAC(benchRoutes), netip.MustParseAddr("10.1.11.77"), vni))
		}
		there, back = append(there, bgptest.Update(attributes, nlri...)), append(back, bgptest.Withdraw(nlri...))
	}
	return bytes.Join(there, nil), bytes.Join(back, nil)
}
