package controller

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// to is the beginning of a packet to an address, as much as is looked at.
func to(ip string) []byte {
	f := make([]byte, 64)
	if a := addr(ip); a.Is4() {
		f[12], f[13], f[14] = 8, 0, 0x45
		copy(f[30:], a.AsSlice())
	} else {
		f[12], f[13], f[14] = 0x86, 0xdd, 0x60
		copy(f[38:], a.AsSlice())
	}
	return f
}

// gleans has the pipeline punt a packet for an address that is not known.
func (g *gateway) gleans(bridge, vrf uint16, ip string) {
	g.Helper()
	g.punt(p4.PuntGlean, 1, bridge, vrf, to(ip))
}

// answersFrom has a host behind a VTEP answer the gateway.
func (g *gateway) answersFrom(bridge uint16, m ether.MAC, ip string) {
	g.Helper()
	g.peek(func(l *loop) {
		var frame []byte
		if addr(ip).Is4() {
			frame = arp(m, ip, "10.10.0.1")
			copy(frame, l.asker[:])
			frame[21] = 2 // a reply, RFC 826
		} else {
			frame = packet.NeighborAdvertisement(m, addr(ip), l.asker, packet.LinkLocal(l.asker))
		}
		l.snoop(p4.PacketIn{Reason: p4.PuntARP, Port: 11, Bridge: bridge, VTEP: leaf1, Frame: frame})
	})
	g.settle()
}

// sent counts the questions for an address to all hosts of a bridge.
func (g *gateway) sent(bridge uint16, ip string) (n int) {
	want := packet.Query{MAC: g.c.loop.asker, Target: addr(ip)}.Frame()
	for _, p := range g.target.PacketOuts() {
		if slices.Equal(p.GetPayload(), want) {
			n++
		}
	}
	return n
}

// RFC 9135 section 4: what answers is where its MAC is, though no route says its address.
func TestASilentHostBehindAVTEPIsFoundThoughTheGatewayIsAnycast(t *testing.T) {
	for _, ip := range []string{"10.10.0.9", "2001:db8:10::9"} {
		g, v, b10, b20 := routed(t, options{})
		g.send(update(peer1, macRoute(leaf1, 100, mac(0x71))))
		g.settle()
		single := netip.PrefixFrom(addr(ip), addr(ip).BitLen()).String()
		g.answersFrom(b10, mac(0x71), ip) // nobody asked
		g.wantRouteTo(v, single, "nowhere")
		for range 10 {
			g.gleans(b20, v, ip) // from another subnet
		}
		g.eventually("a question to all", func() bool { return g.sent(b10, ip) == 1 })
		g.answersFrom(b10, mac(0x72), ip) // whose MAC is nowhere
		g.wantRouteTo(v, single, "nowhere")
		g.answersFrom(b10, mac(0x71), ip)
		g.wantRouteTo(v, single, "host "+mac(0x71).String()+" in 1")
		g.wantClaims(ip, mac(0x71).String()+" resolved at 10.0.0.11 seq 0: active, nobody claims it, and the host "+
			"answered when the gateway looked for it")
		if got := g.slow.remotes()[neighborKey{b10, addr(ip)}]; got != mac(0x71) {
			t.Errorf("the kernel has %s at %v, want %v", ip, got, mac(0x71))
		}
		g.wantOwn(bgp.TypeMACIP) // its leaf has it
		g.send(withdraw(peer1, macRoute(leaf1, 100, mac(0x71))))
		g.settle()
		g.wantRouteTo(v, single, "nowhere")
		if got := g.slow.remotes(); len(got) != 0 {
			t.Errorf("the kernel has %v, want nobody", got)
		}
	}
}

// A leaf hears of a silent host by its answer: the MAC's route comes after it.
func TestAnAnswerThatIsFasterThanTheRouteOfItsMACCounts(t *testing.T) {
	g, v, b10, _ := routed(t, options{})
	g.gleans(b10, v, "10.10.0.9")
	g.answersFrom(b10, mac(0x71), "10.10.0.9")
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
	g.send(update(peer1, macRoute(leaf1, 100, mac(0x71))))
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x71).String()+" in 1")
}

func TestWhereLeavesHaveNoGatewayTheKernelAsksAlone(t *testing.T) {
	g, v, b10, _ := central(t)
	g.send(update(peer1, macRoute(leaf1, 100, mac(0x71))))
	g.settle()
	g.gleans(b10, v, "10.10.0.9")
	g.answersFrom(b10, mac(0x71), "10.10.0.9") // to the kernel, in sight of us
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x71).String()+" in 1")
	if n := g.sent(b10, "10.10.0.9"); n != 0 {
		t.Errorf("%d questions of our own, want none", n)
	}
}

