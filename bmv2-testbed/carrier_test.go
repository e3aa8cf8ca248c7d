package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	pullRate = 1000 // packets/s
	// afterHoldTime is soon enough to tell who follows the carrier from who waits for BGP,
	// whose hold time is 9 s.
	afterHoldTime = 5 * time.Second
)

// It is not parallel: it measures what is lost.
func TestAPulledCableEndsWhatWasBehindIt(t *testing.T) {
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			n := buildTwoUplinks(t, target)
			check(t, n.AwaitBothWays(t.Context()))
			n.pullUplink(t)
			n.plugElsewhere(t)
		})
	}
}

// pullUplink takes the carrier of the uplink that the tunnel uses, and gives it back.
func (n *TwoUplinks) pullUplink(t *testing.T) {
	t.Helper()
	ctx, u := t.Context(), demoUplink{}
	r, err := n.PullUplink(ctx, pullRate, func(i int) error {
		u = demoUplinks[i]
		start := time.Now()
		n.awaitLearned(t, "10.0.0.11 "+demoUplinks[1-i].peer)
		t.Logf("Linux's routes left %s after %.3f s", u.name, time.Since(start).Seconds())
		check(t, Eventually(ctx, patience, "BGP ends with the link", func(ctx context.Context) error {
			s, err := n.gateway.Session(ctx, u.peer)
			if err == nil && !strings.Contains(s.GetLastLoss(), "no carrier") {
				err = fmt.Errorf("it is %v", s)
			}
			return err
		}))
		t.Logf("BGP by it ended after %.3f s", time.Since(start).Seconds())
		check(t, n.hostDevice(ctx, u.host, "NO-CARRIER", true))
		shown := must(n.gateway.Show(ctx, "ports"))(t)
		if !strings.Contains(lineOf(shown, u.name+" "), " down ") || !strings.Contains(shown, "no carrier") {
			t.Errorf("an uplink without carrier is shown as\n%s", shown)
		}
		return nil
	})
	check(t, err)
	t.Logf("%s pulled: %v", u.name, r)
	if r.Gap > afterHoldTime {
		t.Errorf("for %v nothing came, want what carrier tells, and not BGP", r.Gap)
	}
	check(t, n.hostDevice(ctx, u.host, "NO-CARRIER", false))
	n.awaitLearned(t, "10.0.0.11 10.1.1.2 10.1.2.2")
	n.awaitPaths(t, 2)
}

// hostDevice waits until Linux has a flag for a device, or has not.
func (n *TwoUplinks) hostDevice(ctx context.Context, dev, flag string, want bool) error {
	return Eventually(ctx, patience, fmt.Sprintf("%s of %s is %t", flag, dev, want), func(ctx context.Context) error {
		out, err := n.gateway.NS.Output(ctx, "ip", "-o", "link", "show", "dev", dev)
		if err == nil && strings.Contains(out, flag) != want {
			err = errors.New(out)
		}
		return err
	})
}

// plugElsewhere takes the host's cable out of its port and puts it in at the leaf.
func (n *TwoUplinks) plugElsewhere(t *testing.T) {
	t.Helper()
	ctx, h := t.Context(), n.h1
	m := must(StartMeter(Flow{"to a host that is plugged in elsewhere", n.l1a, h, pullRate}))(t)
	start, here := time.Now(), time.Duration(0)
	check(t, h.NS.Down(h.Dev))
	check(t, Eventually(ctx, patience, "its MAC is withdrawn", func(ctx context.Context) error {
		known, err := n.gateway.FDB(ctx, blue)
		if err == nil && known[h.MAC.String()] != nil {
			err = fmt.Errorf("it is %v", known[h.MAC.String()])
		}
		if err != nil {
			return err
		}
		if here == 0 {
			here = time.Since(start)
		}
		macs, err := n.leaf.MACs(ctx, blueVNI)
		if _, there := macs[h.MAC.String()]; err == nil && there {
			err = errors.New("the leaf still has it")
		}
		return err
	}))
	t.Logf("withdrawn %.3f s after the cable was pulled, and gone from the leaf after %.3f s", here.Seconds(),
		time.Since(start).Seconds())
	check(t, h.NS.DeleteAddress(h.Dev, h.Address))
	check(t, h.NS.SetMAC(h.Dev, spareMAC(h.Dev)))
	h.Dev = n.elsewhere
	check(t, h.Configure())
	check(t, h.Announce())
	_, err := n.l1a.Reach(ctx, h.Address.Addr(), patience)
	check(t, err)
	t.Logf("pulled and plugged in elsewhere: %v", m.Stop()[0])
	fdb := must(n.gateway.FDB(ctx, blue))(t)
	if e := fdb[h.MAC.String()]; e.GetVtep() != leaf1VTEP.String() {
		t.Errorf("the gateway has the host at %v, want the leaf", e)
	}
}
