package front

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

func TestPeerDownWithdrawsEachOfItsRoutesAndNoOthers(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65003)))
	a, b := l.dial(2, 65002), l.dial(3, 65003)
	must(t, a, bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)))
	must(t, b, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	v.awaitRoutes(l.addr(3), leafRoute(1))
	v.forget(l.addr(2))
	a.Close()
	without := "without the route that it alone had, then down"
	v.await(l.addr(2), without, func(routes map[bgp.Key]bgp.Route, h []string) bool {
		return len(routes) == 0 && slices.Equal(h, []string{"withdraw " + leafRoute(2).Key.String(), "peer down"})
	})
	v.awaitRoutes(l.addr(3), leafRoute(1))
	for _, p := range v.Peers() {
		if up := p.Address == l.addr(3); p.Up != up || up && p.Routes != 1 || !up && p.Flaps != 1 {
			t.Errorf("peer state %+v", p)
		}
	}
}

func TestOurOwnRoutesAreNoEvents(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	if err := v.Originate([]bgp.Route{ourMAC(1)}, nil); err != nil {
		t.Fatal(err)
	}
	receive(t, s)
	// The peer sends it back, our AS in the path.
	must(t, s, bgptest.Update(bgptest.Attributes{NextHop: ours, ASPath: []uint32{65002, 65000}},
		bgptest.MACRoute(rdOurs, 0, mac(1), netip.Addr{}, 100)))
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(9)))
	v.awaitRoutes(l.addr(2), leafRoute(9))
	if n := v.Stats().Dropped[bgp.ASLoop]; n != 1 {
		t.Errorf("%d routes dropped for an AS loop, want 1", n)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for peer, h := range v.history {
		if peer != l.addr(2) {
			t.Errorf("events %v of %v", h, peer)
		}
	}
}

func TestRouteReplacedByOneWithOurASInThePathIsWithdrawn(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
	looped := leafAttributes()
	looped.ASPath = []uint32{65002, 65000, 65004}
	must(t, s, bgptest.Update(looped, leafMAC(1)))
	v.awaitRoutes(l.addr(2))
}

