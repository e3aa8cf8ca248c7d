package testbed

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestPathMTUIsFoundAndTCPCarriesAMegabyte(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		for _, pair := range [][2]string{{"east1", "far1"}, {"near1", "near2"}} {
			a, b := r.hosts[pair[0]], r.hosts[pair[1]]
			check(t, r.reachEachOther(ctx, a.Name, b.Name))
			for _, to := range []netip.Prefix{b.Address, b.Address6} {
				check(t, learnsPathMTU(ctx, a, to.Addr()))
			}
			check(t, transfer(ctx, a, b, megabyte))
			check(t, transfer(ctx, b, a, megabyte))
			a6, b6 := *a, *b
			a6.Address, b6.Address = a.Address6, b.Address6
			check(t, transfer(ctx, &a6, &b6, megabyte))
			check(t, transfer(ctx, &b6, &a6, megabyte))
		}
	})
}

var megabyte = bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)

// learnsPathMTU has a host send packets that are too big, until it has heard so,
// and then packets that fit.
func learnsPathMTU(ctx context.Context, h *Host, to netip.Addr) error {
	headers := 28 // of IP and ICMP
	if to.Is6() {
		headers = 48
	}
	const mtu = routedTenantMTU
	err := Eventually(ctx, patience, fmt.Sprintf("%s learns the path MTU to %s", h.Name, to),
		func(ctx context.Context) error {
			_, _ = h.NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", fmt.Sprint(1500-headers), "-c", "1", "-W", "1",
				to.String())
			out, err := h.NS.Output(ctx, "ip", "route", "get", to.String())
			if want := fmt.Sprintf("mtu %d", mtu); err == nil && !strings.Contains(out, want) {
				err = fmt.Errorf("no %q in %s", want, out)
			}
			return err
		})
	if err != nil {
		return err
	}
	_, err = h.NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", fmt.Sprint(mtu-headers), "-c", "3", "-i", "0.05",
		"-W", "20", to.String())
	return err
}
