package main

import (
	"context"
	"fmt"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

// measureKill kills the controller and starts it again, with a thousand packets
// a second bridged and as many routed between local hosts, each of which is sent
// back.
func measureKill(ctx context.Context, b *bench) ([]value, error) {
	return b.withLive(ctx, func(g *liveGateway) ([]value, error) {
		if err := g.createMany(ctx, liveObjects); err != nil {
			return nil, err
		}
		if err := g.speak(ctx, liveRoutes); err != nil {
			return nil, err
		}
		if err := g.awaitStations(ctx, liveRoutes); err != nil {
			return nil, err
		}
		flows := []testbed.Flow{
			{Name: "bridged", From: g.hosts["a"], To: g.hosts["b"], Rate: 1000},
			{Name: "routed", From: g.hosts["r1"], To: g.hosts["r2"], Rate: 1000},
		}
		for _, f := range flows {
			if _, err := f.From.Reach(ctx, f.To.Address.Addr(), 10*time.Second); err != nil {
				return nil, err
			}
		}
		m, err := testbed.StartMeter(flows...)
		if err != nil {
			return nil, err
		}
		err = g.restart(ctx)
		lost, sent, gap := 0, 0, time.Duration(0)
		for _, r := range m.Stop() {
			lost, sent, gap = lost+r.Lost, sent+r.Sent, max(gap, r.Gap)
		}
		if err != nil {
			return nil, err
		}
		return []value{{
			name: "controller_kill_lost", number: float64(lost), unit: "frames",
			against: fmt.Sprintf("%d sent and answered, bridged and routed, by SIGKILL and start with %d objects and %d "+
				"routes; 0 is wanted; longest gap %.0f ms",
				sent, liveObjects, liveRoutes, milliseconds(gap)),
		}}, nil
	})
}

// restart kills the controller and waits until a new one has everything.
func (g *liveGateway) restart(ctx context.Context) error {
	if err := g.KillController(); err != nil {
		return err
	}
	if err := g.StartController(ctx, g.config); err != nil {
		return err
	}
	if err := g.AwaitRoutingUp(ctx); err != nil {
		return err
	}
	return g.speak(ctx, liveRoutes)
}
