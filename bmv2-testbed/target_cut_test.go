package testbed

import (
	"os"
	"testing"
	"time"
)

// cutFor is how long the connection to the target is cut: longer with
// P4EVPN_SOAK set, as `make soak` does.
func cutFor() time.Duration {
	if os.Getenv("P4EVPN_SOAK") != "" {
		return 30 * time.Second
	}
	return 3 * time.Second
}

func (n *restartNetwork) cableCut(t *testing.T) {
	const half = 2500 // routes withdrawn, and as many new ones
	ctx, r := t.Context(), n.gateway.raw(t)
	n.awaitQuiet(t)
	before, heldBefore := must(n.gateway.Metrics(ctx))(t), must(r.held(ctx))(t)
	m := must(StartMeter(append(n.local(n.rate()), n.remote(100)...)...))(t)
	n.cable.set(true)
	start := time.Now()
	n.kernel.Config.MACs[0].First += half
	check(t, n.kernel.Reload())
	// And there and back again, many times: what did not last is not written.
	for range 4 {
		n.kernel.Config.MACs[0].First -= half
		check(t, n.kernel.Reload())
		<-time.After(cutFor() / 10)
		n.kernel.Config.MACs[0].First += half
		check(t, n.kernel.Reload())
		<-time.After(cutFor() / 10)
	}
	n.awaitMany(t)
	<-time.After(cutFor() - time.Since(start))
	depth := must(n.gateway.Metrics(ctx))(t)["p4evpn_controller_queue_depth"]
	n.cable.set(false)
	mended := time.Now()
	n.awaitQuiet(t)
	took, after := time.Since(mended)-quiet, must(n.gateway.Metrics(ctx))(t)
	sent := counted(after, "p4evpn_p4rt_updates_total") - counted(before, "p4evpn_p4rt_updates_total")
	// the cut came before the answer
	unanswered := counted(after, "p4evpn_p4rt_update_errors_total") - counted(before, "p4evpn_p4rt_update_errors_total")
	// no entry in use changed
	n.measured(t, m, "")
	t.Logf("cut for %.1f s: %.0f updates for %d changes, and %.0f that the cut kept from an answer, %.2f s after it "+
		"was mended; at most %.0f keys waited",
		mended.Sub(start).Seconds(), sent-unanswered, 2*half, unanswered, took.Seconds(), depth)
	if answered := sent - unanswered; answered > 2*half || sent < 2*half {
		t.Errorf("%.0f updates were answered, want %d: as many as there were changes", answered, 2*half)
	}
	if depth > 2*half+100 {
		t.Errorf("%.0f keys waited, want no more than changed", depth)
	}
	n.kernel.Config.MACs[0].First -= half
	check(t, n.kernel.Reload())
	n.awaitHeld(t, r, heldBefore)
}
