package main

import (
	"context"
	"fmt"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	foundTurns = 5
	foundGoal  = 0.9
)

// measureFound sends to a host behind a leaf that only bridges, which the gateway found by
// itself, and to the same one when its leaf says its address.
func measureFound(ctx context.Context, b *bench) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		c, err := lab.BuildCentralised(ctx, testbed.Embedded, binary, "unique")
		if err != nil {
			return nil, err
		}
		found, known, err := c.MeasureFound(ctx, foundTurns)
		if err != nil {
			return nil, err
		}
		return []value{{
			name: "found_host_vs_known", number: found / known, unit: "ratio", goal: atLeast(foundGoal),
			against: fmt.Sprintf("frames/s routed to a host behind FRR %s that only bridges, %.0f, and to the same one when "+
				"its leaf says its address, %.0f: the best of %d turns of each", version, found, known, foundTurns),
		}}, nil
	})
}
