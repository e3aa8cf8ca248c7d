package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// peerKilled kills the BGP processes of both peers that
// restart gracefully.
func (n *restartNetwork) peerKilled(t *testing.T) {
	ctx, r := t.Context(), n.gateway.raw(t)
	before, updates := must(r.held(ctx))(t), must(n.gateway.Updates(ctx))(t)
	m := n.traffic(t)
	start := time.Now()
	check(t, n.kernel.Kill())
	check(t, n.second.KillController())
	peers := map[string]string{"GoBGP": restartUplinks[0].peer, "p4evpn": restartUplinks[1].peer}
	for _, address := range peers {
		check(t, n.awaitSession(ctx, address, false))
	}
	check(t, n.kernel.Start(ctx))
	check(t, n.second.StartController(ctx, n.secondConfig.String()))
	for name, address := range peers {
		check(t, n.awaitSession(ctx, address, true))
		t.Logf("the session with %s is up again %.2f s after the kill, or sooner", name, time.Since(start).Seconds())
	}
	n.awaitMany(t)
	n.awaitQuiet(t)
	n.measured(t, m, keeping...)
	if now := must(n.gateway.Updates(ctx))(t); now != updates {
		t.Errorf("%d updates were written though the peers came back with what they had, want none", now-updates)
	}
	check(t, differences(before, must(r.held(ctx))(t)))
}

// hardPeerKilled kills FRR, which keeps nothing, and whose routes nobody keeps.
func (n *restartNetwork) hardPeerKilled(t *testing.T) {
	ctx, r := t.Context(), n.gateway.raw(t)
	before := must(r.held(ctx))(t)
	m := n.traffic(t)
	left := func(ctx context.Context) error {
		fdb, err := n.gateway.FDB(ctx, blue)
		if err != nil {
			return err
		}
		for mac, e := range fdb {
			if e.GetVtep() == leaf1VTEP.String() {
				return fmt.Errorf("there is still %s", mac)
			}
		}
		vteps, err := n.gateway.VTEPs(ctx)
		if err == nil && vteps[leaf1VTEP.String()] != nil {
			err = fmt.Errorf("there is still %v", vteps[leaf1VTEP.String()])
		}
		return err
	}
	asked := time.Now()
	if left(ctx) == nil {
		t.Error("nothing of FRR is there before its kill")
	}
	limit := time.Second + busyMachine*time.Since(asked)
	check(t, n.leaf.KillBGP())
	start := time.Now()
	check(t, Eventually(ctx, patience, "nothing of FRR is left", left))
	took := time.Since(start)
	t.Logf("everything of FRR is gone %.2f s after its kill", took.Seconds())
	if took > limit {
		t.Errorf("it took %v, want at most %v", took, limit)
	}
	n.awaitQuiet(t)
	after := must(r.held(ctx))(t)
	t.Logf("%d entries of %d are gone with it", len(before)-len(after), len(before))
	check(t, n.leaf.StartBGP(ctx))
	must(n.hosts["a"].Reach(ctx, n.hosts["fa"].Address.Addr(), 2*patience))(t)
	n.measured(t, m, keeping...)
}

// awaitSession waits until the gateway's session with a peer is up, or down.
func (n *restartNetwork) awaitSession(ctx context.Context, peer string, up bool) error {
	return Eventually(ctx, 3*patience, fmt.Sprintf("the session with %s is up: %t", peer, up),
		func(ctx context.Context) error {
			out, err := n.gateway.Show(ctx, "neighbors")
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, peer+" ") && strings.Contains(line, "established") != up {
					err = fmt.Errorf("it is %s", line)
				}
			}
			return err
		})
}
