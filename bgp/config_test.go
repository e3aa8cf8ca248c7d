package bgp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSettingsOfANeighbourThatWillNotDoAreRefusedByName(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Neighbor)
		want   string // "" is none
	}{
		"nothing":                 {func(*Neighbor) {}, ""},
		"own AS ten times":        {func(n *Neighbor) { n.AllowOwnAS = 10 }, ""},
		"own AS eleven times":     {func(n *Neighbor) { n.AllowOwnAS = 11 }, "allow own as: 11"},
		"on our link":             {func(n *Neighbor) { n.TTLSecurity = 1 }, ""},
		"of iBGP, far away":       {func(n *Neighbor) { n.AS, n.TTLSecurity = 65000, 254 }, ""},
		"a TTL of 1 at the end":   {func(n *Neighbor) { n.TTLSecurity = 255 }, "ttl security: 255"},
		"hops said twice":         {func(n *Neighbor) { n.TTLSecurity, n.Multihop = 2, 2 }, "multihop is set too"},
		"a text alone":            {func(n *Neighbor) { n.ShutdownMessage = "moved" }, ""},
		"255 bytes (RFC 9003 2)":  {func(n *Neighbor) { n.ShutdownMessage = strings.Repeat("x", 255) }, ""},
		"256 bytes":               {func(n *Neighbor) { n.ShutdownMessage = strings.Repeat("x", 256) }, "shutdown message: 256 bytes"},
		"no UTF-8 (RFC 9003 2)":   {func(n *Neighbor) { n.ShutdownMessage = "\xff" }, "shutdown message: want UTF-8"},
		"umlauts":                 {func(n *Neighbor) { n.ShutdownMessage = "f\u00fcr heute" }, ""},
		"any limit that is given": {func(n *Neighbor) { n.MaxPrefixes = 1<<32 - 1 }, ""},
	} {
		n := Neighbor{Address: netip.MustParseAddr("10.1.1.1"), AS: 65101}
		c.change(&n)
		err := n.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestANeighbourHasALimitAlsoIfNobodyGaveOne(t *testing.T) {
	for given, want := range map[uint32]uint32{0: 250_000, 1: 1, 2_000_000: 2_000_000} {
		if got := (&Neighbor{MaxPrefixes: given}).Limit(); got != want {
			t.Errorf("%d is %d, want %d", given, got, want)
		}
	}
}

func TestASessionCarriesEVPNUnlessOthersAreNamed(t *testing.T) {
	for _, c := range []struct{ given, want []Family }{
		{nil, []Family{EVPN}},
		{[]Family{IPv4Unicast}, []Family{IPv4Unicast}},
		{[]Family{IPv6Unicast, EVPN}, []Family{EVPN, IPv6Unicast}},
	} {
		if got := (&Neighbor{Families: c.given}).Carried(); !slices.Equal(got, c.want) {
			t.Errorf("%v gives %v, want %v", c.given, got, c.want)
		}
	}
}
