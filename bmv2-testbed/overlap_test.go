package testbed

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestEqualAddressesInTwoVRFsNeverMeet(t *testing.T) {
	eachRouted(t, func(t *testing.T, r *routed) {
		ctx := t.Context()
		for _, v := range []struct{ near, far string }{{"east1", "far1"}, {"twin1", "twinfar"}} {
			check(t, r.reachEachOther(ctx, v.near, v.far))
		}
		// Each pair has the other pair's addresses: who answers says its name.
		for _, name := range []string{"east1", "far1", "twin1", "twinfar"} {
			introduce(t, r.hosts[name])
		}
		for from, to := range map[string]string{"east1": "far1", "far1": "east1", "twin1": "twinfar", "twinfar": "twin1"} {
			for _, a := range []netip.Addr{r.hosts[to].Address.Addr(), r.hosts[to].Address6.Addr()} {
				for range 5 {
					if who := must(asks(ctx, r.hosts[from], a))(t); who != to {
						t.Errorf("%s reaches %s at %s, want %s", from, who, a, to)
					}
				}
			}
		}
		// What one VRF alone has is not reached from the others.
		for _, from := range []string{"twin1", "near1"} {
			for _, a := range []netip.Addr{r.hosts["west1"].Address.Addr(), r.hosts["west1"].Address6.Addr(), farPrefix4.Addr(),
				farPrefix6.Addr(), tenantLoopback.Addr(), hidden4.Addr(), hidden6.Addr()} {
				check(t, r.hosts[from].Misses(ctx, a, r.hosts[from], r.hosts[from].Gateway))
			}
		}
		// Nor is the underlay, of the gateway or of the leaf.
		for _, from := range []string{"east1", "twin1", "near1"} {
			for _, a := range []netip.Addr{gatewayVTEP, leaf1VTEP, netip.MustParseAddr(gatewayUp1)} {
				check(t, r.hosts[from].Misses(ctx, a, r.hosts[from], r.hosts[from].Gateway))
			}
		}
	})
}

// introduce lets a host say its name to whoever connects, until the test ends.
func introduce(t *testing.T, h *Host) {
	t.Helper()
	var listener net.Listener
	check(t, h.NS.Do(func() (err error) {
		listener, err = net.Listen("tcp", ":17")
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			_, _ = io.WriteString(conn, h.Name)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
}

// asks gives the name of the host that answers at an address.
func asks(ctx context.Context, from *Host, a netip.Addr) (name string, err error) {
	err = from.NS.Do(func() error {
		d := net.Dialer{Timeout: patience}
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, 17).String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		b, err := io.ReadAll(conn)
		name = string(b)
		return err
	})
	return name, err
}
