package controller

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/carrier"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

func netdev(name string, up bool) carrier.State {
	return carrier.State{Netdev: name, Exists: true, Up: up}
}

// wired is a gateway whose ports have netdevs of their names, all with carrier.
func wired(t *testing.T, delays CarrierDelays) (*gateway, uint16) {
	t.Helper()
	cfg := testConfig()
	var first []carrier.State
	for i := range cfg.Ports {
		cfg.Ports[i].Netdev = cfg.Ports[i].Name
		first = append(first, netdev(cfg.Ports[i].Name, true))
	}
	cfg.Carrier = delays
	return twoPorts(t, options{cfg: cfg, carrier: controllertest.NewCarrier(first...)})
}

// plug sets the carrier of netdevs, and waits until what follows is on the target.
func (g *gateway) plug(states ...carrier.State) {
	g.Helper()
	g.carrier.Set(states...)
	g.eventually("carrier taken", func() bool { return g.carrier.Pending() == 0 })
	g.settle()
}

func TestAPortWithoutCarrierLosesItsMACsAndAddressesInOneWrite(t *testing.T) {
	g, b := wired(t, CarrierDelays{})
	const hosts = 100
	var macs []ether.MAC
	for i := range hosts {
		macs = append(macs, mac(i+1))
	}
	g.learn(b, 1, macs...)
	g.learn(b, 2, mac(1000))
	g.hears(b, 1, mac(1), "10.10.0.1")
	g.hears(b, 2, mac(1000), "10.10.0.2")
	g.settle()
	before, routes := g.target.Counts(), len(g.speaker.Routes())
	var calls atomic.Int32
	g.speaker.Observe(func([]bgp.Route, []bgp.Key) { calls.Add(1) })
	g.plug(netdev("eth1", false))
	for _, m := range macs {
		if at := g.whereIs(b, m); at != "nowhere" {
			t.Fatalf("%v is %s", m, at)
		}
	}
	g.wantFDB(b, mac(1000), "port 2")
	g.wantAnswer(b, "10.10.0.2", mac(1000).String())
	if gone := routes - len(g.speaker.Routes()); gone != hosts+1 {
		t.Errorf("%d routes withdrawn, want those of %d MACs and an address", gone, hosts)
	}
	if n := g.target.Counts().Writes - before.Writes; n > 3 {
		t.Errorf("%d writes, want one a level", n)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("BGP was told in %d calls, want 1", n)
	}
	// It comes back, and so do hosts that speak.
	g.plug(netdev("eth1", true))
	g.learn(b, 1, mac(1))
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.wantRoute(mac(1), 0)
}

func TestAHostThatIsPluggedInElsewhereIsThere(t *testing.T) {
	g, b := wired(t, CarrierDelays{})
	g.learn(b, 1, mac(1))
	g.hears(b, 1, mac(1), "10.10.0.1")
	g.plug(netdev("eth1", false))
	g.learn(b, 1, mac(1)) // it was under way
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
	g.settle()
	g.wantFDB(b, mac(1), leaf1.String()+" vni 100")
	g.wantRoute(mac(1), -1)
}

func TestAStaticMACIsWithdrawnWhileItsPortHasNoCarrier(t *testing.T) {
	g, b := wired(t, CarrierDelays{})
	static := intent.Ref{Kind: intent.KindStaticMAC, ID: "host1"}
	port := intent.Ref{Kind: intent.KindBridgePort, ID: "eth1"}
	g.staticMAC("host1", "eth1", mac(1), "10.10.0.5")
	g.wantStatus(static, intent.StatusUp)
	g.plug(netdev("eth1", false))
	g.wantFDB(b, mac(1), "nowhere")
	g.wantRoute(mac(1), -1)
	for _, ref := range []intent.Ref{static, port} {
		if oper, text := g.statusOf(ref); oper != intent.StatusDown || !strings.Contains(text, "no carrier") {
			t.Errorf("%v is %v: %s", ref, oper, text)
		}
	}
	g.plug(netdev("eth1", true))
	g.wantFDB(b, mac(1), "port 1")
	g.wantRoute(mac(1), 0)
	g.wantAnswer(b, "10.10.0.5", mac(1).String())
	g.wantStatus(static, intent.StatusUp)
	g.wantStatus(port, intent.StatusUp)
}

