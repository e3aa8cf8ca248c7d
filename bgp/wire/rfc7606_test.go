package wire

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
)

// rows runs a table of changed attributes of one section.
func rows(t *testing.T, list []row) {
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) { r.want.check(t, r.session, announced(given(r.session, r.changed), two())) })
	}
}

type row struct {
	name    string
	session Session
	changed []byte
	want    outcome
}

var (
	badAttribute = withdrawn(bgp.BadAttribute)
	noAttribute  = discarded(bgp.BadAttribute)
)

// RFC 7606 section 7.1.
func TestORIGINThatIsMalformedIsTreatedAsWithdrawal(t *testing.T) {
	rows(t, []row{
		{"IGP", external(), attr(transitive, attrOrigin, 0), outcome{}},
		{"incomplete", external(), attr(transitive, attrOrigin, 2), outcome{}},
		{"empty", external(), attr(transitive, attrOrigin), badAttribute},
		{"two octets", external(), attr(transitive, attrOrigin, 0, 0), badAttribute},
		{"undefined value", external(), attr(transitive, attrOrigin, 3), badAttribute},
	})
}

// RFC 7606 section 7.2, RFC 7607 section 2, RFC 5065 section 5.
func TestASPATHThatIsMalformedIsTreatedAsWithdrawal(t *testing.T) {
	as := func(b ...byte) []byte { return attr(transitive, attrASPath, b...) }
	rows(t, []row{
		{"empty", internal(), as(), outcome{}},
		{"sets", external(), as(slices.Concat(segment4(2, theirAS), segment4(1, 7, 8))...), outcome{}},
		{"segment of type 0", external(), as(segment4(0, theirAS)...), badAttribute},
		{"segment of type 5", external(), as(segment4(5, theirAS)...), badAttribute},
		{"segment without numbers", external(), as(2, 0), badAttribute},
		{"overrun", external(), as(2, 2, 0, 0, 0xfd, 0xea), badAttribute},
		{"underrun", external(), as(append(segment4(2, theirAS), 2)...), badAttribute},
		{"numbers of two octets", external(), as(segment2(2, theirAS)...), badAttribute},
		{"numbers of four octets", oldPeer(), as(segment4(2, theirAS, 7, 8)...), badAttribute},
		{"AS 0", external(), as(segment4(2, theirAS, 0)...), badAttribute},
		{"AS 0 in a set", external(), as(slices.Concat(segment4(2, theirAS), segment4(1, 0))...), badAttribute},
		{"AS 0 of two octets", oldPeer(), as(segment2(2, theirAS, 0)...), badAttribute},
		{"confederation from another AS", external(), as(slices.Concat(segment4(3, 7), segment4(2, theirAS))...), badAttribute},
		{"confederation within ours", internal(), as(slices.Concat(segment4(3, 7), segment4(4, 8))...), outcome{}},
	})
}

// RFC 7606 section 7.3: it says nothing of routes in MP_REACH_NLRI, but is an attribute.
func TestNEXTHOPThatIsMalformedIsTreatedAsWithdrawal(t *testing.T) {
	rows(t, []row{
		{"four octets", external(), attr(transitive, attrNextHop, 10, 0, 0, 9), outcome{}},
		{"empty", external(), attr(transitive, attrNextHop), badAttribute},
		{"three octets", external(), attr(transitive, attrNextHop, 10, 0, 0), badAttribute},
		{"sixteen octets", external(), attr(transitive, attrNextHop, make([]byte, 16)...), badAttribute},
	})
}

// RFC 7606 section 7.4.
func TestMULTIEXITDISCThatIsMalformedIsTreatedAsWithdrawal(t *testing.T) {
	rows(t, []row{
		{"four octets", external(), attr(optional, attrMED, 0, 0, 0, 9), outcome{}},
		{"empty", external(), attr(optional, attrMED), badAttribute},
		{"three octets", external(), attr(optional, attrMED, 0, 0, 9), badAttribute},
		{"five octets", internal(), attr(optional, attrMED, 0, 0, 0, 0, 9), badAttribute},
	})
}

