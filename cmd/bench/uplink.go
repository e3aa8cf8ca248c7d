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
	return b.loseUplink(ctx, value{name: "uplink_pull_lost", goal: atMost(pullGoal)}, "", (*testbed.TwoUplinks).PullUplink)
}

// measureUplinkBFD has the uplink that a tunnel uses, of two, carry nothing more while it keeps
// its carrier: BFD alone, at three packets of 50 ms, says that it is dead.
func measureUplinkBFD(ctx context.Context, b *bench) ([]value, error) {
	return b.loseUplink(ctx, value{name: "uplink_bfd_lost", goal: atMost(bfdGoal)}, ", BFD at 3 x 50 ms",
		(*testbed.TwoUplinks).SilenceUplink)
}

// loseUplink counts what a flow loses with its uplink; with is what else notices that.
func (b *bench) loseUplink(ctx context.Context, v value, with string,
	lose func(*testbed.TwoUplinks, context.Context, int, func(int) error) (testbed.Reading, error)) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := b.program(ctx, embedded)
	if err != nil {
		return nil, err
	}
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		n, err := lab.BuildTwoUplinks(ctx, testbed.Embedded, binary, with != "")
		if err != nil {
			return nil, err
		}
		err = n.AwaitBothWays(ctx)
		if with != "" {
			err = errors.Join(err, n.AwaitBFD(ctx))
		}
		if err != nil {
			return nil, err
		}
		r, err := lose(n, ctx, pullRate, nil)
		if err != nil {
			return nil, err
		}
		v.number, v.unit = float64(r.Lost), "packets"
		v.against = fmt.Sprintf("of a flow of %d/s to a host behind FRR %s, which sends each back%s; longest gap %.0f ms",
			pullRate, version, with, milliseconds(r.Gap))
		return []value{v}, nil
	})
}