func TestCarrierCountsAfterItsDelays(t *testing.T) {
	g, b := wired(t, CarrierDelays{Up: 100 * time.Millisecond, Down: 50 * time.Millisecond})
	g.now.stop()
	g.learn(b, 1, mac(1))
	g.settle()
	g.plug(netdev("eth1", false))
	g.now.advance(49 * time.Millisecond)
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.plug(netdev("eth1", true)) // soon enough
	g.now.advance(time.Second)
	g.settle()
	g.wantFDB(b, mac(1), "port 1")
	g.plug(netdev("eth1", false))
	g.now.advance(50 * time.Millisecond)
	g.eventually("forgotten", func() bool { return g.whereIs(b, mac(1)) == "nowhere" })
	g.plug(netdev("eth1", true))
	g.learn(b, 1, mac(2)) // who is new says something once
	g.now.advance(99 * time.Millisecond)
	g.settle()
	g.wantFDB(b, mac(2), "nowhere")
	g.now.advance(time.Millisecond)
	g.eventually("known", func() bool { return g.whereIs(b, mac(2)) == "port 1" })
	// What was said before carrier went again is not kept.
	g.plug(netdev("eth1", false))
	g.now.advance(50 * time.Millisecond)
	g.eventually("forgotten", func() bool { return g.whereIs(b, mac(2)) == "nowhere" })
	g.plug(netdev("eth1", true))
	g.learn(b, 1, mac(3))
	g.plug(netdev("eth1", false))
	g.plug(netdev("eth1", true))
	g.now.advance(100 * time.Millisecond)
	g.eventually("up", func() bool { state, _ := g.portState("eth1"); return state == "up" })
	g.settle()
	g.wantFDB(b, mac(3), "nowhere")
}

func TestALossThatWasOverAtOnceEndsMACsToo(t *testing.T) {
	g, b := wired(t, CarrierDelays{})
	g.learn(b, 1, mac(1))
	g.settle()
	s := netdev("eth1", true)
	s.Losses = 7
	g.plug(s)
	g.wantFDB(b, mac(1), "nowhere")
	rows, err := g.c.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == "eth1" && (r.Losses != 7 || r.Link != "up" || r.State != "up") {
			t.Errorf("%+v, want it up after 7 losses", r)
		}
	}
}

func TestATunnelLeavesAnUplinkWithoutCarrier(t *testing.T) {
	g, _ := wired(t, CarrierDelays{})
	g.underlay.Set(leaf1, "", path1, path2)
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, floodRoute(leaf1, 100)))
	g.settle()
	uplinks := func() (ports []uint16) {
		for _, e := range g.entries() {
			if p, ok := e.(p4.UplinkSlot); ok && !slices.Contains(ports, p.Port) {
				ports = append(ports, p.Port)
			}
		}
		slices.Sort(ports)
		return ports
	}
	if got := uplinks(); !slices.Equal(got, []uint16{11, 12}) {
		t.Errorf("a VTEP is reached by ports %d, want both", got)
	}
	name, device := map[uint16]string{11: "up1", 12: "up2"}, map[uint16]string{11: "host1", 12: "host2"}
	const was, other = 11, 12
	g.plug(netdev(name[was], false))
	if got := uplinks(); !slices.Equal(got, []uint16{other}) {
		t.Errorf("a VTEP is reached by ports %d after the carrier of %d went, want %d", got, was, other)
	}
	if said := g.carrier.Followed(); said[device[was]] || !said[device[other]] {
		t.Errorf("the Linux sides follow as %v", said)
	}
	g.plug(netdev(name[other], false))
	if got := uplinks(); len(got) != 0 {
		t.Errorf("a VTEP is reached by ports %d without carrier on any", got)
	}
	g.peek(func(l *loop) {
		for _, tunnel := range l.tunnels {
			if why := tunnel.unresolved(); !strings.Contains(why, "carrier") {
				g.Errorf("the reason is %q", why)
			}
		}
	})
	g.plug(netdev(name[was], true), netdev(name[other], true))
	g.regroup()
	if got := uplinks(); !slices.Equal(got, []uint16{was, other}) {
		t.Errorf("a VTEP is reached by ports %d, want both as before", got)
	}
	if said := g.carrier.Followed(); !said["host1"] || !said["host2"] {
		t.Errorf("the Linux sides follow as %v", said)
	}
}

