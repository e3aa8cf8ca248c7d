package front

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestNeighboursAreMadeAsWantedAndNoOtherSessionIsTouched(t *testing.T) {
	l := newLab(t)
	stays, goes, changes := l.raw(2, 65002), l.raw(3, 65003), l.raw(4, 65004)
	v := run(t, l.config(stays))
	set := func(want ...bgp.Neighbor) {
		t.Helper()
		if err := v.SetNeighbors(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	set(stays, goes, changes)
	for n := range byte(3) {
		s := l.dial(2+n, 65002+uint32(n))
		must(t, s, bgptest.Update(leafAttributes(), leafMAC(n)))
		v.awaitRoutes(l.addr(2+n), leafRoute(n))
	}
	changes.AS = 64999
	set(changes, stays)
	v.awaitRoutes(l.addr(3))
	v.awaitRoutes(l.addr(4))
	s := l.dial(4, 64999)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(9)))
	v.awaitRoutes(l.addr(4), leafRoute(9))
	v.await(l.addr(2), "untouched", func(routes map[bgp.Key]bgp.Route, h []string) bool {
		return len(routes) == 1 && !strings.Contains(strings.Join(h, " "), "down")
	})
	if p := v.Peers(); len(p) != 2 {
		t.Errorf("peers %+v", p)
	}
	set()
	if p := v.Peers(); len(p) != 0 {
		t.Errorf("peers %+v", p)
	}
}

func TestANeighbourThatCannotBeHadIsShownAndTheOthersStand(t *testing.T) {
	l := newLab(t)
	v := run(t, l.config())
	bad := l.raw(3, 65003)
	bad.Password = strings.Repeat("x", 81)
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{bad, l.raw(2, 65002)}); err == nil ||
		!strings.Contains(err.Error(), "password") {
		t.Errorf("got %v", err)
	}
	l.dial(2, 65002)
	v.awaitLast(l.addr(2), "peer up")
	states := map[netip.Addr]bgp.PeerState{}
	for _, p := range v.Peers() {
		states[p.Address] = p
	}
	if got := states[l.addr(3)]; got.Up || !strings.Contains(got.LastDown, "password") {
		t.Errorf("the refused one is shown as %+v", got)
	}
	bad.Password = "fits"
	if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{bad, l.raw(2, 65002)}); err != nil {
		t.Fatal(err)
	}
	l.dialAs(bgptest.Config{Local: l.addr(3), AS: 65003, Password: "fits"})
	v.awaitLast(l.addr(3), "peer up")
}

func TestAPasswordChangesAndGoesAtRunTime(t *testing.T) {
	l := newLab(t)
	n := l.raw(2, 65002)
	n.Password = "first"
	v := run(t, l.config(n))
	for _, password := range []string{"first", "second", "", "third"} {
		n.Password = password
		if err := v.SetNeighbors(t.Context(), []bgp.Neighbor{n}); err != nil {
			t.Fatal(err)
		}
		s := l.dialAs(bgptest.Config{Local: l.addr(2), AS: 65002, Password: password})
		v.awaitLast(l.addr(2), "peer up")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if wrong, err := bgptest.Dial(ctx, bgptest.Config{Local: l.addr(2), Remote: netip.AddrPortFrom(l.addr(1), l.port),
			AS: 65002, Password: "wrong"}); err == nil {
			wrong.Close()
			t.Errorf("a session with another password than %q came up", password)
		}
		cancel()
		s.Close()
		v.awaitLast(l.addr(2), "peer down")
	}
}
