package testbed

import (
	"net/netip"
	"testing"
)

func TestSilentHostIsFoundByWhoeverSendsToIt(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		// Nobody has heard of west1, mover and near1 before.
		check(t, r.reach(ctx, "far1", r.hosts["west1"].Address.Addr()))
		check(t, r.reach(ctx, "east1", r.hosts["mover"].Address6.Addr()))
		check(t, r.reach(ctx, "near2", r.hosts["near1"].Address.Addr()))

		// Behind a leaf that has the gateway's MAC too, which takes answers to that for its own
		// (RFC 9135 section 4). Nobody has heard of these addresses of it either.
		h := r.hosts["mover"]
		check(t, moveHost(h, atPort3))
		for _, a := range []string{"10.1.14.77", "2001:db8:14::77"} {
			silent := netip.MustParseAddr(a)
			check(t, h.Take(silent))
			check(t, r.reach(ctx, "east1", silent))
		}
		// The leaf knows where the MAC is that it was asked from: it floods no answer.
		if e := must(r.leaf.MACs(ctx, 1014))(t)["06:00:0a:00:00:01"]; e.Type != "remote" || e.VTEP != gatewayVTEP.String() {
			t.Errorf("the leaf has the MAC that hosts are asked from as %+v, want it behind %v", e, gatewayVTEP)
		}
	})
}
