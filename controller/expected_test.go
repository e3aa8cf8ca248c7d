package controller

import (
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// expects has stations be expected in bridge-10 at a port.
func (g *gateway) expects(port string, stations ...view.Station) {
	g.Helper()
	if err := g.c.Expect(g.Context(), "bridge-10", port, stations); err != nil {
		g.Fatal(err)
	}
	g.settle()
}

func at(m ether.MAC, ips ...string) view.Station {
	s := view.Station{MAC: m}
	for _, ip := range ips {
		s.IPs = append(s.IPs, addr(ip))
	}
	return s
}

// expectedSource is the entry of one that does not age.
func expectedSource(sequence uint32) entry {
	return p4.Source{Verdict: p4.Known, Metadata: sequenceMetadata(sequence)}
}

func TestAnExpectedStationIsAdvertisedBeforeItSpeaksUntilItIsExpectedNoMore(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.expects("eth1", at(mac(1), "10.10.0.5", "2001:db8::5"), at(mac(2)))
	g.wantFDB(b, mac(1), "port 1")
	g.wantFDB(b, mac(2), "port 1")
	g.wantSource(b, mac(1), 1, expectedSource(0))
	g.wantRoute(mac(1), 0)
	g.wantRoute(mac(2), 0)
	g.wantAnswer(b, "10.10.0.5", mac(1).String())
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 0), advertised(mac(1), "2001:db8::5", 0))
	g.learn(b, 1, mac(9))
	g.settle()
	g.idle(b, 1, mac(1), mac(9)) // as it may be reported of one that was learned first
	g.eventually("the other one is forgotten", func() bool { return g.settled() && g.whereIs(b, mac(9)) == "nowhere" })
	g.wantRoute(mac(1), 0)

	g.expects("eth1", at(mac(1), "10.10.0.6"))
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.6", 0))
	g.wantRoute(mac(2), -1)
	g.wantSource(b, mac(2), 1, nil)
	g.expects("eth2", at(mac(1), "10.10.0.6"))
	g.wantFDB(b, mac(1), "port 1") // nothing says that it went
	g.expects("eth2")
	g.wantFDB(b, mac(1), "nowhere")
	g.wantAnswer(b, "10.10.0.6", "nobody")
	g.wantOwn(bgp.TypeMACIP)
}

func TestAnExpectedStationIsWhereItsBestRouteSaysAndComesBackWithTheRouteGone(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.expects("eth1", at(mac(1), "10.10.0.5"))
	moved := with(hostRoute(leaf1, 100, mac(1), "10.10.0.5", 0), 1)
	g.send(update(peer1, moved))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantRoute(mac(1), -1)
	g.wantOwn(bgp.TypeMACIP)
	g.expects("eth1", at(mac(1), "10.10.0.5"))
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.send(withdraw(peer1, moved))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 0))
}

// That it is expected does not say that it came: the frame does.
func TestAnExpectedStationTakesNothingFromAVTEPBeforeItSpeaks(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(1), "10.10.0.5", 0), 3)))
	g.expects("eth1", at(mac(1), "10.10.0.5", "10.10.0.6"))
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantRoute(mac(1), -1)
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, expectedSource(4)) // it does not age
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 4), advertised(mac(1), "10.10.0.6", 4))
}

func TestAnExpectedStationIsAtThePortWhereItSpokeWhileItSpeaks(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.expects("eth1", at(mac(1)))
	g.learn(b, 2, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 2")
	g.wantSource(b, mac(1), 2, learned(0))
	g.idle(b, 2, mac(1))
	g.eventually("it is where it is expected", func() bool { return g.settled() && g.whereIs(b, mac(1)) == "port 1" })
	g.expects("eth1")
	g.wantFDB(b, mac(1), "nowhere")
}

func TestAnExpectedAddressStaysThoughItsHostDoesNotAnswer(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.expects("eth1", at(mac(1), "10.10.0.5"))
	g.hears(b, 1, mac(1), "10.10.0.5")
	g.hears(b, 1, mac(1), "10.10.0.7")
	g.settle()
	g.unanswered(b, "10.10.0.5", mac(1))
	g.unanswered(b, "10.10.0.7", mac(1))
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 0))
	g.hears(b, 2, mac(2), "10.10.0.5") // what a host says itself stands before it
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(2).String())
}

