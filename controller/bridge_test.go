package controller

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

func TestABridgeIsUpWhenTheTargetHasItsEntries(t *testing.T) {
	g, b := twoPorts(t, options{})
	if k := g.get(p4.VNI{Local: vtep1, VNI: 100}); k != (p4.VNI{Local: vtep1, VNI: 100, Bridge: b}) {
		t.Errorf("vxlan.vni: %v", k)
	}
	for _, ref := range []intent.Ref{{Kind: intent.KindLogicalBridge, ID: "bridge-10"},
		{Kind: intent.KindBridgePort, ID: "eth1"}} {
		if s := g.c.Status(t.Context(), ref)[0]; s.Oper != intent.StatusUp {
			t.Errorf("%v is %v: %+v", ref, s.Oper, s.Components)
		}
	}
}

func TestABridgesOwnVTEPIsUsed(t *testing.T) {
	cfg := testConfig()
	cfg.VTEPs = append(cfg.VTEPs, vtep2)
	g := start(t, options{cfg: cfg})
	g.update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100,
			VTEP: netip.PrefixFrom(vtep2, 24)})
		return err
	})
	g.send(update(peer1, floodRoute(leaf1, 100)))
	g.settle()
	_, floods := g.originated()
	want := bgp.Route{Key: bgp.MulticastKey(bgp.RouterRD(testRouterID, 100), vtep2), NextHop: vtep2, Tunnel: vtep2,
		Label:        100,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65000, 100))}
	if floods[100] != want {
		t.Errorf("type-3 route %+v, want %+v", floods[100], want)
	}
	if k, _ := g.get(p4.Tunnel{VTEP: 1}).(p4.Tunnel); k.Source != vtep2 {
		t.Errorf("tunnel %+v, want source %v", k, vtep2)
	}
	if g.get(p4.LocalVTEP{Address: vtep2}) == nil {
		t.Error("VXLAN to the bridge's VTEP is not terminated")
	}
}

// What leaves send to an address that is nobody's is lost.
func TestAVTEPThatIsNoneOfOursIsAnError(t *testing.T) {
	cfg := testConfig()
	cfg.VTEPs = append(cfg.VTEPs, vtep2)
	g := start(t, options{cfg: cfg})
	elsewhere := netip.PrefixFrom(netip.MustParseAddr("10.9.9.9"), 32)
	g.update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, VTEP: elsewhere})
		if err == nil {
			_, err = tx.VRFs().Create(intent.VRF{ID: "blue", VNI: 200, VTEP: elsewhere})
		}
		return err
	})
	refs := []intent.Ref{{Kind: intent.KindLogicalBridge, ID: "bridge-10"}, {Kind: intent.KindVRF, ID: "blue"}}
	for i, s := range g.c.Status(t.Context(), refs...) {
		if c := s.Components[0]; s.Oper != intent.StatusDown || c.Name != "intent" || c.Status != intent.ComponentError ||
			!strings.Contains(c.Details, "10.9.9.9 is none of this gateway's") || !strings.Contains(c.Details, vtep1.String()) {
			t.Errorf("%v: %+v", refs[i], s)
		}
	}
	if macs, floods := g.originated(); len(macs)+len(floods) > 0 || g.get(p4.LocalVTEP{Address: elsewhere.Addr()}) != nil {
		t.Error("what is to come to an address of nobody is advertised, or terminated")
	}
	g.update(func(tx *intent.Tx) error {
		o, err := tx.Bridges().Get("bridge-10")
		o.VTEP = netip.PrefixFrom(vtep2, 32)
		if err == nil {
			_, err = tx.Bridges().Update(o)
		}
		return err
	})
	g.settle()
	if s := g.c.Status(t.Context(), refs[0])[0]; s.Oper != intent.StatusUp {
		t.Errorf("with an address of ours: %+v", s)
	}
}

