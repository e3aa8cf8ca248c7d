package front

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

var (
	leafVTEP  = netip.MustParsePrefix("10.0.0.4/32")
	leafOther = netip.MustParsePrefix("10.0.1.0/24")
	leafV6    = netip.MustParsePrefix("2001:db8:4::/48")
	ourVTEP   = netip.MustParsePrefix("10.0.0.2/32")
	ourLink   = netip.MustParsePrefix("10.1.1.0/24")
)

// unicastNeighbor is a raw neighbour with the unicast family of its address.
func (l *lab) unicastNeighbor(n byte, as uint32) bgp.Neighbor {
	r := l.raw(n, as)
	r.Families = []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}
	return r
}

func (l *lab) dialUnicast(n byte, as uint32) *bgptest.Session {
	return l.dialAs(bgptest.Config{Local: l.addr(n), AS: as, Unicast: true})
}

// fromLeaf are the attributes of the neighbour n's own prefixes.
func (l *lab) fromLeaf(n byte, as uint32) bgptest.UnicastAttributes {
	return bgptest.UnicastAttributes{NextHop: netip.AddrFrom4([4]byte{10, 1, 1, n}), ASPath: []uint32{as}}
}

// awaitUnicast reads events until one is of the kind and of the prefix, and
// gives it; what came before is in the text of a failure.
func awaitUnicast(t *testing.T, s *Speaker, peer netip.Addr, kind bgp.Kind,
	prefix netip.Prefix) (bgp.UnicastEvent, []bgp.UnicastEvent) {
	t.Helper()
	var seen []bgp.UnicastEvent
	deadline := time.After(patience)
	for {
		select {
		case batch := <-s.UnicastEvents():
			batch = slices.DeleteFunc(batch, func(e bgp.UnicastEvent) bool { return e.Kind == bgp.Converged })
			for i, e := range batch {
				if e.Peer == peer && e.Kind == kind && e.Route.Prefix == prefix {
					if i != len(batch)-1 {
						t.Fatalf("%v %v is followed by %v", kind, prefix, batch[i+1:])
					}
					return e, seen
				}
				seen = append(seen, e)
			}
		case <-deadline:
			t.Fatalf("no %v of %v by %v; seen %+v", kind, prefix, peer, seen)
		}
	}
}

func TestUnicastRoutesComeWithWhatDecidesBetweenThem(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.unicastNeighbor(2, 65002), l.unicastNeighbor(3, 65000)))
	s := l.dialUnicast(2, 65002)
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.PeerUp, netip.Prefix{})
	a := l.fromLeaf(2, 65002)
	a.ASPath, a.MED, a.Origin = []uint32{65002, 65009}, 7, 2
	must(t, s, bgptest.UnicastUpdate(a, leafVTEP))
	e, _ := awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteUpdate, leafVTEP)
	want := bgp.UnicastRoute{Prefix: leafVTEP, NextHop: a.NextHop, LocalPref: 100, PathLength: 2, Origin: 2, MED: 7}
	if e.Route != want {
		t.Errorf("eBGP route %+v\nwant %+v", e.Route, want)
	}
	internal := l.dialUnicast(3, 65000)
	awaitUnicast(t, v.Speaker, l.addr(3), bgp.PeerUp, netip.Prefix{})
	b := l.fromLeaf(3, 65000)
	b.ASPath, b.LocalPref = nil, 500
	must(t, internal, bgptest.UnicastUpdate(b, leafVTEP))
	e, _ = awaitUnicast(t, v.Speaker, l.addr(3), bgp.RouteUpdate, leafVTEP)
	want = bgp.UnicastRoute{Prefix: leafVTEP, NextHop: b.NextHop, LocalPref: 500, Internal: true}
	if e.Route != want {
		t.Errorf("iBGP route %+v\nwant %+v", e.Route, want)
	}
	must(t, s, bgptest.UnicastWithdraw(leafVTEP))
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteWithdraw, leafVTEP)
	must(t, s, bgptest.IPv4EndOfRIB())
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.EndOfRIB, netip.Prefix{})
}

