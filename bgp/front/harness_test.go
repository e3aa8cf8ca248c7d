package front

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

const patience = 30 * time.Second

var nextSubnet atomic.Uint32

// lab is one test's own piece of 127/8 and a port that is free there.
type lab struct {
	t      testing.TB
	subnet byte
	port   uint16
}

func newLab(t testing.TB) *lab {
	l := &lab{t: t, subnet: byte(10 + nextSubnet.Add(1))}
	ln, err := net.Listen("tcp", net.JoinHostPort(l.addr(1).String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	l.port = netip.MustParseAddrPort(ln.Addr().String()).Port()
	ln.Close()
	return l
}

// addr is the n-th address: 1 is our speaker's.
func (l *lab) addr(n byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, l.subnet, n}) }

func (l *lab) config(neighbors ...bgp.Neighbor) bgp.Config {
	return bgp.Config{
		AS: 65000, RouterID: netip.MustParseAddr("10.0.0.2"),
		ListenAddresses: []netip.Addr{l.addr(1)}, ListenPort: int(l.port), Neighbors: neighbors,
	}
}

// raw is a neighbour that a bgptest.Session plays.
func (l *lab) raw(n byte, as uint32) bgp.Neighbor {
	return bgp.Neighbor{Address: l.addr(n), AS: as, LocalAddress: l.addr(1), Passive: true}
}

func (l *lab) dial(n byte, as uint32) *bgptest.Session {
	return l.dialAs(bgptest.Config{Local: l.addr(n), AS: as})
}

func (l *lab) dialAs(cfg bgptest.Config) *bgptest.Session {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	cfg.Remote = netip.AddrPortFrom(l.addr(1), l.port)
	s, err := bgptest.Dial(ctx, cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.Close)
	return s
}

// view is a consumer: it keeps what events tell it, as the controller does.
type view struct {
	*Speaker
	t  testing.TB
	mu sync.Mutex
	// best by key; history as "kind key" by peer
	best    map[bgp.Key]bgp.Event
	history map[netip.Addr][]string
}

// run starts a speaker, ends it with the test and follows its events.
func run(t testing.TB, cfg bgp.Config) *view {
	t.Helper()
	s, err := New(Config{BGP: cfg, Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return follow(t, s)
}

func follow(t testing.TB, s *Speaker) *view {
	v := &view{Speaker: s, t: t, best: map[bgp.Key]bgp.Event{}, history: map[netip.Addr][]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	owned.Go(func() {
		for batch := range s.Events() {
			v.apply(batch)
		}
	})
	t.Cleanup(func() { cancel(); owned.Wait() })
	return v
}

func (v *view) apply(batch []bgp.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range batch {
		name := e.Kind.String()
		switch e.Kind {
		case bgp.RouteUpdate:
			v.best[e.Route.Key] = e
			name += " " + e.Route.Key.String()
		case bgp.RouteWithdraw:
			if _, ok := v.best[e.Route.Key]; !ok {
				v.t.Errorf("%v was withdrawn and never given", e.Route.Key)
			}
			delete(v.best, e.Route.Key)
			name += " " + e.Route.Key.String()
		case bgp.PeerDown:
			for k, o := range v.best {
				if !e.Graceful && o.Peer == e.Peer {
					v.t.Errorf("peer %v down, and it has %v", e.Peer, k)
				}
			}
			if e.Graceful {
				name += " graceful"
			}
		}
		v.history[e.Peer] = append(v.history[e.Peer], name)
	}
}

// routes are all routes of a peer, if the consumer has those that are best of all.
func (v *view) routes(peer netip.Addr) (routes map[bgp.Key]bgp.Route, told bool) {
	routes = map[bgp.Key]bgp.Route{}
	best := 0
	for p := range v.Paths() {
		if p.Peer == peer {
			routes[p.Key] = p.Route
		}
		if p.Best {
			best++
			if e := v.best[p.Key]; e.Peer != p.Peer || e.Route != p.Route {
				return nil, false
			}
		}
	}
	return routes, best == len(v.best)
}

// await waits until the peer's routes and history please ok.
func (v *view) await(peer netip.Addr, what string, ok func(routes map[bgp.Key]bgp.Route, history []string) bool) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		v.mu.Lock()
		routes, told := v.routes(peer)
		done := told && ok(routes, v.history[peer])
		v.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.t.Fatalf("%v: not %s; routes %v, told %v, history %v, stats %+v", peer, what, routes, told, v.history[peer],
				v.Stats())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (v *view) awaitRoutes(peer netip.Addr, want ...bgp.Route) {
	v.t.Helper()
	v.await(peer, fmt.Sprintf("exactly %v", want), func(routes map[bgp.Key]bgp.Route, _ []string) bool {
		if len(routes) != len(want) {
			return false
		}
		for _, r := range want {
			if routes[r.Key] != r {
				return false
			}
		}
		return true
	})
}

func (v *view) awaitLast(peer netip.Addr, what string) {
	v.t.Helper()
	v.await(peer, what, func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) > 0 && h[len(h)-1] == what })
}

// awaitKind takes events until one of a kind comes.
func awaitKind(t testing.TB, s *Speaker, kind bgp.Kind) {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case batch := <-s.Events():
			if slices.ContainsFunc(batch, func(e bgp.Event) bool { return e.Kind == kind }) {
				return
			}
		case <-late:
			t.Fatalf("no event %v came", kind)
		}
	}
}

