package controller

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// staticMAC makes a static MAC in bridge-10.
func (g *gateway) staticMAC(id, port string, m ether.MAC, ips ...string) {
	g.Helper()
	o := intent.StaticMAC{ID: id, Bridge: "bridge-10", Port: port, MAC: m}
	for _, ip := range ips {
		o.IPs = append(o.IPs, addr(ip))
	}
	g.update(func(tx *intent.Tx) error {
		if _, err := tx.StaticMACs().Get(id); err == nil {
			_, err = tx.StaticMACs().Update(o)
			return err
		}
		_, err := tx.StaticMACs().Create(o)
		return err
	})
	g.settle()
}

func (g *gateway) wantStatus(ref intent.Ref, want intent.OperStatus) {
	g.Helper()
	if got := g.c.Status(g.Context(), ref)[0]; got.Oper != want {
		g.Errorf("%v is %v, want %v: %+v", ref, got.Oper, want, got.Components)
	}
}

func TestAStaticMACOfTheAPIIsThereForEverAndDoesNotMove(t *testing.T) {
	g, b := twoPorts(t, options{})
	ref := intent.Ref{Kind: intent.KindStaticMAC, ID: "host1"}
	g.staticMAC("host1", "eth1", mac(1), "10.10.0.5", "2001:db8::5")
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(1), "10.10.0.5", 0), 99)),
		update(peer1, with(macRoute(leaf1, 100, mac(1)), 99)))
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, p4.Source{Verdict: p4.Known})
	g.wantSource(b, mac(1), 2, refusedSource(p4.Discard))
	g.wantAnswer(b, "10.10.0.5", mac(1).String())
	g.wantAnswer(b, "2001:db8::5", mac(1).String())
	g.wantStatus(ref, intent.StatusUp)
	for _, r := range g.speaker.Routes() {
		if r.Type == bgp.TypeMACIP && (!r.Sticky || r.Sequence != 0) {
			t.Errorf("advertised %v, want it sticky with sequence 0", r)
		}
	}
	if n := len(g.speaker.Routes()); n != 4 {
		t.Errorf("%d routes, want the flood route, the MAC and two addresses: %s", n, g.keys())
	}

	g.staticMAC("host1", "eth2", mac(1), "10.10.0.6")
	g.wantFDB(b, mac(1), "port 2")
	g.wantSource(b, mac(1), 1, nil)
	g.wantAnswer(b, "10.10.0.6", mac(1).String())
	g.wantAnswer(b, "2001:db8::5", "nobody")

	g.update(func(tx *intent.Tx) error { return tx.StaticMACs().Delete("host1") })
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantSource(b, mac(1), 2, nil)
	g.wantAnswer(b, "10.10.0.6", "nobody")
}

func TestNobodyElseGetsTheAddressOfAStaticMAC(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.staticMAC("host1", "eth1", mac(1), "10.10.0.5")
	g.hears(b, 2, mac(2), "10.10.0.5")
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(1).String())
	g.update(func(tx *intent.Tx) error { return tx.StaticMACs().Delete("host1") })
	g.hears(b, 2, mac(2), "10.10.0.5")
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(2).String())
}

func TestAStaticMACWaitsForItsPort(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	ref := intent.Ref{Kind: intent.KindStaticMAC, ID: "host1"}
	g.port(intent.BridgePort{ID: "not-there", MAC: mac(0xbb), Type: intent.Access, Bridges: []string{"bridge-10"}})
	g.staticMAC("host1", "not-there", mac(1), "10.10.0.5")
	g.wantFDB(b, mac(1), "nowhere")
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.wantStatus(ref, intent.StatusDown)
	g.access("eth1", 10)
	g.staticMAC("host1", "eth1", mac(1), "10.10.0.5")
	g.wantFDB(b, mac(1), "port 1")
	g.wantStatus(ref, intent.StatusUp)
}

func TestTheConfigurationsStaticMACStandsBeforeTheAPIs(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].StaticMACs = []StaticMAC{{MAC: mac(1)}}
	g, b := twoPorts(t, options{cfg: cfg})
	g.staticMAC("host1", "eth2", mac(1), "10.10.0.5")
	g.wantFDB(b, mac(1), "port 1")
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.wantStatus(intent.Ref{Kind: intent.KindStaticMAC, ID: "host1"}, intent.StatusDown)
}

// The target's entries of a static MAC that went while no controller ran are
// taken away, its address too.
func TestAStaticMACThatWentWhileWeWereAwayLeavesNothing(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	store := intent.NewMemory()
	var before []string
	t.Run("first", func(t *testing.T) {
		g, _ := twoPorts(t, options{server: server, store: store})
		g.staticMAC("host1", "eth1", mac(1), "10.10.0.5")
		before = g.facts()
	})
	t.Run("restarted", func(t *testing.T) {
		g := start(t, options{server: server, store: store})
		<-g.c.Synced()
		g.settle()
		if got := g.facts(); !slices.Equal(got, before) {
			t.Errorf("a restart changed the entries: %s", difference(got, before))
		}
	})
	if err := store.Update(func(tx *intent.Tx) error { return tx.StaticMACs().Delete("host1") }); err != nil {
		t.Fatal(err)
	}
	g := start(t, options{server: server, store: store})
	<-g.c.Synced()
	g.settle()
	g.wantFDB(1, mac(1), "nowhere")
	g.wantAnswer(1, "10.10.0.5", "nobody")
}
