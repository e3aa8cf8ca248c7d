package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// noTransit looks at what each leaf got from the gateway. The leaves peer with
// each other too; the gateway hands on nothing of either.
func noTransit(ctx context.Context, d *demo) (string, error) {
	total := 0
	for leaf, peer := range map[*Leaf]string{d.leaf1: gatewayUp1, d.leaf2: gatewayUp2} {
		out, err := leaf.Show(ctx, fmt.Sprintf("show bgp l2vpn evpn neighbors %s routes", peer))
		if err != nil {
			return "", err
		}
		n := strings.Count(out, "Route Distinguisher:")
		ours := strings.Count(out, "Route Distinguisher: "+gatewayVTEP.String()+":")
		if n == 0 || n != ours {
			return "", fmt.Errorf("%s got routes of %d distinguishers from the gateway, %d of them the gateway's own, want "+
				"all:\n%s", leaf.Name, n, ours, out)
		}
		total += n
	}
	return fmt.Sprintf("%d route distinguishers received from the gateway, all its own", total), nil
}

func withdrawal(ctx context.Context, d *demo) (string, error) {
	return d.leaf2GoesAndReturns(ctx, d.leaf2.Withdraw, d.leaf2.Advertise)
}

func stoppedLeaf(ctx context.Context, d *demo) (string, error) {
	kill := func(context.Context) error { return d.leaf2.KillBGP() }
	notes, err := d.leaf2GoesAndReturns(ctx, kill, d.leaf2.StartBGP)
	if err != nil {
		return "", err
	}
	return notes, d.awaitSessions(ctx)
}

// leaf2GoesAndReturns checks what the gateway has of leaf2, and that a broadcast
// behind the gateway reaches leaf2's host only while leaf2 is there.
func (d *demo) leaf2GoesAndReturns(ctx context.Context, leave, comeBack func(context.Context) error) (string, error) {
	if err := d.known(ctx, d.l2a); err != nil {
		return "", err
	}
	start := time.Now()
	if err := leave(ctx); err != nil {
		return "", err
	}
	gone, err := d.leaf2Gone(ctx, start)
	start = time.Now()
	if err := errors.Join(err, comeBack(ctx)); err != nil {
		return "", err
	}
	if err := d.converge(ctx, nil, DemoOptions{}); err != nil {
		return "", err
	}
	if err := d.known(ctx, d.l2a); err != nil {
		return "", err
	}
	back := time.Since(start)
	if err := d.expectFrame(ctx, d.h1, d.h1.MAC, ether.Broadcast, d.others(d.h1)); err != nil {
		return "", fmt.Errorf("after leaf2 came back: %w", err)
	}
	return fmt.Sprintf("gone after %.1f s, back after %.1f s", gone.Seconds(), back.Seconds()), nil
}

// leaf2Gone waits until the gateway has nothing of leaf2, and gives the time
// since a start.
func (d *demo) leaf2Gone(ctx context.Context, start time.Time) (time.Duration, error) {
	err := Eventually(ctx, patience, "leaf2 is forgotten", func(ctx context.Context) error {
		for _, bridge := range []string{blue, green} {
			fdb, err := d.gateway.FDB(ctx, bridge)
			if err != nil {
				return err
			}
			for mac, e := range fdb {
				if e.GetVtep() == leaf2VTEP.String() {
					return fmt.Errorf("the gateway still has %s", mac)
				}
			}
		}
		return d.flooding(ctx, false)
	})
	gone := time.Since(start)
	if err != nil {
		return gone, err
	}
	want := d.others(d.h1)
	for _, h := range d.atLeaf2() {
		delete(want, h.Name)
	}
	if err := d.expectFrame(ctx, d.h1, d.h1.MAC, ether.Broadcast, want); err != nil {
		return gone, fmt.Errorf("while leaf2 is away: %w", err)
	}
	return gone, nil
}
