package testbed

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What happens to sessions and routes when an end of BGP goes, one network for
// all.
func TestRestartsLoseNothing(t *testing.T) {
	eachRestartable(t, wholeSize, func(t *testing.T, n *restartNetwork) {
		for _, c := range []struct {
			claim string
			prove func(*restartNetwork, *testing.T)
		}{
			{"a killed controller", (*restartNetwork).controllerKilled},
			{"a controller told to end, while much changes", (*restartNetwork).changedMeanwhile},
			{"a controller killed, with a peer that stays down", (*restartNetwork).peerStaysDown},
			{"a killed BGP peer that restarts gracefully", (*restartNetwork).peerKilled},
			{"a killed BGP peer that does not", (*restartNetwork).hardPeerKilled},
			{"a controller told to drain", (*restartNetwork).drained},
		} {
			t.Run(c.claim, func(t *testing.T) {
				n.settle(t)
				n.awaitMany(t)
				n.awaitQuiet(t)
				c.prove(n, t)
			})
		}
	})
}

// measured stops a meter and says what it saw. Flows whose names begin with one
// of the given texts must have lost nothing.
func (n *restartNetwork) measured(t *testing.T, m *Meter, whole ...string) []Reading {
	t.Helper()
	readings := m.Stop()
	for _, r := range readings {
		t.Log(r)
		if !slices.ContainsFunc(whole, func(name string) bool { return strings.HasPrefix(r.Flow, name) }) ||
			r.Lost+r.Duplicated == 0 {
			continue
		}
		if n.starved(readings) && r.Duplicated == 0 && r.Lost < r.Sent/20 {
			t.Logf("%s: %d lost by BMv2 on a machine that others keep busy", r.Flow, r.Lost)
			continue
		}
		t.Errorf("%s: %d lost and %d duplicated, want none", r.Flow, r.Lost, r.Duplicated)
	}
	return readings
}

// starved reports whether what is lost may be BMv2's, which has threads of its own
// for each step and bounded queues between them: the flow that crosses no switch
// had to wait too.
func (n *restartNetwork) starved(readings []Reading) bool {
	for _, r := range readings {
		if r.Flow == pastTheGateway && r.Gap > 50*time.Millisecond {
			return n.target == BMv2
		}
	}
	return false
}

// pastTheGateway is a flow over a cable of its own, which shows what the machine
// does to packets.
const pastTheGateway = "past the gateway"

// keeping are the flows that a restart of BGP does not touch.
var keeping = []string{"local", "GoBGP", "p4evpn"}

// traffic is what the target carries between local hosts, and some to all others.
func (n *restartNetwork) traffic(t *testing.T) *Meter {
	t.Helper()
	return must(StartMeter(append(n.local(n.rate()), n.all(n.rate() / 5)[len(n.local(1)):]...)...))(t)
}

// startController starts the gateway's controller again.
func (n *restartNetwork) startController(ctx context.Context, t *testing.T) {
	t.Helper()
	check(t, n.gateway.StartController(ctx, n.config.String()))
	check(t, n.gateway.AwaitRoutingUp(ctx))
}

// awaitConverged waits until the controller has what all its peers say, or no
// longer waits for it.
func (n *restartNetwork) awaitConverged(t *testing.T, within time.Duration) {
	t.Helper()
	check(t, Eventually(t.Context(), within, "the controller says that BGP has converged", func(context.Context) error {
		if err := n.gateway.control.Running(); err != nil {
			return err
		}
		log := n.gateway.control.Tail(1 << 24)
		if started := strings.LastIndex(log, "API listens"); !strings.Contains(log[started:], "BGP has converged") {
			return fmt.Errorf("its log ends with %s", log[max(0, len(log)-400):])
		}
		return nil
	}))
}

func (n *restartNetwork) controllerKilled(t *testing.T) {
	ctx, r := t.Context(), n.gateway.raw(t)
	before := must(r.held(ctx))(t)
	m := n.traffic(t)
	killed := time.Now()
	check(t, n.gateway.KillController())
	n.oldStore = must(os.ReadFile(n.gateway.storeFile()))(t) // for the next claim
	start := time.Now()
	// Hosts that just came up know nobody, and find their gateway.
	for _, name := range []string{"b", "r2"} {
		check(t, n.hosts[name].NS.ForgetNeighbours(n.hosts[name].Dev))
	}
	must(n.hosts["r2"].Reach(ctx, n.hosts["r1"].Address.Addr(), patience))(t)
	t.Logf("a host with an empty neighbour table reached its gateway and a host behind it after %.0f ms",
		time.Since(start).Seconds()*1000)
	start = time.Now()
	n.startController(ctx, t)
	t.Logf("all objects are up %.2f s after the start", time.Since(start).Seconds())
	n.awaitConverged(t, 6*patience)
	t.Logf("BGP has converged %.2f s after the start", time.Since(start).Seconds())
	n.awaitQuiet(t)
	must(n.hosts["a"].Reach(ctx, n.hosts["fa"].Address.Addr(), 2*patience))(t)
	n.measured(t, m, keeping...)
	if b := must(n.gateway.Session(ctx, restartUplinks[1].peer))(t).GetBfd(); b.GetState() != bfdUp ||
		b.GetUptime().AsDuration() < time.Since(killed) {
		t.Errorf("BFD did not outlive the controller: %v", b)
	}
	if updates := must(n.gateway.Updates(ctx))(t); updates != 0 {
		t.Errorf("%d updates were written though nothing changed, want none", updates)
	}
	check(t, differences(before, must(r.held(ctx))(t)))
}
