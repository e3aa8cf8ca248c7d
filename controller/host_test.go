package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func TestAHostThatSpeaksIsAnsweredForRoutedAndAdvertised(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5") // no digest came: the ARP says where it is
	g.hears(b, 1, mac(5), "2001:db8:10::5")
	g.hears(b, 1, mac(5), "fe80::5")
	g.wantFDB(b, mac(5), "port 1")
	for ip, route := range map[string]string{"10.10.0.5": "host " + mac(5).String() + " in 1",
		"2001:db8:10::5": "host " + mac(5).String() + " in 1", "fe80::5": "nowhere"} {
		g.wantAnswer(b, ip, mac(5).String())
		g.wantRouteTo(v, single(addr(ip)).String(), route)
	}
	const of = "[2]:[0]:[02:00:00:00:00:05]:[%s] RD 10.0.0.1:100 via 10.0.0.1 VNI 100"
	const l3 = of + " L3 VNI 5000 router MAC 02:00:0a:00:00:01 RT 65000:100 65000:5000"
	g.wantOwn(bgp.TypeMACIP, fmt.Sprintf(l3, "10.10.0.5"), fmt.Sprintf(l3, "2001:db8:10::5"),
		fmt.Sprintf(of+" RT 65000:100", "fe80::5"))
	g.wantRoute(mac(5), 0)
}

func TestAHostGoesWithItsMAC(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	for name, lose := range map[string]func(){
		"silent": func() { g.idle(b, 1, mac(5)) },
		"moved": func() {
			r := macRoute(leaf1, 100, mac(5))
			r.Sequence = 1
			g.send(update(peer1, r), withdraw(peer1, r))
		},
		"its port leaves the bridge": func() {
			g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth1") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			g.hears(b, 1, mac(5), "10.10.0.5")
			g.wantRouteTo(v, "10.10.0.5/32", "host "+mac(5).String()+" in 1")
			lose()
			g.eventually("gone", func() bool { return g.answer(b, "10.10.0.5") == "nobody" })
			g.settle()
			g.wantRouteTo(v, "10.10.0.5/32", "nowhere")
			g.wantOwn(bgp.TypeMACIP)
			if _, err := g.c.Hosts(t.Context(), "bridge-10"); err != nil {
				t.Error(err)
			}
			if name == "its port leaves the bridge" {
				g.access("eth1", 10)
			}
		})
	}
}

func TestAHostWithoutAnSVIIsAdvertisedInItsBridgeAlone(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.wantOwn(bgp.TypeMACIP, "[2]:[0]:[02:00:00:00:00:05]:[10.10.0.5] RD 10.0.0.1:100 via 10.0.0.1 VNI 100 RT 65000:100")
}

func TestAHostOutsideTheSubnetsIsNotRouted(t *testing.T) {
	cfg := testConfig()
	cfg.SVIs = map[string]SVI{"svi-10": {OtherSubnets: true}}
	g, v, b, _ := routed(t, options{cfg: cfg})
	g.hears(b, 1, mac(5), "8.8.8.8")
	g.wantRouteTo(v, "8.8.8.8/32", "nowhere")
	g.wantOwn(bgp.TypeMACIP, "[2]:[0]:[02:00:00:00:00:05]:[8.8.8.8] RD 10.0.0.1:100 via 10.0.0.1 VNI 100 RT 65000:100")
}

func TestTheGatewaysAddressCannotBeClaimed(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	for _, ip := range []string{"10.10.0.1", "2001:db8:10::1", "fe80::aff:fe00:1"} {
		before := g.c.refusals()
		g.hears(b, 1, mac(6), ip)
		if g.c.refusals() != before+1 {
			t.Errorf("the claim of %s was not counted", ip)
		}
	}
	g.wantAnswer(b, "10.10.0.1", routerMAC.String())
	g.wantRouteTo(v, "10.10.0.1/32", "local")
	g.wantOwn(bgp.TypeMACIP)
	g.learn(b, 1, routerMAC) // nor its MAC
	g.settle()
	g.wantFDB(b, routerMAC, "nowhere")
	g.wantSource(b, routerMAC, 1, refusedSource(p4.Discard))
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	g.wantSource(b, routerMAC, 1, refusedSource(p4.Discard)) // VTEPs still send to it what is to be routed here
}

