package testbed

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

func TestHostKeepsItsAnycastGatewayWhereverItMoves(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx, h := t.Context(), r.hosts["mover"]
		everybody := func(where string) {
			t.Helper()
			check(t, r.reach(ctx, "mover", h.Gateway, h.Gateway6))
			for _, other := range []string{"east1", "far1"} {
				if err := r.reachEachOther(ctx, "mover", other); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
			}
			// The neighbour table goes with the host, and stays right.
			for _, gw := range []string{h.Gateway.String(), h.Gateway6.String()} {
				out := must(h.NS.Output(ctx, "ip", "neigh", "show", gw))(t)
				if !strings.Contains(out, anycastMAC.String()) {
					t.Errorf("%s: its gateway %s is %q, want %s", where, gw, out, anycastMAC)
				}
			}
			never(t, r, where)
		}
		everybody("behind the gateway")
		for range 2 {
			check(t, moveHost(h, atPort3))
			everybody("behind the leaf")
			check(t, moveHost(h, atPort2))
			everybody("behind the gateway again")
		}
	})
}

// never checks that nobody took the anycast gateway for a host.
func never(t *testing.T, r *routed, where string) {
	t.Helper()
	macs := must(r.leaf.MACs(t.Context(), 1014))(t)
	if e, ok := macs[anycastMAC.String()]; ok && e.Type == "remote" {
		t.Errorf("%s: the leaf has the gateway's MAC as a host: %+v", where, e)
	}
	fdb := must(r.gateway.FDB(t.Context(), "both"))(t)
	if e, ok := fdb[anycastMAC.String()]; ok && e.GetVtep() != "" {
		t.Errorf("%s: the gateway has its own MAC behind a VTEP: %v", where, e)
	}
}

// moveHost takes a host's addresses to another of its devices, routes too, and
// announces it there.
func moveHost(h *Host, to string) error {
	ctx := context.Background()
	if err := h.NS.SetMAC(h.Dev, ether.MAC{2, 0, 0, 0, 0xdd, h.Dev[3]}); err != nil {
		return err
	}
	if _, err := h.NS.Output(ctx, "ip", "-6", "route", "delete", "default"); err != nil {
		return err
	}
	for _, a := range []netip.Prefix{h.Address, h.Address6} {
		if err := h.NS.DeleteAddress(h.Dev, a); err != nil {
			return err
		}
	}
	h.Dev = to
	if err := h.Configure(); err != nil {
		return err
	}
	return h.Announce()
}
