package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/p4"
)

// equalPrefixes are advertised by two VTEPs each.
const equalPrefixes = 10_000

// measureVTEPLoss has 10,000 prefixes behind two VTEPs, both of which have flows of each, and
// takes one VTEP away, as the kernel tells of it; BGP says nothing. Its flows have moved when
// no slot leads to it any more. Then it comes back, and is lost again: the median counts.
func measureVTEPLoss(ctx context.Context, b *bench) ([]value, error) {
	store, err := storeWith(1)
	if err != nil {
		return nil, err
	}
	if err := addSVI(store); err != nil {
		return nil, err
	}
	o, err := overLoopback(embedded)
	if err != nil {
		return nil, err
	}
	speaker := controllertest.NewSpeaker()
	g, err := b.startGateway(ctx, speaker, store, o)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	slots := newSlotWatch(func(e p4.Typed) (uint16, bool) { s, is := e.(p4.NextHopSlot); return s.VTEP, is })
	g.target.watch(slots.observe)
	for leaf := range 2 {
		if err := feed(ctx, speaker, leafPrefixes(vtep(leaf), equalPrefixes)); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, 2*time.Second); err != nil { // all has been written
		return nil, err
	}
	if _, err := slots.await(ctx, unlike(2)); err != nil {
		return nil, fmt.Errorf("both VTEPs have flows: %w", err)
	}
	var took []float64
	var tables, members int
	for range rounds {
		slots.reset()
		lost := time.Now()
		g.underlay.Set(vtep(0), "no route")
		moved, err := slots.await(ctx, unlike(1))
		if err != nil {
			return nil, err
		}
		took = append(took, float64(moved.Sub(lost).Microseconds())/1000)
		if err := sleep(ctx, time.Second); err != nil { // nothing more is written
			return nil, err
		}
		tables, members = slots.written()
		g.underlay.Set(vtep(0), "", path1, path2)
		if _, err := slots.await(ctx, unlike(2)); err != nil {
			return nil, err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
	what := fmt.Sprintf("for %d prefixes behind two VTEPs, of which one is lost", equalPrefixes)
	frr := value{name: "vtep_loss_ms_frr", unit: "ms"}
	theirs, look, err := frrVTEPLoss(ctx)
	if reason, absent := skipped(err); absent {
		frr.missing = reason
	} else if err != nil {
		return nil, fmt.Errorf("FRR: %w", err)
	}
	frr.number = float64(theirs.Microseconds()) / 1000
	frr.against = fmt.Sprintf("FRR with kernel nexthop groups: the VTEP's route deleted to the last route "+
		"that leads to it, looked at every %.0f ms", look.Seconds()*1000)
	return []value{frr,
		{name: "vtep_loss_ms", number: median(took), unit: "ms", goal: atMost(100),
			against: fmt.Sprintf("median of %d: the word of the kernel to the last slot acknowledged, %s", rounds, what)},
		{name: "vtep_loss_writes", number: float64(tables), unit: "entries", goal: atMost(0),
			against: "of tables, besides the VTEP's own, " + what},
		{name: "vtep_loss_members", number: float64(members), unit: "members", goal: atMost(p4.Slots),
			against: "of action selectors, " + what},
	}, nil
}

// unlike counts for how many slots it is not so that all of them lead to n VTEPs.
func unlike(n int) func(map[p4.Key]uint16) int {
	return func(slots map[p4.Key]uint16) int {
		shares := map[uint16]int{}
		for _, to := range slots {
			shares[to]++
		}
		if len(shares) == n {
			return 0
		}
		return len(slots)
	}
}

// leafPrefixes are n type-5 routes of the VRF, from one leaf.
func leafPrefixes(from netip.Addr, n int) [][]bgp.Event {
	rts := bgp.MakeRouteTargets(bgp.AutoRouteTarget(leafAS, l3VNI))
	mac := leafRouterMAC
	mac[4], mac[5] = from.As4()[2], from.As4()[3]
	var batches [][]bgp.Event
	for i := 0; i < n; i += eventBatch {
		var events []bgp.Event
		for j := i; j < min(i+eventBatch, n); j++ {
			p := netip.PrefixFrom(address(firstPrefix+uint32(j)<<8), 24)
			events = append(events, bgp.Event{Peer: from, Kind: bgp.RouteUpdate, Route: bgp.Route{
				Key: bgp.PrefixKey(bgp.RouterRD(from, 1), p), NextHop: from, Label: l3VNI, RouteTargets: rts, RouterMAC: mac,
			}})
		}
		batches = append(batches, events)
	}
	return batches
}
