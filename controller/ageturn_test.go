package controller

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// ageing is a gateway with hosts at two ports whose clock tests put on.
func ageing(t *testing.T, age time.Duration) (*gateway, uint16) {
	t.Helper()
	o := options{cfg: testConfig()}
	o.cfg.Ageing, o.cfg.AddressAge = 30*time.Second, age
	g, b := twoPorts(t, o)
	g.now.stop()
	g.settle()
	return g, b
}

// question is one that the gateway asked.
type question struct {
	mac    ether.MAC
	target netip.Addr
}

// questions are those that the gateway asked until now, with how often.
func (g *gateway) questions() map[question]int {
	g.Helper()
	g.allSent()
	asked := map[question]int{}
	for _, p := range g.target.PacketOuts() {
		if s, ok := packet.ReadSighting(p.Payload); ok && s.Target.IsValid() {
			asked[question{ether.MAC(p.Payload[:6]), s.Target}]++
		}
	}
	return asked
}

func (g *gateway) askedFor(ip string) (n int) {
	for q, times := range g.questions() {
		if q.target == addr(ip) {
			n += times
		}
	}
	return n
}

// wait puts the clock on in steps, and has the loop see each.
func (g *gateway) wait(d time.Duration) {
	const step = 250 * time.Millisecond
	for ; d > 0; d -= step {
		g.now.advance(min(d, step))
		g.peek(func(*loop) {})
		g.allSent()
	}
	g.settle()
}

// allSent waits until the target has each question that the loop put into the stream.
func (g *gateway) allSent() {
	g.Helper()
	g.eventually("all that was asked is sent", func() bool {
		return int64(len(g.target.PacketOuts())) >= g.c.stats.probes.Load()
	})
}

// waitUntil puts the clock on until a condition holds, and says how long it took.
func (g *gateway) waitUntil(what string, limit time.Duration, cond func() bool) (took time.Duration) {
	g.Helper()
	for ; !cond(); took += time.Second / 4 {
		if took >= limit {
			g.Fatalf("after %v of its clock not: %s", took, what)
		}
		g.wait(time.Second / 4)
	}
	return took
}

func TestAnAddressThatItsHostDoesNotAnswerForIsWithdrawn(t *testing.T) {
	for _, ip := range []string{"10.10.0.5", "2001:db8:10::5", "fe80::5"} {
		g, b := ageing(t, time.Minute)
		g.hears(b, 1, mac(5), ip)
		g.hears(b, 1, mac(5), "10.10.0.6")
		g.wantAnswer(b, ip, mac(5).String())
		g.waitUntil("withdrawn", time.Minute, func() bool {
			if g.askedFor("10.10.0.6") > 0 {
				g.hears(b, 1, mac(5), "10.10.0.6") // the MAC lives
			}
			return g.answer(b, ip) == "nobody"
		})
		want := 3
		if addr(ip).Is6() {
			want += 3 // for its flags, when it was new
		}
		if n := g.questions()[question{mac(5), addr(ip)}]; n != want {
			t.Errorf("%s: it was asked %d times, want %d", ip, n, want)
		}
		g.wantAnswer(b, "10.10.0.6", mac(5).String())
		g.wantFDB(b, mac(5), "port 1")
	}
}

// Nothing happens but that time passes.
func TestWhatTimeEndsIsWrittenAtOnce(t *testing.T) {
	g, b := ageing(t, time.Minute)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.idle(b, 1, mac(5))
	for n := 1; n <= probeCount; n++ {
		g.now.advance(probePause)
		g.eventually("asked again", func() bool { return g.askedFor("10.10.0.5") == n })
	}
	g.now.advance(probePause)
	g.eventually("withdrawn", func() bool { return g.answer(b, "10.10.0.5") == "nobody" })
	g.wantOwn(bgp.TypeMACIP)
}

func TestAnAddressThatItsHostAnswersForStays(t *testing.T) {
	g, b := ageing(t, time.Minute)
	g.hears(b, 1, mac(5), "10.10.0.5")
	asked, silent := 0, 0
	for range 3 * 60 * 4 {
		g.wait(time.Second / 4)
		if n := g.askedFor("10.10.0.5"); n > asked {
			asked, silent = n, 0
			g.hears(b, 1, mac(5), "10.10.0.5")
		}
		if silent++; silent > 28*4 {
			t.Fatal("it was not asked for 28 s: as long as a MAC may be silent, but for the time that asking takes")
		}
	}
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	if asked < 6 || asked > 10 {
		t.Errorf("it was asked %d times in 180 s, want once in each round of up to 27 s", asked)
	}
}