func TestTheVRFsLoopbackCannotBeClaimed(t *testing.T) {
	cfg := testConfig()
	cfg.SVIs = map[string]SVI{"svi-10": {OtherSubnets: true}}
	g, v, b, b20 := routed(t, options{cfg: cfg})
	g.hears(b, 1, mac(6), "10.255.0.1") // a host's, until it is ours
	g.wantAnswer(b, "10.255.0.1", mac(6).String())
	setLoopback := func(p netip.Prefix) {
		g.update(func(tx *intent.Tx) error {
			o, err := tx.VRFs().Get("blue")
			if o.Loopback = p; err == nil {
				_, err = tx.VRFs().Update(o)
			}
			return err
		})
		g.settle()
	}
	setLoopback(prefix("10.255.0.1/24"))
	g.wantAnswer(b, "10.255.0.1", "nobody")
	for _, index := range []uint16{b, b20} {
		if k := (p4.Gateway{Bridge: index, Address: addr("10.255.0.1")}); g.get(k) != k {
			t.Errorf("bridge %d: a tenant may claim the loopback", index)
		}
	}
	before := g.c.refusals()
	g.hears(b, 1, mac(6), "10.255.0.1")
	if g.c.refusals() != before+1 {
		t.Error("the claim was not counted")
	}
	g.wantAnswer(b, "10.255.0.1", "nobody")
	g.wantRouteTo(v, "10.255.0.1/32", "local")
	setLoopback(netip.Prefix{})
	if g.get(p4.Gateway{Bridge: b, Address: addr("10.255.0.1")}) != nil {
		t.Error("an address is guarded that is nobody's any more")
	}
}

func TestAMACThatBecomesTheGatewaysIsForgotten(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.hears(b, 1, mac(0x77), "10.10.0.1")
	g.wantFDB(b, mac(0x77), "port 1")
	g.vrf("blue", 5000)
	g.update(func(tx *intent.Tx) error {
		_, err := tx.SVIs().Create(intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10", MAC: mac(0x77),
			Gateways: []netip.Prefix{prefix("10.10.0.1/24")}})
		return err
	})
	g.settle()
	g.wantFDB(b, mac(0x77), "nowhere")
	g.wantRoute(mac(0x77), -1)
	g.wantOwn(bgp.TypeMACIP)
	g.wantAnswer(b, "10.10.0.1", mac(0x77).String())
	g.learn(b, 1, mac(0x77))
	g.settle()
	g.wantSource(b, mac(0x77), 1, refusedSource(p4.Discard))
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	g.wantSource(b, mac(0x77), 1, nil) // it is a tenant's like any other now
}

// VTEPs send to the router MAC what is to be routed here, whether a bridge has an SVI or not.
func TestOurRouterMACIsNoHosts(t *testing.T) {
	g, b := twoPorts(t, options{})
	before := g.c.stats.declined[declineGateway].Load()
	g.hears(b, 1, routerMAC, "10.10.0.7")
	g.wantFDB(b, routerMAC, "nowhere")
	g.wantSource(b, routerMAC, 1, refusedSource(p4.Discard))
	g.wantAnswer(b, "10.10.0.7", "nobody")
	if n := g.c.stats.declined[declineGateway].Load() - before; n != 1 {
		t.Errorf("%d sources were counted as declined, want 1", n)
	}
	g.send(update(peer1, hostRoute(leaf1, 100, routerMAC, "10.10.0.8", 5000)))
	g.settle()
	g.wantFDB(b, routerMAC, "nowhere")
	g.wantAnswer(b, "10.10.0.8", "nobody")
	g.wantReason("[2]:[0]:[48]:[02:00:0a:00:00:01]:[32]:[10.10.0.8]", leaf1, "its MAC is our router MAC")
	if n := g.c.stats.unusable[unusableMAC].Load(); n != 1 {
		t.Errorf("%d routes were counted as bad_mac, want 1", n)
	}
	if g.wantOwn(bgp.TypeMACIP); g.get(p4.FDB{Bridge: b, MAC: routerMAC}) != nil {
		t.Error("the router MAC has an entry")
	}
}

