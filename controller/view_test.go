package controller

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

func TestTheViewShowsWhatThereIs(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[1].StaticMACs = []StaticMAC{{MAC: mac(8)}}
	g, b := twoPorts(t, options{cfg: cfg})
	events := []bgp.Event{update(peer1, floodRoute(leaf1, 100)), update(peer1, with(macRoute(leaf1, 100, mac(1)), 3)),
		update(peer1, macRoute(leaf2, 999, mac(2))), update(peer2, macRoute(leaf2, 100, mac(1))),
		update(peer2, macRoute(leaf2, 0, mac(3)))}
	g.send(events...)
	paths := []bgp.Path{{Route: events[1].Route, Peer: peer2, Step: bgp.StepPathLength},
		{Route: macRoute(leaf2, 100, mac(4)), Peer: peer2, Best: true}} // of which there was no event yet
	for _, e := range events {
		paths = append(paths, bgp.Path{Route: e.Route, Peer: e.Peer, Best: true})
	}
	g.speaker.Show(paths...)
	g.learn(b, 1, mac(5))
	g.settle()
	g.now.advance(90e9)

	bridges, err := g.c.Bridges(t.Context())
	if err != nil || len(bridges) != 1 {
		t.Fatalf("bridges: %+v, %v", bridges, err)
	}
	got := bridges[0]
	if got.Name != "bridge-10" || got.VLAN != 10 || got.VNI != 100 || got.State != view.Up || got.MACs != 3 ||
		got.RemoteVTEPs != 1 ||
		!slices.Equal(got.Ports, []string{"eth1", "eth2"}) {
		t.Errorf("bridge: %+v", got)
	}

	rows, err := g.c.FDB(t.Context(), "bridge-10")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b view.FDBEntry) int { return a.MAC.Compare(b.MAC) })
	for i := range rows { // it took a moment
		rows[i].Age = rows[i].Age.Truncate(10 * time.Second)
	}
	want := []view.FDBEntry{
		{Bridge: "bridge-10", MAC: mac(1), Kind: view.Remote, VTEP: leaf1, VNI: 100, Sequence: 3, State: view.Up},
		{Bridge: "bridge-10", MAC: mac(5), Kind: view.Local, Port: "eth1", Age: 90e9, State: view.Up},
		{Bridge: "bridge-10", MAC: mac(8), Kind: view.Static, Port: "eth2", Sticky: true, State: view.Up},
	}
	if !slices.Equal(rows, want) {
		t.Errorf("FDB:\n%+v\nwant\n%+v", rows, want)
	}
	if none, _ := g.c.FDB(t.Context(), "bridge-99"); len(none) != 0 {
		t.Errorf("FDB of an unknown bridge: %+v", none)
	}

	routes, err := g.c.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var in, out []string
	for _, r := range routes {
		if r.Direction == view.Out {
			out = append(out, r.Key)
		} else {
			in = append(in, r.Peer.String()+" "+r.Key+" "+r.NextHop.String()+": "+r.Reason)
		}
	}
	slices.Sort(in)
	slices.Sort(out)
	if want := []string{
		"192.0.2.1 [2]:[0]:[48]:[02:00:00:00:00:01] 10.0.0.11: ",
		"192.0.2.1 [2]:[0]:[48]:[02:00:00:00:00:02] 10.0.0.12: no bridge or VRF imports its route targets",
		"192.0.2.1 [3]:[0]:[32]:[10.0.0.11] 10.0.0.11: ",
		"192.0.2.2 [2]:[0]:[48]:[02:00:00:00:00:01] 10.0.0.11: another peer's path is better: AS path length",
		"192.0.2.2 [2]:[0]:[48]:[02:00:00:00:00:01] 10.0.0.12: another location of the MAC is better: sequence number",
		"192.0.2.2 [2]:[0]:[48]:[02:00:00:00:00:03] 10.0.0.12: it cannot be used: bad vni",
		"192.0.2.2 [2]:[0]:[48]:[02:00:00:00:00:04] 10.0.0.12: it is still to be taken",
	}; !slices.Equal(in, want) {
		t.Errorf("routes in:\n%s", strings.Join(in, "\n"))
	}
	if want := []string{"[2]:[0]:[48]:[02:00:00:00:00:05]", "[2]:[0]:[48]:[02:00:00:00:00:08]",
		"[3]:[0]:[32]:[10.0.0.1]"}; !slices.Equal(out, want) {
		t.Errorf("routes out: %q", out)
	}

	vteps, err := g.c.VTEPs(t.Context())
	if err != nil || len(vteps) != 2 {
		t.Fatalf("VTEPs: %+v, %v", vteps, err)
	}
	for _, v := range vteps {
		if v.State != view.Up || !slices.Equal(v.Bridges, []string{"bridge-10"}) ||
			!slices.Equal(v.Paths, []view.Path{{Uplink: "host1", Port: 11, NextHopMAC: hop1}}) {
			t.Errorf("VTEP: %+v", v)
		}
	}

	entries, err := g.c.Entries(t.Context(), "bridge.fdb")
	if err != nil || len(entries) != 3 {
		t.Fatalf("entries: %+v, %v", entries, err)
	}
	for _, e := range entries {
		if e.Table != "bridge.fdb" || !e.Acked || e.Error != "" || e.Level != uint8(p4.LevelLeaf) ||
			!strings.HasPrefix(e.Text, "bridge.fdb bridge=1 mac=") {
			t.Errorf("entry: %+v", e)
		}
	}
}