func TestEVPNAndUnicastOfOneSessionAreSeparateStreams(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.unicastNeighbor(2, 65002)))
	s := l.dialUnicast(2, 65002)
	must(t, s, bgptest.UnicastUpdate(l.fromLeaf(2, 65002), leafVTEP), bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1)) // nobody reads the unicast events yet
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteUpdate, leafVTEP)
	v.await(l.addr(2), "EVPN alone", func(_ map[bgp.Key]bgp.Route, h []string) bool { return len(h) == 2 })
	if p := v.Peers()[0]; p.Routes != 1 || p.Unicast != 1 {
		t.Errorf("peer has %d EVPN and %d unicast routes, want 1 of each", p.Routes, p.Unicast)
	}
	must(t, s, bgptest.UnicastUpdate(l.fromLeaf(2, 65002), leafOther))
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteUpdate, leafOther)
	s.Close()
	_, seen := awaitUnicast(t, v.Speaker, l.addr(2), bgp.PeerDown, netip.Prefix{})
	var withdrawn []netip.Prefix
	for _, e := range seen {
		if e.Kind == bgp.RouteWithdraw {
			withdrawn = append(withdrawn, e.Route.Prefix)
		}
	}
	if len(withdrawn) != 2 {
		t.Errorf("the end of the session withdrew %v, want both routes", withdrawn)
	}
}

func TestUnicastRoutesThatCannotBeUsedAreDroppedAndCounted(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.unicastNeighbor(2, 65002)))
	s := l.dialUnicast(2, 65002)
	good := l.fromLeaf(2, 65002)
	looped, noHop := good, good
	looped.ASPath = []uint32{65002, 65000}
	noHop.NextHop = netip.MustParseAddr("224.0.0.1")
	must(t, s,
		bgptest.UnicastUpdate(good, leafVTEP),
		bgptest.UnicastUpdate(looped, leafVTEP), // replaces the good one
		bgptest.UnicastUpdate(good, netip.MustParsePrefix("224.0.0.0/8")),
		bgptest.UnicastUpdate(good, netip.MustParsePrefix("127.0.0.0/8")),
		bgptest.UnicastUpdate(good, netip.MustParsePrefix("0.0.0.0/0")),
	)
	_, seen := awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteUpdate, netip.MustParsePrefix("0.0.0.0/0"))
	last := seen[len(seen)-1]
	if last.Kind != bgp.RouteWithdraw || last.Route.Prefix != leafVTEP {
		t.Errorf("seen %+v, want the withdrawal of the looped route before the default route", seen)
	}
	if d := v.Stats().Dropped; d[bgp.ASLoop] != 1 || d[bgp.BadPrefix] != 2 {
		t.Errorf("dropped %v, want 1 for a loop and 2 for the prefix", d)
	}
	must(t, s, bgptest.UnicastUpdate(noHop, leafOther))
	// GoBGP itself may refuse the next hop and treat the route as withdrawn.
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.RouteWithdraw, leafOther)
}

