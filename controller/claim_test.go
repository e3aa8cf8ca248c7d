package controller

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// asked records whom the loop asks for which address.
func (g *gateway) asked() func() []string {
	var all []string
	g.peek(func(l *loop) {
		l.asked = func(_ *bridge, ip netip.Addr, m ether.MAC) { all = append(all, fmt.Sprintf("%v at %v", ip, m)) }
	})
	return func() (was []string) {
		g.peek(func(*loop) { was, all = all, nil })
		slices.Sort(was)
		return slices.Compact(was)
	}
}

func (g *gateway) wantAsked(asked func() []string, want ...string) {
	g.Helper()
	if got := asked(); !slices.Equal(got, want) {
		g.Errorf("asked %v, want %v", got, want)
	}
}

// unanswered has a probe of a MAC for an address fail.
func (g *gateway) unanswered(bridge uint16, ip string, m ether.MAC) {
	g.Helper()
	g.peek(func(l *loop) { l.probeFailed(l.bridges[bridge], addr(ip), m) })
	g.settle()
}

func advertised(m ether.MAC, ip string, sequence int) string {
	r := fmt.Sprintf("[2]:[0]:[%v]:[%s] RD 10.0.0.1:100 via 10.0.0.1 VNI 100 ", m, ip)
	if sequence > 0 {
		r += fmt.Sprintf("sequence %d ", sequence)
	}
	return r + "RT 65000:100"
}

// RFC 9721 section 6.1: the sequence number of a MAC that takes an address is above that of
// the MAC which had it; section 5.1: all addresses of the MAC have it.
func TestAHostThatTakesAnAddressOfAnotherMACRaisesItsOwn(t *testing.T) {
	for name, r := range map[string]bgp.Route{
		"of a higher VTEP": with(hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0), 4),
		"of a lower VTEP":  with(hostRoute(leaf0, 100, mac(9), "10.10.0.9", 0), 4),
	} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			g.hears(b, 1, mac(5), "10.10.0.5")
			g.send(update(peer1, r))
			g.settle()
			g.hears(b, 1, mac(5), "10.10.0.9")
			g.wantAnswer(b, "10.10.0.9", mac(5).String())
			g.wantRoute(mac(5), 5)
			g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 5), advertised(mac(5), "10.10.0.9", 5))
			g.wantSource(b, mac(5), 1, learned(5)) // it outlives a restart
			g.hears(b, 1, mac(5), "10.10.0.9")
			g.wantRoute(mac(5), 5)
		})
	}
}

func TestAMACThatIsAheadIsNotRaised(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, with(macRoute(leaf1, 100, mac(5)), 7)))
	g.settle()
	g.learn(b, 1, mac(5)) // sequence 8
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0), 3)))
	g.settle()
	g.hears(b, 1, mac(5), "10.10.0.9")
	g.wantRoute(mac(5), 8)
	g.wantAnswer(b, "10.10.0.9", mac(5).String())
}

func TestALocalHostThatTakesAnAddressOfALocalOneHasTheOtherAsked(t *testing.T) {
	g, b := twoPorts(t, options{})
	asked := g.asked()
	g.hears(b, 1, mac(5), "10.10.0.9")
	g.hears(b, 2, mac(6), "10.10.0.9")
	g.wantAnswer(b, "10.10.0.9", mac(6).String())
	g.wantOwn(bgp.TypeMACIP, advertised(mac(6), "10.10.0.9", 1))
	g.wantAsked(asked, "10.10.0.9 at "+mac(5).String())
	g.unanswered(b, "10.10.0.9", mac(5))
	g.idle(b, 2, mac(6))
	g.eventually("asked", func() bool { return slices.Contains(asked(), "10.10.0.9 at "+mac(6).String()) })
	g.unanswered(b, "10.10.0.9", mac(6))
	g.eventually("gone", func() bool { return g.answer(b, "10.10.0.9") == "nobody" })
}

