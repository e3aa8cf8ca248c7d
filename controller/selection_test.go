package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

// preferred is a type-5 route of 10.50.0.0/16 by a leaf; change is applied to what an eBGP
// peer's has.
func preferred(leaf netip.Addr, change func(*bgp.Preference)) bgp.Route {
	r := prefixRoute(leaf, 5000, "10.50.0.0/16")
	r.Preference = bgp.Preference{LocalPref: bgp.DefaultLocalPref, NeighborAS: 65001, PathLength: 1}
	change(&r.Preference)
	return r
}

// Each step of RFC 4271 section 9.1.2.2 between routes of several RDs, against the lower
// VTEP: leaf2 has the better route, leaf1 the lower address.
func TestEachStepBetweenPrefixesOfSeveralRDs(t *testing.T) {
	for _, c := range []struct {
		step          string
		worse, better func(*bgp.Preference)
	}{
		{"local preference", func(p *bgp.Preference) { p.PathLength = 0 }, func(p *bgp.Preference) { p.LocalPref = 200 }},
		{"AS path length", func(p *bgp.Preference) { p.PathLength = 5 }, func(p *bgp.Preference) { p.Origin = 2 }},
		{"origin", func(p *bgp.Preference) { p.Origin = 2 }, func(p *bgp.Preference) { p.MED = 9 }},
		{"MED", func(p *bgp.Preference) { p.MED = 9 }, func(p *bgp.Preference) { p.Internal = true }},
		{"eBGP before iBGP", func(p *bgp.Preference) { p.Internal = true }, func(p *bgp.Preference) {
			p.NeighborAS, p.MED = 65002, 9 // of another AS, which does not count
		}},
	} {
		t.Run(c.step, func(t *testing.T) {
			worse, better := preferred(leaf1, c.worse), preferred(leaf2, c.better)
			for _, order := range [][]bgp.Route{{worse, better}, {better, worse}} {
				g, v, _, _ := routed(t, options{})
				for _, r := range order {
					g.send(update(peer1, r))
				}
				g.settle()
				g.wantRouteTo(v, "10.50.0.0/16", viaLeaf2)
				g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf2, "")
				g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf1, "another route is better: "+c.step)
				g.wantChoice("10.50.0.0/16", leaf1, "another route is better: "+c.step)
				g.underlay.Set(leaf2, "no route") // the backup takes over
				g.settle()
				g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1)
				g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf2, "VTEP 10.0.0.12: no route")
				g.underlay.Set(leaf2, "", path1)
				g.settle()
				g.wantRouteTo(v, "10.50.0.0/16", viaLeaf2)
			}
		})
	}
}

// wantChoice checks why a prefix of VRF blue does not lead to a VTEP.
func (g *gateway) wantChoice(p string, vtep netip.Addr, want string) {
	g.Helper()
	rows, err := g.c.Prefixes(g.Context(), "blue")
	if err != nil {
		g.Fatal(err)
	}
	for _, r := range rows {
		if r.Prefix == prefix(p) && r.VTEP == vtep {
			if r.Reason != want || r.Selected {
				g.Errorf("%s by %v: selected %v, %q; want %q", p, vtep, r.Selected, r.Reason, want)
			}
			return
		}
	}
	g.Errorf("%s: nothing by %v", p, vtep)
}

// What RFC 4271 section 9.1.2.2 leaves equal is decided by what the routes say, where a prefix
// cannot have several next hops.
func TestWhichOfEqualPrefixesIsUsedWhereOneIs(t *testing.T) {
	same := func(*bgp.Preference) {}
	at := func(leaf netip.Addr, rd uint16, vni uint32, m ether.MAC) bgp.Route {
		r := preferred(leaf, same)
		r.RD, r.Label, r.RouterMAC = bgp.RouterRD(leaf, rd), vni, m
		return r
	}
	for step, routes := range map[string][2]bgp.Route{
		"lower VTEP":       {at(leaf1, 2, 5001, leaf2Route), at(leaf2, 1, 5000, leaf1Route)},
		"lower VNI":        {at(leaf1, 2, 5000, leaf2Route), at(leaf1, 1, 5001, leaf1Route)},
		"lower router MAC": {at(leaf1, 2, 5000, leaf1Route), at(leaf1, 1, 5000, leaf2Route)},
	} {
		t.Run(step, func(t *testing.T) {
			for _, order := range [][]bgp.Route{{routes[0], routes[1]}, {routes[1], routes[0]}} {
				g, _, _, _ := routed(t, options{program: withoutSelector("router.next_hops")})
				for _, r := range order {
					g.send(update(peer1, r))
				}
				g.settle()
				reasons := g.reasons(bgp.TypePrefix)
				if want := []string{"", "another route is better: " + step}; !slices.Equal(reasons, want) {
					t.Errorf("reasons %q, want %q", reasons, want)
				}
				rows, _ := g.c.Prefixes(t.Context(), "blue")
				for _, r := range rows {
					if r.Prefix == prefix("10.50.0.0/16") && r.Selected &&
						(r.VTEP != routes[0].NextHop || r.VNI != routes[0].Label || r.RouterMAC != routes[0].RouterMAC) {
						t.Errorf("in use: %+v", r)
					}
				}
			}
		})
	}
}

