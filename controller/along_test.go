package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// The MAC itself went elsewhere and comes back by a frame without an address.
func TestAddressesComeBackWithTheirMAC(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	asked := g.asked()
	r := with(macRoute(leaf1, 100, mac(5)), 3)
	g.send(update(peer1, r))
	g.settle()
	g.wantOwn(bgp.TypeMACIP)
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.learn(b, 2, mac(5))
	g.settle()
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 0))
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
}

func TestTheAddressesOfAMACThatDoesNotComeBackAreForgotten(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(5)), 3)))
	g.settle()
	g.now.advance(testAgeing)
	g.peek((*loop).thaw)
	g.peek(func(l *loop) {
		if n := len(l.bridges[b].claimed) + len(l.bridges[b].away) + len(l.bridges[b].addresses); n > 0 {
			t.Errorf("%d things are left", n)
		}
	})
}

// RFC 9135 section 7.2: a MAC that is learned here by a frame has the addresses that it had
// elsewhere, and is asked for them. They do not vanish with the leaf's withdrawal.
func TestAMACThatComesByADataFrameBringsItsAddresses(t *testing.T) {
	g, b := twoPorts(t, options{})
	asked := g.asked()
	r, other := hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0), hostRoute(leaf1, 100, mac(5), "10.10.0.6", 0)
	taken := with(hostRoute(leaf2, 100, mac(9), "10.10.0.6", 0), 1) // this address is another MAC's by now
	g.send(update(peer1, r), update(peer1, other), update(peer2, taken))
	g.settle()
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
	g.send(withdraw(peer1, r), withdraw(peer1, other))
	g.settle()
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 1))
	g.wantAnswer(b, "10.10.0.6", mac(9).String())
	g.unanswered(b, "10.10.0.5", mac(5))
	g.wantOwn(bgp.TypeMACIP)
	g.wantAnswer(b, "10.10.0.5", "nobody")
}

// A frame is faster than a route: what a MAC said behind a VTEP just before it came here is
// known too.
func TestAMACThatComesHereBringsWhatItSaidElsewhereJustBefore(t *testing.T) {
	for name, c := range map[string]struct {
		since time.Duration
		has   bool
	}{"just before": {earlyLasts - time.Millisecond, true}, "long ago": {earlyLasts, false}} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			g.now.stop()
			g.send(update(peer1, macRoute(leaf1, 100, mac(5))))
			g.settle()
			g.peek(func(l *loop) { l.heard(l.bridges[b], sighting{ip: addr("10.10.0.5"), mac: mac(5), by: byHost}) })
			asked := g.asked()
			g.now.advance(c.since)
			g.learn(b, 1, mac(5))
			g.eventually("learned", func() bool { return g.whereIs(b, mac(5)) == "port 1" })
			if !c.has {
				g.wantAnswer(b, "10.10.0.5", "nobody")
				return
			}
			g.wantAnswer(b, "10.10.0.5", mac(5).String())
			g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
		})
	}
}

// Somebody may send a frame back, or send as if it were a host here.
func TestWhatComesByVXLANOfAMACHereClaimsNothing(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(5))
	g.settle()
	g.peek(func(l *loop) { l.heard(l.bridges[b], sighting{ip: addr("10.10.0.5"), mac: mac(5), by: byHost}) })
	g.settle()
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.peek(func(l *loop) {
		if a := l.bridges[b].addresses[addr("10.10.0.5")]; a != nil {
			t.Errorf("it is known: %+v", a)
		}
	})
}

// What a MAC said before it came here takes nothing from a host here: it waits until that
// one is gone, or for an age.
func TestWhatAMACSaidElsewhereWaitsForTheHostHereToGo(t *testing.T) {
	const ip, waits = "10.10.0.9", "02:00:00:00:00:05 moved at eth1 seq 2: inactive, 02:00:00:00:00:06 spoke for it later"
	begin := func(t *testing.T) (*gateway, uint16) {
		g, b := ageing(t, time.Minute)
		for port, m := range []ether.MAC{1: mac(5), 2: mac(6)} {
			if port > 0 {
				g.send(update(peer1, with(macRoute(leaf1, 100, m), 1)))
				g.settle()
				g.learn(b, uint16(port), m)
				g.eventually("learned", func() bool { return g.whereIs(b, m) == fmt.Sprintf("port %d", port) })
			}
		}
		g.hears(b, 2, mac(6), ip)
		old := with(hostRoute(leaf1, 100, mac(5), ip, 0), 1)
		g.send(update(peer1, old))
		g.settle()
		g.send(withdraw(peer1, old))
		g.settle()
		g.wantAnswer(b, ip, mac(6).String())
		return g, b
	}
	t.Run("it goes", func(t *testing.T) {
		g, b := begin(t)
		g.wantClaims(ip, "02:00:00:00:00:06 host at eth2 seq 2: probed, it spoke for the address last", waits)
		asked := g.asked()
		g.unanswered(b, ip, mac(6))
		g.wantAnswer(b, ip, mac(5).String())
		g.wantAsked(asked, ip+" at "+mac(5).String())
	})
	t.Run("it stays", func(t *testing.T) {
		g, b := begin(t)
		var claimants []string
		g.waitUntil("it has ended", 2*time.Minute, func() bool {
			if g.askedFor(ip) > 0 {
				g.hears(b, 2, mac(6), ip)
			}
			g.hears(b, 1, mac(5), "10.10.0.5") // the MAC lives
			rows, err := g.c.Address(g.Context(), addr(ip))
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			claimants = claimants[:0]
			for _, c := range rows[0].Claims {
				claimants = append(claimants, c.MAC.String())
			}
			return len(claimants) == 1
		})
		if claimants[0] != mac(6).String() {
			t.Errorf("it is %s that is left", claimants[0])
		}
	})
}