// RFC 7606 sections 7.5, 7.9 and 7.10.
func TestAttributesOfAnASFromAnotherASAreDiscarded(t *testing.T) {
	rows(t, []row{
		{"LOCAL_PREF", external(), attr(transitive, attrLocalPref, 0, 0, 0, 1), noAttribute},
		{"LOCAL_PREF that is malformed", external(), attr(transitive, attrLocalPref, 1), noAttribute},
		{"ORIGINATOR_ID", external(), attr(optional, attrOriginatorID, 10, 0, 0, 3), noAttribute},
		{"ORIGINATOR_ID that is ours", external(), attr(optional, attrOriginatorID, 192, 0, 2, 1), noAttribute},
		{"ORIGINATOR_ID that is malformed", external(), attr(optional, attrOriginatorID), noAttribute},
		{"CLUSTER_LIST", external(), attr(optional, attrClusterList, 10, 0, 0, 3), noAttribute},
		{"CLUSTER_LIST with us", external(), attr(optional, attrClusterList, 192, 0, 2, 1), noAttribute},
		{"CLUSTER_LIST that is malformed", external(), attr(optional, attrClusterList, 1), noAttribute},
		{"with other flags", external(), attr(optional|transitive, attrClusterList, 10, 0, 0, 3), noAttribute},
	})
	u, _ := decode(t, external(), announced(given(external(), attr(transitive, attrLocalPref, 0, 0, 0, 1)), two()))
	if got := u.Attributes.LocalPref; got != bgp.DefaultLocalPref {
		t.Errorf("local preference %d of another AS", got)
	}
}

// RFC 7606 sections 7.5, 7.9 and 7.10.
func TestAttributesOfAnASThatAreMalformedAreTreatedAsWithdrawal(t *testing.T) {
	rows(t, []row{
		{"LOCAL_PREF", internal(), attr(transitive, attrLocalPref, 0, 0, 0, 9), outcome{}},
		{"LOCAL_PREF, empty", internal(), attr(transitive, attrLocalPref), badAttribute},
		{"LOCAL_PREF of five octets", internal(), attr(transitive, attrLocalPref, 0, 0, 0, 0, 9), badAttribute},
		{"ORIGINATOR_ID", internal(), attr(optional, attrOriginatorID, 10, 0, 0, 3), outcome{}},
		{"ORIGINATOR_ID of five octets", internal(), attr(optional, attrOriginatorID, 10, 0, 0, 3, 3), badAttribute},
		{"CLUSTER_LIST", internal(), attr(optional, attrClusterList, 10, 0, 0, 3, 10, 0, 0, 4), outcome{}},
		{"CLUSTER_LIST, empty", internal(), attr(optional, attrClusterList), badAttribute},
		{"CLUSTER_LIST of six octets", internal(), attr(optional, attrClusterList, 10, 0, 0, 3, 10, 0), badAttribute},
	})
}

// RFC 7606 section 7.6.
func TestATOMICAGGREGATEThatIsMalformedIsDiscarded(t *testing.T) {
	rows(t, []row{
		{"empty", external(), attr(transitive, attrAtomicAggregate), outcome{}},
		{"one octet", external(), attr(transitive, attrAtomicAggregate, 0), noAttribute},
	})
}

// RFC 7606 section 7.7, RFC 7607 section 2.
func TestAGGREGATORThatIsMalformedIsDiscarded(t *testing.T) {
	const flags = optional | transitive
	rows(t, []row{
		{"eight octets", external(), attr(flags, attrAggregator, 0, 0, 0xfd, 0xea, 10, 0, 0, 2), outcome{}},
		{"six octets", oldPeer(), attr(flags, attrAggregator, 0xfd, 0xea, 10, 0, 0, 2), outcome{}},
		{"six of eight", external(), attr(flags, attrAggregator, 0xfd, 0xea, 10, 0, 0, 2), noAttribute},
		{"eight of six", oldPeer(), attr(flags, attrAggregator, 0, 0, 0xfd, 0xea, 10, 0, 0, 2), noAttribute},
		{"empty", external(), attr(flags, attrAggregator), noAttribute},
		{"AS 0", external(), attr(flags, attrAggregator, 0, 0, 0, 0, 10, 0, 0, 2), noAttribute},
		{"AS 0 of two octets", oldPeer(), attr(flags, attrAggregator, 0, 0, 10, 0, 0, 2), noAttribute},
	})
}

