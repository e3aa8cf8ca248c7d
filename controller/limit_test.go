package controller

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/view"
)

// countAnew adds the addresses that MACs on the ports of a bridge claim.
func (b *bridge) countAnew(ports map[uint16]int) {
	for mac, of := range b.claimed {
		if p := b.portOf(mac); p != 0 {
			ports[p] += len(of.of)
		}
	}
}

// wantAddresses checks who has addresses of 10.10.0.0/24 in a bridge, by their last bytes.
func (g *gateway) wantAddresses(b uint16, want map[string]string) {
	g.Helper()
	for last, who := range want {
		g.wantAnswer(b, "10.10.0."+last, who)
	}
	g.peek(func(l *loop) {
		ports, all := map[uint16]int{}, 0
		for _, b := range l.bridges {
			b.countAnew(ports)
			all += b.hosted
		}
		for n, p := range l.ports {
			if p.addresses != ports[n] {
				g.Errorf("port %s: %d addresses are counted, want %d", p.Name, p.addresses, ports[n])
			}
			all -= p.addresses
		}
		if all != 0 {
			g.Errorf("bridges count %d addresses more than ports", all)
		}
	})
}

func TestAddressesOverALimitAreSaidOnceShownAndCountedAndComeWhenThereIsRoom(t *testing.T) {
	var log strings.Builder
	cfg := testConfig()
	cfg.Ports[0].MaxAddresses, cfg.MaxPortAddresses, cfg.MaxBridgeAddresses = 2, 100, 3
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, b := twoPorts(t, options{cfg: cfg})
	other := g.bridge(20, 200)
	g.access("eth3", 20)
	bridge, port := bridgeRef(10), intent.Ref{Kind: intent.KindBridgePort, ID: "eth1"}
	g.settle()
	g.learn(b, 1, mac(1), mac(2))
	g.learn(b, 2, mac(3))
	g.learn(other, 3, mac(4))
	hear := func() {
		for _, ip := range []string{"10.10.0.1", "10.10.0.2", "10.10.0.3"} {
			g.hears(b, 1, mac(1), ip)
		}
		g.hears(b, 1, mac(2), "10.10.0.4")
		g.hears(b, 2, mac(3), "10.10.0.5")
		g.hears(b, 2, mac(3), "10.10.0.6")
	}
	hear()
	one, three := mac(1).String(), mac(3).String()
	g.wantAddresses(b, map[string]string{"1": one, "2": one, "3": "nobody", "4": "nobody", "5": three, "6": "nobody"})
	g.hears(other, 3, mac(4), "10.20.0.1") // somebody else's is
	g.wantAnswer(other, "10.20.0.1", mac(4).String())
	for ref, want := range map[intent.Ref]string{
		bridge: "hosts on ports of the bridge have 3 addresses where they may have 3 (max_addresses)",
		port:   "hosts on port eth1 have 2 addresses where they may have 2 (max_addresses)",
	} {
		if said := g.limited(ref); !strings.Contains(said, want) {
			t.Errorf("%v says %q, want %q", ref, said, want)
		}
		g.wantStatus(ref, intent.StatusUp)
	}
	if state, reason := g.portState("eth1"); state != view.Up || !strings.Contains(reason, "have 2 addresses") {
		t.Errorf("port: %v %q", state, reason)
	}
	refused := &g.c.stats.hostsRefused
	if p, n := refused[limitPort].Load(), refused[limitBridge].Load(); p != 2 || n != 1 {
		t.Errorf("%d are refused by the port and %d by the bridge, want 2 and 1", p, n)
	}
	g.idle(b, 1, mac(1))
	g.unanswered(b, "10.10.0.1", mac(1))
	g.unanswered(b, "10.10.0.2", mac(1))
	g.eventually("no more said", func() bool { return g.settled() && g.limited(bridge)+g.limited(port) == "" })
	g.hears(b, 1, mac(2), "10.10.0.4")
	g.hears(b, 2, mac(3), "10.10.0.6")
	g.wantAddresses(b, map[string]string{"1": "nobody", "4": mac(2).String(), "6": three})
	g.peek(func(*loop) {
		if got := log.String(); strings.Count(got, "level=WARN") != 2 ||
			!strings.Contains(got, "port=eth1 limit=2") || !strings.Contains(got, "bridge=bridge-10 limit=3") {
			t.Errorf("want one line of the port and one of the bridge:\n%s", got)
		}
	})
}