// RFC 9161 section 3.3: who looks for a duplicate is answered by the host itself, which may
// be gone.
func TestAnAddressThatAnotherHostWantsIsAskedFor(t *testing.T) {
	for ip, wants := range map[string][]byte{
		"10.10.0.5":      arp(mac(6), "0.0.0.0", "10.10.0.5"),
		"2001:db8:10::5": nd(packet.ICMPv6NeighborSolicitation, mac(6), "::", "2001:db8:10::5", 0),
	} {
		g, b := ageing(t, time.Minute)
		g.hears(b, 1, mac(5), ip)
		g.punt(p4.PuntARP, 2, b, 0, wants)
		g.settle()
		if n := g.questions()[question{mac(5), addr(ip)}]; n != 1 {
			t.Fatalf("%s: it was asked %d times, want at once", ip, n)
		}
		took := g.waitUntil("withdrawn", time.Minute, func() bool { return g.answer(b, ip) == "nobody" })
		if took > 4*time.Second {
			t.Errorf("%s: withdrawn after %v", ip, took)
		}
		g.hears(b, 1, mac(5), ip)
		g.punt(p4.PuntARP, 2, b, 0, wants)
		g.hears(b, 1, mac(5), ip) // it answers
		g.wait(5 * time.Second)
		g.wantAnswer(b, ip, mac(5).String())
	}
}

// RFC 5227 section 2.1.1: a question of the gateway would look like a rival's.
func TestAHostThatLooksForDuplicatesIsNotAsked(t *testing.T) {
	g, b := ageing(t, time.Minute)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.waitUntil("asked", time.Minute, func() bool { return g.askedFor("10.10.0.5") == 1 })
	g.punt(p4.PuntARP, 1, b, 0, arp(mac(5), "0.0.0.0", "10.10.0.5"))
	g.settle()
	g.wait(5 * time.Second)
	if n := g.askedFor("10.10.0.5"); n != 1 {
		t.Errorf("it was asked %d times, want 1", n)
	}
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
}

func TestASilentMACIsAskedBeforeItIsForgotten(t *testing.T) {
	g, b := ageing(t, time.Hour)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.hears(b, 1, mac(6), "10.10.0.6")
	g.idle(b, 1, mac(5), mac(6))
	g.eventually("both are asked", func() bool {
		g.wait(time.Second / 4)
		return g.askedFor("10.10.0.5") == 1 && g.askedFor("10.10.0.6") == 1
	})
	g.hears(b, 1, mac(6), "10.10.0.6")
	took := g.waitUntil("forgotten", time.Minute, func() bool { return g.whereIs(b, mac(5)) == "nowhere" })
	if took > 4*time.Second {
		t.Errorf("forgotten after %v", took)
	}
	g.wantAnswer(b, "10.10.0.5", "nobody")
	g.wantFDB(b, mac(6), "port 1")
	g.wantAnswer(b, "10.10.0.6", mac(6).String())
}

func TestNobodyIsGoneWhileTheTargetIsAway(t *testing.T) {
	g, b := ageing(t, time.Minute)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.waitUntil("asked", time.Minute, func() bool { return g.askedFor("10.10.0.5") == 1 })
	g.target.Stop()
	g.eventually("the target is away", func() (away bool) {
		g.peek(func(l *loop) { away = !l.target.Ready() })
		return away
	})
	for range 100 {
		g.now.advance(time.Second)
		g.peek(func(*loop) {})
	}
	g.target.Start()
	g.eventually("the target is back", func() (back bool) {
		g.now.advance(time.Millisecond)
		g.peek(func(l *loop) { back = l.target.Ready() })
		return back
	})
	g.settle()
	g.waitUntil("asked again", 2*time.Second, func() bool { return g.askedFor("10.10.0.5") >= 2 })
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.waitUntil("withdrawn", 4*time.Second, func() bool { return g.answer(b, "10.10.0.5") == "nobody" })
	if n := g.askedFor("10.10.0.5"); n != 4 {
		t.Errorf("it was asked %d times, want 3 after the target came back", n)
	}
}

func TestAnAddressTooManyEndsTheOneNotHeardForTheLongestTime(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.MaxAddresses = 4
	g, b := twoPorts(t, o)
	g.now.stop()
	g.learn(b, 1, mac(5))
	g.settle()
	hear := func(n int) {
		g.peek(func(l *loop) {
			l.heard(l.bridges[b], sighting{ip: addr(fmt.Sprintf("10.10.0.%d", n)), mac: mac(5), port: 1, by: byHost})
		})
		g.now.advance(time.Second)
	}
	for n := 1; n <= 4; n++ {
		hear(n)
	}
	hear(1) // it is in use
	hear(5)
	hear(6)
	g.settle()
	for n, want := range map[int]string{1: mac(5).String(), 2: "nobody", 3: "nobody", 4: mac(5).String(),
		5: mac(5).String(), 6: mac(5).String()} {
		g.wantAnswer(b, fmt.Sprintf("10.10.0.%d", n), want)
	}
	if n := g.c.stats.hostsDisplaced.Load(); n != 2 {
		t.Errorf("%d made room, want 2", n)
	}
	g.peek(func(l *loop) {
		l.heard(l.bridges[b], sighting{ip: addr("10.10.0.7"), mac: mac(5), by: byTarget, port: 1})
	})
	g.settle()
	g.wantAnswer(b, "10.10.0.7", "nobody") // nobody said that it is in use
}

