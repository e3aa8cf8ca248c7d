package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// FRR 8.4 drops EVPN routes with the session, whatever the peers agreed on: a
// leaf's own way back ends with the controller, so that what goes on is shown
// between the gateway's bridges, and one way to the leaf.
func TestRoutingOutlivesTheController(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		check(t, r.reachEachOther(ctx, "east1", "west1"))
		check(t, r.reachEachOther(ctx, "east1", "far1"))
		check(t, r.gateway.KillController())
		check(t, r.reachEachOther(ctx, "east1", "west1"))
		// Hosts that just came up know nobody, and find their gateway.
		for _, name := range []string{"east1", "west1"} {
			check(t, r.hosts[name].NS.ForgetNeighbours(r.hosts[name].Dev))
		}
		check(t, r.reachEachOther(ctx, "east1", "west1"))
		check(t, Eventually(ctx, patience, "echo requests reach the leaf's host", func(ctx context.Context) error {
			before, err := echoes(ctx, r.hosts["far1"])
			if err != nil {
				return err
			}
			_ = r.hosts["east1"].Ping(ctx, r.hosts["far1"].Address.Addr(), time.Second) // the leaf may have no way back
			after, err := echoes(ctx, r.hosts["far1"])
			if err == nil && after == before {
				err = fmt.Errorf("its count stays %s", after)
			}
			return err
		}))
		check(t, r.gateway.StartController(ctx, r.gatewayConfig()))
		check(t, r.gateway.AwaitRoutingUp(ctx))
		check(t, r.reachEachOther(ctx, "east1", "west1"))
		check(t, r.reachEachOther(ctx, "east1", "far1"))
		check(t, r.reachEachOther(ctx, "near1", "near2"))
		check(t, r.reach(ctx, "east1", r.hosts["east1"].Gateway, r.hosts["east1"].Gateway6))
	})
}

// echoes reads how many echo requests a host's kernel has received.
func echoes(ctx context.Context, h *Host) (string, error) {
	out, err := h.NS.Output(ctx, "cat", "/proc/net/snmp")
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if fields[0] != "Icmp:" {
			continue
		}
		for i, name := range names {
			if name == "InEchos" {
				return fields[i], nil
			}
		}
		names = fields
	}
	return "", fmt.Errorf("no InEchos in %s", out)
}
