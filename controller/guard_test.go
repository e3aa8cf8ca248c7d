package controller

import (
	"testing"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

func (g *gateway) wantMember(want p4.Member) {
	g.Helper()
	if got := g.get(want); got != want {
		g.Errorf("%+v, want %+v", got, want)
	}
}

func TestABridgeIsGuardedWhileItHasAnSVI(t *testing.T) {
	g, _, b10, _ := routed(t, options{})
	g.access("eth3", 10) // one that comes later
	g.settle()
	guard := []entry{
		p4.GatewayMAC{Bridge: b10, MAC: routerMAC},
		p4.Gateway{Bridge: b10, Address: addr("2001:db8:10::1")}, p4.GatewayTarget{Bridge: b10,
			Address: addr("2001:db8:10::1")},
		p4.Gateway{Bridge: b10, Address: addr("fe80::aff:fe00:1")}, p4.GatewayTarget{Bridge: b10,
			Address: addr("fe80::aff:fe00:1")},
	}
	for _, want := range guard {
		if got := g.get(want); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	g.wantMember(p4.Member{Port: 1, Bridge: b10, Gateway: true})
	g.wantMember(p4.Member{Port: 3, Bridge: b10, Gateway: true})
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.settle()
	for _, gone := range guard {
		if got := g.get(gone); got != nil {
			t.Errorf("%v is there without the SVI", got)
		}
	}
	g.wantMember(p4.Member{Port: 1, Bridge: b10})
	g.wantMember(p4.Member{Port: 3, Bridge: b10})
}

func TestWhoIsTrustedIsSaidByThePortsTypeUnlessTheConfigurationDoes(t *testing.T) {
	for name, c := range map[string]struct {
		trust         Trust
		access, trunk bool
	}{
		"by type":   {TrustByType, false, true},
		"trusted":   {Trusted, true, true},
		"untrusted": {Untrusted, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			for i := range cfg.Ports {
				cfg.Ports[i].Trust = c.trust
			}
			g := start(t, options{cfg: cfg})
			b := g.bridge(10, 100)
			g.access("eth1", 10)
			g.port(intent.BridgePort{ID: "eth2", Type: intent.Trunk, Bridges: []string{"bridge-10"}})
			g.settle()
			g.wantMember(p4.Member{Port: 1, Bridge: b, Trusted: c.access})
			g.wantMember(p4.Member{Port: 2, VLAN: 10, Bridge: b, Trusted: c.trunk})
		})
	}
}

func TestOnlyATrunkCarriesStackedTags(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].StackedTags, cfg.Ports[1].StackedTags = true, true
	g := start(t, options{cfg: cfg})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	for _, id := range []string{"eth2", "eth3"} {
		g.port(intent.BridgePort{ID: id, Type: intent.Trunk, Bridges: []string{"bridge-10"}})
	}
	g.settle()
	for _, want := range []entry{
		p4.Member{Port: 1, Bridge: b}, p4.EgressVLAN{Port: 1, Bridge: b},
		p4.Member{Port: 2, VLAN: 10, Bridge: b, Trusted: true, Stacked: true}, p4.EgressVLAN{Port: 2, Bridge: b, VLAN: 10,
			Stacked: true},
		p4.Member{Port: 3, VLAN: 10, Bridge: b, Trusted: true}, p4.EgressVLAN{Port: 3, Bridge: b, VLAN: 10},
	} {
		if got := g.get(want); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