// RFC 9721 section 6.3, RFC 9135 section 7.1.
func TestARouteOfAnotherMACHasTheHostHereAsked(t *testing.T) {
	for name, c := range map[string]struct {
		r    bgp.Route
		wins bool
	}{
		"that wins":  {with(hostRoute(leaf1, 100, mac(9), "10.10.0.5", 0), 1), true},
		"that loses": {hostRoute(leaf1, 100, mac(9), "10.10.0.5", 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			g.hears(b, 1, mac(5), "10.10.0.5")
			asked := g.asked()
			g.send(update(peer1, c.r))
			g.settle()
			g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
			owner := mac(5)
			if c.wins {
				owner = mac(9)
			}
			g.wantAnswer(b, "10.10.0.5", owner.String())
			t.Run("and it is gone", func(t *testing.T) {
				g.unanswered(b, "10.10.0.5", mac(5))
				g.wantAnswer(b, "10.10.0.5", mac(9).String())
				g.wantOwn(bgp.TypeMACIP)
			})
			t.Run("and it answers", func(t *testing.T) {
				g.hears(b, 1, mac(5), "10.10.0.5")
				g.wantAnswer(b, "10.10.0.5", mac(5).String())
				g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", int(c.r.Sequence)+1))
			})
		})
	}
}

func TestARivalHeardByVXLANHasTheHostHereAsked(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.send(update(peer1, macRoute(leaf1, 100, mac(9))))
	g.settle()
	asked := g.asked()
	g.peek(func(l *loop) { l.heard(l.bridges[b], sighting{ip: addr("10.10.0.5"), mac: mac(9), by: byHost}) })
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.unanswered(b, "10.10.0.5", mac(5))
	g.wantAnswer(b, "10.10.0.5", "nobody")
}

// RFC 9721 section 6.3: what was learned here is not lost with the first route that is better.
func TestAClaimThatLostComesBackWhenItsRivalGoes(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.hears(b, 1, mac(5), "10.10.0.5")
	r := with(hostRoute(leaf1, 100, mac(9), "10.10.0.5", 0), 3)
	g.send(update(peer1, r))
	g.settle()
	g.wantOwn(bgp.TypeMACIP)
	asked := g.asked()
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.5", 0))
	g.wantAsked(asked, "10.10.0.5 at "+mac(5).String())
}

// RFC 9161 section 3.7 a, c: five moves within 180 s.
func TestAnAddressThatMovesTooOftenIsHeldUntilCleared(t *testing.T) {
	log := &logged{}
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	g, b := twoPorts(t, options{cfg: cfg})
	g.hears(b, 1, mac(5), "10.10.0.9")
	speak := func(n int) {
		for i := range n {
			g.hears(b, uint16(2-i%2), mac(6-i%2), "10.10.0.9")
			g.now.advance(time.Second)
		}
		g.settle()
	}
	speak(4)
	g.wantAnswer(b, "10.10.0.9", mac(5).String())
	speak(9)
	held := g.own(bgp.TypeMACIP)
	if len(held) != 1 || !strings.Contains(held[0], mac(5).String()) {
		t.Errorf("advertised: %v", held)
	}
	g.wantAnswer(b, "10.10.0.9", "nobody")
	if n := g.c.stats.frozenAddresses.Load(); n != 1 {
		t.Errorf("%d addresses are counted as frozen, want 1", n)
	}
	if n := log.count("WARN", "10.10.0.9"); n != 1 {
		t.Errorf("the operator was told %d times, want 1", n)
	}
	// Neither a route nor the death of a rival's claim changes it.
	g.send(update(peer1, with(hostRoute(leaf1, 100, mac(9), "10.10.0.9", 0), 99)))
	g.settle()
	g.unanswered(b, "10.10.0.9", mac(6))
	if got := g.own(bgp.TypeMACIP); !slices.Equal(got, held) {
		t.Errorf("advertised: %v, want %v", got, held)
	}
	g.peek(func(l *loop) {
		if !l.clearDuplicateAddress(l.bridges[b], addr("10.10.0.9")) {
			t.Error("it was not cleared")
		}
	})
	g.settle()
	g.wantAnswer(b, "10.10.0.9", mac(9).String())
	if n := g.c.stats.frozenAddresses.Load(); n != 0 {
		t.Errorf("%d addresses are counted as frozen, want 0", n)
	}
}

func TestAHeldAddressIsFreeAfterATimeOrWhenNobodyHasIt(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates = Duplicates{Moves: 1, Freeze: time.Hour}
	for name, free := range map[string]func(g *gateway, b uint16){
		"after a time": func(g *gateway, _ uint16) {
			g.now.advance(time.Hour)
			g.peek((*loop).thaw)
		},
		"when its holder is gone": func(g *gateway, b uint16) { g.unanswered(b, "10.10.0.9", mac(5)) },
	} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{cfg: cfg})
			g.hears(b, 1, mac(5), "10.10.0.9")
			g.hears(b, 2, mac(6), "10.10.0.9")
			g.wantOwn(bgp.TypeMACIP, advertised(mac(5), "10.10.0.9", 0))
			free(g, b)
			g.settle()
			g.hears(b, 2, mac(6), "10.10.0.9")
			if got := g.own(bgp.TypeMACIP); len(got) != 1 || !strings.Contains(got[0], mac(6).String()) {
				t.Errorf("advertised: %v", got)
			}
		})
	}
}

