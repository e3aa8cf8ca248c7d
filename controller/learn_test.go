package controller

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func TestASilentMACIsForgottenAndWithdrawn(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1), mac(2), mac(3))
	g.settle()
	before := g.target.Counts()
	g.idle(b, 1, mac(1), mac(3))
	g.eventually("aged", func() bool { return g.whereIs(b, mac(1)) == "nowhere" && g.whereIs(b, mac(3)) == "nowhere" })
	g.settle()
	g.wantSource(b, mac(1), 1, nil)
	g.wantRoute(mac(1), -1)
	g.wantFDB(b, mac(2), "port 1")
	g.wantRoute(mac(2), 0)
	if n := g.target.Counts().Writes - before.Writes; n != 1 {
		t.Errorf("two MACs that aged together took %d writes, want 1", n)
	}
}

func TestAnIdleTimeoutOfAPortThatAMACLeftIsNothing(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1))
	g.settle()
	g.learn(b, 2, mac(1))
	g.settle()
	g.idle(b, 1, mac(1))
	g.learn(b, 2, mac(2)) // comes after it
	g.settle()
	g.wantFDB(b, mac(1), "port 2")
}

func TestAStaticMACDoesNotAge(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].StaticMACs = []StaticMAC{{MAC: mac(1)}}
	g, b := twoPorts(t, options{cfg: cfg})
	g.idle(b, 1, mac(1))
	g.learn(b, 2, mac(2))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantSource(b, mac(1), 1, p4.Source{Verdict: p4.Known})
}

func TestLimitsOfMACs(t *testing.T) {
	for name, c := range map[string]struct {
		perPort, perBridge int
		learn              []struct{ mac, port int }
		declined           []struct{ mac, port int }
	}{
		"per port": {2, 0,
			[]struct{ mac, port int }{{1, 1}, {2, 1}, {3, 1}, {4, 2}},
			[]struct{ mac, port int }{{3, 1}}},
		"per bridge": {0, 2,
			[]struct{ mac, port int }{{1, 1}, {2, 2}, {3, 1}, {4, 2}},
			[]struct{ mac, port int }{{3, 1}, {4, 2}}},
		"a move inside the bridge is no new MAC": {0, 2,
			[]struct{ mac, port int }{{1, 1}, {2, 1}, {1, 2}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Ports[0].MaxMACs, cfg.MaxMACs = c.perPort, c.perBridge
			g, b := twoPorts(t, options{cfg: cfg})
			over := map[int]bool{}
			for _, l := range c.declined {
				over[l.mac] = true
			}
			for _, l := range c.learn {
				g.learn(b, uint16(l.port), mac(l.mac))
			}
			g.settle()
			for _, l := range c.declined {
				g.wantFDB(b, mac(l.mac), "nowhere")
				g.wantSource(b, mac(l.mac), uint16(l.port), refusedSource(p4.Discard))
			}
			for _, l := range c.learn {
				if !over[l.mac] && g.whereIs(b, mac(l.mac)) == "nowhere" {
					t.Errorf("%v is not learned", mac(l.mac))
				}
			}
		})
	}
}

func TestAMACOverTheLimitIsReportedAgainWhenThereIsRoom(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].MaxMACs = 1
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(1), mac(2))
	g.settle()
	g.wantSource(b, mac(2), 1, refusedSource(p4.Discard))
	g.idle(b, 1, mac(1))
	g.eventually("room", func() bool { return g.get(p4.Source{Bridge: b, MAC: mac(2), Port: 1}) == nil })
	g.learn(b, 1, mac(2))
	g.settle()
	g.wantFDB(b, mac(2), "port 1")
}

// What sends when there is room is learned, though another one that was declined has fallen
// silent and is first.
func TestWhoIsOverTheLimitComesInWhenThereIsRoomWhoeverIsSilent(t *testing.T) {
	for name, where := range map[string]struct{ port, other uint16 }{
		"of the port": {1, 1}, "of the bridge": {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			if where.port == where.other {
				cfg.Ports[0].MaxMACs = 1
			} else {
				cfg.MaxMACs = 1
			}
			g, b := twoPorts(t, options{cfg: cfg})
			g.learn(b, where.other, mac(9))
			g.learn(b, where.port, mac(1), mac(2), mac(3)) // only 3 goes on sending
			g.settle()
			g.idle(b, where.other, mac(9))
			g.eventually("let in", func() bool {
				g.now.advance(idleTick)
				return g.get(p4.Source{Bridge: b, MAC: mac(3), Port: where.port}) == nil
			})
			g.learn(b, where.port, mac(3))
			g.settle()
			g.wantFDB(b, mac(3), fmt.Sprint("port ", where.port))
		})
	}
}

// limited is what the components of an object and the row of a port say of limits.
func (g *gateway) limited(ref intent.Ref) string {
	_, text := g.statusOf(ref)
	_, said, _ := strings.Cut(text, "{limits")
	return said
}