// reasons are those of all routes of peers of a type, in order.
func (g *gateway) reasons(typ bgp.RouteType) (out []string) {
	g.Helper()
	rows, err := g.c.Routes(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	for _, r := range rows {
		if r.Type == uint8(typ) && r.Direction == "in" {
			out = append(out, r.Reason)
		}
	}
	slices.Sort(out)
	return out
}

// MED means nothing between routes by several ASes, so that it is no order: the one with the
// lowest is out if another of its own AS beats it (RFC 4271 section 9.1.2.2 c). Each route in
// any order of arrival.
func TestMEDCountsWithinOneNeighbouringAS(t *testing.T) {
	med := func(leaf netip.Addr, as, med uint32) bgp.Route {
		return preferred(leaf, func(p *bgp.Preference) { p.NeighborAS, p.MED = as, med })
	}
	routes := []bgp.Route{med(leaf0, 1, 10), med(leaf1, 2, 100), med(leaf2, 1, 5)}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		g, v, _, _ := routed(t, options{})
		for _, i := range order {
			g.send(update(peer1, routes[i]))
		}
		g.settle()
		g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1+" + "+viaLeaf2)
		g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf0, "another route is better: MED")
		g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf2, "")
		g.send(withdraw(peer1, routes[2])) // nothing beats the highest MED any more
		g.settle()
		g.wantReason("[5]:[0]:[16]:[10.50.0.0]", leaf0, "")
	}
}

// LOCAL_PREF and the like say nothing of where a host is: RFC 7432 section 15 does, in the
// bridge and in the VRF alike.
func TestEachStepBetweenMACsAndHostsOfSeveralRDs(t *testing.T) {
	for step, change := range map[string]func(worse, better *bgp.Route){
		"sticky":          func(worse, better *bgp.Route) { better.Sticky, worse.Sequence = true, 9 },
		"sequence number": func(worse, better *bgp.Route) { better.Sequence, worse.Preference.LocalPref = 1, 500 },
		"lower VTEP": func(worse, better *bgp.Route) {
			better.NextHop, better.RouterMAC, worse.NextHop, worse.Preference.LocalPref = leaf1, leaf1Route, leaf2, 500
		},
		"lower VNI": func(worse, better *bgp.Route) {
			better.NextHop, worse.NextHop, worse.Label, worse.Preference.LocalPref = leaf1, leaf1, 101, 500
			better.RouterMAC, worse.RouterMAC = leaf2Route, leaf1Route
		},
	} {
		t.Run(step, func(t *testing.T) {
			worse := hostRoute(leaf1, 100, mac(5), "10.77.0.5", 5000)
			better := hostRoute(leaf2, 100, mac(5), "10.77.0.5", 5000)
			better.RouterMAC = leaf2Route
			change(&worse, &better)
			for _, order := range [][]bgp.Route{{worse, better}, {better, worse}} {
				g, v, b, _ := routed(t, options{})
				for _, r := range order {
					g.send(update(peer1, r))
				}
				g.settle()
				g.wantFDB(b, mac(5), better.NextHop.String()+" vni 100")
				g.wantRouteTo(v, "10.77.0.5/32",
					fmt.Sprintf("%v vni 5000 %v>%v", better.NextHop, routerMAC, better.RouterMAC))
				want := []string{"", "another location of the MAC is better: " + step}
				if got := g.reasons(bgp.TypeMACIP); !slices.Equal(got, want) {
					t.Errorf("reasons %q, want %q", got, want)
				}
			}
		})
	}
}

func TestWhyARouteLosesToALocalMAC(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[1].StaticMACs = []StaticMAC{{MAC: mac(8)}}
	g, b := twoPorts(t, options{cfg: cfg})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 4)))
	g.settle()
	g.learn(b, 1, mac(1), mac(2))
	g.send(update(peer1, macRoute(leaf1, 100, mac(2))), update(peer1, with(macRoute(leaf1, 100, mac(8)), 7)))
	g.settle()
	g.wantReason("[2]:[0]:[48]:[02:00:00:00:00:01]", leaf1, "another location of the MAC is better: sequence number")
	g.wantReason("[2]:[0]:[48]:[02:00:00:00:00:02]", leaf1, "another location of the MAC is better: lower VTEP")
	g.wantReason("[2]:[0]:[48]:[02:00:00:00:00:08]", leaf1, "another location of the MAC is better: sticky")
}

func TestWhyARouteThatIsBetterIsNotUsed(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.underlay.Set(leaf1, "no route")
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 4)), update(peer1, macRoute(leaf2, 100, mac(1))))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
	g.wantReason("[2]:[0]:[48]:[02:00:00:00:00:01]", leaf1, "VTEP 10.0.0.11 cannot be reached")
}