// RFC 7432 section 15.1: routes of a frozen MAC are processed no more, wherever it is.
func TestAMACThatIsFrozenElsewhereFollowsNoRoutes(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates.Moves = 1
	g, b := twoPorts(t, options{cfg: cfg})
	r := macRoute(leaf1, 100, mac(1))
	g.send(update(peer1, r))
	g.settle()
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	rival := with(macRoute(leaf2, 100, mac(1)), 50)
	g.send(update(peer2, rival))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.send(update(peer1, with(r, 2))) // the same place
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantFDB(b, mac(1), "nowhere") // flooded for
	if _, err := g.c.FDB(t.Context(), ""); err != nil {
		t.Error(err)
	}
	g.send(update(peer1, with(r, 3)))
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	if n, err := g.c.ClearDuplicates(t.Context(), "bridge-10", view.Duplicate{MAC: mac(1)}); n != 1 || err != nil {
		t.Fatalf("ClearDuplicates: %d, %v", n, err)
	}
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
}

// RFC 7432 section 15.2: a static MAC stands against any route of a peer, and the operator is
// told; RFC 9161 section 3.7: so does its address.
func TestAStaticMACIsNeverLostToAPeer(t *testing.T) {
	gatewayRoute := macRoute(leaf0, 100, mac(1))
	gatewayRoute.DefaultGateway = true
	for name, r := range map[string]bgp.Route{
		"sticky, of a lower VTEP": sticky(with(macRoute(leaf0, 100, mac(1)), 9)),
		"a gateway's":             gatewayRoute,
		"any":                     macRoute(leaf1, 100, mac(1)),
	} {
		t.Run(name, func(t *testing.T) {
			log := &logged{}
			cfg := testConfig()
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			g, b := twoPorts(t, options{cfg: cfg})
			g.staticMAC("host1", "eth1", mac(1), "10.10.0.5")
			for range 3 {
				g.send(update(peer1, r))
				r.Sequence++
				g.settle()
			}
			g.wantFDB(b, mac(1), "port 1")
			g.send(update(peer1, sticky(with(hostRoute(leaf0, 100, mac(9), "10.10.0.5", 0), 99))))
			g.settle()
			g.hears(b, 2, mac(6), "10.10.0.5")
			g.wantAnswer(b, "10.10.0.5", mac(1).String())
			if n := log.count("WARN", "static", mac(1).String()); n != 2 {
				t.Errorf("the operator was told %d times, want once of the MAC and once of its address", n)
			}
			g.update(func(tx *intent.Tx) error { return tx.StaticMACs().Delete("host1") })
			g.settle()
			g.wantFDB(b, mac(1), fmt.Sprintf("%v vni 100", r.NextHop))
		})
	}
}

// RFC 9135 section 4: a host that answered the gateway is routed to in the pipeline, also
// where its route is of its MAC alone.
func TestWhatTheSlowPathFoundIsWhereItsMACIs(t *testing.T) {
	g, v, b, _ := routed(t, options{})
	r := macRoute(leaf1, 100, mac(9))
	g.send(update(peer1, r))
	n := slowpath.Neighbor{VRF: v, Bridge: b, IP: addr("10.10.0.9"), MAC: mac(9), Present: true}
	g.slow.events <- n
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(9).String()+" in 1")
	g.wantAnswer(b, "10.10.0.9", mac(9).String())
	g.wantOwn(bgp.TypeMACIP)
	if len(g.slow.remotes()) != 0 {
		t.Error("the kernel was told what it knows itself")
	}
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
	g.send(update(peer1, macRoute(leaf2, 100, mac(9))))
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(9).String()+" in 1")
	g.slow.events <- slowpath.Neighbor{VRF: v, Bridge: b, IP: addr("10.10.0.9")}
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
}