func TestExpectedStationsWaitForTheirBridgeAndPort(t *testing.T) {
	g := start(t, options{})
	if err := g.c.Expect(t.Context(), "bridge-10", "eth1", []view.Station{at(mac(1), "10.10.0.5")}); err != nil {
		t.Fatal(err)
	}
	b := g.bridge(10, 100)
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.access("eth1", 10)
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth1") })
	g.settle()
	g.wantRoute(mac(1), -1)
	g.access("eth1", 10)
	g.settle()
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 0))
}

// Not those that can be no stations, nor those beyond the limits.
func TestAnExpectedStationIsJudgedLikeOneThatSpeaks(t *testing.T) {
	cfg := testConfig()
	cfg.MaxMACs, cfg.MaxAddresses = 1, 1
	g, b := twoPorts(t, options{cfg: cfg})
	g.expects("eth1", at(routerMACOf(cfg), "10.10.0.4"), at(mac(1), "224.0.0.1", "0.0.0.0", "10.10.0.5", "10.10.0.6"))
	g.wantRoute(mac(1), 0)
	g.wantRoute(routerMACOf(cfg), -1)
	g.wantOwn(bgp.TypeMACIP, advertised(mac(1), "10.10.0.5", 0))
	g.expects("eth1", at(mac(1)), at(mac(2)))
	g.wantRoute(mac(2), -1)
	g.expects("eth1", at(mac(2)))
	g.wantRoute(mac(1), -1)
	g.wantRoute(mac(2), 0)
	g.expects("eth1")
	g.learn(b, 1, mac(9))
	g.settle()
	g.expects("eth1", at(mac(1)))
	g.wantRoute(mac(1), -1)
	g.idle(b, 1, mac(9))
	g.eventually("it has the room of one that aged", func() bool {
		return g.settled() && g.whereIs(b, mac(1)) == "port 1"
	})
}

func TestARestartKeepsExpectedStationsUntilItIsSaidWhichThereAre(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	store := intent.NewMemory()
	cfg := testConfig()
	cfg.Expecting = true
	both := []view.Station{at(mac(1), "10.10.0.5"), at(mac(2))}
	t.Run("first", func(t *testing.T) {
		g, b := twoPorts(t, options{cfg: cfg, server: server, store: store})
		elsewhere := with(macRoute(leaf1, 100, mac(1)), 3)
		g.send(update(peer1, elsewhere))
		g.expects("eth1", both...)
		g.learn(b, 1, mac(1))
		g.settle()
		g.send(withdraw(peer1, elsewhere))
		g.settle()
		g.wantRoute(mac(1), 4)
	})
	updates := server.Counts().Updates
	t.Run("restarted", func(t *testing.T) {
		g := start(t, options{cfg: cfg, server: server, store: store})
		<-g.c.Synced()
		g.settle()
		g.wantRoute(mac(1), 4)
		g.expects("eth1", both...)
		g.wantRoute(mac(1), 4)
		if n := server.Counts().Updates; n != updates {
			t.Errorf("a restart wrote %d entries", n-updates)
		}
		g.expects("eth1", both[1])
		g.wantRoute(mac(1), -1)
		g.wantOwn(bgp.TypeMACIP)
	})
	t.Run("nothing is expected any more", func(t *testing.T) {
		g := start(t, options{server: server, store: store})
		<-g.c.Synced()
		g.settle()
		g.wantSource(1, mac(2), 1, learned(0))
	})
}
