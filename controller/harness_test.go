package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// gateway is a controller with all its neighbours: a real P4Runtime client and
// store, a target, and a speaker and underlay that tests hold.
type gateway struct {
	testing.TB
	c        *Controller
	cfg      Config
	target   *p4rttest.Server // nil = a switch, by its address
	client   *p4rt.Client
	store    *intent.Store
	speaker  *controllertest.Speaker
	underlay *controllertest.Underlay
	slow     *fakeSlowPath
	carrier  *controllertest.Carrier // nil = none
	now      *testClock
	best     map[bgp.Key]bgp.Path // what was sent, for the speaker to show; not of benchmarks
}

var (
	vtep1, vtep2 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2") // ours
	leaf1, leaf2 = netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")
	leaf0        = netip.MustParseAddr("10.0.0.0") // lower than ours
	peer1, peer2 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	hop1, hop2   = mac(0xe1), mac(0xe2)
	up1, up2     = mac(0xf1), mac(0xf2)
	testAgeing   = 5 * time.Minute
	testRouterID = netip.MustParseAddr("10.0.0.1")
	quietly      = slog.New(slog.DiscardHandler)
	errTest      = errors.New("refused on purpose")
)

func mac(n int) ether.MAC { return ether.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }

// testConfig has three bridge ports and two uplinks.
func testConfig() Config {
	return Config{
		AS: 65000, RouterID: testRouterID, VTEPs: []netip.Addr{vtep1},
		Ports: []Port{
			{Name: "eth1", Number: 1, Kind: KindBridge, MAC: mac(0xa1)},
			{Name: "eth2", Number: 2, Kind: KindBridge, MAC: mac(0xa2)},
			{Name: "eth3", Number: 3, Kind: KindBridge, MAC: mac(0xa3)},
			{Name: "up1", Number: 11, Kind: KindUplink, HostPort: 21, HostDevice: "host1"},
			{Name: "up2", Number: 12, Kind: KindUplink, HostPort: 22, HostDevice: "host2"},
		},
		Ageing: testAgeing, Retry: 5 * time.Millisecond, Logger: quietly,
	}
}

type options struct {
	cfg      Config
	target   p4rttest.Config
	server   *p4rttest.Server // instead of a new one
	at, json string           // address of a switch instead, which is device 1, and the program for it
	store    *intent.Store    // instead of a new one

	program    *p4configv1.P4Info // instead of ours; of tables it has the same
	noSlowPath bool
	carrier    *controllertest.Carrier
	clock      *testClock // nil = one that goes by itself
	deferring  bool       // BGP has not converged yet
	queue      int        // of digest lists; 0 = the client's default
}

// start runs a gateway until the test ends.
func start(tb testing.TB, o options) *gateway {
	tb.Helper()
	g := &gateway{TB: tb, cfg: o.cfg, store: o.store, target: o.server, now: o.clock}
	if g.cfg.RouterID == (netip.Addr{}) {
		g.cfg = testConfig()
	}
	if g.now == nil {
		g.now = &testClock{now: time.Unix(1e9, 0), began: time.Now()}
	}
	g.cfg.Clock = g.now
	if g.store == nil {
		g.store = intent.NewMemory()
	}
	if g.target == nil && o.at == "" {
		if o.target.Check == nil {
			o.target.Check = checkOrder
		}
		g.target = p4rttest.New(tb, o.target)
	}
	device := uint64(1)
	if g.target != nil {
		o.at, o.json, device = g.target.Target(), string(p4.DeviceConfig()), 0
	}
	if o.program == nil {
		o.program = p4.P4Info()
	}
	client, err := p4rt.New(p4rt.Config{
		Target: o.at, DeviceID: device, ElectionID: p4rt.ElectionID{Low: 1}, P4Info: o.program,
		DeviceConfig: []byte(o.json), Cookie: p4.Cookie(), Digests: []p4rt.DigestConfig{{ID: p4.DigestID()}},
		QueueSize: o.queue, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Logger: quietly,
	})
	if err != nil {
		tb.Fatal(err)
	}
	g.client = client
	g.speaker, g.underlay, g.slow = controllertest.NewSpeaker(), newUnderlay(), newFakeSlowPath()
	in := Inputs{g.store, g.speaker, client, g.underlay, g.slow, g.store, nil}
	if g.carrier = o.carrier; o.carrier != nil {
		in.Carrier = o.carrier
	}
	if o.noSlowPath {
		in.SlowPath = nil
	}
	g.c, err = newController(g.cfg, in, o.program, tables())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.c.Run(ctx); err != nil {
			tb.Errorf("controller: %v", err)
		}
	})
	stopClient, cancelClient := context.WithCancel(context.Background())
	wg.Go(func() { _ = client.Run(stopClient) })
	tb.Cleanup(func() { cancel(); <-g.c.stopped; cancelClient(); wg.Wait() })
	if !o.deferring {
		g.converge()
	}
	return g
}

