package wire

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

func attributesOf(t *testing.T, s Session, changed ...[]byte) *bgp.Attributes {
	t.Helper()
	u := takenAll(t, s, announced(given(s, changed...), two()))
	if u.Attributes == nil {
		t.Fatal("no attributes")
	}
	return u.Attributes
}

// RFC 4271 section 9.1.2.2 a, RFC 5065 section 5.3.
func TestAnASPathIsMeasuredAsTheDecisionNeedsIt(t *testing.T) {
	as := func(segments ...[]byte) []byte { return attr(transitive, attrASPath, slices.Concat(segments...)...) }
	long := make([]uint32, 255)
	for i := range long {
		long[i] = 64500
	}
	for name, c := range map[string]struct {
		path     []byte
		length   uint16
		neighbor uint32
		own      uint8
	}{
		"empty":                     {as(), 0, 0, 0},
		"sequence":                  {as(segment4(2, 7, 8, 9)), 3, 7, 0},
		"a set counts as one":       {as(segment4(2, 7), segment4(1, 8, 9, 10)), 2, 7, 0},
		"begins with a set":         {as(segment4(1, 7, 8), segment4(2, 9)), 2, 0, 0},
		"confederations do not":     {as(segment4(3, 7, 8), segment4(4, 9), segment4(2, 10)), 1, 10, 0},
		"a confederation alone":     {as(segment4(3, 7, 8)), 0, 0, 0},
		"four octets":               {as(segment4(2, 4200000000)), 1, 4200000000, 0},
		"ours is allowed":           {as(segment4(2, 7, ourAS), segment4(1, ourAS, 8)), 3, 7, 2},
		"two segments of sequences": {as(segment4(2, long...), segment4(2, long...)), 510, 64500, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := internal()
			s.AllowOwnAS = 2
			a := attributesOf(t, s, c.path)
			if a.PathLength != c.length || a.NeighborAS != c.neighbor || a.OwnAS != c.own {
				t.Errorf("%d ASes, neighbour %d, ours %d times; want %d, %d, %d", a.PathLength, a.NeighborAS, a.OwnAS,
					c.length, c.neighbor, c.own)
			}
		})
	}
}

// RFC 6793 section 4.2.3.
func TestAS4PATHIsMergedIntoTheASPathOfAnOldPeer(t *testing.T) {
	const flags = optional | transitive
	as := func(segments ...[]byte) []byte { return attr(transitive, attrASPath, slices.Concat(segments...)...) }
	as4 := func(segments ...[]byte) []byte { return attr(flags, attrAS4Path, slices.Concat(segments...)...) }
	const big, trans = 4200000000, asTrans
	for name, c := range map[string]struct {
		changed  [][]byte
		length   uint16
		neighbor uint32
		own      uint8
	}{
		"alone":        {[][]byte{as(segment2(2, 7, trans))}, 2, 7, 0},
		"of the tail":  {[][]byte{as(segment2(2, 7, trans, trans)), as4(segment4(2, big, ourAS))}, 3, 7, 1},
		"of the whole": {[][]byte{as(segment2(2, trans, trans)), as4(segment4(2, big, big+1))}, 2, big, 0},
		"longer":       {[][]byte{as(segment2(2, 7)), as4(segment4(2, ourAS, big))}, 1, 7, 0},
		"in a second segment": {[][]byte{as(segment2(2, 7, 8), segment2(1, trans, 9)), as4(segment4(2, 8), segment4(1, big, ourAS))},
			3, 7, 1},
		"a set in the lead": {[][]byte{as(segment2(1, ourAS, 8), segment2(2, trans)), as4(segment4(2, big))}, 2, 0, 1},
		"confederations in it are discarded": {[][]byte{as(segment2(2, 7, trans)), as4(segment4(3, ourAS), segment4(2, big))},
			2, 7, 0},
		"aggregated by AS_TRANS": {[][]byte{as(segment2(2, 7, trans)), as4(segment4(2, ourAS)),
			attr(flags, attrAggregator, trans>>8, trans&255, 10, 0, 0, 2),
			attr(flags, attrAS4Aggregator, 0, 1, 0, 0, 10, 0, 0, 2)},
			2, 7, 1},
		"aggregated by an old one": {[][]byte{as(segment2(2, 7, trans)), as4(segment4(2, ourAS)),
			attr(flags, attrAggregator, 0, 7, 10, 0, 0, 2), attr(flags, attrAS4Aggregator, 0, 1, 0, 0, 10, 0, 0, 2)},
			2, 7, 0},
		"aggregator without its other half": {[][]byte{as(segment2(2, 7, trans)), as4(segment4(2, ourAS)),
			attr(flags, attrAggregator, 0, 7, 10, 0, 0, 2)}, 2, 7, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := oldPeer()
			s.AllowOwnAS = 1
			a := attributesOf(t, s, c.changed...)
			if a.PathLength != c.length || a.NeighborAS != c.neighbor || a.OwnAS != c.own {
				t.Errorf("%d ASes, neighbour %d, ours %d times; want %d, %d, %d", a.PathLength, a.NeighborAS, a.OwnAS,
					c.length, c.neighbor, c.own)
			}
		})
	}
}

