package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	gigabyte = 1e9

	millionLimit    = 3 * time.Minute // until all entries are acknowledged
	withdrawLimit   = time.Minute
	memoryBackLimit = quietAfter
	memoryBackBound = 1.2
)

// measureMillion gives a gateway that runs as users run it a million type-2 routes,
// and ends the session. All the while it is asked things.
func measureMillion(ctx context.Context, b *bench) ([]value, error) {
	of := liveOptions{binary: b.enlargedBinary, neighbor: fmt.Sprintf(", max_prefixes: %d", raisedLimit)}
	return withLiveOf(ctx, of, func(g *liveGateway) ([]value, error) {
		defer func() { _ = g.KillController() }() // in good order it may take minutes
		pid := g.ControllerPID()
		if err := errors.Join(g.connect(ctx, 0), sleep(ctx, quietBefore)); err != nil {
			return nil, err
		}
		before, _, err := resident(pid)
		if err != nil {
			return nil, err
		}
		base, err := g.Metrics(ctx)
		if err != nil {
			return nil, err
		}
		questions := g.questions()
		stop := askAll(ctx, questions)
		values, err := g.million(ctx, base)
		stop()
		if err != nil {
			return nil, err
		}
		worst, how := answers(questions)
		values = append(values, value{name: "million_api_p99", number: milliseconds(worst), unit: "ms", goal: atMost(1000),
			against: "of the slowest kind of call, one at a time, while routes come and go: " + how})
		back, err := memoryBack(ctx, pid, before)
		return append(values, back...), err
	})
}

// million sends the routes, ends the session, and waits each time.
func (g *liveGateway) million(ctx context.Context, base map[string]float64) ([]value, error) {
	begin := time.Now()
	sent := make(chan error, 1)
	g.owned.Go(func() { sent <- sendBlocks(g.leaf, macBlocks(millionRoutes)) }) // the end of the session ends it
	loaded := g.awaitFDB(ctx, millionLimit, base, millionRoutes)
	took := time.Since(begin)
	now, peak, err := resident(g.ControllerPID())
	if err != nil {
		return nil, err
	}
	over, err := gaveUp(loaded)
	if err != nil {
		return nil, err
	}
	how := "p4evpn run, the most that it ever had"
	if over {
		how += "; not all routes were taken: " + loaded.Error()
	} else if err := <-sent; err != nil {
		return nil, err
	}
	values := []value{
		{name: "million", number: took.Seconds(), unit: "s", over: over,
			against: fmt.Sprintf("%d type-2 routes, UPDATEs on the wire to the last acknowledged entry", millionRoutes)},
		{name: "million_rss", number: peak / gigabyte, unit: "GB", goal: atMost(1.2), over: over, against: how},
		{name: "million_rss_loaded", number: now / gigabyte, unit: "GB", against: "at the last acknowledged entry"},
	}
	begin = time.Now()
	g.close()
	gone := g.awaitFDB(ctx, withdrawLimit, base, 0)
	took = time.Since(begin)
	if over, err = gaveUp(gone); err != nil {
		return nil, err
	}
	return append(values, value{name: "million_withdraw", number: took.Seconds(), unit: "s", goal: atMost(5), over: over,
		against: "the connection is closed until all of their entries are gone"}), nil
}

// awaitFDB waits until there are n routes more than at first and as many entries.
func (g *liveGateway) awaitFDB(ctx context.Context, limit time.Duration, base map[string]float64, n float64) error {
	fdb := entriesMetric("bridge.fdb")
	return g.poll(ctx, limit, func(now map[string]float64) string {
		routes := now[routesMetric] - base[routesMetric]
		entries, known := now[fdb]
		if entries -= base[fdb]; known && routes == n && entries == n {
			return ""
		}
		if !known {
			entries = math.NaN()
		}
		return fmt.Sprintf("%.0f routes are taken and the target has %.0f entries, %.0f are wanted", routes, entries, n)
	})
}

// memoryBack waits until the process has little more memory than before, or long
// enough.
func memoryBack(ctx context.Context, pid int, before float64) ([]value, error) {
	start := time.Now()
	for {
		now, _, err := resident(pid)
		if err != nil {
			return nil, err
		}
		ratio, passed := now/before, time.Since(start)
		if ratio <= memoryBackBound || passed > memoryBackLimit {
			return []value{{name: "million_memory_back", number: ratio, unit: "ratio", goal: atMost(memoryBackBound),
				against: fmt.Sprintf("resident memory %.0f s later, %.0f MB, to that before the first route, %.0f MB",
					passed.Seconds(), now/1e6, before/1e6)}}, nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}
