package front

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

var (
	ourHost    = netip.MustParseAddr("10.10.10.7")
	ourRouter6 = netip.MustParseAddr("2001:db8::6")
	ourRouter  = ether.MAC{2, 0xbb, 0, 0, 0, 2}
	ourRTs     = bgp.MakeRouteTargets(bgp.AutoRouteTarget(65000, 100))
)

func ourMAC(n byte) bgp.Route {
	return bgp.Route{Key: bgp.MACKey(rdOurs, mac(n), netip.Addr{}), NextHop: ours, Label: 100, RouteTargets: ourRTs}
}

func ourMulticast() bgp.Route {
	return bgp.Route{Key: bgp.MulticastKey(rdOurs, ours), NextHop: ours, Label: 100, RouteTargets: ourRTs, Tunnel: ours}
}

// ourRoutes has each form of route that we advertise.
func ourRoutes() []bgp.Route {
	moved, sticky := ourMAC(2), ourMAC(3)
	moved.Sequence = 7
	sticky.Sticky = true
	irb := ourMAC(4)
	irb.IP, irb.Label2, irb.RouterMAC = ourHost, 5000, ourRouter
	irb.RouteTargets = bgp.MakeRouteTargets(bgp.AutoRouteTarget(65000, 100), bgp.AutoRouteTarget(65000, 5000))
	gateway := ourMAC(5)
	gateway.IP, gateway.DefaultGateway = netip.MustParseAddr("2001:db8::1"), true
	router := ourMAC(6)
	router.IP, router.ARPND = ourRouter6, bgp.ARPND{Said: true, Flags: bgp.ARPNDRouter | bgp.ARPNDOverride}
	immutable := ourMAC(7)
	immutable.IP, immutable.ARPND = ourHost, bgp.ARPND{Said: true, Flags: bgp.ARPNDImmutable}
	prefix := bgp.Route{Key: bgp.PrefixKey(rdOurs, netip.MustParsePrefix("10.20.0.0/16")), NextHop: ours, Label: 5000,
		RouteTargets: bgp.MakeRouteTargets(bgp.AutoRouteTarget(65000, 5000)), RouterMAC: ourRouter}
	prefix6 := prefix
	prefix6.Key = bgp.PrefixKey(rdOurs, netip.MustParsePrefix("2001:db8:20::/48"))
	tagged := ourMulticast()
	tagged.EthernetTag = 100
	return []bgp.Route{ourMAC(1), moved, sticky, irb, gateway, router, immutable, ourMulticast(), tagged, prefix, prefix6}
}

func TestRoutesOutAreWrittenByteForByte(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65000)))
	external, internal := l.dial(2, 65002), l.dial(3, 65000)
	v.awaitLast(l.addr(2), "peer up")
	v.awaitLast(l.addr(3), "peer up")
	rt, rt5000 := bgptest.RouteTarget(65000, 100), bgptest.RouteTarget(65000, 5000)
	v6 := netip.MustParseAddr("2001:db8::1")
	want := []struct {
		nlri        []byte
		communities [][8]byte
		pmsi        []byte
	}{
		{bgptest.MACRoute(rdOurs, 0, mac(1), netip.Addr{}, 100), [][8]byte{rt, bgptest.VXLAN()}, nil},
		{bgptest.MACRoute(rdOurs, 0, mac(2), netip.Addr{}, 100), [][8]byte{rt, bgptest.VXLAN(), bgptest.MACMobility(7, false)}, nil},
		{bgptest.MACRoute(rdOurs, 0, mac(3), netip.Addr{}, 100), [][8]byte{rt, bgptest.VXLAN(), bgptest.MACMobility(0, true)}, nil},
		{bgptest.MACRoute(rdOurs, 0, mac(4), ourHost, 100, 5000), [][8]byte{rt, rt5000, bgptest.VXLAN(), bgptest.RouterMAC(ourRouter)}, nil},
		{bgptest.MACRoute(rdOurs, 0, mac(5), v6, 100), [][8]byte{rt, bgptest.VXLAN(), {3, 13}}, nil},
		// RFC 9047 section 2: R is bit 7 of the flags, O bit 6, I bit 4.
		{bgptest.MACRoute(rdOurs, 0, mac(6), ourRouter6, 100), [][8]byte{rt, bgptest.VXLAN(), {6, 8, 3}}, nil},
		{bgptest.MACRoute(rdOurs, 0, mac(7), ourHost, 100), [][8]byte{rt, bgptest.VXLAN(), {6, 8, 8}}, nil},
		{bgptest.MulticastRoute(rdOurs, 0, ours), [][8]byte{rt, bgptest.VXLAN()}, bgptest.IngressReplication(100, ours)},
		{bgptest.MulticastRoute(rdOurs, 100, ours), [][8]byte{rt, bgptest.VXLAN()}, bgptest.IngressReplication(100, ours)},
		{bgptest.PrefixRoute(rdOurs, netip.MustParsePrefix("10.20.0.0/16"), netip.Addr{}, 5000), [][8]byte{rt5000, bgptest.VXLAN(), bgptest.RouterMAC(ourRouter)}, nil},
		{bgptest.PrefixRoute(rdOurs, netip.MustParsePrefix("2001:db8:20::/48"), netip.Addr{}, 5000), [][8]byte{rt5000, bgptest.VXLAN(), bgptest.RouterMAC(ourRouter)}, nil},
	}
	for i, r := range ourRoutes() {
		if err := v.Originate([]bgp.Route{r}, nil); err != nil {
			t.Fatal(err)
		}
		w := bgptest.Attributes{NextHop: ours, ASPath: []uint32{65000}, Communities: want[i].communities, PMSI: want[i].pmsi}
		sameUpdate(t, r.Key.String()+" to an eBGP peer", receive(t, external), bgptest.Update(w, want[i].nlri))
		w.ASPath, w.LocalPref = nil, true
		sameUpdate(t, r.Key.String()+" to an iBGP peer", receive(t, internal), bgptest.Update(w, want[i].nlri))
	}
	for i, r := range ourRoutes() {
		if err := v.Originate(nil, []bgp.Key{r.Key}); err != nil {
			t.Fatal(err)
		}
		got := bgptest.ParseAttributes(receive(t, external))[15]
		n := want[i].nlri
		// What is no part of the key may differ in a withdrawal: labels.
		if len(got) != 3+len(n) && r.Label2 == 0 || !bytes.Equal(got[:3], []byte{0, 25, 70}) ||
			withdrawnKey(t, got[3:]) != r.Key {
			t.Errorf("withdrawal % x of %v", got, r.Key)
		}
	}
}

