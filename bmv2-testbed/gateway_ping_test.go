package testbed

import (
	"net/netip"
	"testing"
)

func TestTenantsPingTheirGateway(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		for _, s := range segments {
			if !s.atPort {
				continue
			}
			h := r.hosts[s.host]
			check(t, r.reach(ctx, s.host, h.Gateway, h.Gateway6))
		}
		// The gateway's address in another subnet, and its loopback.
		check(t, r.reach(ctx, "east1", netip.MustParseAddr("10.1.12.1"), netip.MustParseAddr("2001:db8:12::1"),
			tenantLoopback.Addr()))
		check(t, r.reach(ctx, "twin1", otherLoopback.Addr()))
	})
}
