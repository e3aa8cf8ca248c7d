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
// few are short, so that there are more of them. Of what is given up the routes that
// were taken count.
func measureScale(ctx context.Context, b *bench) ([]value, error) {
	few, err := costAtScale(ctx, b, fewRoutes, fewRounds)
	if err != nil {
		return nil, err
	}
	many, err := costAtScale(ctx, b, millionRoutes, rounds)
	over, err := gaveUp(err)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("of %d routes against %d, a route", millionRoutes, fewRoutes)
	if over {
		how = fmt.Sprintf("of the %.0f routes that were taken in %v against %d, a route", many.routes, scaleLimit, fewRoutes)
	}
	return []value{
		{name: "type2_scale_time", number: many.took / few.took, unit: "ratio", goal: atMost(scaleBound), over: over,
			against: how + ", UPDATEs on the wire to the last acknowledged entry; medians"},
		{name: "type2_scale_memory", number: many.memory / few.memory, unit: "ratio", goal: atMost(scaleBound), over: over,
			against: how + ", growth of resident memory of the controller side after GC; medians"},
		{name: "type2_10k", number: few.took * fewRoutes, unit: "s"},
		{name: "type2_1m", number: many.took * many.routes, unit: "s", over: over},
		{name: "type2_10k_bytes_per_route", number: few.memory, unit: "B"},
		{name: "type2_1m_bytes_per_route", number: many.memory, unit: "B"},
	}, nil
}

// routeCost is what one route of so many takes.
type routeCost struct{ routes, took, memory float64 }

// costAtScale loads so many routes some times, fewer if it takes long. Beside a late
// error it gives how far it came.
func costAtScale(ctx context.Context, b *bench, routes, times int) (routeCost, error) {
	load := routeLoad{
		name: fmt.Sprintf("type2_%d", routes), routes: routes, blocks: macBlocks(routes), million: true,
		entries: map[string]int64{"bridge.fdb": int64(routes)},
	}
	var took, memory []float64
	for begun := time.Now(); len(took) < times && (len(took) == 0 || time.Since(begun) < scaleBudget); {
		c, err := routesToEntries(ctx, b, load, scaleLimit)
		n := c.part * float64(routes)
		if err != nil {
			err = fmt.Errorf("%d routes: %w", routes, err)
			if n == 0 {
				return routeCost{}, errors.New(err.Error()) // nothing to compare with
			}
			return routeCost{n, c.took.Seconds() / n, c.rss / n}, err
		}
		took, memory = append(took, c.took.Seconds()/n), append(memory, c.rss/n)
	}
	return routeCost{float64(routes), median(took), median(memory)}, nil
}
