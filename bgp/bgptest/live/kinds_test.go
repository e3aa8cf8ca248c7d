package live_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/bgptest/live"
)

// source is a raw peer with an established session and routes that must stay, whatever
// else it sends.
type source struct {
	t       *testing.T
	speaker *live.Speaker
	session *bgptest.Session
	leaf    *live.Leaf
	address netip.Addr
	good    []bgp.Route
}

// forms are the sessions in which something unknown comes: of a leaf, or of one behind a
// reflector (RFC 4456).
var forms = map[string]func(a *bgptest.Attributes){
	"of a leaf": func(*bgptest.Attributes) {},
	"through reflectors": func(a *bgptest.Attributes) {
		a.OriginatorID = netip.MustParseAddr("10.251.0.99")
		a.Clusters = []netip.Addr{netip.MustParseAddr("10.251.0.50"), netip.MustParseAddr("10.251.0.51")}
	},
}

// newSource makes it with so many stations, of iBGP or eBGP.
func newSource(t *testing.T, internal bool, stations uint32) *source {
	t.Helper()
	as, path := uint32(65002), uint32(65002)
	if internal {
		as, path = live.AS, 0
	}
	n := live.NewNet(t)
	s := &source{t: t, speaker: live.Run(t, n.Config(n.Neighbor(2, as))), leaf: live.NewLeaf(2, path), address: n.Addr(2)}
	s.session = n.Dial(t, n.Peer(2, as))
	good, updates := s.leaf.Stations(stations)
	s.good = good
	s.send(updates)
	s.speaker.AwaitRoutes(t, good...)
	return s
}

func (s *source) send(b []byte) {
	s.t.Helper()
	if err := s.session.Send(b); err != nil {
		select {
		case <-s.session.Done():
			err = s.session.Err()
		default:
		}
		s.t.Fatalf("the session has ended: %v", err)
	}
}

// whole waits until what was sent is read, and checks that session and routes stand.
func (s *source) whole() {
	s.t.Helper()
	last := s.leaf.Route(1 << 31) // comes behind all of it
	s.send(bgptest.Update(s.leaf.Attributes(), s.leaf.NLRI(1<<31)))
	s.speaker.Await(s.t, "all that was sent is read", func() error {
		if s.speaker.Routes(last) == 1 || s.ended() {
			return nil
		}
		return fmt.Errorf("peer %+v", s.speaker.Peer(s.address))
	})
	if s.ended() {
		s.t.Fatalf("the session has ended: %v; %+v", s.session.Err(), s.speaker.Peer(s.address))
	}
	if n := s.speaker.Routes(s.good...); n != len(s.good) {
		s.t.Errorf("%d of %d good routes are there", n, len(s.good))
	}
	if n := s.speaker.Downs(s.address); n != 0 {
		s.t.Errorf("the session has ended %d times", n)
	}
}

func (s *source) ended() bool {
	select {
	case <-s.session.Done():
		return true
	default:
		return false
	}
}

// faults gives how often something was noted of the peer, by the name of the reason.
func (s *source) faults(reason string) uint64 {
	for r, n := range s.speaker.Peer(s.address).Faults {
		if r.String() == reason {
			return n
		}
	}
	return 0
}

// everyRoute gives an NLRI of each type and each length, in an order of its own. Those of
// known types hold nothing that could be one.
func everyRoute() [][]byte {
	var list [][]byte
	for typ := range 256 {
		for length := range 256 {
			body := make([]byte, length)
			for i := range body {
				body[i] = 0xee // as a length of a MAC, an address or a prefix: none
			}
			list = append(list, bgptest.Route(byte(typ), body))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// RFC 7606 section 5.4: EVPN routes of types that are not known are discarded, by their
// length.
func TestNoRouteTypeOfAnyLengthTakesASessionOrARouteAway(t *testing.T) {
	for name, reflect := range forms {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, name != "of a leaf", 64)
			attributes := s.leaf.Attributes()
			reflect(&attributes)
			updates := uint64(0)
			for bad := range slices.Chunk(everyRoute(), 12) {
				// A station that is new, and one that is known, on either side.
				station := uint32(len(s.good))
				mixed := slices.Concat([][]byte{s.leaf.NLRI(station)}, bad, [][]byte{s.leaf.NLRI(station % 64)})
				s.good = append(s.good, s.leaf.Route(station))
				s.send(bgptest.Update(attributes, mixed...))
				s.send(bgptest.Update(attributes, bad...))
				s.send(bgptest.Withdraw(bad...))
				updates += 3
			}
			s.whole()
			if n := s.faults("route_type"); n < updates {
				t.Errorf("%d of %d UPDATEs with unknown route types were noted", n, updates)
			}
		})
	}
}