func TestAnEntryThatTheTargetRefusesIsShown(t *testing.T) {
	g, _ := twoPorts(t, options{target: p4rttest.Config{MayFail: true}})
	g.target.FailUpdates(refuse(p4.FDB{}))
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
	g.eventually("refused", func() bool { return g.target.Counts().Failed > 1 })
	entries, _ := g.c.Entries(t.Context(), "bridge.fdb")
	if len(entries) != 1 || entries[0].Acked || !strings.Contains(entries[0].Error, "on purpose") {
		t.Errorf("entries: %+v", entries)
	}
	rows, _ := g.c.FDB(t.Context(), "")
	if len(rows) != 1 || rows[0].State != view.Down || !strings.Contains(rows[0].Reason, "on purpose") {
		t.Errorf("FDB: %+v", rows)
	}
	g.target.FailUpdates(nil)
	g.settle()
}

func TestAStoppedControllerSaysSo(t *testing.T) {
	c, err := New(testConfig(), Inputs{})
	if err != nil {
		t.Fatal(err)
	}
	close(c.stopped)
	if _, err := c.Bridges(t.Context()); err == nil {
		t.Error("a controller that does not run answers")
	}
}

func TestMetrics(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, macRoute(leaf1, 100, mac(2))),
		update(peer1, bgp.Route{Key: bgp.PrefixKey(bgp.RouterRD(leaf1, 1), netip.MustParsePrefix("10.0.0.0/8"))}))
	g.learn(b, 1, mac(2), mac(3))
	g.settle()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(g.c); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP p4evpn_controller_entries Entries that the target acknowledged, by table.
# TYPE p4evpn_controller_entries gauge
p4evpn_controller_entries{table="bridge.egress_vlan"} 2
p4evpn_controller_entries{table="bridge.fdb"} 3
p4evpn_controller_entries{table="bridge.source"} 2
p4evpn_controller_entries{table="bridge.vlan"} 2
p4evpn_controller_entries{table="clone_session"} 2
p4evpn_controller_entries{table="flood.replica"} 1
p4evpn_controller_entries{table="multicast_group"} 1
p4evpn_controller_entries{table="port.kind"} 7
p4evpn_controller_entries{table="punt.trap"} 16
p4evpn_controller_entries{table="underlay.adjacency"} 1
p4evpn_controller_entries{table="underlay.path"} 1
p4evpn_controller_entries{table="vxlan.local"} 1
p4evpn_controller_entries{table="vxlan.peer"} 1
p4evpn_controller_entries{table="vxlan.tunnel"} 1
p4evpn_controller_entries{table="vxlan.vni"} 1
# HELP p4evpn_controller_learned_macs MACs learned on bridge ports.
# TYPE p4evpn_controller_learned_macs gauge
p4evpn_controller_learned_macs 2
# HELP p4evpn_controller_own_routes Routes that we advertise.
# TYPE p4evpn_controller_own_routes gauge
p4evpn_controller_own_routes 3
# HELP p4evpn_controller_queue_depth Keys of entries that wait to be computed.
# TYPE p4evpn_controller_queue_depth gauge
p4evpn_controller_queue_depth 0
# HELP p4evpn_controller_routes EVPN routes received, by type.
# TYPE p4evpn_controller_routes gauge
p4evpn_controller_routes{type="2"} 2
p4evpn_controller_routes{type="3"} 1
p4evpn_controller_routes{type="5"} 0
# HELP p4evpn_controller_target_up 1 while the target is written to.
# TYPE p4evpn_controller_target_up gauge
p4evpn_controller_target_up 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "p4evpn_controller_entries",
		"p4evpn_controller_learned_macs",
		"p4evpn_controller_own_routes", "p4evpn_controller_queue_depth", "p4evpn_controller_routes", "p4evpn_controller_target_up"); err != nil {
		t.Error(err)
	}
	if n := g.c.stats.moves[remoteToLocal].Load(); n != 1 {
		t.Errorf("%d moves, want the one of %v", n, mac(2))
	}
	if n := g.c.stats.unusable[unusableNextHop].Load(); n != 1 {
		t.Errorf("%d routes without a next hop, want 1", n)
	}
}

