package controller

import (
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/slowpath"
)

// RFC 9135 section 7.2: a MAC came here by a frame of data, and what its old VTEP says of its
// address is late, and is taken back when that VTEP hears of the move. Nobody else would say
// where the address is.
func TestALateRouteOfAMACThatIsHereBringsItsAddress(t *testing.T) {
	g, b := twoPorts(t, options{})
	old := with(macRoute(leaf1, 100, mac(5)), 3)
	g.send(update(peer1, old))
	g.settle()
	g.learn(b, 1, mac(5))
	g.settle()
	asked := g.asked()
	late := with(hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0), 3)
	g.send(update(peer1, late))
	g.settle()
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 4))
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
	g.send(withdraw(peer1, old), withdraw(peer1, late))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 4))
}

// A peer that goes on advertising what the host does not answer for has it asked once.
func TestAHostIsNotAskedAgainAndAgainForWhatALateRouteSays(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(5)), 3)))
	g.settle()
	g.learn(b, 1, mac(5))
	g.settle()
	asked := g.asked()
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0), 3)))
	g.settle()
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
	g.unanswered(b, "10.10.0.5", mac(5))
	g.wantAsked(asked)
	g.wantOwn(bgp.TypeMACIP)
}

// The route is not the last word: a host here that took the address from the MAC keeps it, and
// the MAC is only looked for when that host is gone.
func TestALateRouteTakesNoAddressFromAHostHere(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(5)), 3)))
	g.settle()
	g.learn(b, 1, mac(5))
	g.hears(b, 2, mac(6), "10.10.0.5")
	g.settle()
	g.peek(func(l *loop) { l.raise(l.bridges[b], mac(6), rank{sequence: 8}) })
	g.settle()
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0), 3)))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(6).String())
	g.unanswered(b, "10.10.0.5", mac(6))
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 4))
}

// What is frozen follows no routes (RFC 7432 section 15.1).
func TestALateRouteBringsNothingToAMACThatIsFrozen(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates.Moves = 2
	g, b := twoPorts(t, options{cfg: cfg})
	for i := range 4 {
		g.learn(b, uint16(1+i%2), mac(5))
		g.settle()
	}
	g.peek(func(l *loop) {
		if !l.bridges[b].frozen(mac(5)) {
			t.Fatal("it is not frozen")
		}
	})
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0), 0)))
	g.settle()
	g.wantOwn(bgp.TypeMACIP)
}

// A static MAC is where it was put: it came from nowhere, and brought nothing.
func TestALateRouteBringsNothingToAStaticMAC(t *testing.T) {
	g, _ := twoPorts(t, options{})
	g.staticMAC("host5", "eth1", mac(5))
	g.send(update(peer1, hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0)))
	g.settle()
	g.wantOwn(bgp.TypeMACIP)
}

// The kernel asked in vain for an address that two hosts claim: the one that has it is gone, and
// the other, which was not asked while it did not have it, is asked now.
func TestWhoHadAnAddressIsGoneWhenTheKernelAskedInVainAndItsRivalIsNot(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.hears(b, 1, mac(6), "10.10.0.5")
	g.wantAnswer(b, "10.10.0.5", mac(6).String())
	asked := g.asked()
	g.slow.events <- slowpath.Neighbor{VRF: v, Bridge: b, IP: addr("10.10.0.5")}
	g.settle()
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
	g.unanswered(b, "10.10.0.5", mac(5))
	g.wantAnswer(b, "10.10.0.5", "nobody")
}

// What a host had said before a restart is asked for like all else when its MAC comes back from
// elsewhere; it is not merely for the restart.
func TestAnAddressFromBeforeARestartIsAskedForWhenItComesBack(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(5))
	g.settle()
	asked := g.asked()
	g.peek(func(l *loop) { l.adoptHost(b, addr("10.10.0.5"), mac(5), 0, localHost) })
	g.settle()
	g.wantAsked(asked)
	r := with(macRoute(leaf1, 100, mac(5)), 3)
	g.send(update(peer1, r))
	g.settle()
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
}
