package controller

import (
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/packet"
)

func TestTheFlagsOfAnAddressAreThoseOfItsRoute(t *testing.T) { // RFC 9047 sections 2 and 3.2
	const known = packet.FlagsKnown | packet.FlagOverrideKnown
	v4, v6 := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")
	said := func(flags uint8) bgp.ARPND { return bgp.ARPND{Said: true, Flags: flags} }
	for _, c := range []struct {
		name      string
		ip        netip.Addr
		says      bgp.ARPND
		want      packet.Flags
		immutable bool
	}{
		{"no community", v6, bgp.ARPND{}, 0, false},
		{"no flag", v6, said(0), known, false},
		{"R", v6, said(1), known | packet.FlagRouter, false},
		{"O", v6, said(2), known | packet.FlagOverride, false},
		{"R, O, I", v6, said(0x0b), known | packet.FlagRouter | packet.FlagOverride, true},
		{"bits without a meaning", v6, said(0xf4), known, false},
		{"R and O of IPv4", v4, said(3), 0, false},
		{"I of IPv4", v4, said(8), 0, true},
	} {
		r := bgp.Route{Key: bgp.MACKey(bgp.RD{}, mac(1), c.ip), NextHop: leaf1, Label: 100, ARPND: c.says}
		n := readRoute(&r)
		(&loop{stats: newStats()}).readHost(n, &r)
		if !n.host || n.flags != c.want || n.immutable != c.immutable {
			t.Errorf("%s: flags %04b, immutable %v; want %04b, %v", c.name, n.flags, n.immutable, c.want, c.immutable)
		}
	}
}

func TestRoutesThatDifferInFlagsAloneAreOrdered(t *testing.T) {
	a := route{Key: bgp.MACKey(bgp.RD{1}, mac(1), netip.MustParseAddr("2001:db8::5")), vtep: leaf1, vni: 100}
	b := a
	b.RD, b.flags = bgp.RD{2}, packet.FlagsKnown|packet.FlagRouter
	n, by := a.compare(&b)
	if back, _ := b.compare(&a); n <= 0 || back >= 0 || by != stepFlags {
		t.Errorf("without flags before one that is known: %d and %d by %v", n, back, by)
	}
}

// RFC 9047 section 3.2: an address that is configured at its MAC overrides one that is not,
// whatever the sequence number. Between MACs, and so for the MAC itself, it means nothing:
// section 3.1 leaves the procedures of RFC 7432 as they are.
func TestAConfiguredAddressComesBeforeOneThatIsNot(t *testing.T) {
	given := func(r bgp.Route) bgp.Route {
		r.ARPND = bgp.ARPND{Said: true, Flags: bgp.ARPNDImmutable}
		return r
	}
	for name, crowd := range map[string]int{"few": 0, "a crowd": 20} {
		t.Run(name, func(t *testing.T) {
			g, b := twoPorts(t, options{})
			for i := range crowd {
				g.send(update(peer1, with(hostRoute(manyVTEPs(i), 100, mac(5), "10.10.0.5", 0), uint32(i))))
			}
			g.send(update(peer1, given(hostRoute(leaf1, 100, mac(5), "10.10.0.5", 0))),
				update(peer2, with(hostRoute(leaf2, 100, mac(6), "10.10.0.5", 0), 70)),
				update(peer2, with(macRoute(leaf2, 100, mac(5)), 60)))
			g.settle()
			g.wantAnswer(b, "10.10.0.5", mac(5).String())
			g.wantFDB(b, mac(5), "10.0.0.12 vni 100")
			rows, err := g.c.Address(t.Context(), addr("10.10.0.5"))
			const why = "it is the best of the routes: configured at its MAC"
			if err != nil || len(rows) != 1 || rows[0].Claims[0].Reason != why {
				t.Errorf("%+v, %v", rows, err)
			}
		})
	}
}