// testClock is time that tests put on or back. It goes by itself if it says when
// that began, else it stands still in between.
type testClock struct {
	mu    sync.Mutex
	now   time.Time
	began time.Time
	alarm chan time.Time
	due   time.Time
	timer *time.Timer
}

func (c *testClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.read() }

func (c *testClock) read() time.Time {
	if c.began.IsZero() {
		return c.now
	}
	return c.now.Add(time.Since(c.began))
}

func (c *testClock) Wake(after time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	alarm := make(chan time.Time, 1)
	c.alarm, c.due = alarm, c.read().Add(after)
	if c.timer != nil {
		c.timer.Stop()
	}
	if !c.began.IsZero() {
		c.timer = time.AfterFunc(after, func() {
			select {
			case alarm <- time.Time{}:
			default: // it was put on, and rang
			}
		})
	}
	return alarm
}

// stop has the clock stand still, when what gathers after a large batch is due.
func (c *testClock) stop() {
	c.mu.Lock()
	c.now, c.began = c.read(), time.Time{}
	c.mu.Unlock()
	c.advance(time.Second)
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if now := c.read(); c.alarm != nil && !now.Before(c.due) {
		select {
		case c.alarm <- now:
		default: // it rang already
		}
	}
}

// originated gives our type-2 routes of a MAC alone, and our type-3 routes by
// VNI.
func (g *gateway) originated() (macs map[ether.MAC]bgp.Route, floods map[uint32]bgp.Route) {
	macs, floods = map[ether.MAC]bgp.Route{}, map[uint32]bgp.Route{}
	for _, r := range g.speaker.Routes() {
		switch {
		case r.Type == bgp.TypeMulticast:
			floods[r.Label] = r
		case r.Type == bgp.TypeMACIP && !r.IP.IsValid():
			macs[r.MAC] = r
		}
	}
	return macs, floods
}

// newUnderlay is an underlay that reaches the leaves by the first uplink.
func newUnderlay() *controllertest.Underlay {
	u := controllertest.NewUnderlay()
	for _, a := range []netip.Addr{leaf0, leaf1, leaf2} {
		u.Foresee(a, path1)
	}
	return u
}

var (
	path1 = underlay.Path{Uplink: "host1", Source: up1, Destination: hop1}
	path2 = underlay.Path{Uplink: "host2", Source: up2, Destination: hop2}
)

