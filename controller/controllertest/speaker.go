package controllertest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
)

// Speaker is a speaker without BGP: it hands over what a test says is best of what peers
// say, and keeps what it is told. It is that of the controller, of peering and of
// underlayroute. All methods may be called from any goroutine.
type Speaker struct {
	events  chan []bgp.Event
	unicast chan []bgp.UnicastEvent

	mu             sync.Mutex
	paths          []bgp.Path
	refuseRoute    func(bgp.Route) error
	observe        func(add []bgp.Route, withdraw []bgp.Key)
	refuseNeighbor func(bgp.Neighbor) error
	routes         map[bgp.Key]bgp.Route
	links          []netip.Prefix
	prefixes       []netip.Prefix
	neighbors      []bgp.Neighbor   // those it has
	asked          [][]bgp.Neighbor // those it was told to have, call by call
	as             uint32
	routerID       netip.Addr
	peers          []bgp.PeerState
	bfd            []bfd.Status
}

// NewSpeaker makes a Speaker that refuses nothing.
func NewSpeaker() *Speaker {
	return &Speaker{events: make(chan []bgp.Event), unicast: make(chan []bgp.UnicastEvent),
		routes: map[bgp.Key]bgp.Route{}}
}

// Send hands over what is best of what peers say, as one batch. It waits until that is
// taken, or for the end of ctx.
func (s *Speaker) Send(ctx context.Context, events ...bgp.Event) error {
	return send(ctx, s.events, events)
}

// SendUnicast is Send for routes of the underlay.
func (s *Speaker) SendUnicast(ctx context.Context, events ...bgp.UnicastEvent) error {
	return send(ctx, s.unicast, events)
}

func send[E any](ctx context.Context, to chan<- E, e E) error {
	select {
	case to <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Speaker) Events() <-chan []bgp.Event { return s.events }

func (s *Speaker) UnicastEvents() <-chan []bgp.UnicastEvent { return s.unicast }

// Show makes paths all of those that Paths gives. What was sent is not among them by
// itself: benchmarks send many.
func (s *Speaker) Show(paths ...bgp.Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = paths
}

func (s *Speaker) Paths() iter.Seq[bgp.Path] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Values(s.paths)
}

// PathsOf gives those of Paths that are of one NLRI.
func (s *Speaker) PathsOf(key bgp.Key) (paths []bgp.Path) {
	for p := range s.Paths() {
		if p.Key == key {
			paths = append(paths, p)
		}
	}
	return paths
}

// Peers gives what SetPeers was told, at first none.
func (s *Speaker) Peers() []bgp.PeerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// SetPeers says what Peers is to give.
func (s *Speaker) SetPeers(peers ...bgp.PeerState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = peers
}

// RefuseRoutes makes Originate fail as a whole with the error that refuse gives for
// a route to add.
func (s *Speaker) RefuseRoutes(refuse func(bgp.Route) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseRoute = refuse
}

// Observe has each call of Originate that succeeds given to a function too, in their order.
func (s *Speaker) Observe(observe func(add []bgp.Route, withdraw []bgp.Key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observe = observe
}

func (s *Speaker) Originate(add []bgp.Route, withdraw []bgp.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range add {
		if s.refuseRoute != nil {
			if err := s.refuseRoute(r); err != nil {
				return err
			}
		}
	}
	if s.observe != nil {
		s.observe(add, withdraw)
	}
	for _, k := range withdraw {
		delete(s.routes, k)
	}
	for _, r := range add {
		s.routes[r.Key] = r
	}
	return nil
}

// Routes gives the routes that are originated, by their keys. The map is the
// caller's.
func (s *Speaker) Routes() map[bgp.Key]bgp.Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.routes)
}

func (s *Speaker) AdvertiseUnicast(prefixes []netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefixes = prefixes
	return nil
}

// SetLinks notes it.
func (s *Speaker) SetLinks(subnets []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = subnets
}

// Links gives what SetLinks was told last.
func (s *Speaker) Links() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.links)
}

// Prefixes gives the underlay's prefixes that are advertised, in the order given.
func (s *Speaker) Prefixes() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.prefixes)
}

// RefuseNeighbors makes SetNeighbors take all but those for which refuse gives an
// error.
func (s *Speaker) RefuseNeighbors(refuse func(bgp.Neighbor) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseNeighbor = refuse
}

func (s *Speaker) SetNeighbors(_ context.Context, want []bgp.Neighbor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, slices.Clone(want))
	s.neighbors = nil
	var errs []error
	for _, n := range want {
		if s.refuseNeighbor != nil {
			if err := s.refuseNeighbor(n); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		s.neighbors = append(s.neighbors, n)
	}
	return errors.Join(errs...)
}

// Neighbors gives the neighbours that were set and not refused.
func (s *Speaker) Neighbors() []bgp.Neighbor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.neighbors)
}

// Asked gives what each call of SetNeighbors wanted, the first one first.
func (s *Speaker) Asked() [][]bgp.Neighbor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Speaker) SetIdentity(as uint32, routerID netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.as, s.routerID = as, routerID
	return nil
}

// SetBFD notes it.
func (s *Speaker) SetBFD(st bfd.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bfd = append(s.bfd, st)
}

// BFD gives what SetBFD was told, in that order.
func (s *Speaker) BFD() []bfd.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bfd)
}

// Identity gives what SetIdentity was told last.
func (s *Speaker) Identity() (as uint32, routerID netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.as, s.routerID
}