func TestAnAnswerThatComesTooLateIsNone(t *testing.T) {
	clock := &testClock{now: time.Unix(1e9, 0), began: time.Now()}
	g, v, b10, _ := routed(t, options{clock: clock})
	g.send(update(peer1, macRoute(leaf1, 100, mac(0x71))))
	g.settle()
	g.gleans(b10, v, "10.10.0.9")
	clock.advance(soughtLasts)
	g.answersFrom(b10, mac(0x71), "10.10.0.9")
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
}

func TestAHostThatWasFoundIsForgottenWithItsMAC(t *testing.T) {
	clock := &testClock{now: time.Unix(1e9, 0), began: time.Now()}
	g, v, b10, _ := routed(t, options{clock: clock})
	r := macRoute(leaf1, 100, mac(0x71))
	g.send(update(peer1, r))
	g.settle()
	g.gleans(b10, v, "10.10.0.9")
	g.answersFrom(b10, mac(0x71), "10.10.0.9")
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x71).String()+" in 1")
	g.send(withdraw(peer1, r))
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
	clock.advance(2 * time.Hour)
	g.eventually("forgotten", func() (forgotten bool) {
		g.peek(func(l *loop) { forgotten = l.bridges[b10].claimed[mac(0x71)] == nil })
		return
	})
}

func TestNoMoreAddressesAreLookedForAtATimeThanTheLimit(t *testing.T) {
	g, _, b10, _ := central(t)
	g.peek(func(l *loop) {
		b := l.bridges[b10]
		for i := range maxSought + 10 {
			l.seek(b, netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)}))
		}
		if n, lost := len(b.sought), l.stats.unsought.Load(); n != maxSought || lost != 10 {
			t.Errorf("%d are looked for and %d are not, want %d and 10", n, lost, maxSought)
		}
	})
}

// A host that was found, by our own question or by the kernel's, is asked again, stays while it
// answers, and is gone when it does not.
func TestAHostThatWasFoundIsThereWhileItAnswers(t *testing.T) {
	for name, kernel := range map[string]bool{"by us": false, "by the kernel": true} {
		t.Run(name, func(t *testing.T) {
			g, v, b10, _ := central(t)
			g.send(update(peer1, macRoute(leaf1, 100, mac(0x71))))
			g.settle()
			who := probed{b10, addr("10.10.0.9"), mac(0x71)}
			if kernel {
				g.slow.events <- slowpath.Neighbor{VRF: v, Bridge: b10, IP: who.ip, MAC: who.mac, Present: true}
			} else {
				g.gleans(b10, v, "10.10.0.9")
				g.answersFrom(b10, mac(0x71), "10.10.0.9")
			}
			g.eventually("found", func() bool { return g.routeTo(v, "10.10.0.9/32") == "host "+mac(0x71).String()+" in 1" })
			g.peek(func(l *loop) {
				if asked := l.askable(l.bridges[b10], mac(0x71)); len(asked) != 1 || asked[0].ip != who.ip {
					t.Errorf("%v are to be asked for, want %v", asked, who.ip)
				}
				l.bridges[b10].addresses[who.ip].claim(who.mac).confirmed = time.Time{}
				l.prober.ask(who, l.now())
			})
			g.eventually("a question by VXLAN to it alone", func() bool {
				outs := g.target.PacketOuts()
				want := p4.PacketOut{Bridge: b10, Frame: packet.Query{MAC: g.c.loop.asker, To: who.mac, Target: who.ip}.Frame()}
				return len(outs) > 0 && outs[len(outs)-1].String() == want.Message().String()
			})
			g.answersFrom(b10, mac(0x71), "10.10.0.9")
			g.peek(func(l *loop) {
				if l.prober.asks(who) || l.bridges[b10].addresses[who.ip].claim(who.mac).confirmed.IsZero() {
					t.Error("its answer is not taken")
				}
			})
			g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x71).String()+" in 1")
			g.peek(func(l *loop) { l.noAnswer(who) })
			g.settle()
			g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
		})
	}
}

func TestTheMACThatHostsAreAskedFromIsAdvertisedWhereThereIsAGateway(t *testing.T) {
	g, _, _, _ := routed(t, options{})
	g.bridge(30, 300)
	g.settle()
	var vnis []uint32
	for _, r := range g.speaker.Routes() {
		if r.Type == bgp.TypeMACIP && r.MAC == g.c.loop.asker {
			if !r.Sticky || r.DefaultGateway || r.IP.IsValid() {
				t.Errorf("%v: want a sticky MAC alone", r)
			}
			vnis = append(vnis, r.Label)
		}
	}
	slices.Sort(vnis)
	if !slices.Equal(vnis, []uint32{100, 200}) {
		t.Errorf("advertised in %v, want the bridges that have a gateway", vnis)
	}
}