// checkOrder is what must hold before each update: what an entry refers to is
// there, and what is removed is referred to by nothing.
func checkOrder(u *p4v1.Update, s *p4rttest.State) error {
	d := decode(u.GetEntity())
	has := func(k entry) error {
		if s.Get(k.Entry().Entity()) == nil {
			return fmt.Errorf("%v of %v needs %v, which is not there", u.GetType(), d.Entry(), d.Entry().Key)
		}
		return nil
	}
	if u.GetType() == p4v1.Update_DELETE {
		return checkUnused(d, s)
	}
	switch d := d.(type) {
	case p4.Tunnel:
		if d.Adjacency == 0 {
			return nil
		}
		return has(p4.Adjacency{ID: d.Adjacency})
	case p4.Flows:
		return has(p4.UplinkGroup{ID: d.Group})
	case p4.UplinkSlot:
		return has(p4.Adjacency{ID: d.Adjacency})
	case p4.Replica:
		return nil // its tunnel may be unresolved; the group then leaves it out
	case p4.Group:
		for _, m := range d.Members {
			if m.Instance == p4.LocalInstance {
				if err := has(p4.EgressVLAN{Port: m.Port, Bridge: d.ID}); err != nil {
					return err
				}
				continue
			}
			rep, ok := decode(s.Get(p4.Replica{Bridge: d.ID, Instance: m.Instance}.Entry().Entity())).(p4.Replica)
			if !ok {
				return fmt.Errorf("group %d needs the replica %d, which is not there", d.ID, m.Instance)
			}
			if err := has(p4.Tunnel{VTEP: rep.VTEP}); err != nil {
				return err
			}
		}
	case p4.Member:
		return has(p4.EgressVLAN{Port: d.Port, Bridge: d.Bridge})
	case p4.RouterMAC:
		return has(p4.RouterInterface{Bridge: d.Bridge})
	case p4.Route:
		switch d.Kind {
		case p4.RouteHost:
			return has(p4.RouterInterface{Bridge: d.Bridge})
		case p4.RouteVTEP:
			return hasWay(has, d.VTEP)
		case p4.RouteVTEPs:
			return has(p4.Multipath{Group: d.Group})
		}
	case p4.NextHopSlot:
		return hasWay(has, d.VTEP)
	case p4.Multipath:
		return has(p4.NextHopGroup{ID: d.Group})
	}
	return nil
}

func checkUnused(d entry, s *p4rttest.State) error {
	for e := range s.All() {
		used := false
		switch o := decode(e).(type) {
		case p4.Tunnel:
			a, ok := d.(p4.Adjacency)
			used = ok && a.ID == o.Adjacency
		case p4.UplinkSlot:
			a, ok := d.(p4.Adjacency)
			used = ok && a.ID == o.Adjacency
		case p4.Group:
			r, ok := d.(p4.Replica)
			for _, m := range o.Members {
				used = used || ok && r.Bridge == o.ID && m.Instance == r.Instance
			}
		case p4.Member:
			v, ok := d.(p4.EgressVLAN)
			used = ok && v.Port == o.Port && v.Bridge == o.Bridge
		case p4.Route:
			i, ok := d.(p4.RouterInterface)
			t, tunnel := d.(p4.Tunnel)
			m, group := d.(p4.Multipath)
			used = ok && o.Kind == p4.RouteHost && i.Bridge == o.Bridge ||
				tunnel && o.Kind == p4.RouteVTEP && t.VTEP == o.VTEP || group && o.Kind == p4.RouteVTEPs && m.Group == o.Group
		case p4.NextHopSlot:
			t, tunnel := d.(p4.Tunnel)
			used = tunnel && t.VTEP == o.VTEP
		case p4.RouterMAC:
			i, ok := d.(p4.RouterInterface)
			used = ok && i.Bridge == o.Bridge
		}
		if used {
			return fmt.Errorf("%v is deleted while %v refers to it", d.Entry(), decode(e).Entry())
		}
	}
	return nil
}

// foreign is an entry that has no Go type.
type foreign struct{ entry p4.Entry }

func (f foreign) Key() p4.Key     { return f.entry.Key }
func (f foreign) Entry() p4.Entry { return f.entry }
func (f foreign) Type() p4.Type   { return p4.Types }
func (f foreign) Level() p4.Level { return p4.LevelBase }
func (f foreign) Refs() []p4.Key  { return nil }

func decode(e *p4v1.Entity) entry {
	if e == nil {
		return nil
	}
	got, err := p4.FromEntity(e)
	if err != nil {
		key, err := p4.TableKey(e.GetTableEntry())
		if err != nil {
			return nil
		}
		return foreign{p4.Entry{Key: key}}
	}
	d, err := p4.Decode(got)
	if err != nil {
		return foreign{got}
	}
	return d
}

// eventually waits for a condition.
func (g *gateway) eventually(what string, cond func() bool) {
	g.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.Fatalf("after 20 s not: %s\non the target:\n%s", what, strings.Join(g.facts(), "\n"))
		}
	}
}

// peek runs do in the loop.
func (g *gateway) peek(do func(*loop)) {
	g.Helper()
	if err := g.c.ask(context.Background(), do); err != nil {
		g.Fatal(err)
	}
}

