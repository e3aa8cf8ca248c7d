package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// nlri frames the fields of a route of EVPN.
func nlri(typ byte, fields ...[]byte) []byte {
	v := slices.Concat(fields...)
	return append([]byte{typ, byte(len(v))}, v...)
}

var (
	rdBytes  = []byte{0, 1, 10, 0, 0, 2, 0, 100}
	esiBytes = []byte{3, 2, 0, 0, 0, 0, 9, 0, 0, 1}
	noESI    = make([]byte, 10)
	tag7     = []byte{0, 0, 0, 7}
	macBytes = []byte{48, 2, 0, 0, 0, 0, 1}
	ip4Bytes = []byte{32, 10, 1, 1, 5}
	ip6Bytes = append([]byte{128}, netip.MustParseAddr("2001:db8::5").AsSlice()...)
	vni100   = []byte{0, 0, 100}
	vni5000  = []byte{0, 0x13, 0x88}
)

// The fields are those of RFC 7432 sections 7.1 to 7.4 and RFC 9136 section 3.1, written
// one by one.
func TestEachFieldOfARouteIsRead(t *testing.T) {
	rd, esi := bgp.RD(rdBytes), bgp.ESI(esiBytes)
	mac := ether.MAC{2, 0, 0, 0, 0, 1}
	ip4, ip6 := netip.MustParseAddr("10.1.1.5"), netip.MustParseAddr("2001:db8::5")
	v4, v6 := []byte{10, 1, 0, 0}, netip.MustParseAddr("2001:db8:1::").AsSlice()
	gw4, gw6 := []byte{10, 9, 9, 9}, netip.MustParseAddr("2001:db8::9").AsSlice()
	for name, c := range map[string]struct {
		raw  []byte
		want bgp.NLRI
	}{
		"type 1": {nlri(1, rdBytes, esiBytes, tag7, vni100),
			bgp.NLRI{Key: bgp.Key{Type: 1, RD: rd, Segment: esi, EthernetTag: 7}, Label: 100}},
		"type 1 of a segment": {nlri(1, rdBytes, esiBytes, []byte{255, 255, 255, 255}, []byte{0, 0, 0}),
			bgp.NLRI{Key: bgp.Key{Type: 1, RD: rd, Segment: esi, EthernetTag: 1<<32 - 1}}},
		"type 2": {nlri(2, rdBytes, esiBytes, tag7, macBytes, []byte{0}, vni100),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac}, ESI: esi, Label: 100}},
		"type 2, two labels": {nlri(2, rdBytes, noESI, tag7, macBytes, []byte{0}, vni100, vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac}, Label: 100, Label2: 5000}},
		"type 2, IPv4": {nlri(2, rdBytes, esiBytes, tag7, macBytes, ip4Bytes, vni100),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac, IP: ip4}, ESI: esi, Label: 100}},
		"type 2, IPv4, two labels": {nlri(2, rdBytes, noESI, tag7, macBytes, ip4Bytes, vni100, vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac, IP: ip4}, Label: 100, Label2: 5000}},
		"type 2, IPv6": {nlri(2, rdBytes, noESI, tag7, macBytes, ip6Bytes, []byte{255, 255, 255}),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac, IP: ip6}, Label: 1<<24 - 1}},
		"type 2, IPv6, two labels": {nlri(2, rdBytes, noESI, tag7, macBytes, ip6Bytes, vni100, vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 2, RD: rd, EthernetTag: 7, MAC: mac, IP: ip6}, Label: 100, Label2: 5000}},
		"type 3": {nlri(3, rdBytes, tag7, ip4Bytes),
			bgp.NLRI{Key: bgp.Key{Type: 3, RD: rd, EthernetTag: 7, IP: ip4}}},
		"type 3, IPv6": {nlri(3, rdBytes, tag7, ip6Bytes),
			bgp.NLRI{Key: bgp.Key{Type: 3, RD: rd, EthernetTag: 7, IP: ip6}}},
		"type 4": {nlri(4, rdBytes, esiBytes, ip4Bytes),
			bgp.NLRI{Key: bgp.Key{Type: 4, RD: rd, Segment: esi, IP: ip4}}},
		"type 4, IPv6": {nlri(4, rdBytes, esiBytes, ip6Bytes),
			bgp.NLRI{Key: bgp.Key{Type: 4, RD: rd, Segment: esi, IP: ip6}}},
		"type 5": {nlri(5, rdBytes, noESI, tag7, []byte{16}, v4, make([]byte, 4), vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 5, RD: rd, EthernetTag: 7, IP: netip.AddrFrom4([4]byte(v4)), PrefixLength: 16},
				Label: 5000}},
		"type 5, gateway": {nlri(5, rdBytes, noESI, tag7, []byte{16}, v4, gw4, make([]byte, 3)),
			bgp.NLRI{Key: bgp.Key{Type: 5, RD: rd, EthernetTag: 7, IP: netip.AddrFrom4([4]byte(v4)), PrefixLength: 16},
				GatewayIP: netip.AddrFrom4([4]byte(gw4))}},
		"type 5, ESI": {nlri(5, rdBytes, esiBytes, tag7, []byte{0}, make([]byte, 8), make([]byte, 3)),
			bgp.NLRI{Key: bgp.Key{Type: 5, RD: rd, EthernetTag: 7, IP: netip.IPv4Unspecified()}, ESI: esi}},
		"type 5, IPv6": {nlri(5, rdBytes, noESI, tag7, []byte{48}, v6, make([]byte, 16), vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 5, RD: rd, EthernetTag: 7, IP: netip.AddrFrom16([16]byte(v6)), PrefixLength: 48},
				Label: 5000}},
		"type 5, IPv6 gateway": {nlri(5, rdBytes, noESI, tag7, []byte{128}, ip6Bytes[1:], gw6, vni5000),
			bgp.NLRI{Key: bgp.Key{Type: 5, RD: rd, EthernetTag: 7, IP: ip6, PrefixLength: 128},
				GatewayIP: netip.AddrFrom16([16]byte(gw6)), Label: 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			u := takenAll(t, external(), announced(given(external()), c.raw))
			if len(u.Reach) != 1 || u.Reach[0] != c.want {
				t.Errorf("got  %+v\nwant %+v", u.Reach, c.want)
			}
			u = takenAll(t, external(), body(nil, unreach(EVPN, c.raw), nil))
			if !slices.Equal(u.Unreach, []bgp.Key{c.want.Key}) {
				t.Errorf("withdrawn %+v, want %+v", u.Unreach, c.want.Key)
			}
		})
	}
}

