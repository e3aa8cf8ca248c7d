package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

const bfdUp = p4evpnv1.BfdState_BFD_STATE_UP

// FRR's bfdd is at the other end. Nothing but BFD can say that the path is lost: devices keep
// their carrier, and BGP's hold time says something else.
func TestASilentlyDeadPathIsNoticedByBFDAndItsRoutesGo(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			n, ctx := buildTwoUplinksWith(t, target, true), t.Context()
			both := "10.0.0.11 10.1.1.2 10.1.2.2"
			check(t, n.AwaitBothWays(ctx))
			check(t, n.AwaitBFD(ctx))
			r := must(n.SilenceUplink(ctx, 1000, func(uplink int) error {
				start, dead := time.Now(), demoUplinks[uplink].peer
				n.awaitLearned(t, "10.0.0.11 "+demoUplinks[1-uplink].peer)
				n.awaitPaths(t, 1)
				t.Logf("the other path alone is used %.0f ms after the first fell silent", time.Since(start).Seconds()*1000)
				s, err := n.gateway.Session(ctx, dead)
				if !strings.Contains(s.GetLastLoss(), "BFD") || s.GetBfd().GetFailures() == 0 {
					t.Errorf("the session: %v", s)
				}
				return err
			}))(t)
			t.Log(r)
			n.awaitLearned(t, both)
			check(t, n.AwaitBFD(ctx))

			// RFC 5882 section 3.2: a peer without BFD, or that switches it off, is none that failed.
			first, other := demoUplinks[0].peer, demoUplinks[1].peer
			lost := must(n.gateway.Session(ctx, first))(t).GetLosses()
			check(t, n.leaf.Configure(ctx, "router bgp 65101", "no neighbor 10.1.1.1 bfd"))
			check(t, Eventually(ctx, 2*patience, "BFD is down", func(ctx context.Context) error {
				s, err := n.gateway.Session(ctx, first)
				if err == nil && s.GetBfd().GetState() == bfdUp {
					err = errors.New("it is up")
				}
				return err
			}))
			s := must(n.gateway.Session(ctx, first))(t)
			if s.GetState() != p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED || s.GetLosses() != lost {
				t.Errorf("a peer switched BFD off, and the session is %v %v", s.GetBfd(), s)
			}
			n.awaitLearned(t, both)
			check(t, n.gateway.KillController())
			check(t, n.gateway.StartController(ctx, n.config))
			check(t, n.leaf.awaitSessions(ctx, 2)) // also of the peer that has none
			check(t, n.gateway.AwaitBFD(ctx, other, bfdUp))
			n.staticNextHops(t)
		})
	}
}

// staticNextHops has static routes in the place of BGP's, whose next hops BFD watches; BGP, whose
// hold time is 9 s, has EVPN alone and no BFD.
func (n *TwoUplinks) staticNextHops(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	check(t, n.gateway.KillController())
	leaf := []string{"bfd"}
	toLeaf, hops := []string{"ip", "route", "replace", leaf1VTEP.String()}, "underlay:\n  next_hops:\n"
	toGateway := []string{"ip", "route", "replace", gatewayVTEP.String()}
	for _, u := range demoUplinks {
		check(t, n.leaf.Configure(ctx, "router bgp 65101", "no neighbor "+u.address+" bfd"))
		leaf = append(leaf, "peer "+u.address, "receive-interval 50", "transmit-interval 50", "exit")
		toLeaf = append(toLeaf, "nexthop", "via", u.peer)
		toGateway = append(toGateway, "nexthop", "via", u.address)
		hops += fmt.Sprintf("    - {address: %s, bfd: {interval: 50ms}}\n", u.peer)
	}
	check(t, n.leaf.Configure(ctx, leaf...))
	must(n.gateway.NS.Output(ctx, toLeaf...))(t)
	must(n.leaf.NS.Output(ctx, toGateway...))(t)
	config := strings.ReplaceAll(strings.ReplaceAll(n.config, ", bfd: {interval: 50ms}", ""), "[evpn, ipv4]", "[evpn]")
	check(t, n.gateway.StartController(ctx, config+hops))
	n.awaitPaths(t, 2)
	n.reach(t)
	r := must(n.SilenceUplink(ctx, 1000, func(uplink int) error {
		start, dead := time.Now(), demoUplinks[uplink]
		// The leaf's routes are its own business.
		must(n.leaf.NS.Output(ctx, "ip", "route", "replace", gatewayVTEP.String(), "via", demoUplinks[1-uplink].address))(t)
		n.awaitPaths(t, 1)
		t.Logf("static routes: the other path alone is used %.0f ms after the first fell silent",
			time.Since(start).Seconds()*1000)
		s, err := n.gateway.Session(ctx, dead.peer)
		if err == nil && s.GetState() != p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED {
			t.Errorf("BGP ended before the paths were looked at: %v", s)
		}
		return err
	}))(t)
	t.Log("static routes, ", r)
	n.awaitPaths(t, 2)

	// Whose BFD is switched off at the other end is used as before (RFC 5882 section 3.2), whose
	// has gone is not.
	check(t, n.leaf.Configure(ctx, "bfd", "peer "+demoUplinks[0].address, "shutdown"))
	check(t, n.leaf.Configure(ctx, "bfd", "no peer "+demoUplinks[1].address))
	n.awaitPaths(t, 1)
	vteps := must(n.gateway.VTEPs(ctx))(t)
	if by := fmt.Sprint(vteps[leaf1VTEP.String()].GetPaths()); !strings.Contains(by, demoUplinks[0].host) {
		t.Errorf("the path is %s, want that by %s", by, demoUplinks[0].host)
	}
	n.reach(t)
}