func TestOurPrefixesAreAdvertisedWithTheSessionsAddressAndTheirsNever(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{BGP: l.config(l.unicastNeighbor(2, 65002), l.unicastNeighbor(3, 65003)), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AdvertiseUnicast([]netip.Prefix{ourVTEP}); err != nil { // before Run
		t.Fatal(err)
	}
	v := follow(t, s)
	a, b := l.dialUnicast(2, 65002), l.dialUnicast(3, 65003)
	if got := announced(t, l, receive(t, a)); got != "+10.0.0.2/32" {
		t.Errorf("first UPDATE says %q", got)
	}
	receive(t, b)
	must(t, b, bgptest.UnicastUpdate(l.fromLeaf(3, 65003), leafVTEP))
	awaitUnicast(t, v.Speaker, l.addr(3), bgp.RouteUpdate, leafVTEP)
	for _, step := range []struct {
		prefixes []netip.Prefix
		want     string
	}{
		{[]netip.Prefix{ourVTEP, ourLink}, "+10.1.1.0/24"},
		{[]netip.Prefix{ourLink}, "-10.0.0.2/32"},
		{[]netip.Prefix{ourLink, ourVTEP}, "+10.0.0.2/32"},
	} {
		if err := v.AdvertiseUnicast(step.prefixes); err != nil {
			t.Fatal(err)
		}
		if got := announced(t, l, receive(t, a)); got != step.want {
			t.Errorf("after AdvertiseUnicast(%v) the UPDATE says %q, want %q", step.prefixes, got, step.want)
		}
	}
	for _, bad := range []string{"10.0.0.1/24", "224.0.0.0/4", "::ffff:10.0.0.0/104"} {
		if err := v.AdvertiseUnicast([]netip.Prefix{netip.MustParsePrefix(bad)}); err == nil ||
			!strings.Contains(err.Error(), bad) {
			t.Errorf("advertising %s: %v", bad, err)
		}
	}
}

// announced is what an UPDATE of ipv4 unicast says, with + or -. The next hop
// must be the speaker's address.
func announced(t *testing.T, l *lab, body []byte) string {
	t.Helper()
	var out []string
	add := func(sign string, b []byte) {
		for len(b) > 0 {
			var a [4]byte
			n := copy(a[:], b[1:1+(b[0]+7)/8])
			out = append(out, sign+netip.PrefixFrom(netip.AddrFrom4(a), int(b[0])).String())
			b = b[1+n:]
		}
	}
	withdrawn := int(binary.BigEndian.Uint16(body))
	add("-", body[2:2+withdrawn])
	rest := body[2+withdrawn:]
	add("+", rest[2+binary.BigEndian.Uint16(rest):])
	if hop := bgptest.ParseAttributes(body)[3]; hop != nil && !slices.Equal(hop, l.addr(1).AsSlice()) {
		t.Errorf("next hop % x, want %v", hop, l.addr(1))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestGracefulRestartKeepsUnicastRoutesUntilEndOfRIB(t *testing.T) {
	l := newLab(t)
	n := l.unicastNeighbor(2, 65002)
	v := run(t, l.graceful(n))
	cfg := bgptest.Config{Local: l.addr(2), AS: 65002, Unicast: true, RestartTime: 10 * time.Second}
	s := l.dialAs(cfg)
	must(t, s, bgptest.UnicastUpdate(l.fromLeaf(2, 65002), leafVTEP, leafOther), bgptest.IPv4EndOfRIB())
	awaitUnicast(t, v.Speaker, l.addr(2), bgp.EndOfRIB, netip.Prefix{})
	s.Close()
	down, seen := awaitUnicast(t, v.Speaker, l.addr(2), bgp.PeerDown, netip.Prefix{})
	if !down.Graceful || len(seen) != 0 {
		t.Errorf("down %+v after %+v, want it graceful after nothing", down, seen)
	}
	cfg.Restarted = true
	s = l.dialAs(cfg)
	must(t, s, bgptest.UnicastUpdate(l.fromLeaf(2, 65002), leafVTEP), bgptest.IPv4EndOfRIB())
	_, seen = awaitUnicast(t, v.Speaker, l.addr(2), bgp.EndOfRIB, netip.Prefix{})
	if gone := seen[len(seen)-1]; gone.Kind != bgp.RouteWithdraw || gone.Route.Prefix != leafOther {
		t.Errorf("before End-of-RIB %+v, want the withdrawal of %v", seen, leafOther)
	}
}

func TestIPv6UnicastOverAnIPv6Session(t *testing.T) {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback: %v", err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	ln.Close()
	v := run(t, bgp.Config{
		AS: 65000, RouterID: ours, ListenAddresses: []netip.Addr{at.Addr()}, ListenPort: int(at.Port()),
		Neighbors: []bgp.Neighbor{{Address: at.Addr(), AS: 65002, Passive: true, Families: []bgp.Family{bgp.IPv6Unicast}}},
	})
	if err := v.AdvertiseUnicast([]netip.Prefix{netip.MustParsePrefix("2001:db8::1/128"), ourVTEP}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := bgptest.Dial(ctx, bgptest.Config{Local: at.Addr(), Remote: at, AS: 65002, Unicast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	hop := netip.MustParseAddr("2001:db8::4")
	must(t, s, bgptest.UnicastUpdate(bgptest.UnicastAttributes{NextHop: hop, ASPath: []uint32{65002}}, leafV6),
		bgptest.IPv6EndOfRIB())
	_, seen := awaitUnicast(t, v.Speaker, at.Addr(), bgp.EndOfRIB, netip.Prefix{})
	want := bgp.UnicastRoute{Prefix: leafV6, NextHop: hop, LocalPref: 100, PathLength: 1}
	if last := seen[len(seen)-1]; last.Route != want {
		t.Errorf("got %+v, want %+v", last.Route, want)
	}
	reach := bgptest.ParseAttributes(receive(t, s))[14]
	wantReach := append(append([]byte{0, 2, 1, 16}, at.Addr().AsSlice()...), 0, 128)
	if !slices.Equal(reach[:min(len(reach), len(wantReach))], wantReach) {
		t.Errorf("MP_REACH_NLRI % x, want it to begin with % x", reach, wantReach)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if h := v.history[at.Addr()]; len(h) > 0 {
		t.Errorf("EVPN events %v of a neighbour without EVPN", h)
	}
}
