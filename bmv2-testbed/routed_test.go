package testbed

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
)

// sharedNetworks are the routed networks that tests share which leave things as
// they are, one a target; they go with the test binary.
var sharedNetworks = map[string]*sharedNetwork{Embedded: {}, BMv2: {}}

type sharedNetwork struct {
	once   sync.Once
	failed sync.Once
	lab    *Lab
	routed *routed
	err    error
}

// closeShared is what TestMain does at the end.
func closeShared() error {
	var errs []error
	for _, s := range sharedNetworks {
		if s.lab != nil {
			errs = append(errs, s.lab.Close())
		}
	}
	return errors.Join(errs...)
}

// eachRouted runs a test that leaves the network as it is, on every target.
func eachRouted(t *testing.T, test func(t *testing.T, r *routed)) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			needDemo(t, target)
			binary := must(builtBinary())(t)
			s := sharedNetworks[target]
			s.once.Do(func() {
				if s.lab, s.err = NewLab(); s.err == nil {
					s.routed, s.err = buildRouted(t.Context(), s.lab, DemoOptions{Target: target, Binary: binary, Out: io.Discard})
				}
			})
			if s.lab != nil {
				t.Cleanup(func() {
					if t.Failed() {
						s.failed.Do(func() { logsOf(t, s.lab) })
					}
				})
			}
			check(t, s.err)
			t.Cleanup(func() { viewOf(t, s.routed.gateway, s.routed.leaf) })
			test(t, s.routed)
		})
	}
}

// eachOwnRouted runs a test with a network of its own on every target.
func eachOwnRouted(t *testing.T, test func(t *testing.T, r *routed)) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			needDemo(t, target)
			binary, l := must(builtBinary())(t), needLab(t)
			t.Cleanup(func() { logsOf(t, l) })
			r := must(buildRouted(t.Context(), l, DemoOptions{Target: target, Binary: binary, Out: io.Discard}))(t)
			t.Cleanup(func() { viewOf(t, r.gateway, r.leaf) })
			test(t, r)
		})
	}
}

// logsOf shows a lab's logs after a failure.
func logsOf(t *testing.T, l *Lab) {
	if t.Failed() {
		showLogs(testWriter{t}, l)
	}
}

// viewOf shows what the gateway and leaves make of the routes after a failure.
func viewOf(t *testing.T, g *Gateway, leaves ...*Leaf) {
	if !t.Failed() {
		return
	}
	for _, what := range []string{"vrfs", "svis", "hosts", "prefixes", "vteps", "fdb", "routes", "neighbors"} {
		out, err := g.Show(context.Background(), what)
		t.Logf("p4evpn show %s: %v\n%s", what, err, out)
	}
	for _, leaf := range leaves {
		for _, what := range []string{"show bgp l2vpn evpn route",
			"show bgp l2vpn evpn neighbors 10.1.1.1 advertised-routes", "show ip route vrf all", "show evpn arp-cache vni all"} {
			out, err := leaf.Show(context.Background(), what)
			t.Logf("%s: %s: %v\n%s", leaf.Name, what, err, out)
		}
	}
}

// reach sends echo requests from a host to addresses until each is answered.
func (r *routed) reach(ctx context.Context, from string, to ...netip.Addr) error {
	for _, a := range to {
		if _, err := r.hosts[from].Reach(ctx, a, patience); err != nil {
			return err
		}
	}
	return nil
}

// reachEachOther does so between two hosts, both ways and by both versions of IP.
func (r *routed) reachEachOther(ctx context.Context, a, b string) error {
	if err := r.reach(ctx, a, r.hosts[b].Address.Addr(), r.hosts[b].Address6.Addr()); err != nil {
		return err
	}
	return r.reach(ctx, b, r.hosts[a].Address.Addr(), r.hosts[a].Address6.Addr())
}
