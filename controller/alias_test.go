package controller

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// gatewayRoute is that of a leaf's gateway, with the Default Gateway community.
func gatewayRoute(vtep netip.Addr, vni uint32, m ether.MAC, ip string) bgp.Route {
	r := hostRoute(vtep, vni, m, ip, 0)
	r.DefaultGateway = true
	return r
}

// wantAlias checks whether frames of a bridge for a MAC are routed in a VRF, and no tenant
// may send by it.
func (g *gateway) wantAlias(bridge, vrf uint16, m ether.MAC, want bool) {
	g.Helper()
	routed, guarded := g.get(p4.RouterMAC{Bridge: bridge, MAC: m}), g.get(p4.GatewayMAC{Bridge: bridge, MAC: m})
	if want && (routed != p4.RouterMAC{Bridge: bridge, MAC: m, VRF: vrf} || guarded == nil) ||
		!want && (routed != nil || guarded != nil) {
		g.Errorf("%v in bridge %d: routed %v, guarded %v, want an alias: %v", m, bridge, routed, guarded, want)
	}
}

// RFC 7432 section 10.1, RFC 9135 section 4.1: the MACs of gateways with one address are
// aliased by the Default Gateway community.
func TestFramesForTheMACOfAnotherGatewayWithOurAddressAreRoutedHere(t *testing.T) {
	g, v, b10, b20 := routed(t, options{})
	one, six, other, host := mac(0x51), mac(0x52), mac(0x53), mac(0x54)
	g.send(update(peer1, gatewayRoute(leaf1, 100, one, "10.10.0.1")),
		update(peer1, gatewayRoute(leaf1, 100, six, "2001:db8:10::1")),
		update(peer1, gatewayRoute(leaf1, 100, other, "10.10.0.2")), // of another gateway address
		update(peer1, hostRoute(leaf1, 100, host, "10.10.0.1", 0)))  // no gateway
	g.settle()
	g.wantAlias(b10, v, one, true)
	g.wantAlias(b10, v, six, true)
	g.wantAlias(b20, v, one, false) // of another bridge
	g.wantAlias(b10, v, other, false)
	g.wantAlias(b10, v, host, false)
	g.wantAnswer(b10, "10.10.0.1", routerMAC.String())
	svis, err := g.c.SVIs(g.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]ether.MAC{}
	for _, s := range svis {
		shown[s.Name] = s.Aliases
	}
	if !slices.Equal(shown["svi-10"], []ether.MAC{one, six}) || len(shown["svi-20"]) != 0 {
		t.Errorf("shown as aliases are %v", shown)
	}

	g.send(withdraw(peer1, gatewayRoute(leaf1, 100, one, "10.10.0.1")))
	g.settle()
	g.wantAlias(b10, v, one, false)
	g.wantAlias(b10, v, six, true)

	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	g.wantAlias(b10, v, six, false)
	g.svi("blue", 10, "10.10.0.2/24")
	g.settle()
	g.wantAlias(b10, v, other, true)
	g.wantAlias(b10, v, six, false)
}

func TestTheMACOfATenantIsNoAliasOfTheGateway(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].StaticMACs = []StaticMAC{{MAC: mac(0x51)}}
	g, v, b10, _ := routed(t, options{cfg: cfg})
	r := gatewayRoute(leaf1, 100, mac(0x51), "10.10.0.1")
	g.send(update(peer1, r))
	g.settle()
	g.wantAlias(b10, v, mac(0x51), false)

	// A host that moved to a leaf that says nothing of a gateway.
	moved := macRoute(leaf2, 100, mac(0x52))
	moved.Sticky, moved.Sequence = true, 1
	g.send(update(peer1, gatewayRoute(leaf1, 100, mac(0x52), "10.10.0.1")), update(peer2, moved))
	g.settle()
	g.wantAlias(b10, v, mac(0x52), false)
	g.send(withdraw(peer2, moved))
	g.settle()
	g.wantAlias(b10, v, mac(0x52), true)

	// Our own MACs need no alias.
	g.send(update(peer1, gatewayRoute(leaf1, 100, routerMAC, "10.10.0.1")))
	g.settle()
	g.wantAlias(b10, v, routerMAC, true)
	g.peek(func(l *loop) {
		if n := len(l.bridges[b10].others.aliases); n != 1 {
			t.Errorf("%d aliases, want 1", n)
		}
	})
}

func TestPeersMakeNoMoreAliasesThanTheLimit(t *testing.T) {
	g, _, b10, _ := routed(t, options{})
	aliases := func() (n int) {
		g.settle()
		for i := range 2 * maxAliases {
			if g.get(p4.RouterMAC{Bridge: b10, MAC: ether.MAC{2, 0x51, 0, 0, 0, byte(i)}}) != nil {
				n++
			}
		}
		return n
	}
	for i := range 2 * maxAliases {
		g.send(update(peer1, gatewayRoute(leaf1, 100, ether.MAC{2, 0x51, 0, 0, 0, byte(i)}, "10.10.0.1")))
	}
	if n := aliases(); n != maxAliases {
		t.Errorf("%d aliases, want %d", n, maxAliases)
	}
	for i := range maxAliases + 8 { // those that waited take the place of those that go
		g.send(withdraw(peer1, gatewayRoute(leaf1, 100, ether.MAC{2, 0x51, 0, 0, 0, byte(i)}, "10.10.0.1")))
		left := 2*maxAliases - i - 1
		if left%8 != 0 {
			continue
		}
		if n := aliases(); n != min(maxAliases, left) {
			t.Fatalf("%d aliases of %d gateways that are left", n, left)
		}
	}
}

func TestAliasesOutliveARestartUntilBGPSaysOtherwise(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	var v, b10 uint16
	t.Run("before", func(t *testing.T) {
		var g *gateway
		g, v, b10, _ = routed(t, options{server: server, store: store})
		g.send(update(peer1, gatewayRoute(leaf1, 100, mac(0x51), "10.10.0.1")))
		g.settle()
		g.wantAlias(b10, v, mac(0x51), true)
	})
	g := start(t, options{server: server, store: store, deferring: true})
	<-g.c.Synced()
	g.settle()
	g.wantAlias(b10, v, mac(0x51), true)
	g.converge()
	g.settle()
	g.wantAlias(b10, v, mac(0x51), false)
}