// awaitPeer waits until the state of a peer pleases ok.
func (v *view) awaitPeer(peer netip.Addr, what string, ok func(bgp.PeerState) bool) {
	v.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		states := v.Peers()
		i := slices.IndexFunc(states, func(p bgp.PeerState) bool { return p.Address == peer })
		if i >= 0 && ok(states[i]) {
			return
		}
		if time.Now().After(late) {
			v.t.Fatalf("%v: not %s; %+v", peer, what, states)
		}
	}
}

func (v *view) awaitState(peer netip.Addr, state string) {
	v.t.Helper()
	v.awaitPeer(peer, state, func(p bgp.PeerState) bool { return p.State == state })
}

// forget empties the history.
func (v *view) forget(peer netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.history[peer] = nil
}

// must sends messages.
func must(t testing.TB, s *bgptest.Session, messages ...[]byte) {
	t.Helper()
	for _, m := range messages {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
}

// receive gives the next UPDATE that s got.
func receive(t testing.TB, s *bgptest.Session) []byte {
	t.Helper()
	select {
	case u, ok := <-s.Updates():
		if !ok {
			t.Fatalf("session ended: %v", s.Err())
		}
		return u
	case <-time.After(patience):
		t.Fatal("no UPDATE came")
	}
	return nil
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		fmt.Print(string(b))
	}
	return len(b), nil
}

// lines is a log that counts its lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count is how many lines hold something.
func (l *lines) count(what string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}

func mustRD(s string) bgp.RD {
	rd, err := bgp.ParseRD(s)
	if err != nil {
		panic(err)
	}
	return rd
}

func mustRT(s string) bgp.RouteTarget {
	rt, err := bgp.ParseRouteTarget(s)
	if err != nil {
		panic(err)
	}
	return rt
}

var (
	rdLeaf = mustRD("10.0.0.4:100")
	rdOurs = mustRD("10.0.0.2:100")
	leaf   = netip.MustParseAddr("10.0.0.4")
	ours   = netip.MustParseAddr("10.0.0.2")
)

func mac(n byte) ether.MAC { return ether.MAC{2, 0, 0, 0, 0, n} }

// leafAttributes are those of a leaf that FRR plays, AS 65002, VNI 100.
func leafAttributes(more ...[8]byte) bgptest.Attributes {
	return bgptest.Attributes{
		NextHop: leaf, ASPath: []uint32{65002},
		Communities: append([][8]byte{bgptest.RouteTarget(65002, 100), bgptest.VXLAN()}, more...),
	}
}

func leafRoute(n byte) bgp.Route {
	return bgp.Route{Key: bgp.MACKey(rdLeaf, mac(n), netip.Addr{}), NextHop: leaf, Label: 100,
		RouteTargets: bgp.MakeRouteTargets(mustRT("65002:100")), Preference: leafPreference}
}

var leafPreference = fromAS(65002, bgp.Route{}).Preference

// fromAS is a route as a peer of another AS has it from the one that originated it.
func fromAS(as uint32, r bgp.Route) bgp.Route {
	r.Preference = bgp.Preference{LocalPref: bgp.DefaultLocalPref, NeighborAS: as, PathLength: 1}
	return r
}

func leafMAC(n byte) []byte { return bgptest.MACRoute(rdLeaf, 0, mac(n), netip.Addr{}, 100) }

var discard = slog.New(slog.DiscardHandler)
