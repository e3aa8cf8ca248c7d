package gobgp

import (
	"net/netip"
	"slices"
	"testing"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestWhatTheDecisionComparesIsReadFromTheAttributes(t *testing.T) {
	segment := func(typ uint8, as ...uint32) packet.AsPathParamInterface { return packet.NewAs4PathParam(typ, as) }
	path := func(segments ...packet.AsPathParamInterface) packet.PathAttributeInterface {
		return packet.NewPathAttributeAsPath(segments)
	}
	clusters, err := packet.NewPathAttributeClusterList([]netip.Addr{leaf, ours})
	if err != nil {
		t.Fatal(err)
	}
	originator, err := packet.NewPathAttributeOriginatorId(leaf)
	if err != nil {
		t.Fatal(err)
	}
	const sequence, set, confederation = packet.BGP_ASPATH_ATTR_TYPE_SEQ, packet.BGP_ASPATH_ATTR_TYPE_SET,
		packet.BGP_ASPATH_ATTR_TYPE_CONFED_SEQ
	for name, tc := range map[string]struct {
		internal bool
		list     []packet.PathAttributeInterface
		want     func(*bgp.Attributes)
	}{
		"eBGP: LOCAL_PREF is ignored (RFC 4271 section 5.1.5)": {false,
			[]packet.PathAttributeInterface{packet.NewPathAttributeLocalPref(500)}, func(*bgp.Attributes) {}},
		"iBGP: LOCAL_PREF counts": {true, []packet.PathAttributeInterface{packet.NewPathAttributeLocalPref(500)},
			func(a *bgp.Attributes) { a.LocalPref, a.Internal = 500, true }},
		"ORIGIN and MED": {false,
			[]packet.PathAttributeInterface{packet.NewPathAttributeOrigin(2), packet.NewPathAttributeMultiExitDisc(7)},
			func(a *bgp.Attributes) { a.Origin, a.MED = 2, 7 }},
		"a set counts as one (RFC 4271 section 9.1.2.2 a)": {false,
			[]packet.PathAttributeInterface{path(segment(sequence, 1, 2), segment(set, 3, 4, 5))},
			func(a *bgp.Attributes) { a.NeighborAS, a.PathLength = 1, 3 }},
		"a confederation's segments do not count (RFC 5065 section 5.3)": {false,
			[]packet.PathAttributeInterface{path(segment(confederation, 64512, 64513), segment(sequence, 9))},
			func(a *bgp.Attributes) { a.NeighborAS, a.PathLength = 9, 1 }},
		"of a reflector (RFC 4456 section 9)": {false, []packet.PathAttributeInterface{originator, clusters},
			func(a *bgp.Attributes) { a.OriginatorID, a.ClusterLength = leaf, 2 }},
		"well-known communities (RFC 8326 section 5, RFC 9494 sections 3.2 and 3.3)": {false, []packet.PathAttributeInterface{
			packet.NewPathAttributeCommunities([]uint32{0xffff0000, 0xffff0006, 0xffff0007, 0xffffff01})},
			func(a *bgp.Attributes) { a.GracefulShutdown, a.LLGRStale, a.NoLLGR = true, true, true }},
	} {
		d := decoder{as: 65000, internal: tc.internal}
		d.decode(tc.list)
		want := bgp.Attributes{Preference: bgp.Preference{LocalPref: 100}}
		tc.want(&want)
		if *d.attrs != want {
			t.Errorf("%s: read %+v, want %+v", name, *d.attrs, want)
		}
	}
}

func TestTheBetterPathOfTwoPeersIsTold(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config(l.raw(2, 65002), l.raw(3, 65002)))
	longer := leafAttributes()
	longer.ASPath = []uint32{65002, 65009}
	a, b := l.dial(2, 65002), l.dial(3, 65002)
	must(t, a, bgptest.Update(longer, leafMAC(1)))
	r := leafRoute(1)
	r.Preference.PathLength = 2
	v.awaitRoutes(l.addr(2), r)
	must(t, b, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(3), leafRoute(1))
	rows := slices.Collect(v.Paths())
	if len(rows) != 2 || rows[0].Peer != l.addr(3) || rows[1].Step != bgp.StepPathLength {
		t.Errorf("paths %+v", rows)
	}
	b.Close()
	v.awaitRoutes(l.addr(3))
	v.awaitRoutes(l.addr(2), r)
}

// RFC 4724 section 3: the F bit of a family says that its forwarding was preserved.
func TestAPeerSaysForWhichFamiliesItForwardedOn(t *testing.T) {
	n := bgp.Neighbor{Address: leaf, Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}}
	var r restart
	r.negotiate(&n, []packet.ParameterCapabilityInterface{packet.NewCapGracefulRestart(true, true, 120,
		[]*packet.CapGracefulRestartTuple{packet.NewCapGracefulRestartTuple(packet.RF_EVPN, false),
			packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true),
			packet.NewCapGracefulRestartTuple(packet.RF_IPv6_UC, true)})})
	if !slices.Equal(r.families, []bgp.Family{bgp.EVPN, bgp.IPv4Unicast}) ||
		!slices.Equal(r.preserved, []bgp.Family{bgp.IPv4Unicast}) {
		t.Errorf("kept %v, preserved %v", r.families, r.preserved)
	}
}