func TestALimitThatIsReachedIsSaidOnceAndShown(t *testing.T) {
	var log strings.Builder
	cfg := testConfig()
	cfg.Ports[0].MaxMACs, cfg.MaxMACs = 2, 3
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, b := twoPorts(t, options{cfg: cfg})
	bridge, port := bridgeRef(10), intent.Ref{Kind: intent.KindBridgePort, ID: "eth1"}
	if said := g.limited(bridge) + g.limited(port); said != "" {
		t.Errorf("before: %s", said)
	}
	g.learn(b, 1, mac(1), mac(2), mac(3), mac(4))
	g.learn(b, 2, mac(5), mac(6), mac(7))
	g.settle()
	for ref, want := range map[intent.Ref]string{
		bridge: "3 MACs are learned in the bridge where 3 may be", port: "2 MACs are learned on port eth1 where 2 may be",
	} {
		if said := g.limited(ref); !strings.Contains(said, want) {
			t.Errorf("%v says %q, want %q", ref, said, want)
		}
		g.wantStatus(ref, intent.StatusUp)
	}
	if state, reason := g.portState("eth1"); state != view.Up || !strings.Contains(reason, "2 MACs are learned") {
		t.Errorf("port: %v %q", state, reason)
	}
	g.idle(b, 1, mac(1), mac(2))
	g.eventually("no more said", func() bool { return g.limited(bridge)+g.limited(port) == "" })
	g.peek(func(*loop) {
		if got := log.String(); strings.Count(got, "level=WARN") != 2 ||
			!strings.Contains(got, "port=eth1 limit=2") || !strings.Contains(got, "bridge=bridge-10 limit=3") {
			t.Errorf("want one line of the port and one of the bridge:\n%s", got)
		}
	})
}

func TestALimitThatIsLoweredBelowWhatIsLearnedTakesNothingAndLetsNothingNewIn(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.learn(b, 1, mac(1), mac(2), mac(3))
	limit := func(n uint32) { g.instance(intent.Instance{ID: "bridge.bridge-10", MaxMACs: n}); g.settle() }
	limit(2)
	g.learn(b, 1, mac(4))
	g.settle()
	for n := range 3 {
		g.wantFDB(b, mac(n+1), "port 1")
	}
	g.wantFDB(b, mac(4), "nowhere")
	if said := g.limited(bridgeRef(10)); !strings.Contains(said, "3 MACs are learned in the bridge where 2 may be") {
		t.Errorf("the bridge says %q", said)
	}
	limit(0) // no limit of its own: the default
	g.eventually("let in", func() bool { return g.get(p4.Source{Bridge: b, MAC: mac(4), Port: 1}) == nil })
	g.learn(b, 1, mac(4))
	g.settle()
	g.wantFDB(b, mac(4), "port 1")
}

func TestADeclinedSourceAgesToo(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].MaxMACs = 1
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(1), mac(2))
	g.settle()
	g.idle(b, 1, mac(2))
	g.eventually("aged", func() bool { return g.get(p4.Source{Bridge: b, MAC: mac(2), Port: 1}) == nil })
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
}

func TestAFloodOfForgedSourcesIsBounded(t *testing.T) {
	cfg := testConfig()
	g, b := twoPorts(t, options{cfg: cfg})
	for i := range 30 {
		var macs []ether.MAC
		for j := range 100 {
			macs = append(macs, mac(i*100+j))
		}
		g.learn(b, 1, macs...)
	}
	g.settle()
	sources := 0
	for _, k := range g.entries() {
		if _, ok := k.(p4.Source); ok {
			sources++
		}
	}
	if want := defaultMaxPortMACs + maxDeclined; sources != want {
		t.Errorf("%d sources after 3000 forged ones, want %d", sources, want)
	}
}

func TestDigestsThatMakeNoSenseChangeNothing(t *testing.T) {
	g, b := twoPorts(t, options{})
	before := g.facts()
	multicast := mac(1)
	multicast[0] |= 1
	for _, members := range [][]*v1.P4Data{
		{learnData(99, mac(1), 1)},       // no such bridge
		{learnData(b, mac(1), 77)},       // no such port
		{learnData(b, mac(1), 3)},        // not in the bridge
		{learnData(b, mac(1), 11)},       // an uplink
		{learnData(b, multicast, 1)},     // no station's address
		{learnData(b, ether.MAC{}, 1)},   // nor this
		{p4rttest.Struct([]byte{1})},     // too few fields
		{p4rttest.Struct(nil, nil, nil)}, // empty ones
		{p4rttest.Struct([]byte{1, 1, 1, 1, 1, 1, 1}, []byte{1}, []byte{1})},
		{{}}, {nil},
	} {
		list, ok := g.target.SendDigest(p4.DigestID(), members...)
		if !ok {
			t.Fatal("digest not sent")
		}
		g.eventually("digest taken", func() bool { return g.target.Acked(list) })
	}
	g.target.SendIdle(&v1.TableEntry{}, nil, &v1.TableEntry{TableId: 1},
		p4.LocalVTEP{Address: vtep1}.Entry().Entity().GetTableEntry())
	g.learn(b, 1, mac(5))
	g.settle()
	if after := len(g.facts()) - len(before); after != 2 {
		t.Errorf("%d entries more than before, want the two of the good one", after)
	}
}
