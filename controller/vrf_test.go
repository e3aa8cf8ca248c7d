package controller

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func TestAVRFWithSVIsRoutesBetweenThem(t *testing.T) {
	g, v, b10, b20 := routed(t, options{})
	for _, want := range []entry{
		p4.L3VNI{Local: vtep1, VNI: 5000, VRF: v, RouterMAC: routerMAC},
		p4.RouterMAC{Bridge: b10, MAC: routerMAC, VRF: v}, p4.RouterMAC{Bridge: b20, MAC: routerMAC, VRF: v},
		p4.RouterInterface{Bridge: b10, MAC: routerMAC}, p4.RouterInterface{Bridge: b20, MAC: routerMAC},
		p4.Gateway{Bridge: b10, Address: addr("10.10.0.1")}, p4.Gateway{Bridge: b10, Address: addr("2001:db8:10::1")},
		p4.Gateway{Bridge: b10, Address: addr("fe80::aff:fe00:1")},
	} {
		if got := g.get(want); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	g.wantRouteTo(v, "10.10.0.0/24", "glean")
	g.wantRouteTo(v, "10.10.0.1/32", "local")
	g.wantRouteTo(v, "2001:db8:10::/64", "glean")
	g.wantRouteTo(v, "2001:db8:10::1/128", "local")
	g.wantAnswer(b10, "10.10.0.1", routerMAC.String())
	g.wantAnswer(b10, "2001:db8:10::1", routerMAC.String()+" router")
	g.wantAnswer(b10, "fe80::aff:fe00:1", routerMAC.String()+" router")
	g.wantAnswer(b10, "10.20.0.1", "nobody")
	for _, ref := range []intent.Ref{{Kind: intent.KindVRF, ID: "blue"}, {Kind: intent.KindSVI, ID: "svi-10"}} {
		if s := g.c.Status(t.Context(), ref)[0]; s.Oper != intent.StatusUp {
			t.Errorf("%v is %v: %+v", ref, s.Oper, s.Components)
		}
	}
}

func TestASVIsOwnMACIsUsed(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 0)
	v := g.vrf("blue", 0)
	svi := intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10", MAC: mac(7),
		Gateways: []netip.Prefix{prefix("10.0.0.1/8")}}
	g.update(func(tx *intent.Tx) error { _, err := tx.SVIs().Create(svi); return err })
	g.settle()
	g.wantAnswer(b, "10.0.0.1", mac(7).String())
	if g.get(p4.RouterMAC{Bridge: b, MAC: mac(7)}) == nil {
		t.Error("frames for the SVI's MAC are not routed")
	}
	svi.MAC = mac(8)
	g.update(func(tx *intent.Tx) error { _, err := tx.SVIs().Update(svi); return err })
	g.settle()
	g.wantAnswer(b, "10.0.0.1", mac(8).String())
	if g.get(p4.RouterMAC{Bridge: b, MAC: mac(7)}) != nil || g.get(p4.RouterMAC{Bridge: b, MAC: mac(8)}) == nil {
		t.Error("frames for the old MAC are routed, or those for the new one are not")
	}
	g.wantRouteTo(v, "10.0.0.0/8", "glean")
}

func TestADeletedVRFLeavesNothing(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.settle()
	before := g.facts()
	g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24", "2001:db8:10::1/64")
	host := hostRoute(leaf1, 100, mac(2), "10.10.0.2", 5000)
	g.send(update(peer1, prefixRoute(leaf1, 5000, "0.0.0.0/0")), update(peer1, host))
	g.settle()
	g.hears(b, 1, mac(3), "10.10.0.3")
	g.update(func(tx *intent.Tx) error {
		if err := tx.SVIs().Delete("svi-10"); err != nil {
			return err
		}
		return tx.VRFs().Delete("blue")
	})
	g.send(withdraw(peer1, host))
	g.idle(b, 1, mac(3))
	g.eventually("MAC forgotten", func() bool { return g.whereIs(b, mac(3)) == "nowhere" })
	g.settle()
	if after := g.facts(); !slices.Equal(before, after) {
		t.Errorf("left:\n%s", difference(after, before))
	}
	g.wantOwn(bgp.TypePrefix)
	g.wantOwn(bgp.TypeMACIP)
	if r := g.slow.remotes(); len(r) != 0 {
		t.Errorf("the kernel still has %v", r)
	}
}