// RFC 7606 sections 7.8, 7.14 and 7.15, RFC 8092 section 6.
func TestCommunitiesThatAreMalformedAreTreatedAsWithdrawal(t *testing.T) {
	const flags = optional | transitive
	for code, size := range map[byte]int{
		attrCommunities: 4, attrExtendedCommunities: 8, attrIPv6Communities: 20, attrLargeCommunities: 12,
	} {
		for _, n := range []int{0, 1, size - 1, size, size + 1, 3 * size, 300} {
			want := outcome{}
			if n == 0 || n%size != 0 {
				want = badAttribute
			}
			want.check(t, external(), announced(given(external(), attr(flags, code, make([]byte, n)...)), two()))
		}
	}
}

// RFC 6793 section 6.
func TestAS4PATHThatIsMalformedOrOfANewPeerIsDiscarded(t *testing.T) {
	const flags = optional | transitive
	rows(t, []row{
		{"of a new peer", external(), attr(flags, attrAS4Path, segment4(2, 7)...), noAttribute},
		{"aggregator of a new peer", external(), attr(flags, attrAS4Aggregator, 0, 0, 0, 7, 10, 0, 0, 2), noAttribute},
		{"of an old peer", oldPeer(), attr(flags, attrAS4Path, segment4(2, 7)...), outcome{}},
		{"overrun", oldPeer(), attr(flags, attrAS4Path, 2, 2, 0, 0, 0, 7), noAttribute},
		{"segment without numbers", oldPeer(), attr(flags, attrAS4Path, 2, 0), noAttribute},
		{"segment of type 9", oldPeer(), attr(flags, attrAS4Path, segment4(9, 7)...), noAttribute},
		{"AS 0", oldPeer(), attr(flags, attrAS4Path, segment4(2, 0)...), noAttribute},
		{"aggregator", oldPeer(), attr(flags, attrAS4Aggregator, 0, 0, 0, 7, 10, 0, 0, 2), outcome{}},
		{"aggregator of six octets", oldPeer(), attr(flags, attrAS4Aggregator, 0, 7, 10, 0, 0, 2), noAttribute},
		{"aggregator of AS 0", oldPeer(), attr(flags, attrAS4Aggregator, 0, 0, 0, 0, 10, 0, 0, 2), noAttribute},
	})
}

// RFC 6514 section 5: what cannot be read is treated as withdrawal.
func TestPMSITunnelThatIsMalformedIsTreatedAsWithdrawal(t *testing.T) {
	const flags = optional | transitive
	rows(t, []row{
		{"ingress replication", external(), attr(flags, attrPMSITunnel, 0, 6, 0, 0, 100, 10, 0, 0, 2), outcome{}},
		{"empty", external(), attr(flags, attrPMSITunnel), badAttribute},
		{"four octets", external(), attr(flags, attrPMSITunnel, 0, 6, 0, 0), badAttribute},
		{"identifier of three octets", external(), attr(flags, attrPMSITunnel, 0, 6, 0, 0, 100, 10, 0, 0), badAttribute},
		{"of another type", external(), attr(flags, attrPMSITunnel, 0, 3, 0, 0, 100, 1), outcome{}},
	})
}

// RFC 7606 section 3 c. The other flags mean nothing on receipt.
func TestAttributeWithWrongFlagsIsTreatedAsWithdrawal(t *testing.T) {
	value := map[byte][]byte{
		attrOrigin: {0}, attrASPath: {}, attrNextHop: {10, 0, 0, 2}, attrMED: make([]byte, 4),
		attrLocalPref: {0, 0, 0, 100}, attrAtomicAggregate: {}, attrAggregator: {0, 0, 0, 7, 10, 0, 0, 2},
		attrCommunities: make([]byte, 4), attrOriginatorID: {10, 0, 0, 3}, attrClusterList: make([]byte, 4),
		attrExtendedCommunities: make([]byte, 8), attrPMSITunnel: {0, 6, 0, 0, 100},
		attrIPv6Communities: make([]byte, 20), attrLargeCommunities: make([]byte, 12),
	}
	for code, v := range value {
		for flags := range 256 {
			raw := attr(byte(flags)&^extendedLength, code, v...)
			if flags&extendedLength != 0 {
				raw = append([]byte{byte(flags), code, 0, byte(len(v))}, v...)
			}
			want := badAttribute
			if byte(flags)&(optional|transitive) == specs[code].flags {
				want = outcome{}
			}
			want.check(t, internal(), announced(given(internal(), raw), two()))
		}
	}
	// RFC 4271 section 5 and the RFCs of each: which of them are how.
	for code, flags := range map[byte]byte{
		1: 0x40, 2: 0x40, 3: 0x40, 4: 0x80, 5: 0x40, 6: 0x40, 7: 0xc0, 8: 0xc0, 9: 0x80, 10: 0x80, 16: 0xc0, 17: 0xc0,
		18: 0xc0, 22: 0xc0, 25: 0xc0, 32: 0xc0,
	} {
		if specs[code].flags != flags {
			t.Errorf("attribute %d has flags %02x, want %02x", code, specs[code].flags, flags)
		}
	}
}

