package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// crowdedLeaf are what leaf i of plenty says in the bridge and VRF of routed: what one of its
// kinds leads to.
func crowdedLeaf(i int) []bgp.Route {
	leaf := plentyLeaf(i)
	return []bgp.Route{floodRoute(leaf, 100), macRoute(leaf, 100, mac(0x1000+i)),
		prefixRoute(leaf, 5000, fmt.Sprintf("10.100.%d.0/24", i))}
}

// sendLeaf has a leaf say its routes, or take them back.
func (g *gateway) sendLeaf(i int, event func(netip.Addr, bgp.Route) bgp.Event) {
	for _, r := range crowdedLeaf(i) {
		g.send(event(peer1, r))
	}
}

// wantLeaves checks which leaves are forwarded to in every way; the others in none.
func (g *gateway) wantLeaves(bridge, vrf uint16, want ...int) {
	g.Helper()
	g.settle()
	var floods, macs, prefixes []int
	for i := range plentyLeaves {
		if strings.Contains(fmt.Sprint(g.flood(bridge)), plentyLeaf(i).String()+" vni 100 ") {
			floods = append(floods, i)
		}
		if g.whereIs(bridge, mac(0x1000+i)) != "nowhere" {
			macs = append(macs, i)
		}
		if g.get(p4.Route{VRF: vrf, Prefix: prefix(fmt.Sprintf("10.100.%d.0/24", i))}) != nil {
			prefixes = append(prefixes, i)
		}
	}
	for what, got := range map[string][]int{"floods": floods, "MACs": macs, "prefixes": prefixes} {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			g.Errorf("%s of the leaves %v, want %v", what, got, want)
		}
	}
}

func TestVTEPsThatAreTooManyWaitInTheOrderOfTheirAddresses(t *testing.T) {
	o := options{cfg: testConfig(), server: p4rttest.New(t, p4rttest.Config{Check: checkOrder})}
	o.cfg.MaxVTEPs = 3
	var b, v uint16
	t.Run("before", func(t *testing.T) {
		g, v4, b10, _ := routed(t, o)
		b, v = b10, v4
		for _, i := range []int{6, 2, 4, 5, 1, 3} {
			g.underlay.Foresee(plentyLeaf(i), path1)
			g.sendLeaf(i, update)
		}
		g.wantLeaves(b, v, 2, 4, 6)
		rows, err := g.c.VTEPs(t.Context())
		if err != nil || !strings.Contains(fmt.Sprint(rows), "as many remote VTEPs are in use as may be") || len(rows) != 6 {
			t.Errorf("the VTEPs that wait are shown as %v, %v", rows, err)
		}
		if n := len(g.underlay.Tracked()); n != 3 {
			t.Errorf("paths are looked for to %d VTEPs, want the 3 in use", n)
		}
		g.sendLeaf(5, withdraw) // one that waits
		g.sendLeaf(4, withdraw)
		g.wantLeaves(b, v, 1, 2, 6)
		g.sendLeaf(2, withdraw)
		g.sendLeaf(6, withdraw)
		g.wantLeaves(b, v, 1, 3)
		g.sendLeaf(4, update)
		g.wantLeaves(b, v, 1, 3, 4)
		g.peek(func(l *loop) {
			if len(l.tunnels) != 3 || len(l.unnumbered) != 0 || len(l.remoteVTEPs) != 3 || len(l.bridges[b].flood) != 3 {
				t.Errorf("%d tunnels, %d that wait, %d VTEPs, %d replicas are kept, want 3, 0, 3, 3", len(l.tunnels),
					len(l.unnumbered), len(l.remoteVTEPs), len(l.bridges[b].flood))
			}
		})
	})
	o.cfg.MaxVTEPs, o.deferring = 1, true
	g, v, b, _ := routed(t, o)
	for _, i := range []int{5, 4, 3, 1} {
		g.underlay.Foresee(plentyLeaf(i), path1)
		g.sendLeaf(i, update)
	}
	g.settle()
	g.converge()
	g.wantLeaves(b, v, 1, 3, 4) // what there was before a lower limit stays
}

func TestALimitOfRoutesIsOfEachVRFAndMayBeLoweredAndRaised(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	blue := intent.Ref{Kind: intent.KindVRF, ID: "blue"}
	set := func(n uint32) { g.instance(intent.Instance{ID: "vrf.blue", MaxRoutes: n}) }
	for i := range 6 {
		g.underlay.Foresee(plentyLeaf(i), path1)
	}
	routes := func() (there string) {
		g.settle()
		for i := range 6 {
			if g.get(p4.Route{VRF: v, Prefix: prefix(fmt.Sprintf("10.100.%d.0/24", i))}) != nil {
				there += fmt.Sprint(i)
			}
		}
		return there
	}
	want := func(want string, said bool) {
		t.Helper()
		g.eventually("routes "+want, func() bool { return routes() == want })
		if _, text := g.statusOf(blue); strings.Contains(text, "entries of router.ipv4 wait for room") != said {
			t.Errorf("with routes %s the VRF says %s", want, text)
		}
		g.wantStatus(blue, intent.StatusUp)
	}
	set(6) // its subnets and gateways are 4 of them
	for _, i := range []int{5, 0, 1, 2, 3} {
		g.send(update(peer1, prefixRoute(plentyLeaf(i), 5000, fmt.Sprintf("10.100.%d.0/24", i))))
		g.settle()
	}
	want("05", true)
	set(7)
	want("015", true)
	set(5)
	want("015", true)
	g.send(withdraw(peer1, prefixRoute(plentyLeaf(5), 5000, "10.100.5.0/24")))
	want("01", true)
	set(0)
	want("0123", false)
}