func TestWhatAVRFAdvertises(t *testing.T) {
	cfg := testConfig()
	cfg.VRFs = map[string]VRF{"blue": {StaticRoutes: []StaticRoute{{prefix("192.168.0.0/16"), addr("10.10.0.7")}}}}
	g, v, b10, _ := routed(t, options{cfg: cfg})
	g.update(func(tx *intent.Tx) error {
		o, err := tx.VRFs().Get("blue")
		o.Loopback = prefix("10.255.0.1/24")
		if err == nil {
			_, err = tx.VRFs().Update(o)
		}
		return err
	})
	g.settle()
	const of = " RD 10.255.0.1:5000 via 10.0.0.1 VNI 5000 router MAC 02:00:0a:00:00:01 RT 65000:5000"
	want := []string{"[5]:[0]:[10.10.0.0/24]" + of, "[5]:[0]:[10.20.0.0/24]" + of, "[5]:[0]:[10.255.0.1/32]" + of,
		"[5]:[0]:[2001:db8:10::/64]" + of}
	g.wantOwn(bgp.TypePrefix, want...)
	g.wantRouteTo(v, "10.255.0.1/32", "local")
	g.wantRouteTo(v, "192.168.0.0/16", "nowhere")
	g.hears(b10, 1, mac(7), "10.10.0.7") // the static's next hop
	g.wantOwn(bgp.TypePrefix, slices.Sorted(slices.Values(append(slices.Clone(want), "[5]:[0]:[192.168.0.0/16]"+of)))...)
	g.wantRouteTo(v, "192.168.0.0/16", "host "+mac(7).String()+" in 1")
}

// RFC 7432 section 10.1: a gateway that hosts behind VTEPs ask is advertised with the
// Default Gateway community.
func TestAGatewayThatLeavesHaveNotIsAdvertisedAndASharedOneIsNot(t *testing.T) {
	for name, of := range map[string]SVI{"unique": {Unique: true}, "centralised": {Centralised: true}} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.SVIs = map[string]SVI{"svi-10": of}
			g, _, _, _ := routed(t, options{cfg: cfg})
			const l3 = " via 10.0.0.1 VNI 100 L3 VNI 5000 router MAC 02:00:0a:00:00:01 sticky default gateway"
			const targets = " RT 65000:100 65000:5000"
			const v4, v6 = " ARP/ND flags [immutable]", " ARP/ND flags [router, override, immutable]" // RFC 9047 section 3.1
			g.wantOwn(bgp.TypeMACIP,
				"[2]:[0]:[02:00:0a:00:00:01]:[10.10.0.1] RD 10.0.0.1:100"+l3+v4+targets,
				"[2]:[0]:[02:00:0a:00:00:01]:[2001:db8:10::1] RD 10.0.0.1:100"+l3+v6+targets)
		})
	}
}

func TestTheKernelIsToldOfVRFs(t *testing.T) {
	cfg := testConfig()
	cfg.SVIs = map[string]SVI{"svi-20": {Silent: true}}
	g, v, b10, b20 := routed(t, options{cfg: cfg})
	want := []slowpath.VRF{{ID: v, Name: "blue", RouterMAC: routerMAC, SVIs: []slowpath.SVI{
		{Bridge: b10, Name: "svi-10", MAC: routerMAC, Addresses: []netip.Prefix{prefix("10.10.0.1/24"), prefix("2001:db8:10::1/64")}, Advertise: true},
		{Bridge: b20, Name: "svi-20", MAC: routerMAC, Addresses: []netip.Prefix{prefix("10.20.0.1/24")}},
	}}}
	g.eventually("told", func() bool {
		g.slow.mu.Lock()
		defer g.slow.mu.Unlock()
		return slices.EqualFunc(g.slow.vrfs, want, func(a, b slowpath.VRF) bool {
			return a.ID == b.ID && a.Name == b.Name && a.RouterMAC == b.RouterMAC &&
				slices.EqualFunc(a.SVIs, b.SVIs, func(a, b slowpath.SVI) bool {
					return a.Bridge == b.Bridge && a.Name == b.Name && a.MAC == b.MAC && slices.Equal(a.Addresses, b.Addresses) &&
						a.Advertise == b.Advertise
				})
		})
	})
}

func TestAFaultOfTheKernelShowsAndTakesNothingDown(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	g.slow.mu.Lock()
	g.slow.status = slowpath.Status{VRFs: map[uint16]string{v: "no namespaces here"}}
	g.slow.mu.Unlock()
	s := g.c.Status(t.Context(), intent.Ref{Kind: intent.KindVRF, ID: "blue"})[0]
	last := s.Components[len(s.Components)-1]
	if s.Oper != intent.StatusUp || last.Name != "slowpath" || last.Status != intent.ComponentError ||
		!strings.Contains(last.Details, "no namespaces") {
		t.Errorf("%+v", s)
	}
	close(g.slow.events)
	g.vrf("green", 0)
	g.settle()
}