// RFC 1122 section 3.2.1.3: a subnet's own address and its broadcast address are no host's;
// RFC 3021: a subnet of two addresses has neither.
func TestASubnetsFirstAndLastAddressesAreNoHosts(t *testing.T) {
	cfg := testConfig()
	cfg.SVIs = map[string]SVI{"svi-10": {OtherSubnets: true}}
	g := start(t, options{cfg: cfg})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	v := g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24", "10.20.0.2/31", "10.30.0.5/30", "2001:db8:10::1/64")
	g.settle()
	g.now.stop()
	g.learn(b, 1, mac(5))
	for ip, host := range map[string]bool{
		"10.10.0.0": false, "10.10.0.255": false, "10.10.0.254": true, "10.20.0.3": true,
		"10.30.0.4": false, "10.30.0.7": false, "10.30.0.6": true, "2001:db8:10::ffff": true,
		"10.11.0.255": true, "10.11.0.0": true, // of no subnet here
	} {
		want, refused := "nobody", int64(1)
		if host {
			want, refused = mac(5).String(), 0
		}
		forged := g.c.refusals()
		g.hears(b, 1, mac(5), ip)
		g.wantAnswer(b, ip, want)
		if n := g.c.refusals() - forged; n != refused {
			t.Errorf("%s of a tenant: %d claims counted, want %d", ip, n, refused)
		}
		g.settle()
		g.idle(b, 1, mac(5))
		g.waitUntil("gone", time.Minute, func() bool { return g.answer(b, ip) == "nobody" })

		r := hostRoute(leaf1, 100, mac(6), ip, 5000)
		bad := g.c.stats.unusable[unusablePrefix].Load()
		g.send(update(peer1, r))
		g.settle()
		if host {
			want = mac(6).String()
		}
		g.wantAnswer(b, ip, want)
		if got := g.routeTo(v, single(addr(ip)).String()); (got != "nowhere") != host {
			t.Errorf("%s of a leaf is routed to %s", ip, got)
		}
		if n := g.c.stats.unusable[unusablePrefix].Load() - bad; n != refused {
			t.Errorf("%s of a leaf: %d routes counted as bad_prefix, want %d", ip, n, refused)
		}
		g.wantFDB(b, mac(6), "10.0.0.11 vni 100") // the MAC is a MAC
		g.send(withdraw(peer1, r))
		g.settle()
	}
}