// RFC 7606 section 3 d. LOCAL_PREF, which RFC 4271 section 5.1.5 has an internal peer
// send, is not among the mandatory ones there: without it the default holds.
func TestMissingMandatoryAttributeIsTreatedAsWithdrawal(t *testing.T) {
	for code, want := range map[byte]outcome{
		attrOrigin: withdrawn(bgp.MissingAttribute), attrASPath: withdrawn(bgp.MissingAttribute), attrLocalPref: {},
		attrExtendedCommunities: {},
	} {
		want.check(t, internal(), announced(without(internal(), code), two()))
	}
	u, n := decode(t, external(), body(nil, given(external()), []byte{24, 10, 1, 2}))
	if n != nil || len(u.Faults) != 1 || u.Faults[0].Reason != bgp.MissingAttribute || u.Faults[0].Routes != 1 ||
		len(u.UnicastUnreach) != 1 || len(u.Unicast) > 0 {
		t.Errorf("without NEXT_HOP: %v, %+v", n, u)
	}
}

// RFC 7606 section 3 g.
func TestTheFirstOfAnAttributeIsTakenAndOthersAreDiscarded(t *testing.T) {
	again := slices.Concat(given(external()), attr(transitive, attrOrigin, 2), attr(optional, attrMED, 0, 0, 0, 7),
		attr(optional, attrMED, 1))
	u, n := decode(t, external(), announced(again, two()))
	if n != nil || len(u.Reach) != 2 || u.Attributes.Origin != 0 || u.Attributes.MED != 7 {
		t.Errorf("%v, %+v", n, u)
	}
	if len(u.Faults) != 2 || u.Faults[0].Action != bgp.Discarded || u.Faults[1].Action != bgp.Discarded {
		t.Errorf("faults %+v", u.Faults)
	}
	unknown := attr(optional|transitive, 99, 1)
	u, n = decode(t, external(), announced(slices.Concat(given(external()), unknown, unknown), two()))
	if n != nil || len(u.Reach) != 2 || len(u.Faults) != 2 {
		t.Errorf("unknown attribute twice: %v, %+v", n, u)
	}
}

// RFC 7606 section 3 g.
func TestMPREACHOrMPUNREACHTwiceEndsTheSession(t *testing.T) {
	r := reach(EVPN, leaf.AsSlice(), two())
	w := unreach(EVPN, two())
	ends(MalformedAttributeList).check(t, external(), body(nil, slices.Concat(r, given(external()), r), nil))
	ends(MalformedAttributeList).check(t, external(), body(nil, slices.Concat(w, w), nil))
	other := reach(IPv6Unicast, make([]byte, 16), []byte{0})
	ends(MalformedAttributeList).check(t, external(), body(nil, slices.Concat(r, other, given(external())), nil))
}

// RFC 7606 section 3 h: the strongest.
func TestOfSeveralErrorsTheStrongestDecides(t *testing.T) {
	attributes := given(external(), attr(transitive, attrLocalPref, 1), attr(transitive, attrOrigin, 9),
		attr(optional, attrMED, 1))
	u, n := decode(t, external(), announced(attributes, two()))
	if n != nil || len(u.Reach) > 0 || len(u.Unreach) != 2 || len(u.Faults) != 3 {
		t.Errorf("%v, %+v", n, u)
	}
	routes := 0
	for _, f := range u.Faults {
		routes += f.Routes
	}
	if routes != 2 {
		t.Errorf("%d routes are counted, want each once", routes)
	}
	ends(UnrecognizedWellKnown).check(t, external(), announced(append(attributes, attr(transitive, 99)...), two()))
}

