// Package live runs the speaker in a test, with raw peers of bgptest at addresses of the
// loopback: what it says by its events and of its peers is there to be waited for.
//
// New is the one place that names which speaker that is.
package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/front"
)

// Patience is what something gets that takes milliseconds on an idle machine.
const Patience = 30 * time.Second

// AS is that of the speaker, and RouterID its identifier.
const AS = 65000

// RouterID see AS.
var RouterID = netip.MustParseAddr("10.0.0.2")

// newSpeaker makes the speaker that all tests here are about.
func newSpeaker(cfg bgp.Config, log *slog.Logger) (*front.Speaker, error) {
	return front.New(front.Config{BGP: cfg, Logger: log})
}

// Net is one test's own piece of 127/8 and a port that is free there.
type Net struct {
	t      testing.TB
	subnet byte
	port   uint16
}

var subnets atomic.Uint32

// NewNet takes one.
func NewNet(t testing.TB) *Net {
	t.Helper()
	n := &Net{t: t, subnet: byte(subnets.Add(1))}
	l, err := net.Listen("tcp", net.JoinHostPort(n.Addr(1).String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	n.port = netip.MustParseAddrPort(l.Addr().String()).Port()
	_ = l.Close()
	return n
}

// Addr is the i-th address: 1 is the speaker's.
func (n *Net) Addr(i byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 7, n.subnet, i}) }

// Config is that of a speaker with passive neighbours.
func (n *Net) Config(neighbors ...bgp.Neighbor) bgp.Config {
	return bgp.Config{AS: AS, RouterID: RouterID, ListenAddresses: []netip.Addr{n.Addr(1)}, ListenPort: int(n.port),
		Neighbors: neighbors}
}

// Neighbor is one that a raw peer plays.
func (n *Net) Neighbor(i byte, as uint32) bgp.Neighbor {
	return bgp.Neighbor{Address: n.Addr(i), AS: as, LocalAddress: n.Addr(1), Passive: true}
}

// Peer is the raw peer of a Neighbor.
func (n *Net) Peer(i byte, as uint32) bgptest.Config {
	return bgptest.Config{Local: n.Addr(i), Remote: netip.AddrPortFrom(n.Addr(1), n.port), AS: as}
}

// Dial makes its session, which ends with the test.
func (n *Net) Dial(t testing.TB, cfg bgptest.Config) *bgptest.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	s, err := bgptest.Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Speaker is a running speaker and what its events said.
type Speaker struct {
	*front.Speaker
	t testing.TB

	mu     sync.Mutex
	routes map[bgp.Key]bgp.Route
	downs  map[netip.Addr]int
	news   chan struct{} // closed by the next batch
}

// Run starts a speaker and ends it with the test.
func Run(t testing.TB, cfg bgp.Config) *Speaker {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	inner, err := newSpeaker(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &Speaker{Speaker: inner, t: t, routes: map[bgp.Key]bgp.Route{}, downs: map[netip.Addr]int{},
		news: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := inner.Run(ctx); err != nil {
			t.Errorf("the speaker ended: %v", err)
		}
	})
	owned.Go(func() {
		for batch := range inner.Events() {
			s.apply(batch)
		}
	})
	owned.Go(func() {
		for range inner.UnicastEvents() { // nobody wants them, and they must not wait
		}
	})
	t.Cleanup(func() { cancel(); owned.Wait() })
	return s
}

func (s *Speaker) apply(batch []bgp.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		switch e.Kind {
		case bgp.RouteUpdate:
			s.routes[e.Route.Key] = e.Route
		case bgp.RouteWithdraw:
			delete(s.routes, e.Route.Key)
		case bgp.PeerDown:
			s.downs[e.Peer]++
		}
	}
	close(s.news)
	s.news = make(chan struct{})
}

// Routes gives how many of some routes the speaker has as they are given.
func (s *Speaker) Routes(want ...bgp.Route) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range want {
		// What decides between routes is not what these tests are about.
		if got, there := s.routes[r.Key]; there {
			got.Preference, r.Preference = bgp.Preference{}, bgp.Preference{}
			if got == r {
				n++
			}
		}
	}
	return n
}

// Route is what the speaker has by a key.
func (s *Speaker) Route(k bgp.Key) (bgp.Route, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, there := s.routes[k]
	return r, there
}

// Has says whether the speaker has a key.
func (s *Speaker) Has(k bgp.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.routes[k]
	return there
}

// Downs counts the sessions of a peer that have ended.
func (s *Speaker) Downs(peer netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.downs[peer]
}

// Peer is the state of one.
func (s *Speaker) Peer(a netip.Addr) bgp.PeerState {
	for _, p := range s.Peers() {
		if p.Address == a {
			return p
		}
	}
	return bgp.PeerState{}
}

// Await waits until ok gives no error, and looks again at each batch of events.
func (s *Speaker) Await(t testing.TB, what string, ok func() error) {
	t.Helper()
	if err := s.Wait(Patience, ok); err != nil {
		t.Fatalf("%s: not within %v: %v", what, Patience, err)
	}
}

// Wait is Await that gives the last error.
func (s *Speaker) Wait(within time.Duration, ok func() error) error {
	for late := time.Now().Add(within); ; {
		s.mu.Lock()
		news := s.news
		s.mu.Unlock()
		err := ok()
		if err == nil || time.Now().After(late) {
			return err
		}
		select {
		case <-news:
		case <-time.After(5 * time.Millisecond): // what is no event
		}
	}
}

// AwaitRoutes waits until the speaker has routes as they are given.
func (s *Speaker) AwaitRoutes(t testing.TB, want ...bgp.Route) {
	t.Helper()
	s.Await(t, fmt.Sprintf("%d routes are there", len(want)), func() error {
		if n := s.Routes(want...); n != len(want) {
			return fmt.Errorf("%d of %d are", n, len(want))
		}
		return nil
	})
}

// AwaitUp waits until a neighbour's session is established, or is not.
func (s *Speaker) AwaitUp(t testing.TB, peer netip.Addr, up bool) {
	t.Helper()
	s.Await(t, fmt.Sprintf("the session with %v is up: %t", peer, up), func() error {
		if p := s.Peer(peer); p.Up != up {
			return errors.New("it is " + p.State)
		}
		return nil
	})
}
