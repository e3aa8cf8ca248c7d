package testbed

import (
	"context"
	"strings"
	"testing"
	"time"
)

// measured stops a meter and says what it saw. Flows whose names begin with one
// of the given texts must have lost nothing.
func measured(t *testing.T, m *Meter, whole ...string) {
	t.Helper()
	for _, r := range m.Stop() {
		t.Log(r)
		for _, name := range whole {
			if strings.HasPrefix(r.Flow, name) && (r.Lost > 0 || r.Duplicated > 0) {
				t.Errorf("%s: %d lost and %d duplicated, want none", r.Flow, r.Lost, r.Duplicated)
			}
		}
	}
}

func TestControllerKillLosesNothing(t *testing.T) {
	eachRestartable(t, wholeSize, func(t *testing.T, n *restartNetwork) {
		ctx := t.Context()
		m := must(StartMeter(append(n.local(1000), n.remote(100)...)...))(t)
		check(t, n.gateway.KillController())
		start := time.Now()
		// Hosts that just came up know nobody, and find their gateway.
		for _, name := range []string{"b", "r2"} {
			must(n.hosts[name].NS.Output(ctx, "ip", "neigh", "flush", "all"))(t)
		}
		must(n.hosts["r2"].Reach(ctx, n.hosts["r1"].Address.Addr(), patience))(t)
		t.Logf("a host with an empty neighbour table reached its gateway and a host behind it after %.0f ms", time.Since(start).Seconds()*1000)
		start = time.Now()
		n.startController(ctx, t)
		check(t, n.awaitRoutes(ctx, int(n.size.macs)))
		t.Logf("all routes are back %.2f s after the start", time.Since(start).Seconds())
		measured(t, m, "local")
	})
}

// startController starts the gateway's controller again.
func (n *restartNetwork) startController(ctx context.Context, t *testing.T) {
	t.Helper()
	check(t, n.gateway.StartController(ctx, n.config.String()))
	check(t, n.gateway.AwaitRoutingUp(ctx))
}