// settle waits until everything that was put in is on the target.
func (g *gateway) settle() {
	g.Helper()
	polls := 0
	g.eventually("settled", func() bool {
		if polls++; polls == 50 && g.now != nil {
			g.now.advance(gathering) // a clock that stands still
		}
		return g.settled()
	})
}

// gathering is longer than what follows a large batch gathers.
const gathering = 2 * time.Millisecond

func (g *gateway) settled() bool {
	done := false
	g.peek(func(l *loop) {
		done = g.intentSeen(l) && g.underlay.Pending() == 0 && l.target.Settled() && len(l.dirtyPorts)+len(l.dirtySVIs)+
			len(l.nextHops.dirty) == 0
	})
	return done
}

// regroup has tunnels that differ from the rest of their group leave it, and who goes without
// a group ask for one once more, as after a while.
func (g *gateway) regroup() {
	g.Helper()
	g.peek(func(l *loop) {
		l.uplinkGroups.regroupAt = l.now()
		l.regroupDue()
		for _, s := range []*grouping{&l.uplinkGroups.grouping, &l.nextHops.grouping} {
			s.again = l.now()
		}
	})
	g.settle()
}

// intentSeen reports whether the loop has the objects of the store.
func (g *gateway) intentSeen(l *loop) bool {
	same := true
	_ = g.store.View(func(tx *intent.Tx) error {
		bridges, ports := tx.Bridges().List("", 0), tx.Ports().List("", 0)
		vrfs, svis := tx.VRFs().List("", 0), tx.SVIs().List("", 0)
		given := len(l.bridgePorts)
		for _, p := range l.bridgePorts {
			if p.Serial == everywhere {
				given--
			}
		}
		same = len(bridges) == len(l.bridges) && len(ports) == given &&
			len(vrfs) == len(l.vrfs) && len(svis) == len(l.svis)
		for _, v := range vrfs {
			same = same && l.vrfByID[v.ID] != nil && l.vrfByID[v.ID].VRF == v
		}
		for _, s := range svis {
			same = same && l.svis[s.ID] != nil && l.svis[s.ID].SVI.Equal(s)
		}
		for _, b := range bridges {
			same = same && l.byID[b.ID] != nil && l.byID[b.ID].LogicalBridge == b
		}
		for _, p := range ports {
			same = same && l.bridgePorts[p.ID] != nil && l.bridgePorts[p.ID].BridgePort.Equal(p)
		}
		stations, instances, speakers := tx.StaticMACs().List("", 0), tx.Instances().List("", 0), tx.Speakers().List("", 0)
		for _, s := range stations {
			same = same && l.staticMACs[s.Bridge][s.ID].Equal(s)
		}
		for _, i := range instances {
			same = same && l.instances[i.ID] == instance{
				rd: i.RD, imports: bgp.MakeRouteTargets(i.Import...), exports: bgp.MakeRouteTargets(i.Export...),
				macIPOnly: i.MACIPOnly, ethernetTag: i.EthernetTag, taggedMulticast: i.TaggedMulticast,
				maxMACs: int(i.MaxMACs), maxAddresses: int(i.MaxAddresses), maxRoutes: int(i.MaxRoutes),
				dropUnknown: i.DropUnknownUnicast,
			}
		}
		for _, s := range speakers {
			same = same && l.as == s.AS && l.routerID == s.RouterID
		}
		n := 0
		for _, of := range l.staticMACs {
			n += len(of)
		}
		same = same && n == len(stations) && len(l.instances) == len(instances)
		return nil
	})
	return same
}

func (g *gateway) update(do func(*intent.Tx) error) {
	g.Helper()
	if err := g.store.Update(do); err != nil {
		g.Fatal(err)
	}
	g.eventually("intent seen", func() bool {
		seen := false
		g.peek(func(l *loop) { seen = g.intentSeen(l) })
		return seen
	})
}

// bridge makes a bridge bridge-VLAN; VNI 0 is none.
func (g *gateway) bridge(vlan uint16, vni uint32) (index uint16) {
	g.Helper()
	g.update(func(tx *intent.Tx) error {
		b, err := tx.Bridges().Create(intent.LogicalBridge{ID: fmt.Sprintf("bridge-%d", vlan), VLAN: vlan, VNI: vni})
		index = b.Index
		return err
	})
	return index
}