func TestRemoteHosts(t *testing.T) {
	gatewayRoute := func(ip string) bgp.Route {
		r := hostRoute(leaf1, 100, mac(9), ip, 5000)
		r.DefaultGateway = true
		return r
	}
	bad := hostRoute(leaf1, 100, mac(9), "10.10.0.9", 5000)
	bad.RouterMAC = ether.MAC{}
	symmetric := "10.0.0.11 vni 5000 " + routerMAC.String() + ">" + leaf1Route.String()
	for _, c := range []struct {
		name          string
		r             bgp.Route
		ip            string
		answer, route string
		kernel        bool
	}{
		{"asymmetric", hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0), "10.10.0.9", mac(9).String(), "host " + mac(9).String() + " in 1", true},
		{"both", hostRoute(leaf1, 100, mac(9), "10.10.0.9", 5000), "10.10.0.9", mac(9).String(), "host " + mac(9).String() + " in 1", true},
		{"symmetric, of a bridge that we have not", hostRoute(leaf1, 777, mac(9), "10.77.0.9", 5000), "10.77.0.9", "nobody", symmetric, false},
		{"symmetric, of a subnet that we have and a bridge that we have not", hostRoute(leaf1, 777, mac(9), "10.10.0.9", 5000), "10.10.0.9", "nobody", symmetric, false},
		{"IPv6", hostRoute(leaf1, 100, mac(9), "2001:db8:10::9", 5000), "2001:db8:10::9", mac(9).String(), "host " + mac(9).String() + " in 1", true},
		{"another VRF's", hostRoute(leaf1, 100, mac(9), "10.77.0.9", 5001), "10.77.0.9", "nobody", "nowhere", false},
		{"router MAC missing", bad, "10.10.0.9", mac(9).String(), "host " + mac(9).String() + " in 1", true},
		{"a gateway's", gatewayRoute("10.10.0.9"), "10.10.0.9", "nobody", "nowhere", false},
		{"our gateway's address", hostRoute(leaf1, 100, mac(9), "10.10.0.1", 5000), "10.10.0.1", routerMAC.String(), "local", false},
		{"link-local", hostRoute(leaf1, 100, mac(9), "fe80::9", 5000), "fe80::9", mac(9).String(), "nowhere", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, v, b, _ := routed(t, options{})
			before := g.facts()
			g.send(update(peer1, c.r))
			g.settle()
			g.wantAnswer(b, c.ip, c.answer)
			g.wantRouteTo(v, single(addr(c.ip)).String(), c.route)
			if c.r.Label == 100 {
				g.wantFDB(b, mac(9), "10.0.0.11 vni 100")
			}
			if got := g.slow.remotes()[neighborKey{b, addr(c.ip)}]; (got == mac(9)) != c.kernel {
				t.Errorf("the kernel was told %v", got)
			}
			g.wantOwn(bgp.TypeMACIP)
			g.send(withdraw(peer1, c.r))
			g.settle()
			if after := g.facts(); difference(after, before) != difference(before, before) {
				t.Errorf("left: %s", difference(after, before))
			}
		})
	}
}

// The rules are those of MACs: sticky, then the sequence, then the lower VTEP.
func TestWhereAnAddressIsSelected(t *testing.T) {
	with := func(r bgp.Route, sequence uint32, sticky bool) bgp.Route {
		r.Sequence, r.Sticky = sequence, sticky
		return r
	}
	for _, c := range []struct {
		name   string
		routes []bgp.Route
		local  bool
		want   ether.MAC
	}{
		{"the lower VTEP", []bgp.Route{hostRoute(leaf2, 100, mac(2), "10.10.0.9", 0), hostRoute(leaf1, 100, mac(1), "10.10.0.9", 0)}, false, mac(1)},
		{"the higher sequence", []bgp.Route{with(hostRoute(leaf2, 100, mac(2), "10.10.0.9", 0), 1, false), hostRoute(leaf1, 100, mac(1), "10.10.0.9", 0)}, false, mac(2)},
		{"sticky", []bgp.Route{with(hostRoute(leaf2, 100, mac(2), "10.10.0.9", 0), 0, true), with(hostRoute(leaf1, 100, mac(1), "10.10.0.9", 0), 9, false)}, false, mac(2)},
		{"ours by the lower VTEP", []bgp.Route{hostRoute(leaf1, 100, mac(1), "10.10.0.9", 0)}, true, mac(5)},
		{"not ours by the lower VTEP", []bgp.Route{hostRoute(leaf0, 100, mac(1), "10.10.0.9", 0)}, true, mac(1)},
		{"not ours by sequence", []bgp.Route{with(hostRoute(leaf1, 100, mac(1), "10.10.0.9", 0), 1, false)}, true, mac(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _, b, _ := routed(t, options{})
			if c.local {
				g.hears(b, 1, mac(5), "10.10.0.9")
			}
			for _, r := range c.routes {
				g.send(update(peer1, r))
			}
			g.settle()
			g.wantAnswer(b, "10.10.0.9", c.want.String())
			if got := len(g.own(bgp.TypeMACIP)); (got == 1) != (c.want == mac(5)) {
				t.Errorf("%d routes of ours", got)
			}
		})
	}
}

