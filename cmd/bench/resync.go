package main

import (
	"context"
	"fmt"
	"time"
)

const resyncEntries = 100_000

// measureResync kills the controller while the switch holds 100,000 entries that
// are still wanted, and starts it again: from the start of its process until it
// has read everything back and compared it, which it has when its API says that
// objects are UP. What it writes is counted until BGP has given all routes again
// and nothing waits for them any more.
func measureResync(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := g.speak(ctx, resyncEntries); err != nil {
			return nil, err
		}
		if err := g.awaitStations(ctx, resyncEntries); err != nil {
			return nil, err
		}
		if err := g.KillController(); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := g.StartController(ctx, g.config); err != nil {
			return nil, err
		}
		if err := g.AwaitRoutingUp(ctx); err != nil {
			return nil, err
		}
		compared := time.Since(start)
		if err := g.speak(ctx, resyncEntries); err != nil {
			return nil, err
		}
		confirmed := time.Since(start)
		writes, err := g.Updates(ctx)
		if err != nil {
			return nil, err
		}
		return []value{
			{name: "resync_100k", number: compared.Seconds(), unit: "s", goal: atMost(3),
				against: fmt.Sprintf("start of a controller's process until it has compared a running switch's %d entries and "+
					"its objects are UP", resyncEntries)},
			{name: "resync_100k_writes", number: float64(writes), unit: "count",
				against: fmt.Sprintf("entries written until the leaf has sent all %d routes again and nothing is held back; 0 "+
					"is wanted", resyncEntries)},
			{name: "resync_100k_confirmed", number: confirmed.Seconds(), unit: "s",
				against: "that moment, since the start of the process"},
		}, nil
	})
}