// RFC 7606 section 4: the routes can still be found.
func TestAttributeThatRunsOverTheEndIsTreatedAsWithdrawal(t *testing.T) {
	s := external()
	for name, tail := range map[string][]byte{
		"overrun": {optional, attrMED, 5, 0, 0, 0, 1}, "a flag": {optional}, "no length": {optional, attrMED},
		"half a length": {optional | extendedLength, attrMED, 0}, "extended": {optional | extendedLength, attrMED, 1, 0, 7},
	} {
		t.Run(name, func(t *testing.T) {
			badAttribute.check(t, s, announced(append(given(s), tail...), two()))
			classic := slices.Concat(given(s), attr(transitive, attrNextHop, 10, 0, 0, 2), tail)
			u, n := decode(t, s, body(nil, classic, []byte{24, 10, 1, 2}))
			if n != nil || len(u.UnicastUnreach) != 1 || u.UnicastUnreach[0].String() != "10.1.2.0/24" {
				t.Errorf("%v, %+v", n, u)
			}
		})
	}
}

// RFC 7606 section 3 b, RFC 4271 section 6.3.
func TestLengthsThatDoNotFitTheMessageEndTheSession(t *testing.T) {
	good := announced(given(external()), two())
	for name, b := range map[string][]byte{
		"nothing": {}, "no attribute length": {0, 0, 0}, "withdrawn routes": {0, 1, 0, 0},
		"all of it": {255, 255, 255, 255}, "attributes": append([]byte{0, 0, 255, 255}, good[4:]...),
	} {
		t.Run(name, func(t *testing.T) { ends(MalformedAttributeList).check(t, external(), b) })
	}
}

// RFC 7606 section 5.1.
func TestMPREACHAndMPUNREACHMayBeAnywhereAndTogether(t *testing.T) {
	s := external()
	gone := macRoute(9)
	r, w := reach(EVPN, leaf.AsSlice(), two()), unreach(EVPN, encodeNLRI(gone))
	next := attr(transitive, attrNextHop, 10, 0, 0, 2)
	for _, b := range [][]byte{
		body(nil, slices.Concat(given(s), r, w), nil), body(nil, slices.Concat(w, given(s), r), nil),
		body([]byte{8, 11}, slices.Concat(w, r, given(s), next), []byte{8, 10}),
	} {
		u := takenAll(t, s, b)
		if len(u.Reach) != 2 || !slices.Equal(u.Unreach, []bgp.Key{gone.Key}) {
			t.Errorf("%+v", u)
		}
		if last := b[len(b)-1] == 10; last != (len(u.Unicast) == 1) || last != (len(u.UnicastUnreach) == 1) {
			t.Errorf("unicast %v, withdrawn %v", u.Unicast, u.UnicastUnreach)
		}
	}
}

// RFC 7606 section 5.2: nothing says which routes were meant.
func TestErrorInAnUpdateWithoutReachableRoutesEndsTheSession(t *testing.T) {
	s := internal()
	bad := attr(transitive, attrOrigin, 9)
	ends(InvalidOrigin).check(t, s, body(nil, given(s, bad), nil))
	ends(InvalidOrigin).check(t, s, body(nil, append(unreach(EVPN, two()), given(s, bad)...), nil))
	ends(InvalidOrigin).check(t, s, body(nil, append(reach(EVPN, leaf.AsSlice()), given(s, bad)...), nil))
	ends(MalformedAttributeList).check(t, s, body(nil, []byte{0x40}, nil))
	ends(AttributeLengthError).check(t, s, body(nil, attr(optional, attrMED, 1), nil))
	ends(MalformedASPath).check(t, s, body(nil, attr(transitive, attrASPath, 1), nil))
	ends(AttributeFlagsError).check(t, s, body(nil, attr(optional, attrOrigin, 0), nil))
	// An error that costs the attribute alone does not, nor does one that is missing.
	for _, b := range [][]byte{
		append(unreach(EVPN, two()), attr(transitive, attrAtomicAggregate, 1)...),
		attr(transitive, attrAtomicAggregate, 1), reach(EVPN, leaf.AsSlice()),
	} {
		if u, n := decode(t, s, body(nil, b, nil)); n != nil || u.EndOfRIB != 0 {
			t.Errorf("% x: %v, %+v", b, n, u)
		}
	}
}

