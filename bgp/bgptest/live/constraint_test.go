package live_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/bgptest/live"
	"github.com/p4evpn/p4evpn/ether"
)

// wanted is a route of ours with a route target, and the target as messages have it.
func wanted(n byte) (bgp.Route, [8]byte) {
	target := bgptest.RouteTarget(live.AS, uint32(n))
	return bgp.Route{Key: bgp.MACKey(bgp.RouterRD(live.RouterID, 100), ether.MAC{2, 1, 0, 0, 0, n}, documentation),
		NextHop: live.RouterID, Label: 100, RouteTargets: bgp.MakeRouteTargets(bgp.RouteTarget(target))}, target
}

// heard are the routes that a session was told, by the last octet of the MAC.
type heard struct {
	t       *testing.T
	session *bgptest.Session
	routes  map[byte]bool
}

// await reads until the session was told just these routes.
func (h *heard) await(want ...byte) {
	h.t.Helper()
	right := func() bool {
		for _, n := range want {
			if !h.routes[n] {
				return false
			}
		}
		return len(h.routes) == len(want)
	}
	for late := time.After(live.Patience); !right(); {
		select {
		case body, ok := <-h.session.Updates():
			if !ok {
				h.t.Fatalf("the session has ended: %v", h.session.Err())
			}
			h.take(body)
		case <-late:
			h.t.Fatalf("the routes that came are %v, want %v", h.routes, want)
		}
	}
}

func (h *heard) take(body []byte) {
	for typ, value := range bgptest.ParseAttributes(body) {
		if typ == 9 || typ == 10 { // RFC 4456 section 8: they are a reflector's
			h.t.Errorf("attribute %d of a route of ours: % x", typ, body)
		}
		for n := range byte(10) {
			if bytes.Contains(value, []byte{48, 2, 1, 0, 0, 0, n}) {
				switch typ {
				case 14:
					h.routes[n] = true
				case 15:
					delete(h.routes, n)
				}
			}
		}
	}
}

// RFC 4684 section 6: a peer is told the routes of the route targets that it asked for, and
// who does not do it is told all.
func TestAPeerIsToldTheRoutesOfTheRouteTargetsThatItAskedFor(t *testing.T) {
	for name, as := range map[string]uint32{"eBGP": 65002, "iBGP": live.AS} {
		t.Run(name, func(t *testing.T) {
			n := live.NewNet(t)
			speaker := live.Run(t, n.Config(n.Neighbor(2, as), n.Neighbor(3, 65003)))
			var routes []bgp.Route
			var targets [][8]byte
			for i := range byte(5) {
				route, target := wanted(i)
				routes, targets = append(routes, route), append(targets, target)
			}
			if err := speaker.Originate(routes[:4], nil); err != nil {
				t.Fatal(err)
			}
			cfg := n.Peer(2, as)
			cfg.Constraint = true
			some := &heard{t, n.Dial(t, cfg), map[byte]bool{}}
			all := &heard{t, n.Dial(t, n.Peer(3, 65003)), map[byte]bool{}}
			all.await(0, 1, 2, 3)
			send := func(update []byte) {
				t.Helper()
				if err := some.session.Send(update); err != nil {
					t.Fatal(err)
				}
			}
			wants := func(targets ...[8]byte) { send(bgptest.Wants(as, n.Addr(2), as == live.AS, targets...)) }
			wants(targets[1])
			send(bgptest.WantsNoMore(as)) // that is all for now
			some.await(1)
			wants(targets[2], targets[4])
			some.await(1, 2)
			if err := speaker.Originate(routes[4:], nil); err != nil {
				t.Fatal(err)
			}
			some.await(1, 2, 4)
			all.await(0, 1, 2, 3, 4)
			send(bgptest.WantsNoMore(as, targets[1]))
			some.await(2, 4)
			wants() // all of them
			some.await(0, 1, 2, 3, 4)
			// What is asked for is not what is given: the peer's own routes come as ever.
			leaf := live.NewLeaf(2, as)
			if as == live.AS {
				leaf = live.NewLeaf(2, 0)
			}
			send(bgptest.Update(leaf.Attributes(), leaf.NLRI(1)))
			speaker.AwaitRoutes(t, leaf.Route(1))
		})
	}
}

// A route target that nobody knows is one that no route of ours has, and no error: RFC 4684
// says nothing of what is in one.
func TestNoRouteTargetThatAPeerAsksForTakesItsSessionAway(t *testing.T) {
	n := live.NewNet(t)
	speaker := live.Run(t, n.Config(n.Neighbor(2, live.AS)))
	route, target := wanted(1)
	if err := speaker.Originate([]bgp.Route{route}, nil); err != nil {
		t.Fatal(err)
	}
	cfg := n.Peer(2, live.AS)
	cfg.Constraint = true
	some := &heard{t, n.Dial(t, cfg), map[byte]bool{}}
	send := func(update []byte) {
		t.Helper()
		if err := some.session.Send(update); err != nil {
			t.Fatalf("the session has ended: %v", err)
		}
	}
	var all [][8]byte
	for kind := range 1 << 16 {
		if sub := byte(kind); sub < 0x14 || sub > 0x7e && sub < 0x82 || sub > 0xfd {
			all = append(all, [8]byte{byte(kind >> 8), sub, 0xfe, 0xfe, 2, 0, 0, 1})
		}
	}
	for targets := range slices.Chunk(all, 256) {
		send(bgptest.Wants(live.AS, n.Addr(2), true, targets...))
		send(bgptest.WantsNoMore(live.AS, targets...))
	}
	send(bgptest.Wants(live.AS, n.Addr(2), true, target))
	send(bgptest.WantsNoMore(live.AS)) // what it was told is waited for (RFC 4684 section 6)
	some.await(1)
}

// GoBGP looks for a membership that one peer has taken back while it greets another: that
// ended the process.
func TestMembershipsMayComeAndGoWhilePeersDo(t *testing.T) {
	n := live.NewNet(t)
	speaker := live.Run(t, n.Config(n.Neighbor(2, live.AS), n.Neighbor(3, 65003), n.Neighbor(4, live.AS)))
	var targets [][8]byte
	for i := range uint32(100) {
		targets = append(targets, bgptest.RouteTarget(live.AS, i))
	}
	cfg := n.Peer(2, live.AS)
	cfg.Constraint = true
	asking := n.Dial(t, cfg)
	round := slices.Concat(bgptest.Wants(live.AS, n.Addr(2), true, targets...), bgptest.WantsNoMore(live.AS, targets...))
	done := make(chan struct{})
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if asking.Send(round) != nil {
					return
				}
			}
		}
	})
	for i := range 40 {
		peer := []bgptest.Config{n.Peer(3, 65003), n.Peer(4, live.AS)}[i%2]
		peer.Constraint = true
		s := n.Dial(t, peer)
		s.Close()
		speaker.AwaitUp(t, peer.Local, false)
	}
	close(done)
	owned.Wait()
	select {
	case <-asking.Done():
		t.Errorf("the session has ended: %v", asking.Err())
	default:
	}
}
