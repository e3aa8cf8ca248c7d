package controller

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

func mustRTs(texts ...string) (rts []bgp.RouteTarget) {
	for _, s := range texts {
		rt, err := bgp.ParseRouteTarget(s)
		if err != nil {
			panic(err)
		}
		rts = append(rts, rt)
	}
	return rts
}

func mustRD(s string) bgp.RD {
	rd, err := bgp.ParseRD(s)
	if err != nil {
		panic(err)
	}
	return rd
}

// instance sets what a bridge or VRF has of its own.
func (g *gateway) instance(o intent.Instance) {
	g.Helper()
	g.update(func(tx *intent.Tx) error {
		if _, err := tx.Instances().Get(o.ID); err == nil {
			_, err = tx.Instances().Update(o)
			return err
		}
		_, err := tx.Instances().Create(o)
		return err
	})
	g.settle()
}

// keys gives our routes as their keys and route targets.
func (g *gateway) keys() string {
	var out []string
	for _, r := range g.speaker.Routes() {
		out = append(out, fmt.Sprintf("type %d %v rd %v rt %v", r.Type, r.Prefix(), r.RD, r.RouteTargets))
	}
	return strings.Join(out, "\n")
}

func TestAnInstancesExportsFollowItAtRunTime(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.settle()
	g.instance(intent.Instance{ID: "bridge.bridge-10", RD: mustRD("65000:10"), Export: mustRTs("65000:10")})
	for _, r := range g.speaker.Routes() {
		if r.RD != mustRD("65000:10") || r.RouteTargets != bgp.MakeRouteTargets(mustRTs("65000:10")...) {
			t.Errorf("advertised %v, want RD and RT 65000:10", r)
		}
	}
	if n := len(g.speaker.Routes()); n != 2 {
		t.Errorf("%d routes, want the MAC's and the flood route alone:\n%s", n, g.keys())
	}
	g.update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.bridge-10") })
	g.settle()
	if keys := g.keys(); strings.Count(keys, "rd 10.0.0.1:100 rt 65000:100") != 2 {
		t.Errorf("after the instance went:\n%s", keys)
	}
}

func TestABridgeGivesWayToAnRDThatIsGivenByHand(t *testing.T) {
	g := start(t, options{})
	g.bridge(10, 100)
	g.bridge(20, 200)
	g.settle()
	g.instance(intent.Instance{ID: "bridge.bridge-20", RD: mustRD("10.0.0.1:100")})
	_, floods := g.originated()
	if floods[200].RD != mustRD("10.0.0.1:100") || floods[100].RD == floods[200].RD {
		t.Errorf("RDs %v and %v", floods[100].RD, floods[200].RD)
	}
	g.update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.bridge-20") })
	g.settle()
	if _, floods := g.originated(); floods[100].RD != mustRD("10.0.0.1:100") || floods[200].RD != mustRD("10.0.0.1:200") {
		t.Errorf("RDs %v and %v after it went", floods[100].RD, floods[200].RD)
	}
}

// What both the old and the new route targets match is not touched: not one
// entry of it is written.
func TestImportsThatStayAreNotWrittenAgain(t *testing.T) {
	g, b := twoPorts(t, options{})
	both, only := macRoute(leaf1, 100, mac(1)), macRoute(leaf2, 100, mac(2))
	both.RouteTargets = bgp.MakeRouteTargets(mustRTs("65001:100", "7:7")...)
	g.send(update(peer1, both), update(peer1, only))
	g.settle()
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if u.GetType() != p4v1.Update_DELETE {
			t.Errorf("wrote %v", u)
		}
		return nil
	})
	g.instance(intent.Instance{ID: "bridge.bridge-10", Import: mustRTs("7:7")})
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(2), "nowhere")
	g.target.FailUpdates(nil)
	g.instance(intent.Instance{ID: "bridge.bridge-10"})
	g.wantFDB(b, mac(2), "10.0.0.12 vni 100")
}

