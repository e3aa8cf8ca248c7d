package front

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// update reads the body of an UPDATE as the peer of a speaker of AS 65000 would.
func update(t testing.TB, body []byte) *wire.Update {
	t.Helper()
	s := wire.Session{
		AS: 64999, PeerAS: 65000, RouterID: netip.MustParseAddr("192.0.2.1"), AS4: true,
		Families: []bgp.Family{bgp.EVPN, bgp.IPv4Unicast, bgp.IPv6Unicast},
	}
	s.Internal = bgptest.ParseAttributes(body)[5] != nil // LOCAL_PREF
	var u wire.Update
	if n := wire.NewDecoder(s).Update(body, &u); n != nil {
		t.Fatalf("% x is refused: %v", body, n)
	}
	return &u
}

// changes are the EVPN routes of an UPDATE's body, announced or withdrawn.
func changes(t testing.TB, body []byte) (list []bgp.Event) {
	t.Helper()
	u := update(t, body)
	for _, k := range u.Unreach {
		list = append(list, bgp.Event{Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: k}})
	}
	for i := range u.Reach {
		list = append(list, bgp.Event{Kind: bgp.RouteUpdate, Route: u.Attributes.Route(&u.Reach[i])})
	}
	return list
}

// change is the one route of an UPDATE's body.
func change(t testing.TB, body []byte) bgp.Event {
	t.Helper()
	list := changes(t, body)
	if len(list) != 1 {
		t.Fatalf("% x has %d routes, want one", body, len(list))
	}
	return list[0]
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
