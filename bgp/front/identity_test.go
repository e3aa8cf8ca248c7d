package front

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func TestASpeakerWithoutAnASWaitsForOne(t *testing.T) {
	l := newLab(t)
	cfg := l.config(l.raw(2, 65002))
	as, id := cfg.AS, cfg.RouterID
	cfg.AS, cfg.RouterID = 0, netip.Addr{}
	v := run(t, cfg)
	v.awaitLast(netip.Addr{}, bgp.Converged.String())
	if err := v.SetIdentity(as, netip.Addr{}); err == nil {
		t.Error("took no router id")
	}
	if err := v.Originate(ourRoutes(), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.SetIdentity(as, id); err != nil {
			t.Fatal(err)
		}
	}
	s := l.dial(2, 65002)
	must(t, s, bgptest.Update(leafAttributes(), leafMAC(1)))
	v.awaitRoutes(l.addr(2), leafRoute(1))
	receive(t, s)
	if err := v.SetIdentity(as+1, id); err == nil {
		t.Error("another AS was taken while sessions run")
	}
}
