package testbed

import (
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// eachTarget runs a test with the demo's network on every target there is.
func eachTarget(t *testing.T, test func(t *testing.T, d *demo)) {
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) { test(t, buildNetwork(t, DemoOptions{Target: target})) })
	}
}

// buildNetwork gives the demo's network, which is removed with the test.
func buildNetwork(t *testing.T, o DemoOptions) *demo {
	t.Helper()
	needDemo(t, o.Target)
	o.Binary, o.Out = must(builtBinary())(t), testWriter{t}
	l := needLab(t)
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(o.Out, l)
		}
	})
	return must(buildDemo(t.Context(), l, o))(t)
}

// whole checks that everybody reaches everybody and hears a broadcast once.
func (d *demo) whole(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	check(t, d.converge(ctx, nil, DemoOptions{}))
	must(d.reachEachOther(ctx, []*Host{d.h1, d.t10}, []*Host{d.h2, d.l1a, d.l2a}))(t)
	for _, from := range []*Host{d.h1, d.l1a} {
		check(t, d.expectFrame(ctx, from, from.MAC, ether.Broadcast, d.others(from)))
	}
}

func TestLocalForwardingOutlivesTheController(t *testing.T) {
	eachTarget(t, func(t *testing.T, d *demo) {
		ctx := t.Context()
		d.whole(t)
		// 150 pings over some 3 s, none of which may be lost.
		steady := d.h1.NS.Command(ctx, "ping", "-n", "-q", "-i", "0.02", "-c", "150", "-W", "1", d.h2.Address.Addr().String())
		var out strings.Builder
		steady.Stdout, steady.Stderr = &out, &out
		check(t, steady.Start())
		check(t, d.gateway.KillController())
		check(t, d.gateway.StartController(ctx, d.gatewayConfig()))
		check(t, d.gateway.AwaitPortsUp(ctx))
		if err := steady.Wait(); err != nil || !strings.Contains(out.String(), " 0% packet loss") {
			t.Errorf("pings while the controller was killed and started again: %v\n%s", err, out.String())
		}
		d.whole(t)
	})
}

func TestRestartedSwitchIsProgrammedAnew(t *testing.T) {
	eachTarget(t, func(t *testing.T, d *demo) {
		d.whole(t)
		check(t, d.gateway.KillSwitch())
		check(t, d.gateway.StartSwitch(t.Context()))
		_, err := d.h1.Reach(t.Context(), d.h2.Address.Addr(), 15*time.Second)
		check(t, err)
		_, err = d.h1.Reach(t.Context(), d.l1a.Address.Addr(), 15*time.Second)
		check(t, err)
		d.whole(t)
	})
}

func TestGatewayStartsASwitchThatOutlivesIt(t *testing.T) {
	d := buildNetwork(t, DemoOptions{Target: Embedded, ownSwitch: true})
	ctx := t.Context()
	d.whole(t)
	check(t, d.gateway.control.Stop())
	_, err := d.h1.Reach(ctx, d.h2.Address.Addr(), 5*time.Second)
	check(t, err)
	check(t, d.gateway.StartController(ctx, d.gatewayConfig()))
	d.whole(t)
	if log := d.gateway.control.Tail(1 << 20); !strings.Contains(log, "using the switch that is running") {
		t.Errorf("the second start did not use the first one's switch:\n%s", log)
	}
}
