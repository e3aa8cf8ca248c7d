package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const learnedRoutes = "164" // the protocol number of the routes that p4evpn learns

func buildTwoUplinks(t *testing.T, target string) *TwoUplinks {
	t.Helper()
	return buildTwoUplinksWith(t, target, false)
}

func buildTwoUplinksWith(t *testing.T, target string, bfd bool) *TwoUplinks {
	needDemo(t, target)
	l := needLab(t)
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(testWriter{t}, l)
		}
	})
	return must(l.BuildTwoUplinks(t.Context(), target, must(builtBinary())(t), bfd))(t)
}

// learned gives the gateway's learned routes as "prefix nexthop ...".
func (n *TwoUplinks) learned(ctx context.Context) ([]string, error) {
	out, err := n.gateway.NS.Output(ctx, "ip", "-o", "route", "show", "proto", learnedRoutes)
	var routes []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		var hops []string
		for i, f := range fields {
			if f == "via" {
				hops = append(hops, fields[i+1])
			}
		}
		slices.Sort(hops)
		routes = append(routes, fields[0]+" "+strings.Join(hops, " "))
	}
	return routes, err
}

func (n *TwoUplinks) awaitLearned(t *testing.T, want ...string) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the gateway's learned routes are %q", want),
		func(ctx context.Context) error {
			got, err := n.learned(ctx)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("they are %q", got)
			}
			return err
		}))
}

// awaitPaths waits until the gateway sends to the leaf by so many uplinks.
func (n *TwoUplinks) awaitPaths(t *testing.T, want int) {
	t.Helper()
	check(t, Eventually(t.Context(), 2*patience, fmt.Sprintf("the leaf is reached by %d uplinks", want),
		func(ctx context.Context) error {
			vteps, err := n.gateway.VTEPs(ctx)
			if err != nil {
				return err
			}
			if v := vteps[leaf1VTEP.String()]; len(v.GetPaths()) != want {
				return fmt.Errorf("the paths are %v (%s)", v.GetPaths(), v.GetReason())
			}
			return nil
		}))
}

func (n *TwoUplinks) reach(t *testing.T) {
	t.Helper()
	_, err := n.h1.Reach(t.Context(), n.l1a.Address.Addr(), 2*patience)
	check(t, err)
}

// watchRoutes follows the gateway's routes until the function that it gives is
// called, which gives what `ip monitor` saw.
func (n *TwoUplinks) watchRoutes(t *testing.T) (seen func() string) {
	t.Helper()
	return n.watchRoutesOf(t, n.gateway.NS)
}

// watchRoutesOf is watchRoutes in a namespace. It returns when `ip monitor` has
// seen a route of ours come, so that it misses none.
func (n *TwoUplinks) watchRoutesOf(t *testing.T, ns *Namespace) (seen func() string) {
	t.Helper()
	p := must(n.gateway.lab.Start(ns, "monitor", "ip", "monitor", "route"))(t)
	check(t, Eventually(t.Context(), patience, "ip monitor listens", func(ctx context.Context) error {
		const marker = "198.51.100.1"
		for _, op := range []string{"replace", "delete"} {
			if _, err := ns.Output(ctx, "ip", "route", op, marker, "dev", "lo"); err != nil {
				return err
			}
		}
		if !strings.Contains(p.Tail(1<<16), marker) {
			return errors.New("it saw no route yet")
		}
		return nil
	}))
	return func() string {
		check(t, p.Kill())
		return p.Tail(1 << 16)
	}
}

// awaitSessions waits until so many BGP sessions of the leaf are established
// for ipv4 unicast.
func (l *Leaf) awaitSessions(ctx context.Context, want int) error {
	return Eventually(ctx, 2*patience, fmt.Sprintf("%s has %d sessions", l.Name, want), func(ctx context.Context) error {
		out, err := l.Show(ctx, "show bgp ipv4 unicast summary established json")
		if err == nil && strings.Count(out, `"state":"Established"`) != want {
			err = errors.New(out)
		}
		return err
	})
}

func TestUnderlayIsRoutedByTheSameSessions(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			n, ctx := buildTwoUplinks(t, target), t.Context()
			both, second := "10.0.0.11 10.1.1.2 10.1.2.2", "10.0.0.11 10.1.2.2"

			// The subnets of the uplinks, which the leaf advertises too, stay ours.
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)
			n.reach(t)

			// A killed controller leaves the routes, and the next one takes them
			// over: they are never away.
			check(t, n.gateway.KillController())
			changes := n.watchRoutes(t)
			check(t, n.gateway.StartController(ctx, n.config))
			check(t, n.leaf.awaitSessions(ctx, 2))
			n.awaitLearned(t, both)
			if log := changes(); strings.Contains(log, "Deleted 10.0.0.11 ") {
				t.Errorf("the new controller took routes away:\n%s", log)
			}
			n.awaitPaths(t, 2)
			n.reach(t)

			shutdown := func(line string) {
				check(t, n.leaf.Configure(ctx, "router bgp 65101", line))
			}
			shutdown("neighbor 10.1.1.1 shutdown")
			n.awaitLearned(t, second)
			n.awaitPaths(t, 1)
			n.reach(t)
			shutdown("no neighbor 10.1.1.1 shutdown")
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)

			redistribute := func(line string) {
				check(t, n.leaf.Configure(ctx, "router bgp 65101", "address-family ipv4 unicast", line))
			}
			redistribute("no redistribute connected")
			n.awaitLearned(t)
			n.awaitPaths(t, 0)
			redistribute("redistribute connected")
			n.awaitLearned(t, both)
			n.awaitPaths(t, 2)
			n.reach(t)
		})
	}
}
