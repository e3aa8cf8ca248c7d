package testbed

import "testing"

func TestSilentHostIsFoundByWhoeverSendsToIt(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		// Nobody has heard of west1, mover and near1 before.
		check(t, r.reach(ctx, "far1", r.hosts["west1"].Address.Addr()))
		check(t, r.reach(ctx, "east1", r.hosts["mover"].Address6.Addr()))
		check(t, r.reach(ctx, "near2", r.hosts["near1"].Address.Addr()))
	})
}
