package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	fewRoutes   = 10_000
	fewRounds   = 5
	scaleBound  = 1.2
	scaleLimit  = 2 * time.Minute // for a million routes
	scaleBudget = 90 * time.Second
)

// measureScale compares what a type-2 route costs when there are few and when
// there are a million, on a switch whose tables have room for them. The rounds with
// few are short, so that there are more of them.
func measureScale(ctx context.Context, b *bench) ([]value, error) {
	few, err := costAtScale(ctx, b, fewRoutes, fewRounds)
	if err != nil {
		return nil, err
	}
	many, err := costAtScale(ctx, b, millionRoutes, rounds)
	var gaveUp late
	over := errors.As(err, &gaveUp) && many.took > 0 // and not before the routes were sent
	if err != nil && !over {
		return nil, err
	}
	how := fmt.Sprintf("of %d routes against %d, a route", millionRoutes, fewRoutes)
	values := []value{
		{name: "type2_scale_time", number: many.took / few.took, unit: "ratio", goal: atMost(scaleBound), over: over,
			against: how + ", UPDATEs on the wire to the last acknowledged entry; medians"},
		{name: "type2_10k", number: few.took * fewRoutes, unit: "s"},
		{name: "type2_1m", number: many.took * millionRoutes, unit: "s", over: over},
		{name: "type2_10k_bytes_per_route", number: few.memory, unit: "B"},
	}
	if over {
		return append(values, value{name: "type2_scale_memory", missing: gaveUp.Error()}), nil
	}
	return append(values,
		value{name: "type2_1m_bytes_per_route", number: many.memory, unit: "B"},
		value{name: "type2_scale_memory", number: many.memory / few.memory, unit: "ratio", goal: atMost(scaleBound),
			against: how + ", growth of resident memory of controller side after GC; medians"}), nil
}

// routeCost is what one route of many takes.
type routeCost struct{ took, memory float64 }

// costAtScale loads so many routes some times, fewer if it takes long. What it
// gives beside a late error is how far it came.
func costAtScale(ctx context.Context, b *bench, routes, times int) (routeCost, error) {
	load := routeLoad{
		name: fmt.Sprintf("type2_%d", routes), routes: routes, blocks: macBlocks(routes), million: true,
		entries: map[string]int64{"bridge.fdb": int64(routes)},
	}
	var took, memory []float64
	for begun := time.Now(); len(took) < times && (len(took) == 0 || time.Since(begun) < scaleBudget); {
		c, err := routesToEntries(ctx, b, load, scaleLimit)
		if err != nil {
			return routeCost{took: c.took.Seconds() / float64(routes)}, fmt.Errorf("%d routes: %w", routes, err)
		}
		took = append(took, c.took.Seconds()/float64(routes))
		memory = append(memory, c.rss/float64(routes))
	}
	return routeCost{median(took), median(memory)}, nil
}
