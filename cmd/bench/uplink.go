package main

import (
	"context"
	"errors"
	"fmt"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	pullRate = 1000 // packets/s
	pullGoal = 50   // lost
	bfdGoal  = 200  // lost
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
		n, err := lab.BuildTwoUplinks(ctx, testbed.Embedded, binary, false)
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

// measureUplinkBFD has the uplink that a tunnel uses, of two, carry nothing more while it keeps
// its carrier: BFD alone, at three packets of 50 ms, says that it is dead.
func measureUplinkBFD(ctx context.Context, b *bench) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		n, err := lab.BuildTwoUplinks(ctx, testbed.Embedded, binary, true)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(n.AwaitBothWays(ctx), n.AwaitBFD(ctx)); err != nil {
			return nil, err
		}
		r, err := n.SilenceUplink(ctx, pullRate, nil)
		if err != nil {
			return nil, err
		}
		return []value{{name: "uplink_bfd_lost", number: float64(r.Lost), unit: "packets", goal: atMost(bfdGoal),
			against: fmt.Sprintf("of a flow of %d/s to a host behind FRR %s, which sends each back, BFD at 3 x 50 ms; longest "+
				"gap %.0f ms", pullRate, version, milliseconds(r.Gap))}}, nil
	})
}