func TestALimitOfAddressesBelowWhatIsThereTakesNothingAndLetsNothingNewIn(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	limit := func(g *gateway, n uint32) {
		g.instance(intent.Instance{ID: "bridge.bridge-10", MaxAddresses: n})
		g.settle()
	}
	var b uint16
	one := mac(1).String()
	t.Run("lowered", func(t *testing.T) {
		var g *gateway
		g, b = twoPorts(t, options{server: server, store: store})
		g.learn(b, 1, mac(1))
		g.hears(b, 1, mac(1), "10.10.0.1")
		g.hears(b, 1, mac(1), "10.10.0.2")
		limit(g, 1)
		g.hears(b, 1, mac(1), "10.10.0.3")
		g.hears(b, 1, mac(1), "10.10.0.1") // it is there
		g.wantAddresses(b, map[string]string{"1": one, "2": one, "3": "nobody"})
	})
	t.Run("restarted", func(t *testing.T) {
		g := start(t, options{server: server, store: store})
		<-g.c.Synced()
		g.settle()
		g.hears(b, 1, mac(1), "10.10.0.3")
		g.wantAddresses(b, map[string]string{"1": one, "2": one, "3": "nobody"})
		if said := g.limited(bridgeRef(10)); !strings.Contains(said, "2 addresses where they may have 1") {
			t.Errorf("the bridge says %q", said)
		}
		limit(g, 0) // no limit of its own: the default
		g.eventually("no more said", func() bool { return g.limited(bridgeRef(10)) == "" })
		g.hears(b, 1, mac(1), "10.10.0.3")
		g.wantAddresses(b, map[string]string{"1": one, "2": one, "3": one})
	})
}

func TestAMACTakesItsAddressesWithItAlsoToAPortThatHasTooMany(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[1].MaxAddresses = 1
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(1))
	g.learn(b, 2, mac(2))
	one, two := mac(1).String(), mac(2).String()
	g.hears(b, 1, mac(1), "10.10.0.1")
	g.hears(b, 1, mac(1), "10.10.0.2")
	g.hears(b, 2, mac(2), "10.10.0.3")
	g.learn(b, 2, mac(1))
	g.settle()
	g.hears(b, 2, mac(2), "10.10.0.4")
	g.wantAddresses(b, map[string]string{"1": one, "2": one, "3": two, "4": "nobody"})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(1)), 10))) // it leaves
	g.settle()
	g.hears(b, 2, mac(2), "10.10.0.4")
	g.wantAddresses(b, map[string]string{"3": two, "4": "nobody"})
	g.send(withdraw(peer1, with(macRoute(leaf1, 100, mac(1)), 10)))
	g.settle()
	g.update(func(tx *intent.Tx) error {
		return errors.Join(tx.Ports().Delete("eth1"), tx.Ports().Delete("eth2"), tx.Bridges().Delete("bridge-10"))
	})
	g.settle()
	g.wantAddresses(b, nil)
	g.wantOwn(bgp.TypeMACIP)
}

func TestAnExpectedAddressComesWhenThereIsRoom(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPortAddresses = 1
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(9))
	g.hears(b, 1, mac(9), "10.10.0.9")
	g.expects("eth1", at(mac(1), "10.10.0.1"))
	g.wantAddresses(b, map[string]string{"1": "nobody", "9": mac(9).String()})
	g.unanswered(b, "10.10.0.9", mac(9))
	g.eventually("it has the room of one that is gone", func() bool {
		return g.settled() && g.answer(b, "10.10.0.1") == mac(1).String()
	})
	g.wantAddresses(b, map[string]string{"9": "nobody"})
}
