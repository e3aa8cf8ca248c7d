package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// changedMeanwhile tells the controller to end (SIGTERM), changes routes, a MAC's place and the
// store, and keeps one peer from speaking: until that has spoken too, nothing is
// taken from the target.
func (n *restartNetwork) changedMeanwhile(t *testing.T) {
	const withdrawn = 100
	ctx, r := t.Context(), n.gateway.raw(t)
	n.kernel.Config.MACs[0].MACs = append(n.kernel.Config.MACs[0].MACs, mover)
	check(t, n.kernel.Reload())
	check(t, Eventually(ctx, patience, "the MAC that will move is known", n.moverIsBehind(kernelVTEP)))
	n.awaitQuiet(t)
	unedited := must(r.held(ctx))(t)
	check(t, n.gateway.CreateBridge(ctx, "edited", 3999, 60_000))
	n.awaitQuiet(t)
	before := must(r.held(ctx))(t)
	m := n.traffic(t)
	check(t, n.gateway.control.Stop())
	check(t, os.WriteFile(n.gateway.storeFile(), n.oldStore, 0o600))
	n.kernel.Config.MACs[0].First += withdrawn
	n.kernel.Config.MACs[0].MACs = n.kernel.Config.MACs[0].MACs[:1]
	check(t, n.kernel.Reload())
	check(t, n.speakFrom("sa", mover))
	check(t, Eventually(ctx, patience, "second has learned the MAC that moved", func(ctx context.Context) error {
		fdb, err := n.second.FDB(ctx, blue)
		if err == nil && fdb[mover.String()].GetPort() == "" {
			err = fmt.Errorf("it has %v", fdb[mover.String()])
		}
		return err
	}))
	check(t, n.second.control.Pause(ctx))
	n.startController(ctx, t)
	n.awaitMany(t) // so that kernel has spoken
	held := must(r.held(ctx))(t)
	for e := range before {
		if !held[e] {
			t.Errorf("before all peers have spoken, the target lost %s", readable(e))
		}
	}
	if log := n.gateway.control.Tail(1 << 24); strings.Contains(log[strings.LastIndex(log, "API listens"):],
		"BGP has converged") {
		t.Error("BGP is said to have converged while a peer has not spoken")
	}
	start := time.Now()
	check(t, n.second.control.Resume())
	n.awaitConverged(t, 6*patience)
	n.awaitQuiet(t)
	t.Logf("the last peer has spoken %.2f s after it could; %d updates since the start, for %d routes and an object "+
		"that went, and a MAC that moved",
		time.Since(start).Seconds(), must(n.gateway.Updates(ctx))(t), withdrawn)
	check(t, n.moverIsBehind(secondVTEP)(ctx))
	after, fdb := must(r.held(ctx))(t), must(n.gateway.FDB(ctx, blue))(t)
	for i := range uint32(withdrawn) {
		if e := fdb[manyMAC(i).String()]; e != nil {
			t.Errorf("%v was withdrawn, and is %v", manyMAC(i), e)
		}
	}
	for e := range before {
		if after[e] && !unedited[e] {
			t.Errorf("the target still has of the object that is not in the store: %s", readable(e))
		}
	}
	n.measured(t, m, keeping...)
	n.kernel.Config.MACs[0].First -= withdrawn
	check(t, n.kernel.Reload())
}

var mover = ether.MAC{2, 0, 0, 0, 7, 1}

// moverIsBehind gives a check that the gateway has the MAC that moves behind a
// VTEP.
func (n *restartNetwork) moverIsBehind(vtep netip.Addr) func(context.Context) error {
	return func(ctx context.Context) error {
		fdb, err := n.gateway.FDB(ctx, blue)
		if e := fdb[mover.String()]; err == nil && (e.GetVtep() != vtep.String() || e.GetState() != p4evpnv1.State_STATE_UP) {
			err = fmt.Errorf("the gateway has %v", e)
		}
		return err
	}
}

// speakFrom sends a broadcast from a host's device with some source address.
func (n *restartNetwork) speakFrom(host string, source ether.MAC) error {
	frame := append(slices.Clone(ether.Broadcast[:]), source[:]...)
	frame = append(frame, 0x88, 0xb5) // local experiments
	return sendFrom(n.hosts[host], append(frame, make([]byte, 46)...))
}

// peerStaysDown kills the controller while one peer is down, and stays so.
func (n *restartNetwork) peerStaysDown(t *testing.T) {
	const deferral = 4 * time.Second
	ctx := t.Context()
	check(t, n.second.control.Pause(ctx))
	check(t, n.gateway.KillController())
	n.config.deferral, n.gateway.flags = deferral.String(), []string{"--drain-on-exit"} // the latter for a later claim
	start := time.Now()
	n.startController(ctx, t)
	n.awaitConverged(t, deferral+2*patience)
	took := time.Since(start)
	t.Logf("with a peer that stays down BGP has converged %.2f s after the start, where %v are its time", took.Seconds(),
		deferral)
	if took < deferral {
		t.Errorf("it did not wait for its peers: %v", took)
	}
	n.config.deferral = ""
	check(t, n.second.control.Resume())
	must(n.hosts["b"].Reach(ctx, n.hosts["sa"].Address.Addr(), 2*patience))(t)
}