// RFC 7432 section 15 has no number above the last: the operator is told, and can clear.
func TestTheLastSequenceNumberIsToldOfAndCleared(t *testing.T) {
	log := &logged{}
	cfg := testConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	g, b := twoPorts(t, options{cfg: cfg})
	r := with(macRoute(leaf1, 100, mac(1)), maxSequence)
	g.send(update(peer1, r))
	g.settle()
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.send(withdraw(peer1, r))
	g.settle()
	if n := log.count("WARN", "highest sequence number", mac(1).String()); n != 1 {
		t.Errorf("the operator was told %d times, want 1", n)
	}
	if n, err := g.c.ClearDuplicates(t.Context(), "bridge-10", view.Duplicate{MAC: mac(1)}); n != 1 || err != nil {
		t.Fatalf("ClearDuplicates: %d, %v", n, err)
	}
	g.settle()
	g.wantRoute(mac(1), 0)
}

// RFC 9047 section 3.1: our routes say what a host said of itself, and that an address is
// configured.
func TestTheFlagsOfAnAddressAreAdvertised(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.staticMAC("host1", "eth2", mac(1), "10.10.0.5")
	g.learn(b, 1, mac(5))
	say := func(flags packet.Flags) {
		g.peek(func(l *loop) {
			l.heard(l.bridges[b], sighting{ip: addr("2001:db8::5"), mac: mac(5), port: 1, by: byHost, flags: flags})
		})
		g.settle()
	}
	want := func(flags string) {
		t.Helper()
		all := g.own(bgp.TypeMACIP)
		if !slices.ContainsFunc(all, func(r string) bool {
			return strings.Contains(r, "2001:db8::5") && strings.Contains(r, "ARP/ND flags ["+flags+"]")
		}) && flags != "" {
			t.Errorf("advertised: %v, want flags %s", all, flags)
		}
	}
	say(0)
	if all := g.own(bgp.TypeMACIP); strings.Contains(strings.Join(all, ""), "[router") {
		t.Errorf("advertised: %v", all)
	}
	const known = packet.FlagsKnown | packet.FlagOverrideKnown
	say(known | packet.FlagRouter | packet.FlagOverride)
	want("router, override")
	say(0) // a solicitation says nothing of them
	want("router, override")
	say(known | packet.FlagOverride)
	want("override")
	if all := g.own(bgp.TypeMACIP); !strings.Contains(strings.Join(all, ""), "[10.10.0.5] RD 10.0.0.1:100 via 10.0.0.1 "+
		"VNI 100 sticky ARP/ND flags [immutable]") {
		t.Errorf("advertised: %v", all)
	}
}

// A copy of what a MAC said before it went elsewhere is not believed when it comes back
// later.
func TestWhatAMACSaidLongBeforeItCameIsForgotten(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, macRoute(leaf1, 100, mac(5))))
	g.settle()
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.now.advance(time.Minute)
	g.learn(b, 1, mac(5))
	g.settle()
	g.wantAnswer(b, "10.10.0.5", "nobody")
}

// Whatever a tenant sends, one address has a few claims alone, and its owner's stays.
func TestAnAddressHasOnlySoManyClaims(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates.Moves = 2
	g, b := twoPorts(t, options{cfg: cfg})
	for i := range 3 * maxClaims {
		g.hears(b, 1, mac(5+i), "10.10.0.9")
	}
	g.peek(func(l *loop) {
		a := l.bridges[b].addresses[addr("10.10.0.9")]
		if n := len(a.claims.all); n != maxClaims {
			t.Errorf("%d claims, want %d", n, maxClaims)
		}
		if l.bridges[b].holder(addr("10.10.0.9")) != mac(6) || a.claim(mac(6)) == nil {
			t.Error("the claim of the holder was dropped")
		}
	})
}

// logged is what was logged.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (w *logged) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, string(p))
	return len(p), nil
}

// count is how many lines have all of the words.
func (w *logged) count(words ...string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.lines {
		if !slices.ContainsFunc(words, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// forgetInactive ends the claims that lost: which there are depends on what was before.
func (l *loop) forgetInactive() {
	for _, b := range l.bridges {
		for ip, a := range b.addresses {
			if a.claims == nil {
				continue
			}
			at := b.locate(ip)
			for _, c := range slices.Clone(a.claims.all) {
				if !at.here() || c.mac != at.mac {
					b.removeClaim(ip, a, c.mac, spoken)
				}
				if !at.claimed && c.mac != at.mac {
					b.removeClaim(ip, a, c.mac, bySlowPath)
				}
			}
			l.addressFollows(b, ip)
		}
	}
}
