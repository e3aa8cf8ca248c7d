package controller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/p4"
)

func TestPortsOfTheConfigurationHaveTheirKinds(t *testing.T) {
	g := start(t, options{})
	g.settle()
	for _, want := range []entry{
		p4.BridgePort{Port: 1}, p4.BridgePort{Port: 2}, p4.BridgePort{Port: 3},
		p4.Uplink{Port: 11, HostPort: 21}, p4.HostPort{Port: 21, Uplink: 11},
		p4.Uplink{Port: 12, HostPort: 22}, p4.HostPort{Port: 22, Uplink: 12},
		p4.LocalVTEP{Address: vtep1}, p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort},
		p4.CloneSession{ID: p4.SampleCloneSession, Port: p4.CPUPort},
	} {
		if got := g.get(want); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if n := len(g.entries()); n != 10+len(g.c.loop.traps()) {
		t.Errorf("%d entries, want those and the traps:\n%s", n, strings.Join(g.facts(), "\n"))
	}
}

func TestHowAPortCarriesItsBridges(t *testing.T) {
	type attached struct{ vlan, bridge, egress uint16 }
	for name, c := range map[string]struct {
		port intent.BridgePort
		want []attached
	}{
		"access": {intent.BridgePort{Type: intent.Access, Bridges: []string{"bridge-10"}}, []attached{{0, 1, 0}}},
		"trunk": {intent.BridgePort{Type: intent.Trunk, Bridges: []string{"bridge-10", "bridge-20"}},
			[]attached{{10, 1, 10}, {20, 2, 20}}},
		"transparent trunk": {intent.BridgePort{Type: intent.Trunk}, []attached{{10, 1, 10}, {20, 2, 20}, {30, 3, 30}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, options{})
			g.bridge(10, 100)
			g.bridge(20, 0)
			c.port.ID = "eth1"
			g.port(c.port)
			g.settle()
			g.bridge(30, 300) // a transparent trunk carries those that come later
			g.settle()
			members := 0
			for _, k := range g.entries() {
				switch k.(type) {
				case p4.Member, p4.EgressVLAN:
					members++
				}
			}
			if members != 2*len(c.want) {
				t.Errorf("%d entries, want %d:\n%s", members, 2*len(c.want), strings.Join(g.facts(), "\n"))
			}
			for _, a := range c.want {
				for _, want := range []entry{
					p4.Member{Port: 1, VLAN: a.vlan, Bridge: a.bridge, Trusted: a.vlan != 0},
					p4.EgressVLAN{Port: 1, Bridge: a.bridge, VLAN: a.egress},
				} {
					if got := g.get(want); got != want {
						t.Errorf("%v, want %v", got, want)
					}
				}
				g.wantFlood(a.bridge, "port 1")
			}
		})
	}
}

func TestAPortThatCarriesAllLeavesToAnObjectWhatThatCarries(t *testing.T) {
	cfg := testConfig()
	cfg.Ports = append(cfg.Ports, Port{Name: "ovn", Number: 9, Kind: KindBridge, Everywhere: true})
	g := start(t, options{cfg: cfg})
	b := g.bridge(10, 100)
	g.port(intent.BridgePort{ID: "port-ovn", Type: intent.Trunk, Bridges: []string{"bridge-10"}})
	other := g.bridge(20, 200)
	g.staticMAC("host1", "port-ovn", mac(1), "10.10.0.5")
	g.settle()
	g.wantFDB(b, mac(1), "port 9")
	g.wantStatus(intent.Ref{Kind: intent.KindBridgePort, ID: "port-ovn"}, intent.StatusUp)
	for _, want := range []p4.Member{
		{Port: 9, VLAN: 10, Bridge: b, Trusted: true}, {Port: 9, VLAN: 20, Bridge: other, Trusted: true},
	} {
		if got := g.get(want); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestWhichConfiguredPortAnObjectIs(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[1].MAC = cfg.Ports[2].MAC // eth2 and the next share one
	cfg.Ports[2].Name = "vm1"           // no id of a bridge port
	for name, c := range map[string]struct {
		port   intent.BridgePort
		number uint16
		reason string
	}{
		"by name":                      {intent.BridgePort{ID: "eth2", MAC: mac(0xa1)}, 2, ""},
		"by an id made of its name":    {intent.BridgePort{ID: "port-vm1", MAC: mac(0xa1)}, 3, ""},
		"by MAC":                       {intent.BridgePort{ID: "port-a", MAC: mac(0xa1)}, 1, ""},
		"by a MAC that two ports have": {intent.BridgePort{ID: "port-a", MAC: mac(0xa3)}, 0, "several have MAC"},
		"by nothing":                   {intent.BridgePort{ID: "port-a", MAC: mac(0xcc)}, 0, `no bridge port named "port-a"`},
		"an uplink is none":            {intent.BridgePort{ID: "upl1", MAC: mac(0xf1)}, 0, "no bridge port named"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, options{cfg: cfg})
			g.bridge(10, 100)
			c.port.Type, c.port.Bridges = intent.Access, []string{"bridge-10"}
			g.port(c.port)
			g.settle()
			for n := uint16(1); n <= 3; n++ {
				if got := g.get(p4.Member{Port: n}) != nil; got != (n == c.number) {
					t.Errorf("port %d attached: %v", n, got)
				}
			}
			g.wantDown("bridge port", c.port.ID, c.reason)
		})
	}
}