func TestAVRFsRoutesFollowItsInstanceAtRunTime(t *testing.T) {
	g, v, b10, _ := routed(t, options{})
	route := prefixRoute(leaf1, 5000, "10.60.0.0/16")
	route.RouteTargets = bgp.MakeRouteTargets(mustRTs("64512:1")...)
	g.send(update(peer1, route), update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")))
	g.hears(b10, 1, mac(1), "10.10.0.5")
	g.settle()
	g.wantRouteTo(v, "10.60.0.0/16", "nowhere")
	g.instance(intent.Instance{ID: "vrf.blue", RD: mustRD("64512:9"), Import: mustRTs("64512:1"),
		Export: mustRTs("64512:2")})
	g.wantRouteTo(v, "10.60.0.0/16", viaLeaf1)
	g.wantRouteTo(v, "10.50.0.0/16", "nowhere")
	hosts := 0
	for _, r := range g.speaker.Routes() {
		switch {
		case r.Type == bgp.TypePrefix && (r.RD != mustRD("64512:9") ||
			r.RouteTargets != bgp.MakeRouteTargets(mustRTs("64512:2")...)):
			t.Errorf("exported %v", r)
		case r.Type == bgp.TypeMACIP && r.IP.IsValid():
			if hosts++; !r.RouteTargets.Contains(mustRTs("64512:2")[0]) || r.RouteTargets.Contains(mustRTs("65000:5000")[0]) {
				t.Errorf("host %v", r)
			}
		}
	}
	if hosts != 1 {
		t.Errorf("%d hosts advertised, want 1", hosts)
	}
}

func TestNothingIsAdvertisedWithoutASpeaker(t *testing.T) {
	cfg := testConfig()
	cfg.AS, cfg.VTEPs = 0, []netip.Addr{vtep1}
	g, b := twoPorts(t, options{cfg: cfg})
	g.update(func(tx *intent.Tx) error {
		_, err := tx.Speakers().Create(intent.Speaker{AS: 64999, RouterID: addr("10.9.9.9")})
		return err
	})
	g.learn(b, 1, mac(1))
	g.settle()
	if keys := g.keys(); strings.Count(keys, "rd 10.9.9.9:100 rt 64999:100") != 2 {
		t.Errorf("advertised:\n%s", keys)
	}
	if err := g.store.Update(func(tx *intent.Tx) error { return tx.Speakers().Delete(intent.TheSpeaker) }); err != nil {
		t.Fatal(err)
	}
	g.eventually("everything is withdrawn", func() bool { return g.keys() == "" })
	g.wantFDB(b, mac(1), "port 1")
}

func TestABridgeOfMACIPOnlyAdvertisesMACsWithAnIPv4AddressAlone(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1), mac(2))
	g.hears(b, 1, mac(1), "10.10.0.1")
	g.hears(b, 1, mac(1), "2001:db8::1")
	g.staticMAC("static", "eth1", mac(3), "10.10.0.3", "2001:db8::3")
	g.settle()
	types := func() map[string]int {
		n := map[string]int{}
		for _, r := range g.speaker.Routes() {
			switch {
			case r.Type != bgp.TypeMACIP:
				n["others"]++
			case !r.IP.IsValid():
				n["MAC"]++
			case r.IP.Is4():
				n["IPv4 "+r.IP.String()]++
			default:
				n["IPv6"]++
			}
		}
		return n
	}
	want := func(when string, want map[string]int) {
		t.Helper()
		if got := types(); !maps.Equal(got, want) {
			t.Errorf("%s: advertised %v, want %v", when, got, want)
		}
	}
	want("without it", map[string]int{"others": 1, "MAC": 3, "IPv4 10.10.0.1": 1, "IPv4 10.10.0.3": 1, "IPv6": 2})
	only := intent.Instance{ID: "bridge.bridge-10", MACIPOnly: true}
	g.instance(only)
	want("with it", map[string]int{"others": 1, "IPv4 10.10.0.1": 1, "IPv4 10.10.0.3": 1})
	// A MAC that gets its IPv4 address, and one that loses it.
	g.hears(b, 1, mac(2), "10.10.0.2")
	want("an address more", map[string]int{"others": 1, "IPv4 10.10.0.1": 1, "IPv4 10.10.0.2": 1, "IPv4 10.10.0.3": 1})
	g.staticMAC("static", "eth1", mac(3), "2001:db8::3")
	want("an address less", map[string]int{"others": 1, "IPv4 10.10.0.1": 1, "IPv4 10.10.0.2": 1})
	only.MACIPOnly = false
	g.instance(only)
	want("no more", map[string]int{"others": 1, "MAC": 3, "IPv4 10.10.0.1": 1, "IPv4 10.10.0.2": 1, "IPv6": 2})
}