// RFC 9047 lets a receiver ignore the community; one that takes the route for withdrawn
// (GoBGP) is not told it.
func TestANeighbourIsToldNothingOfTheFlagsOfAddressesIfItWantsNone(t *testing.T) {
	l := newLab(t)
	without := l.raw(2, 65002)
	without.NoARPND = true
	v := run(t, l.config(without, l.raw(3, 65003)))
	two, three := l.dial(2, 65002), l.dial(3, 65003)
	v.awaitLast(l.addr(2), "peer up")
	v.awaitLast(l.addr(3), "peer up")
	for _, r := range ourRoutes() {
		if err := v.Originate([]bgp.Route{r}, nil); err != nil {
			t.Fatal(err)
		}
		whole := bgptest.ParseAttributes(receive(t, three))
		rest := bgptest.ParseAttributes(receive(t, two))
		for typ, want := range whole {
			if typ == attrExtended && r.ARPND.Said {
				want = slices.Concat(slices.DeleteFunc(slices.Collect(slices.Chunk(want, 8)),
					func(c []byte) bool { return c[0] == 6 && c[1] == 8 })...)
			}
			if !bytes.Equal(rest[typ], want) {
				t.Errorf("%v: attribute %d is % x, want % x", r.Key, typ, rest[typ], want)
			}
		}
		if len(rest) != len(whole) {
			t.Errorf("%v: %d attributes, want %d", r.Key, len(rest), len(whole))
		}
	}
}

func withdrawnKey(t *testing.T, nlri []byte) bgp.Key {
	return change(t, bgptest.Withdraw(nlri)[19:]).Route.Key
}

// sameUpdate compares attribute by attribute; their order is free.
func sameUpdate(t *testing.T, what string, body, message []byte) {
	t.Helper()
	got, want := bgptest.ParseAttributes(body), bgptest.ParseAttributes(message[19:])
	for typ := range 256 {
		if g, w := got[byte(typ)], want[byte(typ)]; !bytes.Equal(g, w) {
			t.Errorf("%s: attribute %d is % x, want % x", what, typ, g, w)
		}
	}
}

