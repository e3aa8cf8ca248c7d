package testbed

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// What can happen between the controller and its target, one network for all.
func TestTargetIsPutRight(t *testing.T) {
	size := restartSize{macs: 6_000, objects: 10, cable: true}
	eachRestartable(t, size, func(t *testing.T, n *restartNetwork) {
		for _, c := range []struct {
			claim string
			prove func(*restartNetwork, *testing.T)
		}{
			{"a killed switch has all its entries back unaided", (*restartNetwork).switchKilled},
			{"routes that change while the target is out of reach are one diff", (*restartNetwork).cableCut},
			{"while another controller is primary nothing is written, and a diff when it leaves", (*restartNetwork).otherController},
			{"entries changed behind our back are found and put right", (*restartNetwork).changedBehindOurBack},
		} {
			t.Run(c.claim, func(t *testing.T) { c.prove(n, t) })
		}
	})
}

// awaitHeld waits until the target holds what it held before, entry by entry.
func (n *restartNetwork) awaitHeld(t *testing.T, r *rawTarget, want map[string]bool) {
	t.Helper()
	check(t, Eventually(t.Context(), 3*patience, "the target holds what it held before", func(ctx context.Context) error {
		got, err := r.held(ctx)
		if err == nil {
			err = differences(want, got)
		}
		return err
	}))
}

// quiet is how long nothing is written when everything has been.
const quiet = 700 * time.Millisecond

// awaitQuiet waits until the controller is primary and has nothing to write.
func (n *restartNetwork) awaitQuiet(t *testing.T) {
	t.Helper()
	before, since := -1, time.Now()
	check(t, Eventually(t.Context(), 3*patience, "the controller has written everything", func(ctx context.Context) error {
		values, err := n.gateway.Metrics(ctx)
		if err != nil {
			return err
		}
		now, err := n.gateway.Updates(ctx)
		if err != nil {
			return err
		}
		if now != before || values["p4evpn_controller_target_up"] != 1 || values["p4evpn_controller_queue_depth"] > 0 {
			before, since = now, time.Now()
		}
		if idle := time.Since(since); idle < quiet {
			return fmt.Errorf("target_up is %v, %v keys wait, %d updates %v ago",
				values["p4evpn_controller_target_up"], values["p4evpn_controller_queue_depth"], now, idle)
		}
		return nil
	}))
}

func (n *restartNetwork) switchKilled(t *testing.T) {
	ctx, r := t.Context(), n.gateway.raw(t)
	n.awaitQuiet(t)
	before := must(r.held(ctx))(t)
	m := must(StartMeter(append(n.local(n.rate()), n.remote(100)...)...))(t)
	start := time.Now()
	check(t, n.gateway.KillSwitch())
	check(t, n.gateway.StartSwitch(ctx))
	for _, f := range n.all(1) {
		_, err := f.From.Reach(ctx, f.To.Address.Addr(), 2*patience)
		check(t, err)
	}
	t.Logf("everybody reaches everybody %.2f s after the kill", time.Since(start).Seconds())
	n.awaitHeld(t, r, before)
	t.Logf("all %d entries are back %.2f s after the kill", len(before), time.Since(start).Seconds())
	n.measured(t, m) // while there is no switch, all is lost
}
