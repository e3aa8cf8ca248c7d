package controller

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

const viaLeaf1, viaLeaf2 = "10.0.0.11 vni 5000 02:00:0a:00:00:01>02:00:00:00:00:d1",
	"10.0.0.12 vni 5000 02:00:0a:00:00:01>02:00:00:00:00:d2"

func TestWhichRouteAPrefixUses(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []bgp.Route
		p      string
		want   string
	}{
		{"one VTEP", []bgp.Route{prefixRoute(leaf1, 5000, "10.50.0.0/16")}, "10.50.0.0/16", viaLeaf1},
		{"the default route", []bgp.Route{prefixRoute(leaf1, 5000, "0.0.0.0/0")}, "0.0.0.0/0", viaLeaf1},
		{"IPv6", []bgp.Route{prefixRoute(leaf1, 5000, "2001:db8:50::/48")}, "2001:db8:50::/48", viaLeaf1},
		{"half of all, which holds 0.0.0.0/8 and 127.0.0.0/8", []bgp.Route{prefixRoute(leaf1, 5000, "0.0.0.0/1")}, "0.0.0.0/1", viaLeaf1},
		{"the other half", []bgp.Route{prefixRoute(leaf1, 5000, "128.0.0.0/1")}, "128.0.0.0/1", viaLeaf1},
		{"the IPv6 default route", []bgp.Route{prefixRoute(leaf1, 5000, "::/0")}, "::/0", viaLeaf1},
		{"both of two VTEPs", []bgp.Route{prefixRoute(leaf2, 5000, "10.50.0.0/16"), prefixRoute(leaf1, 5000, "10.50.0.0/16")}, "10.50.0.0/16", viaLeaf1 + " + " + viaLeaf2},
		{"one VTEP of two for a host, which moves", []bgp.Route{hostRoute(leaf2, 777, mac(5), "10.50.0.5", 5000), hostRoute(leaf1, 777, mac(5), "10.50.0.5", 5000)}, "10.50.0.5/32", viaLeaf1},
		{"a host before a prefix", []bgp.Route{prefixRoute(leaf1, 5000, "10.50.0.5/32"), hostRoute(leaf2, 777, mac(5), "10.50.0.5", 5000)}, "10.50.0.5/32", viaLeaf2},
		{"our own subnet before a peer's", []bgp.Route{prefixRoute(leaf1, 5000, "10.10.0.0/24")}, "10.10.0.0/24", "glean"},
		{"our own address before a peer's", []bgp.Route{prefixRoute(leaf1, 5000, "10.10.0.1/32"), hostRoute(leaf2, 777, mac(5), "10.10.0.1", 5000)}, "10.10.0.1/32", "local"},
		{"a host of ours before a peer's prefix", []bgp.Route{prefixRoute(leaf1, 5000, "10.10.0.5/32"), hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0)},
			"10.10.0.5/32", "host 02:00:00:00:00:05 in 1"},
		{"a longer prefix of a subnet of ours", []bgp.Route{prefixRoute(leaf1, 5000, "10.10.0.128/25")}, "10.10.0.128/25", viaLeaf1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, v, _, _ := routed(t, options{})
			before := g.facts()
			for _, r := range c.routes {
				g.send(update(peer1, r))
			}
			g.settle()
			g.wantRouteTo(v, c.p, c.want)
			for _, r := range c.routes {
				g.send(withdraw(peer1, r))
			}
			g.settle()
			if after := g.facts(); difference(after, before) != difference(before, before) {
				t.Errorf("left: %s", difference(after, before))
			}
		})
	}
}