// A host that moves here brings its address along: its MAC's sequence counts.
// The copy of its ARP may come before the digest.
func TestAHostThatMovesHereIsHere(t *testing.T) {
	g, _, b, _ := routed(t, options{})
	g.send(update(peer1, hostRoute(leaf0, 100, mac(5), "10.10.0.5", 5000)))
	g.settle()
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantFDB(b, mac(5), "port 1")
	g.wantOwn(bgp.TypeMACIP, "[2]:[0]:[02:00:00:00:00:05]:[10.10.0.5] RD 10.0.0.1:100 via 10.0.0.1 VNI 100 L3 VNI 5000 "+
		"router MAC 02:00:0a:00:00:01 sequence 1 RT 65000:100 65000:5000")
	if r := g.slow.remotes(); len(r) != 0 {
		t.Errorf("to the kernel it is still elsewhere: %v", r)
	}
}

// A copy that was under way when the MAC moved off takes nothing back.
func TestALateCopyDoesNotTakeAMovedMACBack(t *testing.T) {
	g, _, b, _ := routed(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	r := hostRoute(leaf0, 100, mac(5), "10.10.0.5", 5000)
	r.Sequence = 1
	g.send(update(peer1, r))
	g.settle()
	g.wantFDB(b, mac(5), "10.0.0.0 vni 100")
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.wantFDB(b, mac(5), "10.0.0.0 vni 100")
	g.wantOwn(bgp.TypeMACIP)
}

func TestTheKernelsNeighboursAreHostsWhileTheirMACIsHere(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	know := func(present bool) {
		n := slowpath.Neighbor{VRF: v, Bridge: b, IP: addr("10.10.0.5"), Present: present}
		if present {
			n.MAC = mac(5)
		}
		g.slow.events <- n
		g.settle()
	}
	know(true)
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.idle(b, 1, mac(5))
	g.eventually("gone", func() bool { return g.answer(b, "10.10.0.5") == "nobody" })
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", "nobody") // it was asked and did not answer
	know(true)
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	know(false)
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	know(false) // it was asked and did not answer
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.slow.events <- slowpath.Neighbor{VRF: v + 1, Bridge: b, IP: addr("10.10.0.5"), MAC: mac(5), Present: true}
	g.settle()
	g.wantAnswer(b, "10.10.0.5", "nobody") // of an SVI that has gone to another VRF
}

func TestOverlappingAddressesOfTwoVRFsNeverMeet(t *testing.T) {
	g := start(t, options{})
	b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.access("eth2", 20)
	blue, red := g.vrf("blue", 5000), g.vrf("reds", 6000)
	g.svi("blue", 10, "10.0.0.1/24")
	g.svi("reds", 20, "10.0.0.1/24")
	g.hears(b10, 1, mac(1), "10.0.0.5")
	g.send(update(peer1, prefixRoute(leaf1, 5000, "10.9.0.0/16")), update(peer1, prefixRoute(leaf2, 6000, "10.9.0.0/16")))
	g.hears(b20, 2, mac(2), "10.0.0.5")
	g.wantRouteTo(blue, "10.0.0.5/32", "host "+mac(1).String()+" in 1")
	g.wantRouteTo(red, "10.0.0.5/32", "host "+mac(2).String()+" in 2")
	g.wantRouteTo(blue, "10.9.0.0/16", "10.0.0.11 vni 5000 "+routerMAC.String()+">"+leaf1Route.String())
	g.wantRouteTo(red, "10.9.0.0/16", "10.0.0.12 vni 6000 "+routerMAC.String()+">"+leaf2Route.String())
}

// What local hosts said of themselves outlives the controller on the target.
func TestHostsSurviveARestartOfTheController(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	store := intent.NewMemory()
	var before []string
	t.Run("first", func(t *testing.T) {
		g, _, b, _ := routed(t, options{server: server, store: store})
		g.hears(b, 1, mac(5), "10.10.0.5")
		g.hears(b, 1, mac(5), "2001:db8:10::5")
		before = g.facts()
	})
	deletes := 0
	server.FailUpdates(func(u *p4v1.Update) error {
		if u.GetType() == p4v1.Update_DELETE {
			deletes++
		}
		return nil
	})
	g := start(t, options{server: server, store: store})
	g.settle()
	if after := g.facts(); difference(after, before) != difference(before, before) {
		t.Errorf("after a restart: %s", difference(after, before))
	}
	if deletes > 0 {
		t.Errorf("%d entries were deleted", deletes)
	}
	if n := len(g.own(bgp.TypeMACIP)); n != 2 {
		t.Errorf("advertised: %v", g.own(bgp.TypeMACIP))
	}
}

func TestWhatIsShownOfRouting(t *testing.T) {
	g, _, b, _ := routed(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.send(update(peer1, prefixRoute(leaf1, 5000, "0.0.0.0/0")), update(peer1, prefixRoute(leaf2, 5000, "0.0.0.0/0")),
		update(peer1, hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0)))
	g.settle()
	const equals = "each flow to one of VTEP 10.0.0.11 by L3 VNI 5000, router MAC 02:00:00:00:00:d1 (32 of 64); " +
		"VTEP 10.0.0.12 by L3 VNI 5000, router MAC 02:00:00:00:00:d2 (32 of 64)"
	for ip, want := range map[string]string{
		"10.10.0.5":      "to the host 02:00:00:00:00:05 of bridge bridge-10, port eth1",
		"10.10.0.9":      "to the host 02:00:00:00:00:09 of bridge bridge-10, VTEP 10.0.0.11 by VNI 100",
		"10.10.0.6":      "to an attached subnet whose host is not known: the gateway looks for it",
		"10.10.0.1":      "to this gateway",
		"8.8.8.8":        equals,
		"2001:db8::1":    "dropped: no route",
		"fe80::1":        "to this gateway: a link-local address goes no further",
		"::ffff:8.8.8.8": equals,
	} {
		got, err := g.c.Lookup(t.Context(), "blue", netip.MustParseAddr(ip))
		if err != nil || got.Result != want {
			t.Errorf("%s: %q, %v; want %q", ip, got.Result, err, want)
		}
	}
	got, _ := g.c.Lookup(t.Context(), "blue", addr("8.8.8.8"))
	for _, c := range got.Candidates {
		if !c.Selected || c.Reason != "" || c.Slots != 32 || !slices.Equal(c.Uplinks, []string{"up1"}) {
			t.Errorf("candidate: %+v", c)
		}
	}
	if len(got.Candidates) != 2 {
		t.Errorf("candidates: %+v", got.Candidates)
	}
	hosts, _ := g.c.Hosts(t.Context(), "bridge-10")
	prefixes, _ := g.c.Prefixes(t.Context(), "blue")
	vrfs, _ := g.c.VRFs(t.Context())
	svis, _ := g.c.SVIs(t.Context())
	if len(hosts) != 4 || len(prefixes) != 10 || len(vrfs) != 1 || len(svis) != 2 {
		t.Errorf("hosts %+v\nprefixes %+v\nVRFs %+v\nSVIs %+v", hosts, prefixes, vrfs, svis)
	}
	if v := vrfs[0]; v.Hosts != 2 || v.Prefixes != 9 || v.RouterMAC != routerMAC {
		t.Errorf("%+v", v)
	}
}

func TestHostsThatWereThereFirstAreRoutedWhenTheirGatewayComes(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.send(update(peer1, hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0)))
	g.settle()
	v := g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24")
	g.settle()
	g.wantRouteTo(v, "10.10.0.5/32", "host "+mac(5).String()+" in 1")
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(9).String()+" in 1")
	if r := g.slow.remotes(); len(r) != 1 || r[neighborKey{b, addr("10.10.0.9")}] != mac(9) {
		t.Errorf("the kernel was told of %v", r)
	}
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	g.wantRouteTo(v, "10.10.0.5/32", "nowhere")
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.wantOwn(bgp.TypeMACIP, "[2]:[0]:[02:00:00:00:00:05]:[10.10.0.5] RD 10.0.0.1:100 via 10.0.0.1 VNI 100 RT 65000:100")
	if r := g.slow.remotes(); len(r) != 0 {
		t.Errorf("the kernel still has %v", r)
	}
}

// refusals are the addresses that were not taken since they are no host's.
func (c *Controller) refusals() (n int64) {
	for i := range c.stats.noHosts {
		n += c.stats.noHosts[i].Load()
	}
	return n
}