func TestOurASMayBeInThePathAsOftenAsItIsAllowed(t *testing.T) {
	s := external()
	s.AllowOwnAS = 1
	outcome{}.check(t, s, announced(given(s, path4(theirAS, ourAS)), two()))
	withdrawn(bgp.ASLoop).check(t, s, announced(given(s, path4(theirAS, ourAS, ourAS)), two()))
}

// The values of each attribute that is taken, by the RFC that has it.
func TestEachAttributeIsRead(t *testing.T) {
	const flags = optional | transitive
	extended := func(c ...byte) []byte { return attr(flags, attrExtendedCommunities, c...) }
	none := bgp.RouteTargets{}
	all := func(list ...byte) []byte { return attr(flags, attrCommunities, list...) }
	for name, c := range map[string]struct {
		changed []byte
		change  func(*bgp.Attributes)
	}{
		"ORIGIN":            {attr(transitive, attrOrigin, 1), func(a *bgp.Attributes) { a.Origin = 1 }},
		"MULTI_EXIT_DISC":   {attr(optional, attrMED, 1, 2, 3, 4), func(a *bgp.Attributes) { a.MED = 0x01020304 }},
		"LOCAL_PREF":        {attr(transitive, attrLocalPref, 0, 0, 1, 0), func(a *bgp.Attributes) { a.LocalPref = 256 }},
		"ORIGINATOR_ID":     {attr(optional, attrOriginatorID, 10, 0, 0, 3), func(a *bgp.Attributes) { a.OriginatorID = netip.MustParseAddr("10.0.0.3") }},
		"CLUSTER_LIST":      {attr(optional, attrClusterList, make([]byte, 12)...), func(a *bgp.Attributes) { a.ClusterLength = 3 }},
		"GRACEFUL_SHUTDOWN": {all(0, 1, 0, 2, 255, 255, 0, 0), func(a *bgp.Attributes) { a.GracefulShutdown, a.LocalPref = true, 0 }},
		"LLGR_STALE":        {all(255, 255, 0, 6), func(a *bgp.Attributes) { a.LLGRStale = true }},
		"NO_LLGR":           {all(255, 255, 0, 7), func(a *bgp.Attributes) { a.NoLLGR = true }},
		"others":            {all(255, 255, 255, 1, 255, 255, 255, 2, 0, 0, 255, 255), func(*bgp.Attributes) {}},
		"large communities": {attr(flags, attrLargeCommunities, make([]byte, 24)...), func(*bgp.Attributes) {}},
		"ingress": {attr(flags, attrPMSITunnel, 0, 6, 0, 0, 100, 10, 0, 0, 9), func(a *bgp.Attributes) {
			a.HasTunnel, a.TunnelType, a.TunnelLabel, a.Tunnel = true, 6, 100, netip.MustParseAddr("10.0.0.9")
		}},
		"ingress, mapped": {attr(flags, attrPMSITunnel, append([]byte{0, 6, 0, 0, 100}, netip.MustParseAddr("::ffff:10.0.0.9").AsSlice()...)...), func(a *bgp.Attributes) {
			a.HasTunnel, a.TunnelType, a.TunnelLabel, a.Tunnel = true, 6, 100, netip.MustParseAddr("10.0.0.9")
		}},
		"ingress to nowhere": {attr(flags, attrPMSITunnel, 1, 6, 0xff, 0xff, 0xff, 0, 0, 0, 0), func(a *bgp.Attributes) { a.HasTunnel, a.TunnelType, a.TunnelLabel = true, 6, 1<<24-1 }},
		"no tunnel":          {attr(flags, attrPMSITunnel, 0, 0, 0, 0, 0), func(a *bgp.Attributes) { a.HasTunnel = true }},
		"route targets": {extended(1, 2, 10, 0, 0, 1, 0, 7, 0, 2, 0, 1, 0, 0, 0, 2, 2, 2, 0, 1, 0, 0, 0, 3), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation = targets(t, "10.0.0.1:7", "1:2", "65536:3"), bgp.EncapsulationUnsaid
		}},
		"not route targets":  {extended(0, 3, 0, 1, 0, 0, 0, 2, 0x40, 2, 0, 1, 0, 0, 0, 2, 3, 2, 0, 0, 0, 0, 0, 1, 0x80, 2, 0, 0, 0, 0, 0, 1), func(a *bgp.Attributes) { a.RouteTargets, a.Encapsulation = none, bgp.EncapsulationUnsaid }},
		"VXLAN among others": {extended(3, 12, 0, 0, 0, 0, 0, 10, 3, 12, 0, 0, 0, 0, 0, 8, 3, 12, 0, 0, 0, 0, 0, 9), func(a *bgp.Attributes) { a.RouteTargets = none }},
		"MAC mobility":       {extended(6, 0, 0, 0, 0, 0, 1, 0), func(a *bgp.Attributes) { a.RouteTargets, a.Encapsulation, a.Sequence = none, 0, 256 }},
		"sticky":             {extended(6, 0, 1, 0, 0, 0, 0, 0, 6, 0, 0xfe, 0, 0, 0, 0, 9), func(a *bgp.Attributes) { a.RouteTargets, a.Encapsulation, a.Sticky, a.Sequence = none, 0, true, 9 }},
		"default gateway":    {extended(3, 13, 0, 0, 0, 0, 0, 0), func(a *bgp.Attributes) { a.RouteTargets, a.Encapsulation, a.DefaultGateway = none, 0, true }},
		"router MAC": {extended(6, 3, 2, 1, 2, 3, 4, 5, 6, 3, 2, 9, 9, 9, 9, 9), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.RouterMAC = none, 0, ether.MAC{2, 1, 2, 3, 4, 5}
		}},
		"ESI label": {extended(6, 1, 1, 0, 0, 1, 2, 3), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.HasESILabel, a.SingleActive, a.SplitHorizonLabel = none, 0, true, true, 0x010203
		}},
		"ES-import": {extended(6, 2, 2, 1, 2, 3, 4, 5), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.ESImport = none, 0, ether.MAC{2, 1, 2, 3, 4, 5}
		}},
		"layer 2": {extended(6, 4, 0, 3, 5, 220, 0, 0), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.HasLayer2, a.Layer2 = none, 0, true, [6]byte{0, 3, 5, 220}
		}},
		"DF election": {extended(6, 6, 2, 0, 0, 0, 0x7f, 0xff), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.HasDFElection, a.DFElection = none, 0, true, [6]byte{2, 0, 0, 0, 0x7f, 0xff}
		}},
		"ARP/ND": {extended(6, 8, 0x0b, 0, 0, 0, 0, 0), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.ARPND = none, 0, bgp.ARPND{Said: true, Flags: 0x0b}
		}},
		"ARP/ND without a flag": {extended(6, 8, 0, 0, 0, 0, 0, 0), func(a *bgp.Attributes) {
			a.RouteTargets, a.Encapsulation, a.ARPND = none, 0, bgp.ARPND{Said: true}
		}},
		"two of ARP/ND, the first of which counts, with bits of no meaning and reserved ones": { // RFC 9047 section 3.2
			extended(6, 8, 0xf1, 1, 2, 3, 4, 5, 6, 8, 0x0a, 0, 0, 0, 0, 0), func(a *bgp.Attributes) {
				a.RouteTargets, a.Encapsulation, a.ARPND = none, 0, bgp.ARPND{Said: true, Flags: 0xf1}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			s := internal()
			want := *attributesOf(t, s, attr(transitive, attrOrigin, 0))
			c.change(&want)
			if got := *attributesOf(t, s, c.changed); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func targets(t *testing.T, list ...string) bgp.RouteTargets {
	t.Helper()
	var rts []bgp.RouteTarget
	for _, s := range list {
		rt, err := bgp.ParseRouteTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		rts = append(rts, rt)
	}
	return bgp.MakeRouteTargets(rts...)
}

// What the attributes say is read once for UPDATEs with the same, and never for others.
func TestSameAttributesGiveTheSamePointer(t *testing.T) {
	s := external()
	d := NewDecoder(s)
	var u Update
	one := func(b []byte) *bgp.Attributes {
		t.Helper()
		if n := d.Update(b, &u); n != nil {
			t.Fatal(n)
		}
		return u.Attributes
	}
	first := one(announced(given(s), two()))
	if again := one(announced(given(s), encodeNLRI(macRoute(9)))); again != first {
		t.Error("other routes give other attributes")
	}
	if mid := one(body(nil, slices.Concat(given(s), reach(EVPN, leaf.AsSlice(), two())), nil)); mid != first {
		t.Error("MP_REACH_NLRI at another place gives other attributes")
	}
	next := one(body(nil, append(reach(EVPN, []byte{10, 0, 0, 3}, two()), given(s)...), nil))
	if next == first || next.NextHop.String() != "10.0.0.3" {
		t.Errorf("another next hop gives %+v", next)
	}
	if med := one(announced(given(s, attr(optional, attrMED, 0, 0, 0, 1)), two())); med == first || med.MED != 1 {
		t.Errorf("another MED gives %+v", med)
	}
	if again := one(announced(given(s), two())); again != first {
		t.Error("it is forgotten at once")
	}
}

// A peer that sends other attributes each time cannot make us keep them.
func TestTheMemoryOfAttributesIsBounded(t *testing.T) {
	s := external()
	d := NewDecoder(s)
	var u Update
	kept := announced(given(s), two())
	if n := d.Update(kept, &u); n != nil {
		t.Fatal(n)
	}
	first := u.Attributes
	long := make([]byte, 3000)
	for i := range 10 * cacheSets {
		b := announced(given(s, attr(optional, attrMED, u32(uint32(i))...)), two())
		if i%2 == 0 {
			b = announced(given(s, attr(optional, attrMED, u32(uint32(i))...), attr(optional, 128, long...)), two())
		}
		if n := d.Update(b, &u); n != nil || len(u.Reach) != 2 || u.Attributes.MED != uint32(i) {
			t.Fatalf("%v, %+v", n, u)
		}
		if n := d.Update(kept, &u); n != nil || u.Attributes != first {
			t.Fatalf("what is used all the time is forgotten after %d: %v", i, n)
		}
		c := &d.cache
		if len(c.young) > cacheSets || len(c.old) > cacheSets || c.bytes > cacheBytes {
			t.Fatalf("%d and %d sets, %d bytes", len(c.young), len(c.old), c.bytes)
		}
	}
}
