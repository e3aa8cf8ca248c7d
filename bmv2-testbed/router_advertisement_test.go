package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestHostConfiguresItselfByRouterAdvertisements(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx, h := t.Context(), r.hosts["east1"]
		// It has no IPv6 address and no route but by what the gateway says.
		must(h.NS.Output(ctx, "ip", "-6", "route", "delete", "default"))(t)
		check(t, h.NS.DeleteAddress(h.Dev, h.Address6))
		check(t, h.NS.Sysctl("net.ipv6.conf.eth0.accept_ra", "1"))
		check(t, h.NS.Sysctl("net.ipv6.conf.eth0.accept_ra_mtu", "0")) // the path's is to be found
		check(t, h.NS.Down(h.Dev))                                     // it asks when it comes up
		check(t, h.NS.Up(h.Dev))
		check(t, h.NS.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), h.Gateway))
		check(t, Eventually(ctx, 2*patience, "an address and a default route", func(ctx context.Context) error {
			out, err := h.NS.Output(ctx, "sh", "-c", "ip -6 address show dev eth0 scope global; ip -6 route show default")
			if err == nil && (!strings.Contains(out, "inet6 2001:db8:11:") || !strings.Contains(out, "default via fe80:")) {
				err = fmt.Errorf("it has %q", out)
			}
			return err
		}))
		check(t, r.reach(ctx, "east1", h.Gateway6, r.hosts["west1"].Address6.Addr(), r.hosts["far1"].Address6.Addr()))
		far := *r.hosts["far1"]
		far.Address = far.Address6
		check(t, learnsPathMTU(ctx, h, far.Address.Addr()))
		check(t, transfer(ctx, h, &far, megabyte))
	})
}
