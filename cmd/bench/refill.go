package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
)

const refillEntries = 100_000

// measureRefill kills the switch when it holds 100,000 entries and starts
// another in its place, which the controller fills unaided: from the start of
// the new process to its last acknowledged entry.
func measureRefill(ctx context.Context, b *bench) ([]value, error) {
	speaker := controllertest.NewSpeaker()
	g, o, err := b.startBridges(ctx, speaker, 1)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	entries := map[string]int64{"bridge.fdb": refillEntries}
	acked := g.target.countAcked(entries)
	if err := feed(ctx, speaker, stationRoutes(refillEntries)); err != nil {
		return nil, err
	}
	if err := await(ctx, acked.done, acked.progress); err != nil {
		return nil, fmt.Errorf("filling the first switch: %w", err)
	}
	acked = g.target.countAcked(entries)
	g.process.stop()
	start := time.Now()
	again, err := b.startSwitch(ctx, o)
	if err != nil {
		return nil, err
	}
	defer again.stop()
	defer b.profile("refill")()
	if err := await(ctx, acked.done, acked.progress); err != nil {
		return nil, fmt.Errorf("filling the switch again: %w", err)
	}
	return []value{{name: "refill_100k", number: time.Since(start).Seconds(), unit: "s", goal: atMost(5),
		against: fmt.Sprintf("start of a new switch to the last of %d entries acknowledged, the P4 program included",
			refillEntries)}}, nil
}

// stationRoutes are n type-2 routes of the first bridge, from one leaf.
func stationRoutes(n int) [][]bgp.Event {
	rts := bgp.MakeRouteTargets(bgp.AutoRouteTarget(leafAS, firstVNI))
	rd := bgp.RouterRD(vtep(0), 1)
	var batches [][]bgp.Event
	for i := 0; i < n; i += eventBatch {
		var events []bgp.Event
		for j := i; j < min(i+eventBatch, n); j++ {
			events = append(events, bgp.Event{Peer: vtep(0), Kind: bgp.RouteUpdate, Route: bgp.Route{
				Key: bgp.MACKey(rd, stationMAC(uint32(j)), netip.Addr{}), NextHop: vtep(0), Label: firstVNI, RouteTargets: rts,
			}})
		}
		batches = append(batches, events)
	}
	return batches
}