func TestFlapGivesWithdrawalsDownUpAndNewRoutesInThatOrder(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)), bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	must(t, s, bgptest.Withdraw(leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
	s.Close()
	s = l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(3)))
	must(t, s, bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	v.awaitRoutes(l.addr(2), leafRoute(3))
	want := []string{"peer up", "update 1", "update 2", "withdraw 2", "withdraw 1", "peer down", "peer up", "update 3",
		"end of RIB"}
	v.mu.Lock()
	defer v.mu.Unlock()
	got := v.history[l.addr(2)]
	if len(got) != len(want) {
		t.Fatalf("history %v, want the order %v", got, want)
	}
	for i := range want {
		if len(want[i]) < len("update 1")+3 && want[i][len(want[i])-2] == ' ' {
			n := want[i][len(want[i])-1] - '0'
			want[i] = want[i][:len(want[i])-1] + leafRoute(n).Key.String()
		}
		if got[i] != want[i] {
			t.Errorf("event %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestRoutesInAreReadByteForByte(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	rmac := ether.MAC{2, 0xaa, 0, 0, 0, 4}
	host, host6 := netip.MustParseAddr("10.10.10.5"), netip.MustParseAddr("2001:db8::5")
	both := bgp.MakeRouteTargets(mustRT("65002:100"), mustRT("65002:5000"))
	base := bgp.Route{NextHop: leaf, Label: 100, RouteTargets: bgp.MakeRouteTargets(mustRT("65002:100")),
		Preference: leafPreference}
	with := func(k bgp.Key, change func(*bgp.Route)) bgp.Route {
		r := base
		r.Key = k
		if change != nil {
			change(&r)
		}
		return r
	}
	pmsi := leafAttributes()
	pmsi.PMSI = bgptest.IngressReplication(100, netip.MustParseAddr("10.0.0.44"))
	ryu := bgptest.Attributes{NextHop: leaf, ASPath: []uint32{65002},
		Communities: [][8]byte{bgptest.RouteTarget(65002, 100)}}
	tagged := bgp.MulticastKey(mustRD("65000:10"), leaf)
	tagged.EthernetTag = 10
	for _, tc := range []struct {
		name  string
		attrs bgptest.Attributes
		nlri  []byte
		want  bgp.Route
	}{
		{"type 2, MAC alone", leafAttributes(), leafMAC(1), leafRoute(1)},
		{"type 2 with a sequence", leafAttributes(bgptest.MACMobility(7, false)), leafMAC(2),
			with(leafRoute(2).Key, func(r *bgp.Route) { r.Sequence = 7 })},
		{"type 2, sticky", leafAttributes(bgptest.MACMobility(0, true)), leafMAC(3),
			with(leafRoute(3).Key, func(r *bgp.Route) { r.Sticky = true })},
		{"type 2 of a default gateway", leafAttributes([8]byte{3, 13}), leafMAC(4),
			with(leafRoute(4).Key, func(r *bgp.Route) { r.DefaultGateway = true })},
		{"type 2, MAC and v4, symmetric IRB", leafAttributes(bgptest.RouteTarget(65002, 5000), bgptest.RouterMAC(rmac)),
			bgptest.MACRoute(rdLeaf, 0, mac(1), host, 100, 5000),
			with(bgp.MACKey(rdLeaf, mac(1), host),
				func(r *bgp.Route) { r.Label2, r.RouteTargets, r.RouterMAC = 5000, both, rmac })},
		{"type 2, MAC and v6", leafAttributes(), bgptest.MACRoute(rdLeaf, 0, mac(1), host6, 100),
			with(bgp.MACKey(rdLeaf, mac(1), host6), nil)},
		{"type 3", pmsi, bgptest.MulticastRoute(rdLeaf, 0, leaf),
			with(bgp.MulticastKey(rdLeaf, leaf), func(r *bgp.Route) { r.Tunnel = netip.MustParseAddr("10.0.0.44") })},
		{"type 3 of RYU: tag, no PMSI, no encapsulation", ryu, bgptest.MulticastRoute(mustRD("65000:10"), 10, leaf),
			with(tagged, func(r *bgp.Route) { r.Label = 0 })},
		{"type 5, v4", leafAttributes(bgptest.RouterMAC(rmac)), bgptest.PrefixRoute(rdLeaf, netip.MustParsePrefix("10.20.0.0/16"), netip.Addr{}, 5000),
			with(bgp.PrefixKey(rdLeaf, netip.MustParsePrefix("10.20.0.0/16")),
				func(r *bgp.Route) { r.Label, r.RouterMAC = 5000, rmac })},
		{"type 5, v6 default route", leafAttributes(bgptest.RouterMAC(rmac)), bgptest.PrefixRoute(rdLeaf, netip.MustParsePrefix("::/0"), netip.Addr{}, 5000),
			with(bgp.PrefixKey(rdLeaf, netip.MustParsePrefix("::/0")),
				func(r *bgp.Route) { r.Label, r.RouterMAC = 5000, rmac })},
		{"type 5 with a gateway", leafAttributes(), bgptest.PrefixRoute(rdLeaf, netip.MustParsePrefix("10.30.0.0/24"), host, 0),
			with(bgp.PrefixKey(rdLeaf, netip.MustParsePrefix("10.30.0.0/24")),
				func(r *bgp.Route) { r.Label, r.GatewayIP = 0, host })},
		{"RFC 8365 auto-derived target and 4-byte AS target", bgptest.Attributes{NextHop: leaf, ASPath: []uint32{65002},
			Communities: [][8]byte{bgptest.RouteTarget(65002, 0x10000064), {2, 2, 0xfa, 0x56, 0xea, 0, 0, 100}}}, leafMAC(5),
			with(leafRoute(5).Key, func(r *bgp.Route) {
				r.RouteTargets = bgp.MakeRouteTargets(mustRT("4200000000:100"), mustRT("65002:268435556"))
			})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, s, bgptest.Update(tc.attrs, tc.nlri))
			v.awaitRoutes(l.addr(2), tc.want)
			must(t, s, bgptest.Withdraw(tc.nlri))
			v.awaitRoutes(l.addr(2))
		})
	}
}

func TestWhatCannotBeTakenIsCountedAndShownAndTheSessionStands(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	attrs := func(change func(*bgptest.Attributes)) bgptest.Attributes { a := leafAttributes(); change(&a); return a }
	want := map[bgp.Reason]uint64{}
	for _, bad := range []struct {
		reason bgp.Reason
		update []byte
	}{
		{bgp.BadRouteType, bgptest.Update(leafAttributes(), bgptest.Route(6, make([]byte, 20)))},
		{bgp.BadMAC, bgptest.Update(leafAttributes(), bgptest.MACRoute(rdLeaf, 0, ether.Broadcast, netip.Addr{}, 100))},
		// MPLS, on a route that was good before: it goes.
		{bgp.BadEncapsulation, bgptest.Update(attrs(func(a *bgptest.Attributes) {
			a.Communities[1] = [8]byte{3, 12, 7: 10}
		}), leafMAC(2))},
		{bgp.ASLoop, bgptest.Update(attrs(func(a *bgptest.Attributes) { a.ASPath = []uint32{65002, 65000} }), leafMAC(3))},
	} {
		must(t, s, bad.update)
		want[bad.reason]++
	}
	must(t, s, bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	v.awaitRoutes(l.addr(2), leafRoute(1))
	got := v.Stats().Dropped
	for r := bgp.Accepted; r < bgp.Reasons; r++ {
		if got[r] != want[r] {
			t.Errorf("%d dropped for %v, want %d", got[r], r, want[r])
		}
	}
	p := v.Peers()[0]
	if !p.Up || p.Flaps != 0 || !maps.Equal(p.Faults, want) || len(p.Recent) != len(want) {
		t.Fatalf("peer %+v, want it up with faults %v", p, want)
	}
	if f := p.Recent[0]; f.Reason != bgp.BadRouteType || f.Time.IsZero() || f.What == "" || len(f.Bytes) == 0 {
		t.Errorf("the first fault is %+v", f)
	}
}

func TestTheLastTenFaultsAreKeptAndOneOfAReasonIsLoggedInAMinuteButForLoops(t *testing.T) {
	l := newLab(t)
	var log lines
	s, err := New(Config{BGP: l.config(l.raw(2, 65002)), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v := follow(t, s)
	peer := l.dial(2, 65002)
	back := leafAttributes() // as a spine sends our routes
	back.ASPath = []uint32{65002, 65000}
	must(t, peer, bgptest.Update(back, leafMAC(3)))
	for typ := range byte(25) {
		must(t, peer, bgptest.Update(leafAttributes(), bgptest.Route(100+typ, []byte{typ})))
	}
	must(t, peer, bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	p := v.Peers()[0]
	if p.Faults[bgp.BadRouteType] != 25 || len(p.Recent) != 10 {
		t.Fatalf("%v counted, %d kept; want 25 and 10", p.Faults, len(p.Recent))
	}
	first, last := p.Recent[0].What, p.Recent[9].What
	if !strings.Contains(first, "115") || !strings.Contains(last, "124") {
		t.Errorf("kept from %q to %q, want types 115 to 124", first, last)
	}
	if n := log.count("reason=route_type"); n != 1 {
		t.Errorf("%d lines of log, want one", n)
	}
	if n := log.count("reason=as_loop"); p.Faults[bgp.ASLoop] != 1 || n != 0 {
		t.Errorf("our AS in the path: %v counted, and logged %d times; want once and never", p.Faults, n)
	}
}

func TestAnUpdateThatCannotBeReadEndsItsSessionAndNoOther(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(4, 65002)))
	other := l.dial(4, 65002)
	must(t, other, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(4), leafRoute(1))
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(2))
	// RFC 7606 section 3 b: a length of withdrawn routes that the message does not have.
	must(t, s, bgptest.Message(bgptest.UpdateType, []byte{0, 9, 0, 0}))
	v.awaitLast(l.addr(2), "peer down")
	v.awaitRoutes(l.addr(2))
	v.awaitRoutes(l.addr(4), leafRoute(1))
	if want := (bgptest.NotificationError{Code: 3, Subcode: 1}); s.Err() != want {
		t.Errorf("session ended by %v, want %v", s.Err(), want)
	}
	if p := v.Peers()[0]; !strings.Contains(p.LastDown, "3/1") {
		t.Errorf("it went down for %q", p.LastDown)
	}
}

func TestPeerOverItsPrefixLimitIsCut(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.MaxPrefixes = 2
	v := run(t, l.config(n))
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(3)))
	v.awaitLast(l.addr(2), "peer down")
	v.awaitRoutes(l.addr(2))
	if want := (bgptest.NotificationError{Code: 6, Subcode: 1}); s.Err() != want {
		t.Errorf("session ended by %v, want %v", s.Err(), want)
	}
}

func TestGracefulRestartKeepsRoutesAndWithdrawsThoseNotSentAgain(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	v := run(t, l.graceful(n))
	graceful := bgptest.Config{Local: l.addr(2), AS: 65002, RestartTime: 60 * time.Second}
	s := l.dialAs(graceful)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1), leafMAC(2)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	s.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2))
	graceful.Restarted = true
	s = l.dialAs(graceful)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(2), leafMAC(3)))
	v.awaitRoutes(l.addr(2), leafRoute(1), leafRoute(2), leafRoute(3))
	must(t, s, bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	v.awaitRoutes(l.addr(2), leafRoute(2), leafRoute(3))
}

func TestGracefulRestartThatNeverComesWithdrawsAll(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	v := run(t, l.graceful(n))
	s := l.dialAs(bgptest.Config{Local: l.addr(2), AS: 65002, RestartTime: time.Second})
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)), bgptest.Withdraw())
	v.awaitLast(l.addr(2), "end of RIB")
	s.Close()
	v.awaitLast(l.addr(2), "peer down graceful")
	v.awaitLast(l.addr(2), "peer down")
	v.awaitRoutes(l.addr(2))
}