func TestRoutesThatAVRFDoesNotUse(t *testing.T) {
	for name, spoil := range map[string]struct {
		do     func(*bgp.Route)
		reason unusableReason
	}{
		"label 0":                    {func(r *bgp.Route) { r.Label = 0 }, unusableVNI},
		"no router MAC":              {func(r *bgp.Route) { r.RouterMAC = ether.MAC{} }, unusableRouterMAC},
		"multicast router MAC":       {func(r *bgp.Route) { r.RouterMAC[0] |= 1 }, unusableRouterMAC},
		"gateway IP":                 {func(r *bgp.Route) { r.GatewayIP, r.RouterMAC = addr("10.1.1.1"), ether.MAC{} }, unusableOverlay},
		"gateway IP and router MAC":  {func(r *bgp.Route) { r.GatewayIP = addr("10.1.1.1") }, unusableOverlay},
		"Ethernet segment":           {func(r *bgp.Route) { r.ESI[0] = 1 }, unusableOverlay},
		"IPv6 next hop":              {func(r *bgp.Route) { r.NextHop = addr("2001:db8::1") }, unusableNextHop},
		"loopback prefix":            {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("127.0.0.0/8")) }, unusablePrefix},
		"this network":               {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("0.1.0.0/16")) }, unusablePrefix},
		"reserved prefix":            {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("240.0.0.0/4")) }, unusablePrefix},
		"limited broadcast":          {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("255.255.255.255/32")) }, unusablePrefix},
		"IPv4 multicast prefix":      {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("239.1.0.0/16")) }, unusablePrefix},
		"multicast prefix":           {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("ff02::/16")) }, unusablePrefix},
		"v4-mapped prefix":           {func(r *bgp.Route) { r.Key = bgp.PrefixKey(r.RD, prefix("::ffff:10.0.0.0/104")) }, unusablePrefix},
		"our own next hop":           {func(r *bgp.Route) { r.NextHop = vtep1 }, unusableOwn},
		"another VRF's route target": {func(r *bgp.Route) { r.RouteTargets = bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, 5001)) }, unusableTargets},
		"a bridge's route target":    {func(r *bgp.Route) { r.RouteTargets = bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, 100)) }, unusableReasons},
		"no route target":            {func(r *bgp.Route) { r.RouteTargets = bgp.RouteTargets{} }, unusableTargets},
	} {
		t.Run(name, func(t *testing.T) {
			g, v, _, _ := routed(t, options{})
			before := g.facts()
			good := prefixRoute(leaf1, 5000, "10.50.0.0/16")
			g.send(update(peer1, good))
			g.settle()
			g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1)
			bad := good
			spoil.do(&bad)
			if bad.Key != good.Key {
				g.send(withdraw(peer1, good))
			}
			g.send(update(peer1, bad)) // takes back the good one
			g.settle()
			if after := g.facts(); difference(after, before) != difference(before, before) {
				t.Errorf("used: %s", difference(after, before))
			}
			for reason := range unusableReasons {
				want := int64(0)
				if reason == spoil.reason {
					want = 1
				}
				if got := g.c.stats.unusable[reason].Load(); got != want {
					t.Errorf("%d routes counted as %v, want %d", got, reason, want)
				}
			}
		})
	}
}

func TestRouteTargetsOfAVRFByHand(t *testing.T) {
	store := intent.NewMemory(intent.Instance{ID: "vrf.blue",
		Import: mustRTs("64512:1"), Export: mustRTs("64512:2")})
	g, v, _, _ := routed(t, options{store: store})
	byHand := prefixRoute(leaf1, 5000, "10.60.0.0/16")
	byHand.RouteTargets = bgp.MakeRouteTargets(mustRTs("64512:1")...)
	g.send(update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")), update(peer1, byHand))
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", "nowhere")
	g.wantRouteTo(v, "10.60.0.0/16", viaLeaf1)
	for _, r := range g.speaker.Routes() {
		if r.Type == bgp.TypePrefix && r.RouteTargets != bgp.MakeRouteTargets(mustRTs("64512:2")...) {
			t.Errorf("exported %v", r)
		}
	}
}

// A prefix falls to its next VTEP when the best one cannot be reached, and
// returns.
func TestAPrefixFollowsItsVTEPsInTheUnderlay(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	g.underlay.Set(leaf1, "no route")
	g.send(update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")),
		update(peer1, prefixRoute(leaf2, 5000, "10.50.0.0/16")),
		update(peer1, prefixRoute(leaf1, 5000, "10.60.0.0/16")))
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf2)
	g.wantRouteTo(v, "10.60.0.0/16", "nowhere")
	g.underlay.Set(leaf1, "", path1)
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1+" + "+viaLeaf2)
	g.wantRouteTo(v, "10.60.0.0/16", viaLeaf1)
	g.underlay.Set(leaf1, "", path2) // another path is no reason to leave
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1+" + "+viaLeaf2)
	g.underlay.Set(leaf1, "no route")
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf2)
	g.wantRouteTo(v, "10.60.0.0/16", "nowhere")
	g.underlay.Set(leaf2, "", underlay.Path{Uplink: "unknown", Source: up1, Destination: hop1})
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", "nowhere")
}

