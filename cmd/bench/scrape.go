package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const scrapes = 100

// measureScrape asks a gateway with 1,000 bridges for its metrics as Prometheus does: each
// scrape reads the counters of all of them from the target.
func measureScrape(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := g.createMany(ctx, liveObjects); err != nil {
			return nil, err
		}
		if err := g.AwaitPortsUp(ctx); err != nil {
			return nil, err
		}
		var took []time.Duration
		for range scrapes {
			start := time.Now()
			m, err := g.Metrics(ctx)
			if err != nil {
				return nil, err
			}
			took = append(took, time.Since(start))
			last := fmt.Sprintf(`p4evpn_pipeline_bridge_vxlan_packets_total{bridge="many-%04d",direction="out"}`, liveObjects-1)
			if _, there := m[last]; !there || m["p4evpn_pipeline_up"] != 1 {
				return nil, fmt.Errorf("a scrape after %d is without the counters of bridges", len(took))
			}
		}
		return []value{{name: "scrape_ms", number: milliseconds(percentile(took, 95)), unit: "ms", goal: atMost(200),
			against: fmt.Sprintf("95th percentile of %d scrapes of a gateway with %d bridges, whose counters are read from "+
				"the embedded switch each time; median %.0f ms, slowest %.0f", scrapes, liveObjects,
				milliseconds(percentile(took, 50)), milliseconds(slices.Max(took)))}}, nil
	})
}