func (g *gateway) port(p intent.BridgePort) {
	g.Helper()
	if p.MAC.IsZero() {
		p.MAC = mac(0xbb)
	}
	g.update(func(tx *intent.Tx) error { _, err := tx.Ports().Create(p); return err })
}

// access attaches a configured port to bridge-VLAN, untagged.
func (g *gateway) access(name string, vlan uint16) {
	g.Helper()
	g.port(intent.BridgePort{ID: name, Type: intent.Access, Bridges: []string{fmt.Sprintf("bridge-%d", vlan)}})
}

// send hands BGP events of a peer to the loop.
func (g *gateway) send(events ...bgp.Event) {
	if _, many := g.TB.(*testing.B); !many {
		g.show(events)
	}
	_ = g.speaker.Send(context.Background(), events...) // it fails with the context alone
}

// show has the speaker show the winners that events leave.
func (g *gateway) show(events []bgp.Event) {
	if g.best == nil {
		g.best = map[bgp.Key]bgp.Path{}
	}
	for _, e := range events {
		switch e.Kind {
		case bgp.RouteUpdate:
			g.best[e.Route.Key] = bgp.Path{Route: e.Route, Peer: e.Peer, Best: true}
		case bgp.RouteWithdraw:
			delete(g.best, e.Route.Key)
		}
	}
	g.speaker.Show(slices.Collect(maps.Values(g.best))...)
}

// converge says that all peers have sent all their routes.
func (g *gateway) converge() { g.send(bgp.Event{Kind: bgp.Converged}) }

func update(peer netip.Addr, r bgp.Route) bgp.Event {
	return bgp.Event{Peer: peer, Kind: bgp.RouteUpdate, Route: r}
}

func withdraw(peer netip.Addr, r bgp.Route) bgp.Event {
	return bgp.Event{Peer: peer, Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: r.Key}}
}

// macRoute is a type-2 route as FRR sends it.
func macRoute(vtep netip.Addr, vni uint32, m ether.MAC) bgp.Route {
	return bgp.Route{Key: bgp.MACKey(bgp.RouterRD(vtep, uint16(vni)), m, netip.Addr{}), NextHop: vtep, Label: vni,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, vni))}
}

// floodRoute is a type-3 route as FRR sends it.
func floodRoute(vtep netip.Addr, vni uint32) bgp.Route {
	return bgp.Route{Key: bgp.MulticastKey(bgp.RouterRD(vtep, uint16(vni)), vtep), NextHop: vtep, Tunnel: vtep, Label: vni,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65001, vni))}
}

// learn reports sources by digest and waits until the loop took them.
func (g *gateway) learn(bridge, port uint16, macs ...ether.MAC) {
	g.Helper()
	var members []*p4v1.P4Data
	for _, m := range macs {
		members = append(members, learnData(bridge, m, port))
	}
	var list uint64
	g.eventually("digest sent", func() (ok bool) { list, ok = g.target.SendDigest(p4.DigestID(), members...); return ok })
	g.eventually("digest taken", func() bool { return g.target.Acked(list) })
}

func learnData(bridge uint16, m ether.MAC, port uint16) *p4v1.P4Data {
	short := func(b []byte) []byte {
		for len(b) > 1 && b[0] == 0 {
			b = b[1:]
		}
		return b
	}
	return p4rttest.Struct(short([]byte{byte(bridge >> 8), byte(bridge)}), short(m[:]),
		short([]byte{byte(port >> 8), byte(port)}))
}

// idle reports that a source was silent, as a target does: by its key. It waits until the loop
// took it, which takes what comes after it last.
func (g *gateway) idle(bridge, port uint16, macs ...ether.MAC) {
	g.Helper()
	var entries []*p4v1.TableEntry
	for _, m := range macs {
		te := p4.Source{Bridge: bridge, MAC: m, Port: port}.Entry().Entity().GetTableEntry()
		te.Action = nil
		entries = append(entries, te)
	}
	if !g.target.SendIdle(entries...) {
		g.Fatal("no primary to send an idle timeout to")
	}
	g.punt(p4.PuntARP, 0, 0, 0, nil)
}
