package front

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// takes reads UPDATEs until the peer was sent exactly some routes, which it withdraws
// again from what is withdrawn.
func (p *peer) takes(want ...bgp.Route) {
	p.t.Helper()
	has, set := map[bgp.Key]bool{}, map[bgp.Key]bool{}
	for _, r := range want {
		set[r.Key] = true
	}
	for !maps.Equal(has, set) {
		for _, c := range changes(p.t, p.updates()) {
			if c.Kind == bgp.RouteWithdraw {
				delete(has, c.Route.Key)
			} else {
				has[c.Route.Key] = true
			}
		}
	}
}

func routeRefresh(f wire.Family, s wire.Subtype) []byte {
	return wire.AppendMessage(nil, wire.RouteRefreshType, wire.RouteRefresh{Family: f, Subtype: s}.Append(nil))
}

// RFC 2918 section 4.
func TestAPeerThatAsksForOurRoutesGetsThemAgain(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	if err := v.Originate([]bgp.Route{ourMAC(1), ourMAC(2)}, nil); err != nil {
		t.Fatal(err)
	}
	p := l.connect(2).establish(hello(65002, lowID))
	p.takes(ourMAC(1), ourMAC(2))
	for range 2 { // the second within a second of the first
		p.send(routeRefresh(wire.EVPN, wire.Request))
		p.takes(ourMAC(1), ourMAC(2))
	}
}

// RFC 7313 section 3.2: they frame an answer to a request of ours, and we make none.
func TestWhatFramesAnAnswerIsNoRequest(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	if err := v.Originate([]bgp.Route{ourMAC(1)}, nil); err != nil {
		t.Fatal(err)
	}
	p := l.connect(2).establish(hello(65002, lowID))
	p.takes(ourMAC(1))
	p.send(routeRefresh(wire.EVPN, wire.BeginningOfRouteRefresh), routeRefresh(wire.EVPN, wire.EndOfRouteRefresh),
		routeRefresh(wire.IPv4Unicast, wire.Request), // not of this session
		wire.AppendMessage(nil, wire.RouteRefreshType, []byte{0, 25}))
	v.awaitPeer(l.addr(2), "one fault", func(p bgp.PeerState) bool { return p.Faults[bgp.BadMessage] == 1 })
	if err := v.Originate([]bgp.Route{ourMAC(2)}, nil); err != nil {
		t.Fatal(err)
	}
	if got := change(t, p.updates()); got.Route.Key != ourMAC(2).Key { // and not the first again
		t.Errorf("sent %v", got.Route.Key)
	}
}

// constrained has an OPEN say that RT constraint is done.
func constrained(o *wire.Open) { o.Families = append(o.Families, wire.RTConstraint) }

// memberships is an UPDATE with RT-constraint NLRI (RFC 4684 section 4), announced or
// withdrawn.
func memberships(announce bool, nlri ...[]byte) []byte {
	all := slices.Concat(nlri...)
	if !announce {
		return wire.AppendMessage(nil, wire.UpdateType, updateOf(attribute(0x80, 15, append([]byte{0, 1, 132}, all...))))
	}
	return wire.AppendMessage(nil, wire.UpdateType, updateOf(attribute(0x40, 1, []byte{0}),
		attribute(0x40, 2, []byte{2, 1, 0, 0, 0xfd, 0xea}), attribute(0x80, 14, reach(1, 132, []byte{10, 0, 0, 4}, all))))
}

// membership is that of AS 65002 for a route target, all 96 bits of it.
func membership(rt bgp.RouteTarget) []byte {
	return append([]byte{96, 0, 0, 0xfd, 0xea}, rt[:]...)
}

func TestAPeerIsToldTheRoutesOfTheRouteTargetsThatItAsksForAlone(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	other := ourMAC(2)
	other.RouteTargets = bgp.MakeRouteTargets(mustRT("65000:200"))
	if err := v.Originate([]bgp.Route{ourMAC(1), other}, nil); err != nil {
		t.Fatal(err)
	}
	p := l.connect(2).establish(hello(65002, lowID, constrained))
	// Ours first: that we take the routes of any route target (RFC 4684 section 4).
	u := p.updates()
	want := reach(1, 132, l.addr(1).AsSlice(), []byte{0})
	if got := mpReach(u); !slices.Equal(got, want) {
		t.Fatalf("the first UPDATE has % x, want the default membership % x", got, want)
	}
	rt := membership(mustRT("65000:200"))
	p.send(memberships(true, rt), memberships(false)) // End-of-RIB
	p.takes(other)
	if err := v.Originate([]bgp.Route{ourMAC(3)}, nil); err != nil { // not asked for
		t.Fatal(err)
	}
	p.send(memberships(true, membership(mustRT("65000:100"))))
	p.takes(ourMAC(1), ourMAC(3))
	p.send(memberships(false, rt))
	for {
		if got := change(t, p.updates()); got.Kind == bgp.RouteWithdraw && got.Route.Key == other.Key {
			break
		}
	}
}

// mpReach is the MP_REACH_NLRI of an UPDATE.
func mpReach(update []byte) []byte { return bgptest.ParseAttributes(update)[14] }

func TestAPeerWithoutRouteTargetConstraintIsToldAll(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65002)))
	if err := v.Originate([]bgp.Route{ourMAC(1), ourMAC(2)}, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l.connect(2).establish(hello(65002, lowID, constrained)) // it asks for nothing
	l.connect(3).establish(hello(65002, highID)).takes(ourMAC(1), ourMAC(2))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