func TestEqualRouteAgainSendsNothing(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	v.awaitLast(l.addr(2), "peer up")
	originate := func(add []bgp.Route, withdraw ...bgp.Key) {
		t.Helper()
		if err := v.Originate(add, withdraw); err != nil {
			t.Fatal(err)
		}
	}
	// GoBGP sends only the last of changes in quick succession, so each is
	// read before the next.
	expect := func(kind bgp.Kind, n byte, sequence uint32) {
		t.Helper()
		e := change(t, receive(t, s))
		if e.Kind != kind || e.Route.MAC != mac(n) || e.Route.Sequence != sequence {
			t.Errorf("got %v of %+v, want %v of %v with sequence %d", e.Kind, e.Route, kind, mac(n), sequence)
		}
	}
	moved := ourMAC(1)
	moved.Sequence = 1
	originate([]bgp.Route{ourMAC(1)})
	expect(bgp.RouteUpdate, 1, 0)
	originate([]bgp.Route{ourMAC(1)})
	originate(nil, ourMAC(9).Key) // never advertised
	originate([]bgp.Route{moved})
	expect(bgp.RouteUpdate, 1, 1)
	originate([]bgp.Route{moved})
	originate([]bgp.Route{ourMAC(1)}) // the sequence falls
	expect(bgp.RouteUpdate, 1, 0)
	originate(nil, ourMAC(1).Key)
	expect(bgp.RouteWithdraw, 1, 0)
	originate(nil, ourMAC(1).Key)
	originate([]bgp.Route{ourMAC(2)})
	expect(bgp.RouteUpdate, 2, 0)
}

func TestRoutesOfOneMACKeepTheSequenceTheyWereGiven(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	s := l.dial(2, 65002)
	v.awaitLast(l.addr(2), "peer up")
	high, low := ourMAC(1), ourMAC(1)
	high.Sequence = 5
	low.IP = ourHost
	if err := v.Originate([]bgp.Route{high}, nil); err != nil {
		t.Fatal(err)
	}
	receive(t, s)
	// GoBGP by itself would add sequence 5 to the second route.
	if err := v.Originate([]bgp.Route{low}, nil); err != nil {
		t.Fatal(err)
	}
	e := change(t, receive(t, s))
	if e.Route.Key != low.Key || e.Route.Sequence != 0 {
		t.Errorf("sent %+v", e.Route)
	}
}

func TestNoPeerGetsAnothersRoutes(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65003), l.raw(4, 65000), l.raw(5, 65000)))
	if err := v.Originate([]bgp.Route{ourMAC(1)}, nil); err != nil {
		t.Fatal(err)
	}
	all := []*bgptest.Session{l.dial(2, 65002), l.dial(3, 65003), l.dial(4, 65000), l.dial(5, 65000)}
	for i, s := range all {
		receive(t, s)
		attrs := leafAttributes(bgptest.MACMobility(9, false))
		attrs.LocalPref = i >= 2
		// Its own MAC, and ours with a higher sequence: GoBGP by itself would
		// advertise the first to others and withdraw our route for the second.
		must(t, s, bgptest.Update(attrs, leafMAC(byte(10+i)), leafMAC(1),
			bgptest.MACRoute(rdOurs, 0, mac(2), netip.Addr{}, 100)))
	}
	for i := range all {
		v.await(l.addr(byte(2+i)), "three routes",
			func(routes map[bgp.Key]bgp.Route, _ []string) bool { return len(routes) == 3 })
	}
	all[0].Close()
	v.awaitLast(l.addr(2), "peer down")
	// Whatever was sent before this route has arrived with it.
	if err := v.Originate([]bgp.Route{ourMAC(3)}, nil); err != nil {
		t.Fatal(err)
	}
	route := bgptest.MACRoute(rdOurs, 0, mac(1), netip.Addr{}, 100)
	ourNLRI := route[2 : len(route)-3] // without type, length and label
	for i, s := range all[1:] {
		body := receive(t, s)
		for bgptest.ParseAttributes(body)[14] == nil {
			// GoBGP withdraws from all what one of another AS withdrew, though
			// nobody else ever had it.
			if bytes.Contains(body, ourNLRI) {
				t.Errorf("our route was withdrawn from peer %d", i)
			}
			body = receive(t, s)
		}
		e := change(t, body)
		if e.Kind != bgp.RouteUpdate || e.Route.Key != ourMAC(3).Key {
			t.Errorf("peer %d got %v of %+v, want only %v", i, e.Kind, e.Route, ourMAC(3).Key)
		}
	}
}

func TestARouteOriginatedWhileASessionBeginsReachesThePeer(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002)))
	for i := range byte(50) {
		p := l.connect(2).establish(hello(65002, lowID))
		v.awaitLast(l.addr(2), "peer up")
		if err := v.Originate([]bgp.Route{ourMAC(i)}, nil); err != nil {
			t.Fatal(err)
		}
		for reached := false; !reached; {
			for _, c := range changes(t, p.updates()) {
				reached = reached || c.Route.Key == ourMAC(i).Key
			}
		}
		_ = p.conn.Close()
		v.awaitLast(l.addr(2), "peer down")
	}
}