// The first answer is Create's own, in the turn of the loop that took the object.
func TestTheStatusOfANewObjectIsTrueFromTheStart(t *testing.T) {
	for as, want := range map[uint32]intent.Component{
		// The type-3 route, and the MAC that the gateway asks hosts from.
		65000: {Name: "bgp", Status: intent.ComponentSuccess, Details: `{"routes":2}`},
		0:     {Name: "bgp", Status: intent.ComponentPending, Details: details("there is no BGP speaker")},
	} {
		cfg := testConfig()
		cfg.AS = as
		g := start(t, options{cfg: cfg})
		g.update(func(tx *intent.Tx) error {
			_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100})
			if err == nil {
				_, err = tx.VRFs().Create(intent.VRF{ID: "blue", Loopback: netip.MustParsePrefix("10.1.0.1/32")})
			}
			if err == nil {
				_, err = tx.SVIs().Create(intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10",
					Gateways: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}})
			}
			return err
		})
		all := g.c.Status(t.Context(), intent.Ref{Kind: intent.KindLogicalBridge, ID: "bridge-10"},
			intent.Ref{Kind: intent.KindVRF, ID: "blue"}, intent.Ref{Kind: intent.KindSVI, ID: "svi-10"})
		for _, s := range all {
			if slices.ContainsFunc(s.Components, func(c intent.Component) bool { return c.Status == intent.ComponentError }) {
				t.Errorf("AS %d: %+v has an error that is none", as, s)
			}
		}
		if c := all[0].Components; c[len(c)-1] != want {
			t.Errorf("AS %d: the bridge's %+v, want %+v", as, c[len(c)-1], want)
		}
	}
}

func TestABridgeThatChangesItsVNIFollowsTheOtherRoutes(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, macRoute(leaf1, 200, mac(2))))
	g.learn(b, 1, mac(3))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(2), "nowhere")
	g.update(func(tx *intent.Tx) error {
		o, err := tx.Bridges().Get("bridge-10")
		o.VNI = 200
		if err == nil {
			_, err = tx.Bridges().Update(o)
		}
		return err
	})
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.wantFDB(b, mac(2), "10.0.0.11 vni 200")
	macs, floods := g.originated()
	if macs[mac(3)].Label != 200 || len(macs) != 1 || floods[200].Label != 200 || len(floods) != 1 {
		t.Errorf("advertised: %v, %v, want all with VNI 200", macs, floods)
	}
	if g.get(p4.VNI{Local: vtep1, VNI: 100}) != nil {
		t.Error("the old VNI still leads to the bridge")
	}
}

func TestADeletedBridgeLeavesNothing(t *testing.T) {
	g := start(t, options{})
	g.settle()
	before := g.facts()
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))))
	g.learn(b, 1, mac(2))
	g.settle()
	g.update(func(tx *intent.Tx) error {
		if err := tx.Ports().Delete("eth1"); err != nil {
			return err
		}
		return tx.Bridges().Delete("bridge-10")
	})
	g.settle()
	if after := g.facts(); !slices.Equal(before, after) {
		t.Errorf("left:\n%s", strings.Join(after, "\n"))
	}
	if macs, floods := g.originated(); len(macs)+len(floods) != 0 {
		t.Errorf("still advertised: %v, %v", macs, floods)
	}
}

func TestRoutesAreImportedByRouteTarget(t *testing.T) {
	set := func(rts ...string) bgp.RouteTargets { return bgp.MakeRouteTargets(mustRTs(rts...)...) }
	store := intent.NewMemory(intent.Instance{ID: "bridge.bridge-20", Import: mustRTs("64512:1", "64512:2"),
		Export: mustRTs("64512:3")})
	g := start(t, options{store: store})
	auto, byHand := g.bridge(10, 100), g.bridge(20, 200)
	for i, c := range []struct {
		label   uint32
		targets bgp.RouteTargets
		auto    bool
		byHand  bool
	}{
		{100, set("65001:100"), true, false},
		{100, set("10.9.9.9:100"), true, false},
		{100, set("65001:268435556"), true, false}, // RFC 8365: type 1, domain 0
		{555, set("7:100"), true, false},           // neither label nor RD say the bridge
		{200, set("65001:200"), false, false},
		{200, set("64512:2"), false, true},
		{200, set("64512:1", "65001:100"), true, true},
		{100, set(), false, false},
	} {
		r := macRoute(leaf1, c.label, mac(i))
		r.RouteTargets = c.targets
		g.send(update(peer1, r))
		g.settle()
		for _, in := range []struct {
			bridge uint16
			want   bool
		}{{auto, c.auto}, {byHand, c.byHand}} {
			if got := g.whereIs(in.bridge, mac(i)) != "nowhere"; got != in.want {
				t.Errorf("route with %v in bridge %d: %v, want %v", c.targets, in.bridge, got, in.want)
			}
		}
	}
	if _, floods := g.originated(); floods[200].RouteTargets != set("64512:3") {
		t.Errorf("bridge-20 exports %v", floods[200].RouteTargets)
	}
}

