package testbed

import (
	"strings"
	"testing"

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

func TestGatewayStartsASwitchThatOutlivesIt(t *testing.T) {
	t.Parallel()
	d := buildNetwork(t, DemoOptions{Target: Embedded, ownSwitch: true})
	ctx := t.Context()
	d.whole(t)
	check(t, d.gateway.control.Stop())
	_, err := d.h1.Reach(ctx, d.h2.Address.Addr(), patience)
	check(t, err)
	check(t, d.gateway.StartController(ctx, d.gatewayConfig()))
	d.whole(t)
	if log := d.gateway.control.Tail(1 << 20); !strings.Contains(log, "using the switch that is running") {
		t.Errorf("the second start did not use the first one's switch:\n%s", log)
	}
}