// RFC 7432 section 7 counts neither the ESI nor the labels of a type-2 route to its key,
// RFC 9136 section 3.1 neither the ESI, nor the gateway, nor the label of a type-5 route.
func TestWithdrawalNamesARouteByItsKeyAlone(t *testing.T) {
	for _, n := range []bgp.NLRI{
		{Key: bgp.MACKey(rd1, ether.MAC{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.1.1.5")), ESI: bgp.ESI(esiBytes), Label: 100, Label2: 5000},
		{Key: bgp.PrefixKey(rd1, netip.MustParsePrefix("10.1.0.0/16")), GatewayIP: netip.MustParseAddr("10.9.9.9"), Label: 5000},
	} {
		bare := bgp.NLRI{Key: n.Key}
		u := takenAll(t, external(), body(nil, unreach(EVPN, encodeNLRI(bare)), nil))
		if !slices.Equal(u.Unreach, []bgp.Key{n.Key}) {
			t.Errorf("%v withdraws %v", n.Key, u.Unreach)
		}
	}
	// Of a type-2 route without any label there is still no doubt which one goes.
	u := takenAll(t, external(), body(nil, unreach(EVPN, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{0})), nil))
	if len(u.Unreach) != 1 {
		t.Errorf("withdrawn %v", u.Unreach)
	}
}

// A route that is wrong by itself costs itself alone: its length says where the next one
// begins. What it names cannot be said, or cannot be a route here.
func TestRouteThatIsMalformedIsDiscardedAlone(t *testing.T) {
	with := func(b []byte, at int, v byte) []byte { b = slices.Clone(b); b[at] = v; return b }
	for name, c := range map[string]struct {
		reason bgp.Reason
		raw    []byte
	}{
		"type 0":                    {bgp.BadRouteType, nlri(0, rdBytes, noESI)},
		"type 6":                    {bgp.BadRouteType, nlri(6, rdBytes, tag7, ip4Bytes, ip4Bytes, ip4Bytes)},
		"type 255":                  {bgp.BadRouteType, nlri(255)},
		"empty":                     {bgp.BadNLRI, nlri(2)},
		"type 1 of 24":              {bgp.BadNLRI, nlri(1, rdBytes, esiBytes, tag7, vni100[1:])},
		"type 1 of 26":              {bgp.BadNLRI, nlri(1, rdBytes, esiBytes, tag7, vni100, []byte{0})},
		"RD of type 3":              {bgp.BadRD, nlri(2, with(rdBytes, 1, 3), noESI, tag7, macBytes, []byte{0}, vni100)},
		"RD of type 256":            {bgp.BadRD, nlri(2, with(rdBytes, 0, 1), noESI, tag7, macBytes, []byte{0}, vni100)},
		"MAC of 47 bits":            {bgp.BadMAC, nlri(2, rdBytes, noESI, tag7, with(macBytes, 0, 47), []byte{0}, vni100)},
		"MAC of zeros":              {bgp.BadMAC, nlri(2, rdBytes, noESI, tag7, []byte{48, 0, 0, 0, 0, 0, 0}, []byte{0}, vni100)},
		"MAC of a group":            {bgp.BadMAC, nlri(2, rdBytes, noESI, tag7, with(macBytes, 1, 3), []byte{0}, vni100)},
		"IP of 33 bits":             {bgp.BadNLRI, nlri(2, rdBytes, noESI, tag7, macBytes, with(ip4Bytes, 0, 33), vni100)},
		"IP of 24 bits":             {bgp.BadNLRI, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{24, 10, 1, 1}, vni100)},
		"IPv6 that is not there":    {bgp.BadNLRI, nlri(2, rdBytes, noESI, tag7, macBytes, with(ip4Bytes, 0, 128), vni100)},
		"three labels":              {bgp.BadNLRI, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{0}, vni100, vni100, vni100)},
		"a label and a half":        {bgp.BadNLRI, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{0}, vni100, []byte{0})},
		"IP 0.0.0.0":                {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 0, 0, 0, 0}, vni100)},
		"IP of this network":        {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 0, 1, 2, 3}, vni100)},
		"IP of a loopback":          {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 127, 0, 0, 1}, vni100)},
		"IP of a group":             {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 224, 0, 0, 1}, vni100)},
		"IP that is reserved":       {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 240, 0, 0, 1}, vni100)},
		"IP that is all ones":       {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, []byte{32, 255, 255, 255, 255}, vni100)},
		"IPv4 mapped to IPv6":       {bgp.BadIP, nlri(2, rdBytes, noESI, tag7, macBytes, append([]byte{128}, netip.MustParseAddr("::ffff:10.1.1.5").AsSlice()...), vni100)},
		"type 3 without originator": {bgp.BadIP, nlri(3, rdBytes, tag7, []byte{0})},
		"type 3 of a group":         {bgp.BadIP, nlri(3, rdBytes, tag7, []byte{32, 224, 0, 0, 1})},
		"type 3 and more":           {bgp.BadNLRI, nlri(3, rdBytes, tag7, ip4Bytes, []byte{0})},
		"type 4 of 22":              {bgp.BadNLRI, nlri(4, rdBytes, esiBytes, ip4Bytes[:4])},
		"type 4 without originator": {bgp.BadIP, nlri(4, rdBytes, esiBytes, []byte{0})},
		"type 5 of 33 bits":         {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{33}, make([]byte, 8), vni5000)},
		"type 5 of 129 bits":        {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{129}, make([]byte, 32), vni5000)},
		"type 5 of 33 octets":       {bgp.BadNLRI, nlri(5, rdBytes, noESI, tag7, []byte{16}, make([]byte, 8), vni5000[1:])},
		"type 5 of 46 octets":       {bgp.BadNLRI, nlri(5, rdBytes, noESI, tag7, []byte{16}, make([]byte, 20), vni5000)},
		"type 5 of this network":    {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{8}, make([]byte, 8), vni5000)},
		"type 5 of loopbacks":       {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{9, 127, 0, 0, 0}, make([]byte, 4), vni5000)},
		"type 5 of groups":          {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{24, 239, 1, 1, 0}, make([]byte, 4), vni5000)},
		"type 5 that is reserved":   {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{4, 240, 0, 0, 0}, make([]byte, 4), vni5000)},
		"type 5 that is link-local": {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{64, 0xfe, 0x80}, make([]byte, 30), vni5000)},
		"type 5 of IPv6 groups":     {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, []byte{16, 0xff, 0x02}, make([]byte, 30), vni5000)},
		"type 5, mapped":            {bgp.BadPrefix, nlri(5, rdBytes, noESI, tag7, append([]byte{112}, netip.MustParseAddr("::ffff:10.1.0.0").AsSlice()...), make([]byte, 16), vni5000)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, b := range [][]byte{
				announced(given(external()), encodeNLRI(macRoute(1)), c.raw, encodeNLRI(macRoute(2))),
				body(nil, unreach(EVPN, encodeNLRI(macRoute(1)), c.raw, encodeNLRI(macRoute(2))), nil),
			} {
				u, n := decode(t, external(), b)
				if n != nil || len(u.Reach)+len(u.Unreach) != 2 || len(u.Reach) == 1 {
					t.Fatalf("%v, %+v", n, u)
				}
				if len(u.Faults) != 1 || u.Faults[0].Reason != c.reason || u.Faults[0].Action != bgp.Discarded ||
					u.Faults[0].Routes != 1 || !slices.Equal(u.Faults[0].Bytes, c.raw) {
					t.Errorf("faults %+v, want one for %v", u.Faults, c.reason)
				}
			}
		})
	}
}