func TestAVRFWhoseVNIMovesFollowsTheOtherRoutes(t *testing.T) {
	g, v, _, _ := routed(t, options{})
	g.send(update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")),
		update(peer1, prefixRoute(leaf1, 6000, "10.60.0.0/16")))
	g.settle()
	via := func(vni string) string {
		return "10.0.0.11 vni " + vni + " " + routerMAC.String() + ">" + leaf1Route.String()
	}
	g.wantRouteTo(v, "10.50.0.0/16", via("5000"))
	g.wantRouteTo(v, "10.60.0.0/16", "nowhere")
	g.update(func(tx *intent.Tx) error {
		o, err := tx.VRFs().Get("blue")
		o.VNI = 6000
		if err == nil {
			_, err = tx.VRFs().Update(o)
		}
		return err
	})
	g.settle()
	g.wantRouteTo(v, "10.50.0.0/16", "nowhere")
	g.wantRouteTo(v, "10.60.0.0/16", via("6000"))
	for _, r := range g.own(bgp.TypePrefix) {
		if !strings.Contains(r, "RD 10.0.0.1:6000 via 10.0.0.1 VNI 6000 ") {
			t.Errorf("advertised %s", r)
		}
	}
	if g.get(p4.VNI{Local: vtep1, VNI: 5000}) != nil {
		t.Error("the old VNI still leads somewhere")
	}
}

// A type-2 route has one next hop for its two VNIs.
func TestAnL3VNIEndsAtTheVTEPsOfItsBridgesToo(t *testing.T) {
	cfg := testConfig()
	cfg.VTEPs = append(cfg.VTEPs, vtep2)
	g, v, b, _ := routed(t, options{cfg: cfg})
	g.hears(b, 1, mac(5), "10.10.0.5")
	setVTEP := func(p netip.Prefix) {
		g.update(func(tx *intent.Tx) error {
			o, err := tx.Bridges().Get("bridge-10")
			if o.VTEP = p; err == nil {
				_, err = tx.Bridges().Update(o)
			}
			return err
		})
		g.settle()
	}
	const of = " VNI 100 L3 VNI 5000 router MAC 02:00:0a:00:00:01 RT 65000:100 65000:5000"
	const host = "[2]:[0]:[02:00:00:00:00:05]:[10.10.0.5] RD 10.0.0.1:100 via "
	at1, at2 := p4.L3VNI{Local: vtep1, VNI: 5000, VRF: v, RouterMAC: routerMAC}, p4.L3VNI{Local: vtep2, VNI: 5000, VRF: v,
		RouterMAC: routerMAC}
	g.wantOwn(bgp.TypeMACIP, host+"10.0.0.1"+of)
	setVTEP(netip.PrefixFrom(vtep2, 24))
	g.wantOwn(bgp.TypeMACIP, host+"10.0.0.2"+of)
	if g.get(at1) != at1 || g.get(at2) != at2 {
		t.Errorf("the L3 VNI ends at %v and %v", g.get(at1), g.get(at2))
	}
	setVTEP(netip.Prefix{})
	g.wantOwn(bgp.TypeMACIP, host+"10.0.0.1"+of)
	if g.get(at1) != at1 || g.get(at2) != nil {
		t.Errorf("the L3 VNI ends at %v and %v", g.get(at1), g.get(at2))
	}
	setVTEP(netip.PrefixFrom(vtep2, 24))
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	if g.get(at2) != nil {
		t.Error("the L3 VNI ends at the VTEP of a bridge that is no longer routed")
	}
}

func TestAVNIMayGoFromABridgeToAVRF(t *testing.T) {
	g := start(t, options{})
	g.bridge(10, 100)
	g.settle()
	g.update(func(tx *intent.Tx) error {
		if err := tx.Bridges().Delete("bridge-10"); err != nil {
			return err
		}
		_, err := tx.VRFs().Create(intent.VRF{ID: "blue", VNI: 100})
		return err
	})
	g.settle()
	want := p4.L3VNI{Local: vtep1, VNI: 100, VRF: 1, RouterMAC: routerMAC}
	if got := g.get(want); got != want {
		t.Errorf("VNI 100 is %v, want %v", got, want)
	}
}

func TestRouteDistinguishersOfVRFsNeverMeet(t *testing.T) {
	g := start(t, options{})
	for i, vni := range []uint32{70000, 1} {
		id := []string{"big-vrf", "small-vrf"}[i]
		g.update(func(tx *intent.Tx) error {
			_, err := tx.VRFs().Create(intent.VRF{ID: id, VNI: vni, Loopback: prefix("2001:db8::1/128")})
			return err
		})
	}
	g.settle()
	if n := len(g.own(bgp.TypePrefix)); n != 2 {
		t.Errorf("%d routes, want one of each VRF: %v", n, g.own(bgp.TypePrefix))
	}
}

// The router MAC is one per gateway, stable, and ours alone.
func TestTheRouterMAC(t *testing.T) {
	set := testConfig()
	set.RouterMAC = mac(9)
	for _, c := range []struct {
		cfg  Config
		want ether.MAC
	}{{testConfig(), routerMAC}, {set, mac(9)}, {Config{RouterID: addr("192.0.2.1")}, ether.MAC{2, 0, 192, 0, 2, 1}}} {
		if got := routerMACOf(c.cfg); got != c.want {
			t.Errorf("router MAC %v, want %v", got, c.want)
		}
	}
}