func TestTemporaryAddressesTurnOverWithoutEnd(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(5))
	g.settle()
	last := addr("2001:db8:10::1000")
	g.peek(func(l *loop) {
		for range 5000 {
			last = last.Next()
			l.heard(l.bridges[b], sighting{ip: last, mac: mac(5), port: 1, by: byHost})
		}
	})
	g.settle()
	g.wantAnswer(b, last.String(), mac(5).String())
	if n := g.c.stats.hostsLocal.Load(); n != defaultMaxAddresses {
		t.Errorf("%d addresses, want %d", n, defaultMaxAddresses)
	}
}

func TestARestartAsksNobodyAtOnce(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	const hosts = 200
	t.Run("before", func(t *testing.T) {
		g, b := twoPorts(t, options{server: server, store: store})
		var all []ether.MAC
		for n := range hosts {
			all = append(all, mac(0x1000+n))
		}
		g.learn(b, 1, all...)
		g.settle()
		g.peek(func(l *loop) {
			for n := range hosts {
				l.heard(l.bridges[b], sighting{ip: addr(fmt.Sprintf("10.10.1.%d", n)), mac: mac(0x1000 + n), port: 1, by: byHost})
			}
		})
		g.settle()
	})
	server.SetCookie(p4.Cookie())
	o := options{cfg: testConfig(), server: server, store: store, clock: &testClock{now: time.Unix(1e9, 0)}}
	o.cfg.Ageing = 100 * time.Second
	g := start(t, o)
	<-g.c.Synced()
	g.settle()
	if n := g.c.stats.hostsLocal.Load(); n != hosts {
		t.Fatalf("%d hosts were taken over, want %d", n, hosts)
	}
	most, before := 0, 0
	for range 97 {
		g.wait(time.Second)
		asked := len(g.questions())
		most, before = max(most, asked-before), asked
	}
	if before != hosts || most > 15 {
		t.Errorf("%d of %d were asked in a round, up to %d in a second", before, hosts, most)
	}
}

func TestAnAddressIsLookedForEverywhere(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.peek(func(l *loop) {
		l.glean(l.bridges[b], addr("10.10.0.5"))
		l.glean(l.bridges[b], addr("2001:db8::5"))
	})
	g.eventually("sent", func() bool { return len(g.target.PacketOuts()) == 2 })
	for _, p := range g.target.PacketOuts() {
		if !sameOut(p, p4.PacketOut{Bridge: b, Frame: p.Payload}) || p.Payload[0]&1 != 1 {
			t.Errorf("sent %v", p)
		}
	}
}

func TestAHostThatLooksForWhoAskedItIsAnswered(t *testing.T) {
	g, b := twoPorts(t, options{})
	asker := askerMAC(routerMAC)
	g.hears(b, 1, mac(5), "fe80::5")
	g.punt(p4.PuntND, 1, b, 0, nd(packet.ICMPv6NeighborSolicitation, mac(5), "fe80::5", packet.LinkLocal(asker).String(),
		sourceMAC))
	g.eventually("answered", func() bool {
		for _, p := range g.target.PacketOuts() {
			want := packet.NeighborAdvertisement(asker, packet.LinkLocal(asker), mac(5), addr("fe80::5"))
			if sameOut(p, p4.PacketOut{Bridge: b, Frame: want}) {
				return true
			}
		}
		return false
	})
}

func TestHostsAreAskedFromAMACOfTheGatewaysOwn(t *testing.T) {
	for router, want := range map[ether.MAC]ether.MAC{
		{2, 0, 10, 0, 0, 1}:          {6, 0, 10, 0, 0, 1},
		{0, 0x1b, 0x21, 1, 2, 3}:     {6, 0x1b, 0x21, 1, 2, 3},
		{6, 1, 2, 3, 4, 5}:           {2, 1, 2, 3, 4, 5},
		{0xfe, 1, 2, 3, 4, 5}:        {0xfa, 1, 2, 3, 4, 5},
		{0x4c, 0x1b, 0x21, 10, 2, 3}: {0x4a, 0x1b, 0x21, 10, 2, 3},
	} {
		if got := askerMAC(router); got != want || got == router || got.IsMulticast() || got[0]&2 == 0 {
			t.Errorf("of %v: %v, want %v", router, got, want)
		}
	}
	g, b := twoPorts(t, options{})
	asker := askerMAC(routerMAC)
	g.learn(b, 1, asker) // a tenant has it
	g.settle()
	g.wantFDB(b, asker, "nowhere")
	for _, want := range []p4.Trap{
		{EtherType: 0x0806, Origin: p4.OriginBridge, Reason: p4.PuntARP},
		{EtherType: 0x86dd, Origin: p4.OriginBridge, ICMPv6Type: 135, Reason: p4.PuntND},
		{EtherType: 0x86dd, Origin: p4.OriginBridge, ICMPv6Type: 136, Reason: p4.PuntND},
		{EtherType: 0x0806, Origin: p4.OriginVXLAN, Reason: p4.PuntVXLANARP},
		{EtherType: 0x86dd, Origin: p4.OriginVXLAN, ICMPv6Type: 136, Reason: p4.PuntVXLANND},
	} {
		want.MAC, want.Priority, want.Divert = asker, trapPriority+1, true
		if got := g.get(want); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func sameOut(got *p4v1.PacketOut, want p4.PacketOut) bool {
	return got.String() == want.Message().String()
}
