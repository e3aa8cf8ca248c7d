package controller

import (
	"context"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

// guardedConfig has source guard at port 1.
func guardedConfig() Config {
	cfg := testConfig()
	cfg.Ports[0].SourceGuard = true
	return cfg
}

// wantBound checks whether the target lets a station send from an address.
func (g *gateway) wantBound(s p4.BoundSource, want bool) {
	g.Helper()
	if got := g.get(s) != nil; got != want {
		g.Errorf("%+v is bound: %v, want %v", s, got, want)
	}
}

func TestAddressesOfStaticMACsAreBoundWhereTheirPortIsGuarded(t *testing.T) {
	g := start(t, options{cfg: guardedConfig()})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	g.access("eth2", 10)
	g.staticMAC("server", "eth1", mac(1), "10.10.0.9", "2001:db8:10::9")
	g.staticMAC("other", "eth2", mac(2), "10.10.0.10")
	g.settle()
	g.wantMember(p4.Member{Port: 1, Bridge: b, Guarded: true})
	g.wantMember(p4.Member{Port: 2, Bridge: b})
	four := p4.BoundSource{Bridge: b, Port: 1, MAC: mac(1), Address: addr("10.10.0.9")}
	six := p4.BoundSource{Bridge: b, Port: 1, MAC: mac(1), Address: addr("2001:db8:10::9")}
	g.wantBound(four, true)
	g.wantBound(six, true)
	g.wantBound(p4.BoundSource{Bridge: b, Port: 2, MAC: mac(2), Address: addr("10.10.0.10")}, false)

	g.staticMAC("server", "eth1", mac(3), "10.10.0.9") // another card, and an address less
	g.wantBound(four, false)
	g.wantBound(six, false)
	four.MAC = mac(3)
	g.wantBound(four, true)
	g.staticMAC("server", "eth2", mac(3), "10.10.0.9")
	g.wantBound(four, false)
	g.staticMAC("server", "eth1", mac(3), "10.10.0.9")
	g.wantBound(four, true)
	g.update(func(tx *intent.Tx) error { return tx.StaticMACs().Delete("server") })
	g.settle()
	g.wantBound(four, false)
}

func TestAnswersOfDHCPAreCopiedWhereAPortIsGuarded(t *testing.T) {
	g := start(t, options{cfg: guardedConfig()})
	b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.access("eth2", 20)
	g.settle()
	if g.get(p4.Snooped{Bridge: b10}) == nil || g.get(p4.Snooped{Bridge: b20}) != nil {
		t.Error("want the bridge of the guarded port snooped, and no other")
	}
	g.update(func(tx *intent.Tx) error {
		_, err := tx.Ports().Update(intent.BridgePort{ID: "eth1", MAC: mac(0xbb), Type: intent.Access,
			Bridges: []string{"bridge-20"}})
		return err
	})
	g.settle()
	if g.get(p4.Snooped{Bridge: b10}) != nil || g.get(p4.Snooped{Bridge: b20}) == nil {
		t.Error("want the bridge snooped that the guarded port is in now")
	}
}

func TestABridgeThatSaysSoDoesNotFloodFramesToUnknownStations(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	for _, drop := range []bool{true, false, true} {
		g.instance(intent.Instance{ID: "bridge.bridge-10", DropUnknownUnicast: drop})
		if got := g.get(p4.NoFlood{Bridge: b}) != nil; got != drop {
			t.Errorf("drop_unknown_unicast %v: the target has an entry: %v", drop, got)
		}
	}
	g.update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.bridge-10") })
	g.settle()
	if g.get(p4.NoFlood{Bridge: b}) != nil {
		t.Error("the entry outlives the setting")
	}
}

func TestSourceGuardIsNotForPortsWithStackedTags(t *testing.T) {
	cfg := guardedConfig()
	cfg.Ports[0].StackedTags = true
	if _, err := New(cfg, Inputs{}); err == nil || !strings.Contains(err.Error(), "port eth1") {
		t.Errorf("%v, want the port named", err)
	}
}

// A port has its own bounds, those of all, or none.
func TestEachPortHasItsBoundsOfStorms(t *testing.T) {
	cfg := testConfig()
	cfg.Storm = Storm{Multicast: 500}
	cfg.Ports[0].Storm = Storm{Broadcast: 7, Multicast: -1}
	g := start(t, options{cfg: cfg})
	target := &meterTarget{cells: map[string]*p4v1.MeterEntry{}}
	g.peek(func(l *loop) {
		if err := l.meterAll()(context.Background(), target); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		port uint16
		of   p4.Policed
		rate int64 // 0: none
	}{
		{1, p4.PolicedBroadcast, 7}, {1, p4.PolicedMulticast, 0}, {1, p4.PolicedUnknown, 10_000},
		{2, p4.PolicedBroadcast, 10_000}, {2, p4.PolicedMulticast, 500}, {2, p4.PolicedUnknown, 10_000},
	} {
		cell := target.cells[p4.StormMeter(c.port, c.of, 1, 1).Cell().String()]
		if got := cell.GetConfig().GetPir(); got != c.rate || got != cell.GetConfig().GetPburst() {
			t.Errorf("port %d, %v: %v, want %d frames a second", c.port, c.of, cell, c.rate)
		}
	}
}
