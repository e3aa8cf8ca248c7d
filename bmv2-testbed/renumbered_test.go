package testbed

import (
	"context"
	"net/netip"
	"testing"
)

// soonAged is the ageing of gateways in tests that wait for it.
const soonAged = "8s"

// agingFabric has gateways that ask their hosts soon. It is the controller that does so:
// one target is enough.
func agingFabric(t *testing.T, o FabricOptions) *Fabric {
	t.Helper()
	o.Target, o.Ageing, o.Moves = Embedded, soonAged, -1
	return buildFabric(t, o)
}

func TestARenumberedHostLosesItsOldAddressEverywhere(t *testing.T) {
	t.Parallel()
	f := agingFabric(t, FabricOptions{LeafSVI: true, SVI: true})
	ctx, h, old, old6 := t.Context(), f.Hosts["gw-owner"], numbered(201).Addr(), numbered6(201).Addr()
	for _, a := range []netip.Addr{old, old6} {
		check(t, h.Take(a))
		must(f.reached(ctx, a))(t)
		f.awaitAgreement(t, "at first", a, h, func() error { return nil })
		check(t, h.Leave(a))
	}
	// Its MAC is heard all the time, and never again with those addresses.
	h.aside(t, "ping", "-n", "-q", "-i", "0.5", f.Hosts["gw-watcher"].Address.Addr().String())
	for _, a := range []netip.Addr{old, old6} {
		check(t, Eventually(ctx, patience, "nobody has "+a.String(), func(ctx context.Context) error {
			return f.nobodyHas(ctx, a)
		}))
	}
	// Who gets them next is not told that they are taken, anywhere.
	for _, next := range []*Host{f.Hosts["gw-other"], f.Hosts["leaf-owner"], f.Hosts["second-owner"]} {
		check(t, next.finds(old, false))
		check(t, next.finds(old6, false))
	}
	// And the host itself is still where it was.
	must(f.reached(ctx, h.Address.Addr()))(t)
	must(f.reached(ctx, h.Address6.Addr()))(t)
}

func TestAnAddressOfADeadHostIsWithdrawnThoughItsMACLives(t *testing.T) {
	t.Parallel()
	f := agingFabric(t, leafKinds[usualLeaf])
	ctx := t.Context()
	// A virtual machine behind a nested switch that uses the MAC of its host.
	h := f.Hosts["gw-owner"]
	check(t, h.Take(vip))
	must(f.reached(ctx, vip))(t)
	h.aside(t, "ping", "-n", "-q", "-i", "0.2", f.Hosts["gw-other"].Address.Addr().String())
	check(t, h.Leave(vip))
	check(t, Eventually(ctx, patience, "nobody has "+vip.String(), func(ctx context.Context) error {
		return f.nobodyHas(ctx, vip)
	}))
	check(t, f.Hosts["second-owner"].finds(vip, false))
	must(f.reached(ctx, h.Address.Addr()))(t)
}