// RFC 4360 section 6, RFC 7153: a community that means nothing here is no error.
func TestNoExtendedCommunityTakesASessionOrARouteAway(t *testing.T) {
	s := newSource(t, false, 1<<16)
	for kind := range uint32(1 << 16) {
		// The value of a router MAC that there can be; of others it is nothing.
		unknown := [8]byte{byte(kind >> 8), byte(kind), 2, 0, 0, 0, 0, 1}
		a := s.leaf.Attributes()
		a.Communities = slices.Insert(a.Communities, int(kind%3), unknown)
		s.send(bgptest.Update(a, s.leaf.NLRI(kind)))
	}
	// What such a community says of the route, where it says something, is not for here.
	good := s.good
	s.good = nil
	s.whole()
	for _, want := range good {
		r, there := s.speaker.Route(want.Key)
		if !there || r.NextHop != want.NextHop || r.Label != want.Label ||
			!r.RouteTargets.Contains(bgp.RouteTarget(s.leaf.Target())) {
			t.Fatalf("community %x:%x: the route is %v", want.MAC[4], want.MAC[5], r)
		}
	}
	if s.faults("community") == 0 {
		t.Error("no community was noted")
	}
}

// withRules are the attributes that some RFC has rules for, which a random value breaks.
var withRules = []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 22, 23, 25, 26, 29, 32, 33, 35, 40, 128}

// RFC 4271 section 5: an optional attribute that is not known is passed on or ignored.
func TestNoUnknownAttributeTakesASessionOrARouteAway(t *testing.T) {
	for name, reflect := range forms {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, name != "of a leaf", 64)
			r := rand.New(rand.NewPCG(2, 2))
			for code := range 256 {
				if slices.Contains(withRules, byte(code)) {
					continue
				}
				for _, flags := range []byte{0x80, 0x90, 0xc0, 0xe0, 0xf0} {
					for _, length := range []int{1, 2, 3, 4, 7, 8, 100, 300} {
						value := make([]byte, length)
						for i := range value {
							value[i] = byte(r.Uint32())
						}
						a := s.leaf.Attributes()
						reflect(&a)
						to := &a.Before
						if r.IntN(2) == 0 {
							to = &a.After
						}
						*to = bgptest.AppendAttribute(nil, flags, byte(code), value)
						station := uint32(len(s.good))
						s.good = append(s.good, s.leaf.Route(station))
						s.send(bgptest.Update(a, s.leaf.NLRI(station), s.leaf.NLRI(station%64)))
					}
				}
			}
			s.whole()
		})
	}
}

// RFC 7606 section 7: what is wrong with an attribute ends no session, whatever it is.
func TestNoValueOfAKnownAttributeTakesASessionAway(t *testing.T) {
	s := newSource(t, false, 64)
	r := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		for _, code := range withRules {
			if code == 14 || code == 15 {
				continue
			}
			for _, length := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 24, 40, 255, 256} {
				value := make([]byte, length)
				for i := range value {
					value[i] = byte(r.Uint32())
				}
				a := s.leaf.Attributes()
				a.Before = bgptest.AppendAttribute(nil, 0xc0, code, value) // well-known ones too: wrong flags
				s.send(bgptest.Update(a, s.leaf.NLRI(1000)))
			}
		}
	}
	s.whole()
}

// RFC 4271 section 9.1.2; how often is the operator's to say.
func TestARouteWithOurASInItsPathIsTakenAsOftenAsItMayBe(t *testing.T) {
	n := live.NewNet(t)
	const most = 4
	var neighbors []bgp.Neighbor
	for allowed := range byte(most) {
		neighbor := n.Neighbor(10+allowed, 65002)
		neighbor.AllowOwnAS = allowed
		neighbors = append(neighbors, neighbor)
	}
	speaker := live.Run(t, n.Config(neighbors...))
	for allowed := range byte(most) {
		session, leaf := n.Dial(t, n.Peer(10+allowed, 65002)), live.NewLeaf(10+allowed, 65002)
		for times := range uint32(most + 1) {
			a := leaf.Attributes()
			for range times {
				a.ASPath = append(a.ASPath, live.AS, 64999)
			}
			if err := session.Send(bgptest.Update(a, leaf.NLRI(times))); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.Send(bgptest.Update(leaf.Attributes(), leaf.NLRI(99))); err != nil {
			t.Fatal(err)
		}
		speaker.AwaitRoutes(t, leaf.Route(99))
		for times := range uint32(most + 1) {
			if has, want := speaker.Has(leaf.Key(times)), times <= uint32(allowed); has != want {
				t.Errorf("our AS %d times, %d allowed: taken %t", times, allowed, has)
			}
		}
	}
}

// RFC 4456 section 8: a route that comes back from a reflector is ignored.
func TestARouteOfOursThatAReflectorGivesBackIsNotTaken(t *testing.T) {
	s := newSource(t, true, 1)
	a := s.leaf.Attributes()
	a.OriginatorID, a.Clusters = live.RouterID, []netip.Addr{netip.MustParseAddr("10.251.0.50")}
	s.send(bgptest.Update(a, s.leaf.NLRI(7)))
	s.whole()
	if s.speaker.Has(s.leaf.Key(7)) {
		t.Error("it was taken")
	}
	if s.faults("router_loop") == 0 {
		t.Error("it was not noted")
	}
}