// portState gives how a port's row and its object are shown.
func (g *gateway) portState(name string) (view.State, string) {
	g.Helper()
	rows, err := g.c.Ports(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == name {
			return r.State, r.Reason
		}
	}
	g.Fatalf("no port %s", name)
	return "", ""
}

func TestAPortThatTheTargetRefusesIsDownWithTheReasonUntilItIsNot(t *testing.T) {
	g, _ := twoPorts(t, options{})
	refuse := func(object string) {
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
	want := func(state view.State, reason string) {
		t.Helper()
		for _, name := range []string{"eth1", "up1", "up1-host"} {
			g.eventually(name+" is "+string(state), func() bool {
				got, why := g.portState(name)
				return got == state && strings.Contains(why, reason)
			})
		}
		g.wantDown(string(intent.KindBridgePort), "eth1", reason)
		g.wantDown(string(intent.KindBridgePort), "eth2", "")
	}
	want(view.Up, "")
	refuse(`{"refused_ports": {"1": "vf1: no claim", "11": "no claim", "21": "no claim"}}`)
	want(view.Down, "no claim")
	refuse(`{"refused_ports": {}}`)
	want(view.Up, "")
	refuse(`{"refused_ports": {"1": "no claim", "11": "no claim", "21": "no claim"}}`)
	want(view.Down, "no claim")
	g.target.Restart() // and says nothing of refused ports
	g.settle()
	want(view.Up, "")
}

func TestPortsAreShownWithWhatIsBoundToThemAndWhatTheyCounted(t *testing.T) {
	cfg := testConfig()
	cfg.Ports[0].Netdev = "vf1"
	cfg.Ports[1].SourceGuard, cfg.Storm = true, Storm{Broadcast: 10, Unknown: -1}
	cfg.Link = func(netdev string) (view.State, uint64, uint64) {
		if netdev == "vf1" {
			return view.Up, 7, 8
		}
		return "", 0, 0
	}
	g, b := twoPorts(t, options{cfg: cfg})
	g.learn(b, 1, mac(1))
	g.settle()
	g.target.SetCounter(uint32(p4.PortIn), 1, &p4v1.CounterData{PacketCount: 5, ByteCount: 500})
	g.target.SetCounter(uint32(p4.PortOut), 1, &p4v1.CounterData{PacketCount: 6, ByteCount: 600})
	for of := range p4.PolicedReasons {
		g.target.SetCounter(uint32(p4.PortDrops), int64(of.Drop().Of(1)), &p4v1.CounterData{PacketCount: 10 + int64(of)})
	}
	rows, err := g.c.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[view.PortKind]int{}
	for _, r := range rows {
		kinds[r.Kind]++
		if r.State != view.Up {
			t.Errorf("%s is %v: %s", r.Name, r.State, r.Reason)
		}
		if r.Name == "eth1" && (r.Netdev != "vf1" || r.Link != view.Up || r.MACs != 1 ||
			!slices.Equal(r.BridgePorts, []string{"eth1"}) ||
			r.PacketsIn != 5 || r.BytesIn != 500 || r.PacketsOut != 6 || r.BytesOut != 600 || r.ErrorsIn != 7 ||
			r.ErrorsOut != 8) {
			t.Errorf("eth1: %+v", r)
		}
		if policed := []uint64{r.Spoofed, r.StormBroadcast, r.StormMulticast, r.StormUnknown}; r.Name == "eth1" &&
			!slices.Equal(policed, []uint64{10, 11, 12, 13}) {
			t.Errorf("policed of eth1: %v", policed)
		}
		if r.Kind == view.BridgePort && (r.SourceGuard != (r.Name == "eth2") ||
			r.Storm != view.Storm{Broadcast: 10, Multicast: 10_000}) {
			t.Errorf("%s is guarded: %v, and floods %+v", r.Name, r.SourceGuard, r.Storm)
		}
	}
	if kinds[view.BridgePort] != 3 || kinds[view.Uplink] != 2 || kinds[view.HostPort] != 2 {
		t.Errorf("ports by kind: %v", kinds)
	}
}