// wantDown checks that a port is down for a reason, or up if that is "".
func (g *gateway) wantDown(kind, id, reason string) {
	g.Helper()
	s := g.c.Status(g.Context(), intent.Ref{Kind: intent.Kind(kind), ID: id})[0]
	if reason == "" {
		if s.Oper != intent.StatusUp {
			g.Errorf("%s %s is %v: %+v", kind, id, s.Oper, s.Components)
		}
		return
	}
	text := ""
	for _, c := range s.Components {
		text += c.Details
	}
	if s.Oper != intent.StatusDown || !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), reason) {
		g.Errorf("%s %s is %v: %q, want down: %q", kind, id, s.Oper, text, reason)
	}
}

func TestOfTwoObjectsForOneVLANTheLaterIsDownUntilTheFirstGoes(t *testing.T) {
	g := start(t, options{})
	one, two := g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.port(intent.BridgePort{ID: "abcd", MAC: mac(0xa1), Type: intent.Access, Bridges: []string{"bridge-20"}})
	g.port(intent.BridgePort{ID: "port-c", MAC: mac(0xa1), Type: intent.Trunk, Bridges: []string{"bridge-20"}})
	g.settle()
	g.wantDown("bridge port", "eth1", "")
	g.wantDown("bridge port", "abcd", "VLAN 0 of port eth1 belongs to bridge port eth1")
	g.wantDown("bridge port", "port-c", "")
	if got := g.get(p4.Member{Port: 1}); got != (p4.Member{Port: 1, Bridge: one}) {
		t.Errorf("untagged frames of port 1: %v", got)
	}
	again := start(t, options{store: g.store}) // the older one has it over a restart, too
	again.settle()
	again.wantDown("bridge port", "abcd", "VLAN 0 of port eth1 belongs to bridge port eth1")
	g.update(func(tx *intent.Tx) error {
		if err := tx.Ports().Delete("port-c"); err != nil {
			return err
		}
		return tx.Ports().Delete("eth1")
	})
	g.settle()
	g.wantDown("bridge port", "abcd", "")
	if got := g.get(p4.Member{Port: 1}); got != (p4.Member{Port: 1, Bridge: two}) {
		t.Errorf("untagged frames of port 1: %v", got)
	}
}

func TestAPortThatLeavesABridgeTakesItsMACsAlong(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.learn(b, 2, mac(2))
	g.settle()
	g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth1") })
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.wantSource(b, mac(1), 1, nil)
	g.wantRoute(mac(1), -1)
	g.wantFDB(b, mac(2), "port 2")
	g.wantFlood(b, "port 2")
	g.learn(b, 1, mac(3)) // a report that was on its way
	g.settle()
	g.wantFDB(b, mac(3), "nowhere")
}

func TestAVNIWithoutAVTEPIsDownAndSaysSo(t *testing.T) {
	cfg := testConfig()
	cfg.VTEPs = nil
	g := start(t, options{cfg: cfg})
	g.bridge(10, 100)
	g.settle()
	g.wantDown("logical bridge", "bridge-10", "no VTEP address")
}

func TestBadConfigurationIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"VTEP":            func(c *Config) { c.VTEPs = append(c.VTEPs, vtep1) },
		"is there twice":  func(c *Config) { c.Ports = append(c.Ports, c.Ports[0]) },
		"belongs to port": func(c *Config) { c.Ports[1].Number = 21 },
		"want 1 to 509":   func(c *Config) { c.Ports[0].Number = p4.CPUPort },
		"router id":       func(c *Config) { c.RouterID = netip.Addr{} },
		"kind":            func(c *Config) { c.Ports[0].Kind = 0 },
		"static MAC":      func(c *Config) { c.Ports[0].StaticMACs = []StaticMAC{{}} },
		"no name":         func(c *Config) { c.Ports[0].Name = "" },
	} {
		cfg := testConfig()
		spoil(&cfg)
		if _, err := New(cfg, Inputs{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
