package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestTracerouteShowsTheGateway(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		for _, c := range []struct {
			from string
			to   netip.Addr
			ttl  int
			hop  string
		}{
			{"east1", r.hosts["west1"].Address.Addr(), 1, "10.1.11.1"},
			{"east1", r.hosts["west1"].Address6.Addr(), 1, "2001:db8:11::1"},
			{"east1", r.hosts["far1"].Address.Addr(), 1, "10.1.11.1"},
			{"east1", r.hosts["far1"].Address6.Addr(), 1, "2001:db8:11::1"},
			{"near1", r.hosts["near2"].Address.Addr(), 1, "10.1.31.1"},
			// By the L3 VNI the gateway is the second hop, with its loopback.
			{"far1", r.hosts["east1"].Address.Addr(), 2, tenantLoopback.Addr().String()},
		} {
			check(t, r.reach(ctx, c.from, c.to)) // the way is there
			check(t, Eventually(ctx, patience, fmt.Sprintf("hop %d from %s to %s", c.ttl, c.from, c.to),
				func(ctx context.Context) error {
					// ping fails: it gets an error instead of an answer.
					out, _ := r.hosts[c.from].NS.Output(ctx, "ping", "-n", "-t", fmt.Sprint(c.ttl),
						"-c", "1", "-W", "1", c.to.String())
					if !strings.Contains(out, "From "+c.hop+" ") || !strings.Contains(out, "Time to live exceeded") &&
						!strings.Contains(out, "Time exceeded") {
						return fmt.Errorf("want one from %s, got %s", c.hop, out)
					}
					return nil
				}))
		}
	})
}
