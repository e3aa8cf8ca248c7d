package gobgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// paths gives the paths of an UPDATE as GoBGP's watcher does.
func paths(message []byte) []*apiutil.Path {
	m, err := packet.ParseBGPMessage(message)
	if err != nil {
		return nil
	}
	u, ok := m.Body.(*packet.BGPUpdate)
	if !ok {
		return nil
	}
	var list []*apiutil.Path
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, n := range a.Value {
				list = append(list, &apiutil.Path{Nlri: n.NLRI, Attrs: u.PathAttributes})
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, n := range a.Value {
				list = append(list, &apiutil.Path{Nlri: n.NLRI, Withdrawal: true})
			}
		}
	}
	return list
}

// decodeMessage reads an UPDATE of one route as the peer of the speaker would.
func decodeMessage(t testing.TB, message []byte) (bgp.Event, bgp.Reason, bool) {
	t.Helper()
	list := paths(message)
	if len(list) != 1 {
		t.Fatalf("GoBGP reads %d paths from % x", len(list), message)
	}
	d := decoder{as: 65001}
	return d.event(list[0])
}

// event is what a consumer is told of one path.
func (d *decoder) event(p *apiutil.Path) (bgp.Event, bgp.Reason, bool) {
	n, attributes, reason, ok := d.path(p)
	switch {
	case !ok:
		return bgp.Event{}, reason, false
	case attributes == nil:
		return bgp.Event{Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: n.Key}}, reason, true
	}
	return bgp.Event{Kind: bgp.RouteUpdate, Route: attributes.Route(&n)}, reason, true
}

func TestPathsOfOneUpdateShareTheirDecodedAttributes(t *testing.T) {
	list := paths(bgptest.Update(leafAttributes(bgptest.MACMobility(3, false)), leafMAC(1), leafMAC(2)))
	other := paths(bgptest.Update(leafAttributes(), leafMAC(3)))
	d := decoder{as: 65000}
	for i, tc := range []struct {
		path *apiutil.Path
		want uint32
	}{{list[0], 3}, {list[1], 3}, {other[0], 0}, {list[0], 3}} {
		e, _, _ := d.event(tc.path)
		if e.Route.Sequence != tc.want {
			t.Errorf("path %d: sequence %d, want %d", i, e.Route.Sequence, tc.want)
		}
	}
}

func TestRoutesOfOursComeBackAsTheyWere(t *testing.T) {
	for _, r := range ourRoutes() {
		p, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		message, err := packet.NewBGPUpdateMessage(nil, append(p.Attrs, packet.NewPathAttributeAsPath(nil)), nil).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		e, reason, ok := decodeMessage(t, message)
		r.Preference.LocalPref = bgp.DefaultLocalPref
		if !ok || reason != bgp.Accepted || e.Route != r {
			t.Errorf("%v (%v)\ngot  %+v\nwant %+v", r.Key, reason, e.Route, r)
		}
	}
}

// FuzzDecode sends any bytes through GoBGP's parser and our decoder: neither
// may panic, a route that is taken is one that we could advertise ourselves,
// and its key is the one that its withdrawal names.
func FuzzDecode(f *testing.F) {
	host := netip.MustParseAddr("10.1.1.1")
	pmsi := leafAttributes()
	pmsi.PMSI = bgptest.IngressReplication(100, leaf)
	for _, m := range [][]byte{
		bgptest.Update(leafAttributes(bgptest.MACMobility(1, true)), leafMAC(1), leafMAC(2)),
		bgptest.Update(leafAttributes(bgptest.RouterMAC(mac(9))), bgptest.MACRoute(rdLeaf, 0, mac(1), host, 100, 5000)),
		bgptest.Update(pmsi, bgptest.MulticastRoute(rdLeaf, 0, leaf)),
		bgptest.Update(leafAttributes(), bgptest.PrefixRoute(rdLeaf, netip.MustParsePrefix("2001:db8::/32"), netip.Addr{},
			7)),
		bgptest.Withdraw(leafMAC(1), bgptest.MulticastRoute(rdLeaf, 7, leaf)),
	} {
		f.Add(m[19:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4077 {
			return
		}
		d := decoder{as: 65000}
		for _, p := range paths(bgptest.Message(bgptest.UpdateType, body)) {
			e, _, ok := d.event(p)
			if !ok || e.Kind != bgp.RouteUpdate {
				continue
			}
			if err := e.Route.Key.Check(); err != nil {
				t.Fatalf("took %+v: %v", e.Route, err)
			}
			again, err := encodeWithdrawal(e.Route.Key)
			if err != nil {
				t.Fatalf("%v cannot be withdrawn: %v", e.Route.Key, err)
			}
			if k := roundTrip(t, again.Nlri); k != e.Route.Key {
				t.Fatalf("key %v became %v", e.Route.Key, k)
			}
		}
	})
}

func roundTrip(t *testing.T, n packet.NLRI) bgp.Key {
	b, err := n.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	back, err := packet.NLRIFromSlice(packet.RF_EVPN, b)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := decodeKey(back)
	return k
}