// The peer no longer has what it had: its older route goes.
func TestRouteOfNoUseIsWithdrawn(t *testing.T) {
	s := internal()
	gw := netip.MustParseAddr("10.9.9.9")
	prefix := bgp.PrefixKey(rd1, netip.MustParsePrefix("10.1.0.0/16"))
	host, multicast := macRoute(1), bgp.NLRI{Key: bgp.MulticastKey(rd1, leaf)}
	pmsi := func(typ byte) []byte { return attr(optional|transitive, attrPMSITunnel, 0, typ, 0, 0, 100) }
	extended := func(c ...byte) []byte { return attr(optional|transitive, attrExtendedCommunities, c...) }
	for name, c := range map[string]struct {
		reason  bgp.Reason
		changed []byte
		n       bgp.NLRI
	}{
		"type 2 without a VNI":      {bgp.BadLabel, attr(transitive, attrOrigin, 0), bgp.NLRI{Key: host.Key}},
		"type 5 without anything":   {bgp.BadLabel, attr(transitive, attrOrigin, 0), bgp.NLRI{Key: prefix}},
		"type 5, ESI and gateway":   {bgp.BadNLRI, attr(transitive, attrOrigin, 0), bgp.NLRI{Key: prefix, ESI: bgp.ESI(esiBytes), GatewayIP: gw, Label: 9}},
		"no tunnel":                 {bgp.BadTunnel, pmsi(0), multicast},
		"mLDP":                      {bgp.BadTunnel, pmsi(2), multicast},
		"assisted replication":      {bgp.BadTunnel, pmsi(0x0a), multicast},
		"a tunnel nobody knows":     {bgp.BadTunnel, pmsi(200), multicast},
		"MPLS":                      {bgp.BadEncapsulation, extended(3, 12, 0, 0, 0, 0, 0, 10), host},
		"VXLAN-GPE and Geneve":      {bgp.BadEncapsulation, extended(3, 12, 0, 0, 0, 0, 0, 12, 3, 12, 0, 0, 0, 0, 0, 19), host},
		"router MAC of zeros":       {bgp.BadRouterMAC, extended(6, 3, 0, 0, 0, 0, 0, 0), host},
		"router MAC of a group":     {bgp.BadRouterMAC, extended(6, 3, 2, 0, 0, 0, 0, 1, 6, 3, 1, 0, 0, 0, 0, 1), host},
		"our AS":                    {bgp.ASLoop, path4(7, ourAS), host},
		"our AS in a set":           {bgp.ASLoop, attr(transitive, attrASPath, segment4(asSet, ourAS, 8)...), host},
		"our AS in a confederation": {bgp.ASLoop, attr(transitive, attrASPath, segment4(confedSequence, ourAS)...), host},
		"we are the originator":     {bgp.RouterLoop, attr(optional, attrOriginatorID, 192, 0, 2, 1), host},
		"our cluster":               {bgp.RouterLoop, attr(optional, attrClusterList, 10, 0, 0, 3, 192, 0, 2, 1), host},
	} {
		t.Run(name, func(t *testing.T) {
			u, n := decode(t, s, announced(given(s, c.changed), encodeNLRI(c.n)))
			if n != nil || len(u.Reach) != 0 || !slices.Equal(u.Unreach, []bgp.Key{c.n.Key}) {
				t.Fatalf("%v, %+v", n, u)
			}
			if len(u.Faults) != 1 || u.Faults[0].Reason != c.reason || u.Faults[0].Action != bgp.Withdrawn ||
				u.Faults[0].Routes != 1 {
				t.Errorf("faults %+v, want one for %v", u.Faults, c.reason)
			}
		})
	}
}