func TestABadRouteIsLeftAloneAndTakesBackTheGoodOne(t *testing.T) {
	g, b := twoPorts(t, options{})
	good := macRoute(leaf1, 100, mac(1))
	for name, spoil := range map[string]func(*bgp.Route){
		"next hop of all zeros": func(r *bgp.Route) { r.NextHop = netip.IPv4Unspecified() },
		"no next hop":           func(r *bgp.Route) { r.NextHop = netip.Addr{} },
		"IPv6 next hop":         func(r *bgp.Route) { r.NextHop = netip.MustParseAddr("2001:db8::1") },
		"label 0":               func(r *bgp.Route) { r.Label = 0 },
		"no route target":       func(r *bgp.Route) { r.RouteTargets = bgp.RouteTargets{} },
	} {
		g.send(update(peer1, good))
		g.settle()
		g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
		bad := good
		spoil(&bad)
		g.send(update(peer1, bad))
		g.settle()
		if got := g.whereIs(b, mac(1)); got != "nowhere" {
			t.Errorf("%s: %s", name, got)
		}
	}
	multicast := macRoute(leaf1, 100, mac(1))
	multicast.MAC[0] |= 1
	g.send(update(peer1, multicast), update(peer1,
		bgp.Route{Key: bgp.PrefixKey(bgp.RouterRD(leaf1, 1), netip.MustParsePrefix("10.0.0.0/8"))}))
	g.settle()
	if macs := len(g.facts()); macs == 0 {
		t.Error("nothing on the target")
	}
}

// What a session's end takes is withdrawn, or given as another peer's (bgp.Event).
func TestARouteStaysWhoeverHasIt(t *testing.T) {
	g, b := twoPorts(t, options{})
	one, two, flood := macRoute(leaf1, 100, mac(1)), macRoute(leaf2, 100, mac(2)), floodRoute(leaf1, 100)
	g.send(update(peer1, one), update(peer1, flood), update(peer2, two))
	g.settle()
	before := g.target.Counts()
	g.send(update(peer2, one), withdraw(peer1, flood), bgp.Event{Peer: peer1, Kind: bgp.PeerDown})
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(2), "10.0.0.12 vni 100")
	g.wantFlood(b, "port 1", "port 2")
	g.send(update(peer1, one), bgp.Event{Peer: peer2, Kind: bgp.PeerDown, Graceful: true})
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(2), "10.0.0.12 vni 100")
	if after := g.target.Counts(); after.Updates-before.Updates != 2 { // the flood's replica and group
		t.Errorf("%d updates for a route that went from peer to peer and a VTEP that is not flooded to any more",
			after.Updates-before.Updates)
	}
	g.send(withdraw(peer1, one), withdraw(peer2, two), bgp.Event{Peer: peer2, Kind: bgp.PeerDown})
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.wantFDB(b, mac(2), "nowhere")
}

// The number of an RD is the VNI where that fits 16 bits, else one that is no
// bridge's VNI.
func TestRouteDistinguishersNeverMeet(t *testing.T) {
	g := start(t, options{})
	big := g.bridge(10, 70000) // index 1
	g.settle()
	rd := func(vni uint32) bgp.RD { _, floods := g.originated(); return floods[vni].RD }
	if got, want := rd(70000), bgp.RouterRD(testRouterID, big); got != want {
		t.Errorf("RD of VNI 70000 is %v, want its index: %v", got, want)
	}
	g.bridge(20, uint32(big))
	g.settle()
	if rd(70000) == rd(uint32(big)) {
		t.Errorf("two bridges have RD %v", rd(70000))
	}
	if got, want := rd(uint32(big)), bgp.RouterRD(testRouterID, big); got != want {
		t.Errorf("RD of VNI %d is %v, want %v", big, got, want)
	}
	g.update(func(tx *intent.Tx) error { return tx.Bridges().Delete("bridge-20") })
	g.settle()
	if got, want := rd(70000), bgp.RouterRD(testRouterID, big); got != want {
		t.Errorf("RD of VNI 70000 is %v again, want %v", got, want)
	}
}

func TestARouteThatBGPRefusesDoesNotHoldUpTheOthers(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.speaker.RefuseRoutes(func(r bgp.Route) error {
		if r.MAC == mac(2) {
			return errTest
		}
		return nil
	})
	g.learn(b, 1, mac(1), mac(2), mac(3))
	g.settle()
	g.wantRoute(mac(1), 0)
	g.wantRoute(mac(2), -1)
	g.wantRoute(mac(3), 0)
}
