package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// drained tells a controller to end that withdraws its routes first. It comes
// last: the gateway is down afterwards.
func (n *restartNetwork) drained(t *testing.T) {
	ctx := t.Context()
	m := must(StartMeter(n.local(1000)...))(t)
	check(t, n.peersSend(ctx, true))
	start := time.Now()
	check(t, n.gateway.control.Stop())
	ended := time.Since(start)
	check(t, Eventually(ctx, patience, "the peers send nothing to the gateway",
		func(ctx context.Context) error { return n.peersSend(ctx, false) }))
	t.Logf("the peers sent elsewhere %.2f s, and the controller had ended %.2f s after it was told to",
		time.Since(start).Seconds(), ended.Seconds())
	n.measured(t, m, keeping...) // the target goes on
}

// peersSend checks whether those peers send to the gateway that would keep its
// routes for a while if it just went.
func (n *restartNetwork) peersSend(ctx context.Context, want bool) error {
	fdb, err := n.kernel.NS.Output(ctx, "bridge", "fdb", "show", "dev", vxlanOf(blueVNI))
	if err != nil {
		return err
	}
	if got := strings.Contains(fdb, "dst "+gatewayVTEP.String()); got != want {
		return fmt.Errorf("kernel sends to the gateway: %t:\n%s", got, fdb)
	}
	vteps, err := n.second.VTEPs(ctx)
	if got := vteps[gatewayVTEP.String()] != nil; err == nil && got != want {
		err = fmt.Errorf("second sends to the gateway: %t: %v", got, vteps)
	}
	return err
}
