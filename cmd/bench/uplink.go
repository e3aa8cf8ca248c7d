package main

import (
	"context"
	"fmt"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	pullRate = 1000 // packets/s
	pullGoal = 50   // lost
)

// measureUplinkPull takes the carrier of the uplink that a tunnel uses, of two, and counts what
// a flow through it loses, there and back.
func measureUplinkPull(ctx context.Context, b *bench) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		n, err := lab.BuildTwoUplinks(ctx, testbed.Embedded, binary)
		if err != nil {
			return nil, err
		}
		if err := n.AwaitBothWays(ctx); err != nil {
			return nil, err
		}
		r, err := n.PullUplink(ctx, pullRate, nil)
		if err != nil {
			return nil, err
		}
		return []value{{name: "uplink_pull_lost", number: float64(r.Lost), unit: "packets", goal: atMost(pullGoal),
			against: fmt.Sprintf("of a flow of %d/s to a host behind FRR %s, which sends each back; longest gap %.0f ms",
				pullRate, version, milliseconds(r.Gap))}}, nil
	})
}