// RFC 7606 sections 3 i, 3 j and 5.3.
func TestRoutesThatCannotBeParsedEndTheSession(t *testing.T) {
	s := external()
	next := attr(transitive, attrNextHop, 10, 0, 0, 2)
	for name, c := range map[string]struct {
		subcode uint8
		body    []byte
	}{
		"NLRI of 33 bits":        {InvalidNetworkField, body(nil, given(s, next), []byte{33, 1, 2, 3, 4, 5})},
		"NLRI overrun":           {InvalidNetworkField, body(nil, given(s, next), []byte{24, 1, 2})},
		"withdrawn of 33 bits":   {InvalidNetworkField, body([]byte{33, 1, 2, 3, 4, 5}, nil, nil)},
		"withdrawn overrun":      {InvalidNetworkField, body([]byte{8}, nil, nil)},
		"IPv6 of 129 bits":       {OptionalAttributeError, body(nil, append(reach(IPv6Unicast, make([]byte, 16), append([]byte{129}, make([]byte, 17)...)), given(s)...), nil)},
		"IPv6 overrun":           {OptionalAttributeError, body(nil, unreach(IPv6Unicast, []byte{64, 1, 2}), nil)},
		"EVPN overrun":           {OptionalAttributeError, announced(given(s), two(), []byte{2, 33, 1})},
		"EVPN without a length":  {OptionalAttributeError, announced(given(s), two(), []byte{2})},
		"EVPN withdrawn overrun": {OptionalAttributeError, body(nil, unreach(EVPN, two(), []byte{9, 1}), nil)},
		"MP_UNREACH of 2":        {OptionalAttributeError, body(nil, attr(optional, attrMPUnreach, 0, 25), nil)},
		"MP_REACH of 4":          {OptionalAttributeError, body(nil, append(attr(optional, attrMPReach, 0, 25, 70, 0), given(s)...), nil)},
		"MP_REACH, next hop":     {OptionalAttributeError, body(nil, append(attr(optional, attrMPReach, 0, 25, 70, 4, 10, 0, 0, 2), given(s)...), nil)},
		"MP_REACH, flags":        {OptionalAttributeError, body(nil, append(flagged(reach(EVPN, leaf.AsSlice(), two()), 0xc0), given(s)...), nil)},
		"MP_UNREACH, flags":      {OptionalAttributeError, body(nil, flagged(unreach(EVPN, two()), 0x40), nil)},
	} {
		t.Run(name, func(t *testing.T) { ends(c.subcode).check(t, s, c.body) })
	}
}

func flagged(raw []byte, flags byte) []byte {
	raw[0] = raw[0]&extendedLength | flags
	return raw
}

// RFC 7606 section 7.11.
func TestNextHopOfALengthThatAFamilyHasNotEndsTheSession(t *testing.T) {
	s := external()
	for _, c := range []struct {
		family Family
		nlri   []byte
		legal  []int
	}{
		{EVPN, two(), []int{4, 12, 16, 24, 32}}, {IPv4Unicast, []byte{8, 10}, []int{4, 12, 16, 24, 32}},
		{IPv6Unicast, []byte{16, 0x20, 1}, []int{16, 24, 32}},
	} {
		for n := range 64 {
			b := body(nil, append(reach(c.family, make([]byte, n), c.nlri), given(s)...), nil)
			_, bad := decode(t, s, b)
			if legal := slices.Contains(c.legal, n); legal != (bad == nil) {
				t.Errorf("%v with a next hop of %d octets: %v", c.family, n, bad)
			} else if !legal && (bad.Code != UpdateError || bad.Subcode != OptionalAttributeError) {
				t.Errorf("%v with a next hop of %d octets: %v", c.family, n, bad)
			}
		}
	}
}

// RFC 4271 section 6.3.
func TestUnknownWellKnownAttributeEndsTheSession(t *testing.T) {
	raw := attr(transitive, 99, 1, 2)
	u, n := decode(t, external(), announced(given(external(), raw), two()))
	if n == nil || n.Code != UpdateError || n.Subcode != UnrecognizedWellKnown || !slices.Equal(n.Data, raw) {
		t.Errorf("%v, %+v", n, u)
	}
}
