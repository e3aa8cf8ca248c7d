package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/controller/p4rt"
)

const (
	busyMACs    = 1000
	busyMoves   = 400 // are enough
	busyRounds  = 10  // of 100,000 routes, at most
	busyFirst   = 1_000_000
	busyLeaf    = 2
	movesAtMost = busyMACs * movesPerMAC
)

// load counts what the target acknowledges of 100,000 routes.
type load struct {
	left atomic.Int64
	done chan struct{}
}

// measureBusyMoves moves MACs as measureMoves does while a third peer sends 100,000
// other routes of the bridge, which are taken back without being measured, and again
// until there are moves enough.
func measureBusyMoves(ctx context.Context, b *bench) ([]value, error) {
	g, err := b.startBGPGateway(ctx, setup{injectors: 3})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	if err := g.settle(ctx, 0, busyMACs); err != nil {
		return nil, err
	}
	acked := make(chan time.Time, 1)
	id := tableID("bridge.fdb")
	var current atomic.Pointer[load]
	g.target.watch(func(at time.Time, updates []p4rt.Update, errs []error) {
		for i, u := range updates {
			switch l := current.Load(); {
			case table(u) != id || errs[i] != nil:
			case u.GetType() == p4v1.Update_MODIFY:
				acked <- at
			case l != nil && l.left.Add(-1) == 0:
				close(l.done)
			}
		}
	})
	expect := func() *load {
		l := &load{done: make(chan struct{})}
		l.left.Store(benchRoutes)
		current.Store(l)
		return l
	}
	defer b.profile("busymove")()
	announce := bytes.Join(bgptest.MACUpdates(leafAS, vtep(busyLeaf), firstVNI, busyFirst, benchRoutes, perUpdate), nil)
	withdraw := bytes.Join(bgptest.MACWithdrawals(vtep(busyLeaf), firstVNI, busyFirst, benchRoutes, perUpdate), nil)
	var took []time.Duration
	for round := 0; round < busyRounds && len(took) < busyMoves; round++ {
		more, err := g.moveWhile(ctx, expect(), announce, len(took), acked)
		if gave := (late{}); errors.As(err, &gave) && gave.limit == moveLimit {
			return busyValues(append(took, moveLimit), true), nil
		}
		if err != nil {
			return nil, err
		}
		took = append(took, more...)
		if err := g.sendAndAwait(ctx, expect(), withdraw); err != nil {
			return nil, fmt.Errorf("taking the routes back: %w", err)
		}
	}
	return busyValues(took, false), nil
}

func busyValues(took []time.Duration, over bool) []value {
	how := fmt.Sprintf("%d moves while another peer sends %d routes, and again", len(took), benchRoutes)
	if over {
		how += "; of the last no entry was changed"
	}
	return []value{
		{name: "mac_move_busy_p50", number: milliseconds(percentile(took, 50)), unit: "ms", against: how},
		{name: "mac_move_busy_p99", number: milliseconds(percentile(took, 99)), unit: "ms", goal: atMost(20), over: over,
			against: how},
	}
}

// moveWhile moves MACs, from the nth move on, for as long as routes are being sent
// and taken.
func (g *bgpGateway) moveWhile(ctx context.Context, l *load, wire []byte, n int, acked <-chan time.Time) (
	[]time.Duration, error) {
	sent := make(chan error, 1)
	go func() { sent <- g.sendAndAwait(ctx, l, wire) }()
	var took []time.Duration
	var failed error
	for ; failed == nil && n < movesAtMost; n++ {
		select {
		case err := <-sent:
			return took, err
		default:
		}
		d, err := g.move(ctx, n, busyMACs, 0, acked)
		if failed = err; err == nil {
			took = append(took, d)
		}
	}
	return took, errors.Join(failed, <-sent)
}

// sendAndAwait sends routes by the third peer and waits until all is acknowledged.
func (g *bgpGateway) sendAndAwait(ctx context.Context, l *load, wire []byte) error {
	if err := g.sessions[busyLeaf].Send(wire); err != nil {
		return err
	}
	return await(ctx, l.done, func() string { return fmt.Sprintf("%d entries are not acknowledged", l.left.Load()) })
}