// RYU 4.34's rest_vtep.py has ethernet_tag_id=vni in its type-3 routes, and 0 in those of type 2.
func TestABridgeWithTaggedMulticastHasItsVNIAsTheTagOfItsType3RouteAlone(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.hears(b, 1, mac(1), "10.10.0.1")
	want := func(when string, tag uint32) {
		t.Helper()
		g.settle()
		seen := 0
		for _, r := range g.speaker.Routes() {
			if r.Type == bgp.TypeMulticast {
				if seen++; r.EthernetTag != tag {
					t.Errorf("%s: %v, want tag %d", when, r.Key, tag)
				}
			} else if r.EthernetTag != 0 {
				t.Errorf("%s: %v, want no tag", when, r.Key)
			}
		}
		if seen != 1 {
			t.Errorf("%s: %d type-3 routes, want 1", when, seen)
		}
	}
	want("without it", 0)
	g.instance(intent.Instance{ID: "bridge.bridge-10", TaggedMulticast: true, EthernetTag: 7})
	want("with it", 100)
	g.instance(intent.Instance{ID: "bridge.bridge-10", EthernetTag: 7})
	want("no more", 0)
}

// restVtep keeps of routes what RYU 4.34's rest_vtep.py does (_evpn_mac_ip_adv_route_handler
// and its counterpart): a MAC is reached until any route of it is withdrawn.
type restVtep struct {
	mu      sync.Mutex
	clients map[ether.MAC]bool
	arp     map[netip.Addr]ether.MAC
}

func (v *restVtep) took(add []bgp.Route, withdraw []bgp.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range add {
		if r.Type == bgp.TypeMACIP {
			v.clients[r.MAC], v.arp[r.IP] = true, r.MAC
		}
	}
	for _, k := range withdraw { // after what is new, as the speaker has it
		if k.Type == bgp.TypeMACIP && v.clients[k.MAC] {
			delete(v.clients, k.MAC)
			delete(v.arp, k.IP)
		}
	}
}

func (v *restVtep) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var reached []string
	for ip, m := range v.arp {
		if v.clients[m] {
			reached = append(reached, fmt.Sprintf("%v at %v", ip, m))
		}
	}
	slices.Sort(reached)
	return strings.Join(reached, ", ")
}

func TestRestVtepKeepsAMACThatLosesOneOfItsAddresses(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.instance(intent.Instance{ID: "bridge.bridge-10", MACIPOnly: true})
	v := &restVtep{clients: map[ether.MAC]bool{}, arp: map[netip.Addr]ether.MAC{}}
	g.speaker.Observe(v.took)
	g.learn(b, 1, mac(1), mac(2))
	g.hears(b, 1, mac(1), "10.10.0.1")
	g.hears(b, 1, mac(1), "10.10.0.9") // a virtual address
	g.hears(b, 1, mac(2), "10.10.0.2")
	g.staticMAC("static", "eth1", mac(3), "10.10.0.3", "10.10.0.4")
	g.settle()
	want := func(when string, want ...string) {
		t.Helper()
		if got := v.String(); got != strings.Join(want, ", ") {
			t.Errorf("%s: rest_vtep reaches %s, want %v", when, got, want)
		}
	}
	at := func(ip string, n int) string { return fmt.Sprintf("%s at %v", ip, mac(n)) }
	first, second, third := at("10.10.0.1", 1), at("10.10.0.2", 2), at("10.10.0.3", 3)
	want("at first", first, second, third, at("10.10.0.4", 3), at("10.10.0.9", 1))
	g.staticMAC("static", "eth1", mac(3), "10.10.0.3", "10.10.0.5") // one goes, one comes
	g.settle()
	want("another address", first, second, third, at("10.10.0.5", 3), at("10.10.0.9", 1))
	g.hears(b, 1, mac(2), "10.10.0.9")
	g.peek(func(l *loop) { l.endClaim(l.bridges[b], addr("10.10.0.9"), mac(1)) })
	g.settle()
	want("one at another MAC", first, second, third, at("10.10.0.5", 3), at("10.10.0.9", 2))
	g.peek(func(l *loop) { l.endClaim(l.bridges[b], addr("10.10.0.9"), mac(2)) })
	g.settle()
	want("one less", first, second, third, at("10.10.0.5", 3))
}
