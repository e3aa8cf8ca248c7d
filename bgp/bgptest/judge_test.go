package bgptest

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
)

// body is that of an UPDATE with these attributes.
func body(attributes ...[]byte) []byte { return updateMessage(slices.Concat(attributes...))[19:] }

func TestWhatMayEndASessionIsWhatRFC7606Says(t *testing.T) {
	hop := netip.MustParseAddr("10.0.0.4")
	mac := MACRoute([8]byte{0, 1, 10, 0, 0, 4, 0, 100}, 0, [6]byte{2}, netip.Addr{}, 100)
	good := Update(Attributes{NextHop: hop, ASPath: []uint32{65002}}, mac)[19:]
	reach := func(value ...byte) []byte { return attribute(nil, 0x80, 14, value) }
	evpn := func(nlri ...byte) []byte {
		return reach(slices.Concat([]byte{0, 25, 70, 4, 10, 0, 0, 4, 0}, nlri)...)
	}
	origin := attribute(nil, 0x40, 1, []byte{0})
	with := func(change func([]byte)) []byte { b := bytes.Clone(good); change(b); return b }
	for _, c := range []struct {
		what string
		body []byte
		want Ending
	}{
		{"a good UPDATE", good, Stands},
		{"a withdrawal", Withdraw(mac)[19:], Stands},
		{"End-of-RIB of IPv4", make([]byte, 4), Stands},
		{"RFC 4271 6.1: three octets", make([]byte, 3), Must},
		{"3 b: Withdrawn Routes Length", with(func(b []byte) { b[0] = 1 }), Must},
		{"3 b: Total Attribute Length", with(func(b []byte) { b[2] = 1 }), Must},
		{"3 c: flags of ORIGIN", with(func(b []byte) { b[4] = 0xc0 }), Stands},
		{"3 d: no ORIGIN", body(evpn(mac...)), Stands},
		{"3 g: MP_REACH_NLRI twice", body(evpn(mac...), evpn(mac...)), Must},
		{"3 g: ORIGIN twice", body(origin, origin, evpn(mac...)), Stands},
		{"4: an attribute that is too long behind the routes", body(evpn(mac...), []byte{0x40, 1, 9, 0}), Stands},
		{"4: one before they are found", body([]byte{0x40, 1, 200, 0}, evpn(mac...)), May},
		{"4: two octets at the end", body(evpn(mac...), []byte{0x40, 1}), Stands},
		{"5.2: a bad ORIGIN and no route", body(attribute(nil, 0x40, 1, []byte{9})), May},
		{"5.2: a good ORIGIN and no route", body(origin), Stands},
		{"5.2: a bad ORIGIN beside a withdrawal", body(attribute(nil, 0x40, 1, []byte{9}), Withdraw(mac)[23:]), May},
		{"5.3: a prefix of 33 bits", append(make([]byte, 4), 33, 1, 2, 3, 4, 5), May},
		{"5.3: a prefix that is cut off", append(make([]byte, 4), 32, 1, 2), May},
		{"5.3: an EVPN route that is cut off", body(evpn(mac[:9]...)), May},
		{"5.3: one octet of it", body(evpn(2)), May},
		{"5.3: a short MP_UNREACH_NLRI", body(attribute(nil, 0x80, 15, []byte{0, 25})), May},
		{"5.3: flags of MP_REACH_NLRI", body(attribute(nil, 0xc0, 14, evpn(mac...)[3:])), May},
		{"5.4: an EVPN route of type 6", body(origin, evpn(Route(6, make([]byte, 20))...)), Stands},
		{"5.4: an EVPN route of type 2 and 9 octets", body(origin, evpn(Route(2, make([]byte, 9))...)), Stands},
		{"7.11: a next hop of 5 octets", body(reach(append([]byte{0, 25, 70, 5, 10, 0, 0, 4, 0, 0}, mac...)...)), May},
		{"7.11: a next hop that runs over the end", body(reach(0, 25, 70, 99, 10, 0, 0, 4, 0)), May},
		{"RFC 4271 6.3: a well-known attribute 99", body(attribute(nil, 0x40, 99, []byte{0}), evpn(mac...)), May},
		{"an optional attribute 99", body(attribute(nil, 0xc0, 99, []byte{0}), evpn(mac...)), Stands},
	} {
		if got := Judge(c.body, false); got.Ending != c.want || (got.Why == "") != (c.want == Stands) {
			t.Errorf("%s: %v %q, want %v", c.what, got.Ending, got.Why, c.want)
		}
	}
}

func TestMutationsAreAlwaysMessagesAndMostLeaveTheSessionAlone(t *testing.T) {
	leaf := Attributes{NextHop: netip.MustParseAddr("10.0.0.4"), ASPath: []uint32{65002},
		Communities: [][8]byte{RouteTarget(65002, 100), VXLAN()}}
	mac := MACRoute([8]byte{0, 1, 10, 0, 0, 4, 0, 100}, 0, [6]byte{2}, netip.Addr{}, 100)
	var seeds [][]byte
	for _, m := range [][]byte{Update(leaf, mac, mac), Withdraw(mac, mac), IPv4EndOfRIB(),
		UnicastUpdate(UnicastAttributes{NextHop: leaf.NextHop, MED: 3}, netip.MustParsePrefix("10.1.0.0/16")),
		UnicastWithdraw(netip.MustParsePrefix("10.1.0.0/16"))} {
		seeds = append(seeds, m[19:])
	}
	m, again := NewMutator(7, 4077, seeds...), NewMutator(7, 4077, seeds...)
	const n = 20_000
	counts, same := map[Ending]int{}, 0
	for range n {
		b := m.Next()
		if len(b) > 4077 {
			t.Fatalf("%d bytes", len(b))
		}
		if !bytes.Equal(b, again.Next()) {
			t.Fatal("the same number gives other mutations")
		}
		if slices.ContainsFunc(seeds, func(s []byte) bool { return bytes.Equal(s, b) }) {
			same++
		}
		counts[Judge(b, false).Ending]++
	}
	if counts[Stands] < n/3 || counts[May] < n/20 || counts[Must] < n/50 || same > n/4 {
		t.Errorf("%v, and %d are what they were", counts, same)
	}
}
