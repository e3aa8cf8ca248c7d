package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/controller/p4rt"
)

const (
	movingMACs  = 200
	movesPerMAC = 3 // below what counts as a duplicate MAC
	moveLimit   = 5 * time.Second
	movePause   = 3 * time.Millisecond
)

// measureMoves moves MACs one at a time from one VTEP to another and back, by
// UPDATEs of two leaves that raise the sequence, while nothing else happens;
// from the UPDATE on the wire to the FDB entry acknowledged by the switch.
func measureMoves(ctx context.Context, b *bench) ([]value, error) {
	g, err := b.startBGPGateway(ctx, setup{injectors: 2})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	if err := g.settle(ctx, 0, movingMACs); err != nil {
		return nil, err
	}
	acked := make(chan time.Time, 1)
	id := tableID("bridge.fdb")
	g.target.watch(func(at time.Time, updates []p4rt.Update, errs []error) {
		for i, u := range updates {
			if u.GetType() == p4v1.Update_MODIFY && table(u) == id && errs[i] == nil {
				acked <- at
			}
		}
	})
	defer b.profile("move")()
	var took []time.Duration
	for n := range movesPerMAC * movingMACs {
		d, err := g.move(ctx, n, movingMACs, movePause, acked)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	how := fmt.Sprintf("%d moves; FRR 8.4 to the kernel's FDB: ", len(took))
	return []value{
		{name: "mac_move_p50", number: milliseconds(percentile(took, 50)), unit: "ms", goal: atMost(0.4),
			against: how + "11.2 ms"},
		{name: "mac_move_p99", number: milliseconds(percentile(took, 99)), unit: "ms", goal: atMost(1.2),
			against: how + "11.3 ms"},
	}, nil
}

// settle puts MACs behind the first leaf and waits for their entries.
func (g *bgpGateway) settle(ctx context.Context, first, n int) error {
	acked := g.target.countAcked(map[string]int64{"bridge.fdb": int64(n)})
	if err := g.sessions[0].Send(bytes.Join(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, first, n, perUpdate),
		nil)); err != nil {
		return err
	}
	return await(ctx, acked.done, acked.progress)
}

// move is the nth move of so many MACs, which take turns: it advertises one from the
// leaf where it is not, with a sequence, after a short silence.
func (g *bgpGateway) move(ctx context.Context, n, macs int, pause time.Duration,
	acked <-chan time.Time) (time.Duration, error) {
	mac, sequence := n%macs, n/macs+1
	leaf := sequence % 2
	update := bgptest.MACUpdates(leafAS, vtep(leaf), firstVNI, mac, 1, 1,
		bgptest.MACMobility(uint32(sequence), false))[0]
	time.Sleep(pause + rand.N(4*time.Millisecond))
	start := time.Now()
	if err := g.sessions[leaf].Send(update); err != nil {
		return 0, err
	}
	select {
	case at := <-acked:
		return at.Sub(start), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-time.After(moveLimit):
		return 0, fmt.Errorf("move %d of MAC %d: %w", sequence, mac, late{moveLimit, "no entry is changed"})
	}
}
