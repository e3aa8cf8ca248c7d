package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestType5PrefixOfALeafIsReached(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		for _, from := range []string{"east1", "west1", "mover"} {
			check(t, r.reach(t.Context(), from, farPrefix4.Addr(), farPrefix6.Addr()))
		}
	})
}

func TestType5DefaultRouteOfALeafIsUsed(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		for _, from := range []string{"east1", "west1"} {
			check(t, r.reach(t.Context(), from, hidden4.Addr(), hidden6.Addr()))
		}
	})
}

func TestLeafGetsTheGatewaysSubnetsAndLoopbackByType5(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		n := r.leaf.VRFs["tenant"].NS
		check(t, Eventually(ctx, patience, "the leaf's kernel has the gateway's prefixes", func(ctx context.Context) error {
			routes, err := n.Output(ctx, "ip", "route", "show", "proto", "bgp")
			if err != nil {
				return err
			}
			routes6, err := n.Output(ctx, "ip", "-6", "route", "show", "proto", "bgp")
			if err != nil {
				return err
			}
			for _, want := range []string{"10.1.11.0/24 via " + gatewayVTEP.String(), "10.1.12.0/24 via " + gatewayVTEP.String(),
				tenantLoopback.Addr().String() + " via " + gatewayVTEP.String(), "2001:db8:11::/64 via", "2001:db8:12::/64 via"} {
				if !strings.Contains(routes+"\n"+routes6, want) {
					return fmt.Errorf("no %q in\n%s\n%s", want, routes, routes6)
				}
			}
			return nil
		}))
		check(t, r.reach(ctx, "far1", tenantLoopback.Addr(), netip.MustParseAddr("10.1.11.1"),
			netip.MustParseAddr("2001:db8:11::1")))
	})
}