func TestNextHopThatIsNoVTEPsMakesARouteUseless(t *testing.T) {
	s := external()
	for _, bad := range []string{"0.0.0.0", "224.0.0.1", "127.0.0.1", "255.255.255.255", "240.0.0.1", "::", "ff02::1",
		"::1", "fe80::1", "::ffff:127.0.0.1"} {
		b := body(nil, append(reach(EVPN, netip.MustParseAddr(bad).AsSlice(), two()), given(s)...), nil)
		withdrawn(bgp.BadNextHop).check(t, s, b)
	}
	global, local := netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("fe80::2")
	for want, nextHop := range map[netip.Addr][]byte{
		leaf:   leaf.AsSlice(),
		global: global.AsSlice(),
		// RFC 2545 section 3: the global one is first.
		netip.MustParseAddr("2001:db8::3"): slices.Concat(netip.MustParseAddr("2001:db8::3").AsSlice(), local.AsSlice()),
		netip.MustParseAddr("10.0.0.4"):    netip.MustParseAddr("::ffff:10.0.0.4").AsSlice(),
		// As families of VPNs form them, with an RD of zeros (RFC 4364 section 4.3.2).
		netip.MustParseAddr("10.0.0.5"):    append(make([]byte, 8), 10, 0, 0, 5),
		netip.MustParseAddr("2001:db8::6"): append(make([]byte, 8), netip.MustParseAddr("2001:db8::6").AsSlice()...),
	} {
		u := takenAll(t, s, body(nil, append(reach(EVPN, nextHop, two()), given(s)...), nil))
		if u.Attributes.NextHop != want {
			t.Errorf("% x: next hop %v, want %v", nextHop, u.Attributes.NextHop, want)
		}
	}
}