// A MAC, and an address at two MACs, go over to the next best VTEP while the best
// one cannot be reached; without another they stay, and are dropped.
func TestAHostFollowsItsVTEPsInTheUnderlay(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	newer := hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0)
	newer.Sequence = 3
	moved := hostRoute(leaf1, 100, mac(6), "10.10.0.6", 0)
	moved.Sequence = 3
	g.send(update(peer1, newer), update(peer1, hostRoute(leaf2, 100, mac(5), "10.10.0.5", 0)),
		update(peer1, moved), update(peer1, hostRoute(leaf2, 100, mac(7), "10.10.0.6", 0)),
		update(peer1, hostRoute(leaf1, 100, mac(8), "10.10.0.8", 5000)), update(peer1,
			prefixRoute(leaf2, 5000, "10.10.0.8/32")))
	wantLeaf1 := func() {
		t.Helper()
		g.settle()
		g.wantFDB(b, mac(5), "10.0.0.11 vni 100")
		g.wantRouteTo(v, "10.10.0.5/32", "host "+mac(5).String()+" in 1")
		g.wantRouteTo(v, "10.10.0.6/32", "host "+mac(6).String()+" in 1")
		g.wantAnswer(b, "10.10.0.6", mac(6).String())
		g.wantFDB(b, mac(8), "10.0.0.11 vni 100")
		g.wantRouteTo(v, "10.10.0.8/32", "host "+mac(8).String()+" in 1")
	}
	wantLeaf1()
	g.underlay.Set(leaf1, "no route")
	g.settle()
	if f, ok := g.get(p4.FDB{Bridge: b, MAC: mac(8)}).(p4.FDB); !ok || f.Kind != p4.ToVTEP {
		t.Errorf("frames for a MAC that cannot be reached are flooded: %+v", f)
	}
	g.underlay.Set(leaf1, "", path1)
	wantLeaf1()
	g.underlay.Set(leaf2, "no route")
	wantLeaf1()
	g.underlay.Set(leaf2, "", path1)
	g.underlay.Set(leaf1, "no route")
	g.settle()
	g.wantFDB(b, mac(5), "10.0.0.12 vni 100")
	g.wantRouteTo(v, "10.10.0.6/32", "host "+mac(7).String()+" in 1")
	g.wantAnswer(b, "10.10.0.6", mac(7).String())
	g.wantRouteTo(v, "10.10.0.8/32", viaLeaf2)
	g.underlay.Set(leaf1, "", path1)
	wantLeaf1()
}

func TestARouteWhoseTunnelIsRefusedWaitsForIt(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	g.target.FailUpdates(refuse(p4.Tunnel{}))
	g.send(update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")))
	g.eventually("refused", func() bool {
		failed := 0
		g.peek(func(l *loop) { failed = l.target.FailureCount() })
		return failed >= 2
	})
	g.wantRouteTo(v, "10.50.0.0/16", "nowhere")
	g.target.FailUpdates(nil)
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", viaLeaf1)
}

func TestStaticsOfTheConfigurationAreChecked(t *testing.T) {
	for name, st := range map[string][]StaticRoute{
		"no prefix":      {{netip.Prefix{}, addr("10.0.0.1")}},
		"multicast":      {{prefix("224.0.0.0/4"), addr("10.0.0.1")}},
		"no next hop":    {{prefix("10.0.0.0/8"), netip.Addr{}}},
		"another family": {{prefix("10.0.0.0/8"), addr("2001:db8::1")}},
		"twice":          {{prefix("10.0.0.0/8"), addr("10.0.0.1")}, {prefix("10.1.0.0/8"), addr("10.0.0.1")}},
		"unspecified":    {{prefix("10.0.0.0/8"), addr("0.0.0.0")}},
	} {
		cfg := testConfig()
		cfg.VRFs = map[string]VRF{"blue": {StaticRoutes: st}}
		if _, err := New(cfg, Inputs{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A next hop that nobody has heard of is asked for, or a static would never work.
func TestNextHopsOfStaticsAreLookedFor(t *testing.T) {
	cfg := testConfig()
	cfg.VRFs = map[string]VRF{"blue": {StaticRoutes: []StaticRoute{{prefix("192.168.0.0/16"), addr("10.10.0.7")}}}}
	g, _, b, _ := routed(t, options{cfg: cfg})
	wantLookedFor := func(when string) {
		t.Helper()
		g.eventually("looked for "+when, func() bool {
			g.slow.mu.Lock()
			defer g.slow.mu.Unlock()
			found := g.slow.probed[neighborKey{b, addr("10.10.0.7")}]
			clear(g.slow.probed)
			return found
		})
	}
	wantLookedFor("at once")
	g.hears(b, 1, mac(7), "10.10.0.7")
	g.idle(b, 1, mac(7))
	wantLookedFor("when it was lost")
	g.now.advance(idleTick)
	g.peek(func(*loop) {})
	wantLookedFor("again")
}
