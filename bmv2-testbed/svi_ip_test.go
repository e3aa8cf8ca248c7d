package testbed

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestGatewayAddressOfALeafDoesNotReplaceOurs(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx, h := t.Context(), r.hosts["near1"]
		var near segment
		for _, s := range segments {
			if s.bridge == "near-east" {
				near = s
			}
		}
		check(t, r.leaf.Configure(ctx, fmt.Sprintf("router bgp %d", r.leaf.AS), "address-family l2vpn evpn",
			"advertise-svi-ip"))
		check(t, Eventually(ctx, patience, "the leaf advertises its own gateway as a host", func(ctx context.Context) error {
			fdb, err := r.gateway.FDB(ctx, near.bridge)
			if e := fdb[near.leafMAC.String()]; err == nil && e.GetVtep() != leaf1VTEP.String() {
				err = fmt.Errorf("%s is %v", near.leafMAC, e)
			}
			return err
		}))
		for range 3 {
			check(t, h.NS.ForgetNeighbours(h.Dev))
			check(t, r.reach(ctx, "near1", h.Gateway, h.Gateway6, r.hosts["near2"].Address.Addr()))
			out := must(h.NS.Output(ctx, "ip", "neigh", "show"))(t)
			if !strings.Contains(out, near.mac.String()) || strings.Contains(out, near.leafMAC.String()) {
				t.Errorf("the host takes for its gateway\n%s\nwant %s alone", out, near.mac)
			}
		}
	})
}