// RFC 9136 does not say what they mean in a type-5 route. RFC 4271
// section 4.3 has them irrelevant in a prefix, and FRR clears them.
func TestHostBitsOfAPrefixMeanNothing(t *testing.T) {
	raw := nlri(5, rdBytes, noESI, tag7, []byte{8, 10, 1, 2, 3}, make([]byte, 4), vni5000)
	u := takenAll(t, external(), announced(given(external()), raw))
	if len(u.Reach) != 1 || u.Reach[0].Prefix().String() != "10.0.0.0/8" {
		t.Errorf("%+v", u.Reach)
	}
}

// RFC 4271 section 4.3 lets a route be withdrawn and announced in one UPDATE: it is
// announced. Of one that is announced twice, the last counts.
func TestTheLastWordOnARouteInAnUpdateCounts(t *testing.T) {
	s := external()
	r, useless := macRoute(1), macRoute(1)
	useless.Label = 0
	raw := encodeNLRI(r)
	u := takenAll(t, s, body(nil, slices.Concat(reach(EVPN, leaf.AsSlice(), raw), given(s), unreach(EVPN, raw)), nil))
	if !slices.Equal(u.Reach, []bgp.NLRI{r}) || !slices.Equal(u.Unreach, []bgp.Key{r.Key}) {
		t.Errorf("%+v", u)
	}
	u, _ = decode(t, s, announced(given(s), encodeNLRI(r, useless)))
	if len(u.Reach) != 0 || !slices.Equal(u.Unreach, []bgp.Key{r.Key}) || u.Attributes != nil {
		t.Errorf("%+v", u)
	}
	u, _ = decode(t, s, announced(given(s), encodeNLRI(useless, r)))
	if !slices.Equal(u.Reach, []bgp.NLRI{r}) || !slices.Equal(u.Unreach, []bgp.Key{r.Key}) {
		t.Errorf("%+v", u)
	}
}

