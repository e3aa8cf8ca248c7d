package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/p4evpn/p4evpn/packet"
	"github.com/p4evpn/p4evpn/packet/packettest"
)

// routerProbes is how often a host looks whether its router is still there: by multicast,
// by unicast, and by multicast again.
const routerProbes = 3

// A host that is told R = 0 of its router stops using it (RFC 4861 section 7.2.5).
func TestATenantsIPv6RouterIsKeptByItsHostsThroughEachProbe(t *testing.T) {
	t.Parallel()
	o := leafKinds[usualLeaf]
	o.Target, o.Ageing, o.Moves = Embedded, "5m", -1
	f := buildFabric(t, o)
	var address netip.Addr
	for _, router := range []string{"leaf-owner", "second-owner", "gw-owner"} {
		t.Run("the router is "+router, func(t *testing.T) {
			for _, name := range []string{"leaf-owner", "second-owner", "gw-owner"} {
				check(t, f.Hosts[name].NS.Sysctl("net.ipv6.conf.all.forwarding", "0"))
			}
			address = f.route(t, f.Hosts[router])
			f.keepRouter(t, address)
		})
	}
	t.Run("after a restart", func(t *testing.T) {
		check(t, f.Gateway.KillController())
		check(t, f.Gateway.StartController(t.Context(), f.config.String()))
		f.keepRouter(t, address)
	})
}

// route makes an IPv6 router of a host, which each watcher then has as its default
// router, and gives its link-local address.
func (f *Fabric) route(t *testing.T, r *Host) netip.Addr {
	t.Helper()
	ctx, address := t.Context(), packet.LinkLocal(r.MAC)
	check(t, r.NS.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	advertisement := must(packet.RouterAdvertisement{MAC: r.MAC, MTU: 1400, Lifetime: time.Hour}.Frame())(t)
	for _, h := range f.watchers() {
		for key, value := range map[string]string{
			"conf.eth0.accept_ra": "1", "conf.eth0.accept_ra_mtu": "0", "conf.eth0.autoconf": "0",
			// Only to be quick: 30 s and 5 s by default.
			"neigh.eth0.base_reachable_time_ms": "1000", "neigh.eth0.delay_first_probe_time": "1",
		} {
			check(t, h.NS.Sysctl("net.ipv6."+key, value))
		}
		check(t, Eventually(ctx, patience, h.Name+" has a default router", func(ctx context.Context) error {
			return errors.Join(sendFrom(r, advertisement), h.routesBy(ctx, address))
		}))
	}
	// It says on its own that it is a router, as a kernel does when it is asked.
	check(t, sendFrom(r, packettest.NeighborAdvertisement(r.MAC, address, packettest.Router|packettest.Override)))
	return address
}

// routesBy checks that a host's default router is the one.
func (h *Host) routesBy(ctx context.Context, router netip.Addr) error {
	out, err := h.NS.Output(ctx, "ip", "-6", "route", "show", "default")
	if err == nil && !strings.Contains(out, "via "+router.String()) {
		err = fmt.Errorf("%s has the default routes %q, want one by %s", h.Name, out, router)
	}
	return err
}

// keepRouter checks that each watcher keeps its router.
func (f *Fabric) keepRouter(t *testing.T, router netip.Addr) {
	t.Helper()
	var group errgroup.Group
	for _, h := range f.watchers() {
		group.Go(func() error { return h.probesItsRouter(t.Context(), router) })
	}
	check(t, group.Wait())
}

// probesItsRouter has a host's kernel look for its router, by multicast when it has
// forgotten it and by unicast when it was silent, and checks that whoever answers says
// that it is one.
func (h *Host) probesItsRouter(ctx context.Context, router netip.Addr) error {
	s, err := h.NS.OpenRaw(h.Dev)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for n := range routerProbes {
		if n%2 == 0 {
			if err := h.NS.ForgetNeighbour(h.Dev, router); err != nil {
				return err
			}
		}
		var frame []byte
		err := Eventually(ctx, patience/2, h.Name+" is answered for "+router.String(), func(ctx context.Context) (err error) {
			_, _ = h.NS.Output(ctx, "ping", "-n", "-q", "-c", "1", "-W", "1", router.String()+"%"+h.Dev)
			frame, err = s.advertisement(router)
			return err
		})
		if err == nil && frame[58]&packettest.Router == 0 {
			err = fmt.Errorf("%s is told that %s is no router: %x", h.Name, router, frame)
		}
		if err != nil {
			return err
		}
	}
	return h.routesBy(ctx, router)
}

// advertisement gives the neighbour advertisement of an address that came or comes soon.
func (s *RawSocket) advertisement(address netip.Addr) ([]byte, error) {
	buffer := make([]byte, maxFrame)
	for {
		frame, err := s.Receive(buffer, time.Now().Add(100*time.Millisecond))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errors.New("no advertisement came")
		}
		if err != nil || says(frame, address) {
			return frame, err
		}
	}
}