// RFC 7432 section 6.3, RFC 8365 section 5.1.3: the Ethernet tag says of which broadcast
// domain a route is. A peer with a VLAN-aware bundle has one route target for all of them.
func TestARouteIsOfTheBridgeThatItsEthernetTagSays(t *testing.T) {
	bundle := mustRTs("65102:1000")
	store := intent.NewMemory(intent.Instance{ID: "bridge.bridge-10", Import: bundle},
		intent.Instance{ID: "bridge.bridge-20", Import: bundle})
	g := start(t, options{store: store})
	b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
	tagged := func(r bgp.Route, tag uint32) bgp.Route {
		r.EthernetTag, r.RouteTargets = tag, bgp.MakeRouteTargets(bundle...)
		return r
	}
	flood := func(tag uint32) bgp.Route { return tagged(floodRoute(leaf1, tag), tag) }
	host := func(tag uint32) bgp.Route { return tagged(macRoute(leaf1, tag, mac(1)), tag) }
	g.send(update(peer1, flood(100)), update(peer1, flood(200)), update(peer1, host(100)), update(peer1, host(200)))
	g.settle()
	g.wantFlood(b10, "10.0.0.11 vni 100 by port 11")
	g.wantFlood(b20, "10.0.0.11 vni 200 by port 11")
	g.wantFDB(b10, mac(1), "10.0.0.11 vni 100")
	g.wantFDB(b20, mac(1), "10.0.0.11 vni 200")
	if n := g.c.stats.unusable[unusableTag].Load(); n != 0 {
		t.Errorf("%d routes were counted, want none", n)
	}
	other := flood(300)
	other.Tunnel, other.NextHop = leaf2, leaf2
	g.send(update(peer1, other), update(peer1, tagged(macRoute(leaf2, 300, mac(2)), 300)))
	g.settle()
	g.wantFlood(b10, "10.0.0.11 vni 100 by port 11")
	g.wantFDB(b10, mac(2), "nowhere")
	g.wantFDB(b20, mac(2), "nowhere")
	if n := g.c.stats.unusable[unusableTag].Load(); n != 2 {
		t.Errorf("%d routes were counted, want 2", n)
	}
	const why = "its Ethernet tag 300 is that of no bridge which imports its route targets"
	g.wantReason("[3]:[300]:[32]:[10.0.0.11]", leaf2, why)
	g.wantReason("[2]:[300]:[48]:[02:00:00:00:00:02]", leaf2, why)

	setTag := func(tag uint32) {
		g.peek(func(l *loop) { // as a change of the instance does
			old := l.instances["bridge.bridge-20"]
			now := old
			now.ethernetTag = tag
			l.instances["bridge.bridge-20"] = now
			l.retag(l.bridges[b20], old.ethernetTag)
		})
		g.eventually("written", func() (written bool) {
			g.peek(func(l *loop) { written = g.underlay.Pending() == 0 && l.target.Settled() })
			return written
		})
	}
	setTag(300)
	g.wantFlood(b20, "10.0.0.11 vni 200 by port 11", "10.0.0.12 vni 300 by port 11")
	g.wantFDB(b20, mac(2), "10.0.0.12 vni 300")
	g.wantFDB(b10, mac(2), "nowhere")
	g.wantReason("[3]:[300]:[32]:[10.0.0.11]", leaf2, "")
	setTag(0)
	g.wantFlood(b20, "10.0.0.11 vni 200 by port 11")
	g.wantFDB(b20, mac(2), "nowhere")
}

// Only a bridge has Ethernet tags: a host's route leads to it by the L3 VNI whatever its tag
// is, and so does a prefix.
func TestAVRFHeedsNoEthernetTag(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	host, p := hostRoute(leaf1, 100, mac(5), "10.77.0.5", 5000), prefixRoute(leaf1, 5000, "10.50.0.0/16")
	host.EthernetTag, p.EthernetTag = 7, 7
	g.send(update(peer1, host), update(peer1, p))
	g.settle()
	g.wantRouteTo(v, "10.77.0.5/32", viaLeaf1)
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1)
	g.wantFDB(b, mac(5), "nowhere")
}

func TestWhichOfAVTEPsType3RoutesSaysTheVNI(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	low, high, none := floodRoute(leaf1, 100), floodRoute(leaf1, 100), floodRoute(leaf1, 100)
	high.RD, high.Label = bgp.RouterRD(leaf1, 1), 777
	none.RD, none.Label = bgp.RouterRD(leaf1, 2), 0
	for _, order := range [][]bgp.Route{{low, high, none}, {none, high, low}} {
		for _, r := range order {
			g.send(update(peer1, r))
		}
		g.settle()
		g.wantFlood(b, "10.0.0.11 vni 100 by port 11")
		const better = "another route of the VTEP is better: lower VNI"
		if got, want := g.reasons(bgp.TypeMulticast), []string{"", better, better}; !slices.Equal(got, want) {
			t.Errorf("reasons %q, want %q", got, want)
		}
		g.send(withdraw(peer1, low))
		g.settle()
		g.wantFlood(b, "10.0.0.11 vni 777 by port 11")
		g.send(withdraw(peer1, high))
		g.settle()
		g.wantFlood(b, "10.0.0.11 vni 100 by port 11") // the bridge's
		g.send(withdraw(peer1, none))
		g.settle()
		g.wantFlood(b)
	}
}
