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
