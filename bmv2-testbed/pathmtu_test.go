package testbed

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestPathMTUIsFoundAndTCPCarriesAMegabyte(t *testing.T) {
	eachOwnRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		for _, pair := range [][2]string{{"east1", "far1"}, {"near1", "near2"}} {
			a, b := r.hosts[pair[0]], r.hosts[pair[1]]
			check(t, r.reachEachOther(ctx, a.Name, b.Name))
			for _, v := range []struct {
				host    *Host
				headers int // of IP and ICMP
			}{{b, 28}, {&Host{Address: b.Address6}, 48}} {
				to := v.host.Address.Addr()
				fits := fmt.Sprint(routedMTU - vxlanOverhead - v.headers)
				// The first full-size packet is answered with the MTU of the path.
				check(t, Eventually(ctx, patience, fmt.Sprintf("%s learns the path MTU to %s", a.Name, to), func(ctx context.Context) error {
					_, _ = a.NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", fmt.Sprint(1500-v.headers), "-c", "1", "-W", "1", to.String())
					out, err := a.NS.Output(ctx, "ip", "route", "get", to.String())
					if want := fmt.Sprintf("mtu %d", routedMTU-vxlanOverhead); err == nil && !strings.Contains(out, want) {
						err = fmt.Errorf("no %q in %s", want, out)
					}
					return err
				}))
				_, err := a.NS.Output(ctx, "ping", "-n", "-q", "-M", "do", "-s", fits, "-c", "3", "-i", "0.05", "-W", "2", to.String())
				check(t, err)
			}
			check(t, transfer(ctx, a, b, bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)))
			check(t, transfer(ctx, b, a, bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)))
			a6, b6 := *a, *b
			a6.Address, b6.Address = a.Address6, b.Address6
			check(t, transfer(ctx, &a6, &b6, bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)))
			check(t, transfer(ctx, &b6, &a6, bytes.Repeat([]byte("p4evpn: one megabyte each way.\r\n"), 1<<15)))
		}
	})
}