func TestWhatTheTargetSaysCountsWhereTheNetdevIsNotHere(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].Netdev = "eth1"
	first := carrier.State{Netdev: "eth1"}
	g, b := twoPorts(t, options{cfg: cfg, carrier: controllertest.NewCarrier(first)})
	g.learn(b, 1, mac(1))
	g.settle()
	says := func(object string) {
		var s structpb.Struct
		if err := protojson.Unmarshal([]byte(object), &s); err != nil {
			t.Fatal(err)
		}
		m, err := anypb.New(&s)
		if err != nil {
			t.Fatal(err)
		}
		g.target.SendOther(m)
	}
	g.wantFDB(b, mac(1), "port 1")
	says(`{"refused_ports": {}}`) // nothing of carrier
	says(`{"down_ports": {"1": "eth1: no carrier", "77": "none of ours"}}`)
	g.eventually("withdrawn", func() bool { return g.whereIs(b, mac(1)) == "nowhere" })
	if state, why := g.portState("eth1"); state != "down" || why != "eth1: no carrier" {
		t.Errorf("the port is %s: %s", state, why)
	}
	says(`{"down_ports": {}}`)
	g.eventually("up", func() bool { state, _ := g.portState("eth1"); return state == "up" })
	// Now it is here, and the kernel knows better.
	g.plug(netdev("eth1", true))
	says(`{"down_ports": {"1": "old news"}}`)
	g.learn(b, 1, mac(2))
	g.settle()
	g.wantFDB(b, mac(2), "port 1")
	g.plug(carrier.State{Netdev: "eth1", Losses: 1})
	g.wantFDB(b, mac(2), "nowhere")
	if _, why := g.portState("eth1"); !strings.Contains(why, "gone") {
		t.Errorf("the reason is %q", why)
	}
}

func TestMACsOfAPortThatLostCarrierMeanwhileAreNotTakenOver(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].Netdev, cfg.Ports[1].Netdev = "eth1", "eth2"
	server, store := p4rttest.New(t, p4rttest.Config{}), intent.NewMemory()
	var b uint16
	t.Run("before", func(t *testing.T) {
		var g *gateway
		g, b = twoPorts(t, options{cfg: cfg, server: server, store: store,
			carrier: controllertest.NewCarrier(netdev("eth1", true), netdev("eth2", true))})
		g.learn(b, 1, mac(1))
		g.learn(b, 2, mac(2))
		g.settle()
	})
	again := start(t, options{cfg: cfg, server: server, store: store,
		carrier: controllertest.NewCarrier(netdev("eth1", false), netdev("eth2", true))})
	again.settle()
	again.eventually("the MAC of the other port is", func() bool { return again.whereIs(b, mac(2)) == "port 2" })
	again.wantFDB(b, mac(1), "nowhere")
}

func TestAPortThatFlapsWritesLittle(t *testing.T) {
	g, b := wired(t, CarrierDelays{Up: 100 * time.Millisecond})
	var macs []ether.MAC
	for i := range 5 {
		macs = append(macs, mac(i+1))
	}
	g.learn(b, 1, macs...)
	g.settle()
	g.now.stop()
	before := g.target.Counts()
	for i := range 100 { // a second of it
		s := netdev("eth1", i%2 == 1)
		s.Losses = uint64(i/2 + 1)
		g.plug(s)
		g.learn(b, 1, mac(1))
		g.now.advance(10 * time.Millisecond)
	}
	if n := g.target.Counts().Writes - before.Writes; n > 3 {
		t.Errorf("%d writes while a port flapped, want those of its first loss", n)
	}
	rows, err := g.c.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows[0].Losses != 50 {
		t.Errorf("%d losses of %s, want 50", rows[0].Losses, rows[0].Name)
	}
	want := "# TYPE p4evpn_controller_port_carrier gauge\n"
	for name, up := range map[string]int{"eth1": 0, "eth2": 1, "eth3": 1, "up1": 1, "up2": 1} {
		want += fmt.Sprintf("p4evpn_controller_port_carrier{port=%q} %d\n", name, up)
	}
	want = "# HELP p4evpn_controller_port_carrier 1 while a port, but a host port, has carrier that counts.\n" + want
	if err := testutil.CollectAndCompare(g.c, strings.NewReader(want), "p4evpn_controller_port_carrier"); err != nil {
		t.Error(err)
	}
}

// What a port costs that loses carrier and has it again, with 1,000 MACs in its bridge.
func BenchmarkFlap(b *testing.B) {
	for _, up := range []time.Duration{0, 100 * time.Millisecond} {
		b.Run(fmt.Sprint(up), func(b *testing.B) {
			cfg := testConfig()
			cfg.Ports[0].Netdev, cfg.Carrier.Up = "eth1", up
			g, index := twoPorts(b, options{cfg: cfg, carrier: controllertest.NewCarrier(netdev("eth1", true))})
			var macs []ether.MAC
			for i := range 1000 {
				macs = append(macs, mac(i+1))
			}
			g.learn(index, 2, macs...)
			g.settle()
			s := netdev("eth1", true)
			for b.Loop() {
				s.Up = false
				s.Losses++
				g.carrier.Set(s)
				s.Up = true
				g.carrier.Set(s)
			}
			g.eventually("taken", func() bool { return g.carrier.Pending() == 0 })
		})
	}
}
