package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestKindsOfBGPSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind sessions
	}{
		{"iBGP", sessions{ibgp: true}},
		{"TCP MD5", sessions{password: "secret"}},
		{"eBGP multihop between the VTEP addresses, with TCP MD5", sessions{loopbacks: true, password: "secret"}},
		{"iBGP between the VTEP addresses", sessions{ibgp: true, loopbacks: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := buildNetwork(t, DemoOptions{Target: Embedded, sessions: c.kind})
			check(t, d.awaitSessions(t.Context()))
			d.whole(t)
		})
	}
}

func TestWrongPasswordKeepsTheSessionDownAndSaysSo(t *testing.T) {
	t.Parallel()
	d := buildNetwork(t, DemoOptions{Target: Embedded})
	ctx := t.Context()
	check(t, d.awaitSessions(ctx))
	check(t, d.leaf1.Configure(ctx, fmt.Sprintf("router bgp %d", leaf1AS), "neighbor "+gatewayUp1+" password other"))
	check(t, Eventually(ctx, 4*patience, "the session with leaf1 goes down", func(ctx context.Context) error {
		out, err := d.gateway.Show(ctx, "neighbors")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, leaf1Up) && strings.Contains(line, "established") {
				return fmt.Errorf("it is up: %s", line)
			}
		}
		return nil
	}))
	// One peer's trouble is not the other's: all routes come by leaf2.
	d.whole(t)
}
