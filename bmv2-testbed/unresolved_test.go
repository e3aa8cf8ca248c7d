package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestRoutesByAVTEPThatIsNotReachedAreNotUsedAndReturn(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		check(t, r.reachEachOther(ctx, "east1", "far1"))
		check(t, r.reach(ctx, "east1", farPrefix4.Addr(), hidden6.Addr()))
		must(r.gateway.NS.Output(ctx, "ip", "route", "delete", leaf1VTEP.String()))(t)
		check(t, Eventually(ctx, patience, "no entry leads to the leaf", func(ctx context.Context) error {
			for _, table := range []string{"router.ipv4", "router.ipv6"} {
				out, err := r.gateway.Show(ctx, "entries", table)
				if err != nil {
					return err
				}
				if strings.Contains(out, "router.to_vtep") {
					return fmt.Errorf("there are\n%s", out)
				}
			}
			return nil
		}))
		check(t, r.hosts["east1"].Misses(ctx, farPrefix4.Addr(), r.hosts["east1"], r.hosts["west1"].Address.Addr()))
		check(t, r.reachEachOther(ctx, "east1", "west1"))
		check(t, r.gateway.NS.AddRoute(netip.PrefixFrom(leaf1VTEP, 32), netip.MustParseAddr(leaf1Up)))
		check(t, r.reachEachOther(ctx, "east1", "far1"))
		check(t, r.reach(ctx, "east1", farPrefix4.Addr(), hidden6.Addr()))
	})
}
