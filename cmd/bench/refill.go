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
	if err := g.fill(ctx, speaker, refillEntries, 1); err != nil {
		return nil, err
	}
	acked := g.target.countAcked(map[string]int64{"bridge.fdb": refillEntries})
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

// fill has the switch hold n MACs of the first bridge, from so many leaves in turn.
func (g *gateway) fill(ctx context.Context, speaker *controllertest.Speaker, n, leaves int) error {
	acked := g.target.countAcked(map[string]int64{"bridge.fdb": int64(n)})
	if err := feed(ctx, speaker, stationRoutes(n, leaves)); err != nil {
		return err
	}
	if err := await(ctx, acked.done, acked.progress); err != nil {
		return fmt.Errorf("filling the switch: %w", err)
	}
	return nil
}

// stationRoutes are n type-2 routes of the first bridge, from so many leaves in turn.
func stationRoutes(n, leaves int) [][]bgp.Event {
	rts := bgp.MakeRouteTargets(bgp.AutoRouteTarget(leafAS, firstVNI))
	var batches [][]bgp.Event
	for i := 0; i < n; i += eventBatch {
		var events []bgp.Event
		for j := i; j < min(i+eventBatch, n); j++ {
			from := vtep(j % leaves)
			events = append(events, bgp.Event{Peer: from, Kind: bgp.RouteUpdate, Route: bgp.Route{
				Key: bgp.MACKey(bgp.RouterRD(from, 1), stationMAC(uint32(j)), netip.Addr{}), NextHop: from, Label: firstVNI,
				RouteTargets: rts,
			}})
		}
		batches = append(batches, events)
	}
	return batches
}
