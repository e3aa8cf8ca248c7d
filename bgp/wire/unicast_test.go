package wire

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// RFC 4271 section 4.3, RFC 4760 sections 3 and 4, RFC 2545 section 3.
func TestUnicastRoutesAreReadInEachForm(t *testing.T) {
	s := internal()
	next4, next6 := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("2001:db8::9")
	attributes := given(s, path4(7, 8), attr(optional, attrMED, 0, 0, 0, 5), attr(transitive, attrLocalPref, 0, 0, 0, 50),
		attr(transitive, attrOrigin, 2), attr(transitive, attrNextHop, next4.AsSlice()...))
	nlri4 := []byte{0, 8, 10, 23, 10, 1, 255, 32, 10, 1, 1, 1} // the third with a host bit
	nlri6 := slices.Concat([]byte{0, 32, 0x20, 1, 0xd, 0xb8, 128}, netip.MustParseAddr("2001:db8::1").AsSlice())
	want4 := prefixes("0.0.0.0/0", "10.0.0.0/8", "10.1.254.0/23", "10.1.1.1/32")
	want6 := prefixes("::/0", "2001:db8::/32", "2001:db8::1/128")
	for name, c := range map[string]struct {
		reach, unreach []byte
		nextHop        netip.Addr
		want           []netip.Prefix
	}{
		"classic":       {body(nil, attributes, nlri4), body(nlri4, nil, nil), next4, want4},
		"multiprotocol": {body(nil, append(reach(IPv4Unicast, next4.AsSlice(), nlri4), attributes...), nil), body(nil, unreach(IPv4Unicast, nlri4), nil), next4, want4},
		"IPv6":          {body(nil, append(reach(IPv6Unicast, next6.AsSlice(), nlri6), attributes...), nil), body(nil, unreach(IPv6Unicast, nlri6), nil), next6, want6},
		"IPv6, with a link-local next hop": {body(nil, append(reach(IPv6Unicast, slices.Concat(next6.AsSlice(),
			netip.MustParseAddr("fe80::9").AsSlice()), nlri6), attributes...), nil),
			body(nil, unreach(IPv6Unicast, nlri6), nil), next6, want6},
	} {
		t.Run(name, func(t *testing.T) {
			var want []bgp.UnicastRoute
			for _, p := range c.want {
				want = append(want, bgp.UnicastRoute{Prefix: p, NextHop: c.nextHop, LocalPref: 50, PathLength: 2, Origin: 2,
					MED: 5, Internal: true})
			}
			if u := takenAll(t, s, c.reach); !slices.Equal(u.Unicast, want) || len(u.UnicastUnreach) > 0 {
				t.Errorf("got  %+v\nwant %+v", u.Unicast, want)
			}
			if u := takenAll(t, s, c.unreach); !slices.Equal(u.UnicastUnreach, c.want) || len(u.Unicast) > 0 {
				t.Errorf("withdrawn %v, want %v", u.UnicastUnreach, c.want)
			}
		})
	}
}

func TestPrefixThatIsNotRoutedIsDiscarded(t *testing.T) {
	s := external()
	next := attr(transitive, attrNextHop, 10, 0, 0, 2)
	for _, bad := range [][]byte{{8, 127}, {4, 224}, {16, 169, 254}, {32, 0, 0, 0, 0}} {
		u, n := decode(t, s, body(nil, given(s, next), slices.Concat([]byte{8, 10}, bad, []byte{8, 11})))
		if n != nil || len(u.Unicast) != 2 || len(u.Faults) != 1 || u.Faults[0].Reason != bgp.BadPrefix {
			t.Errorf("% x: %v, %+v", bad, n, u)
		}
		u, n = decode(t, s, body(slices.Concat([]byte{8, 10}, bad, []byte{8, 11}), nil, nil))
		if n != nil || len(u.UnicastUnreach) != 2 || len(u.Faults) != 1 || u.Faults[0].Reason != bgp.BadPrefix {
			t.Errorf("% x: %v, %+v", bad, n, u)
		}
	}
}

// RFC 4271 section 6.3: a next hop that no host can have costs the route. One of the other
// IP version would need RFC 8950, which is not offered.
func TestUnicastRouteByANextHopOfNobodyIsWithdrawn(t *testing.T) {
	s := external()
	six := []byte{32, 0x20, 1, 0xd, 0xb8}
	for _, c := range []struct {
		f       Family
		nextHop string
		nlri    []byte
	}{
		{IPv4Unicast, "0.0.0.0", []byte{8, 10}}, {IPv4Unicast, "127.0.0.1", []byte{8, 10}},
		{IPv4Unicast, "2001:db8::1", []byte{8, 10}}, {IPv6Unicast, "::", six}, {IPv6Unicast, "ff02::1", six},
		{IPv6Unicast, "::ffff:10.0.0.1", six},
	} {
		a := netip.MustParseAddr(c.nextHop)
		u, n := decode(t, s, body(nil, append(reach(c.f, a.AsSlice(), c.nlri), given(s)...), nil))
		if n != nil || len(u.Unicast) > 0 || len(u.UnicastUnreach) != 1 || len(u.Faults) != 1 ||
			u.Faults[0].Reason != bgp.BadNextHop || u.Faults[0].Routes != 1 {
			t.Errorf("%v by %v: %v, %+v", c.f, a, n, u)
		}
	}
}

// What makes an EVPN route useless says nothing of a unicast one, but loops do.
func TestUnicastRouteIsJudgedByWhatConcernsIt(t *testing.T) {
	s := internal()
	next := attr(transitive, attrNextHop, 10, 0, 0, 2)
	mpls := attr(optional|transitive, attrExtendedCommunities, 3, 12, 0, 0, 0, 0, 0, 10, 6, 3, 0, 0, 0, 0, 0, 0)
	if u := takenAll(t, s, body(nil, given(s, next, mpls), []byte{8, 10})); len(u.Unicast) != 1 {
		t.Errorf("%+v", u)
	}
	for reason, loop := range map[bgp.Reason][]byte{
		bgp.ASLoop: path4(ourAS), bgp.RouterLoop: attr(optional, attrOriginatorID, ourID.AsSlice()...),
		bgp.BadAttribute: attr(transitive, attrOrigin),
	} {
		u, n := decode(t, s, body(nil, given(s, next, loop), []byte{8, 10, 8, 11}))
		if n != nil || len(u.Unicast) > 0 || !slices.Equal(u.UnicastUnreach, prefixes("10.0.0.0/8", "11.0.0.0/8")) ||
			len(u.Faults) != 1 || u.Faults[0].Reason != reason || u.Faults[0].Routes != 2 {
			t.Errorf("%v: %v, %+v", reason, n, u)
		}
	}
	shut := attr(optional|transitive, attrCommunities, 255, 255, 0, 0)
	if u := takenAll(t, s, body(nil, given(s, next, shut), []byte{8, 10})); u.Unicast[0].LocalPref != 0 {
		t.Errorf("RFC 8326: local preference %d", u.Unicast[0].LocalPref)
	}
}