func TestFamilyThatTheSessionHasNotIsDiscarded(t *testing.T) {
	s := external()
	s.Families = []bgp.Family{bgp.EVPN}
	next := attr(transitive, attrNextHop, 10, 0, 0, 2)
	vpn := Family{1, 128}
	for name, c := range map[string]struct {
		body   []byte
		faults int
	}{
		"NLRI":       {body(nil, given(s, next), []byte{8, 10}), 1},
		"withdrawn":  {body([]byte{8, 10}, nil, nil), 1},
		"IPv6":       {body(nil, append(reach(IPv6Unicast, make([]byte, 16), []byte{16, 0x20, 1}), given(s)...), nil), 1},
		"another":    {body(nil, append(reach(vpn, make([]byte, 12), []byte{200, 1}), given(s)...), nil), 1},
		"constraint": {body(nil, append(reach(RTConstraint, leaf.AsSlice(), []byte{0}), given(s)...), nil), 1},
		"unreach":    {body(nil, unreach(vpn, []byte{1, 2, 3}), nil), 1},
		"end of RIB": {body(nil, unreach(vpn), nil), 0},
		"classic":    {body(nil, nil, nil), 0},
	} {
		t.Run(name, func(t *testing.T) {
			u, n := decode(t, s, c.body)
			if n != nil || len(u.Faults) != c.faults || u.EndOfRIB != 0 ||
				len(u.Unicast)+len(u.UnicastUnreach)+len(u.Constraint) > 0 {
				t.Fatalf("%v, %+v", n, u)
			}
			for _, f := range u.Faults {
				if f.Reason != bgp.BadFamily || f.Action != bgp.Discarded {
					t.Errorf("fault %+v", f)
				}
			}
		})
	}
}

// RFC 4724 section 2.
func TestEndOfRIBIsKnownInTheFormOfEachFamily(t *testing.T) {
	s := external()
	for name, c := range map[string]struct {
		body []byte
		want bgp.Family
	}{
		"EVPN": {body(nil, unreach(EVPN), nil), bgp.EVPN}, "IPv4": {body(nil, nil, nil), bgp.IPv4Unicast},
		"IPv4, multiprotocol": {body(nil, unreach(IPv4Unicast), nil), bgp.IPv4Unicast},
		"IPv6":                {body(nil, unreach(IPv6Unicast), nil), bgp.IPv6Unicast},
		"extended length":     {body(nil, []byte{optional | extendedLength, attrMPUnreach, 0, 3, 0, 25, 70}, nil), bgp.EVPN},
		"a withdrawal":        {body(nil, unreach(EVPN, two()), nil), 0},
		"unknown type":        {body(nil, unreach(EVPN, nlri(77)), nil), 0},
		"a route":             {announced(given(s), two()), 0},
		"withdrawn":           {body([]byte{8, 10}, nil, nil), 0},
		"with routes":         {body(nil, slices.Concat(reach(EVPN, leaf.AsSlice(), two()), given(s), unreach(IPv6Unicast)), nil), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if u, n := decode(t, s, c.body); n != nil || u.EndOfRIB != c.want {
				t.Errorf("%v, %v, want %v", n, u.EndOfRIB, c.want)
			}
		})
	}
}

// Labels are VNIs: 24 bits as they are (RFC 8365 section 5.1.3), not MPLS labels of 20.
func TestLabelIsReadAsAVNI(t *testing.T) {
	n := macRoute(1)
	n.Label, n.Label2 = 0xabcdef, 0xfedcba
	raw := encodeNLRI(n)
	if got := binary.BigEndian.Uint32(raw[len(raw)-6:]) >> 8; got != 0xabcdef {
		t.Fatalf("encoded as %x", got)
	}
	if u := takenAll(t, external(), announced(given(external()), raw)); u.Reach[0] != n {
		t.Errorf("%+v, want %+v", u.Reach[0], n)
	}
}
