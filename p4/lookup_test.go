package p4

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

func TestALookupHasTheKeysOfAllEntriesThatItMayHit(t *testing.T) {
	mac := ether.MAC{2, 0, 0, 0, 0, 1}
	v6 := netip.MustParseAddr("2001:db8::1")
	for name, tc := range map[string]struct {
		table  string
		values map[string][]byte
		hits   []Typed
		keys   int
	}{
		"all fields exact": {
			"bridge.fdb", map[string][]byte{"bridge": {10}, "mac": mac[:]},
			[]Typed{FDB{Bridge: 10, MAC: mac}}, 1,
		},
		"a prefix of 32 bits": {
			"router.ipv4", map[string][]byte{"vrf": {0, 7}, "destination": {10, 1, 2, 3}},
			[]Typed{
				Route{VRF: 7, Prefix: netip.MustParsePrefix("10.1.2.3/32")},
				Route{VRF: 7, Prefix: netip.MustParsePrefix("10.1.2.0/23")},
				Route{VRF: 7, Prefix: netip.MustParsePrefix("0.0.0.0/0")},
			}, 33,
		},
		"a prefix of 128 bits": {
			"router.ipv6", map[string][]byte{"vrf": {7}, "destination": v6.AsSlice()},
			[]Typed{
				Route{VRF: 7, Prefix: netip.MustParsePrefix("2001:db8::1/128")},
				Route{VRF: 7, Prefix: netip.MustParsePrefix("2001:db8::/33")},
				Route{VRF: 7, Prefix: netip.MustParsePrefix("::/0")},
			}, 129,
		},
	} {
		keys, ok, err := Lookups(tc.table, tc.values)
		if err != nil || !ok || len(keys) != tc.keys {
			t.Errorf("%s: %d keys, %v, %v, want %d", name, len(keys), ok, err, tc.keys)
		}
		for _, hit := range tc.hits {
			if !slices.Contains(keys, hit.Key()) {
				t.Errorf("%s: %v is not among them", name, hit.Key())
			}
		}
	}
}

func TestALookupInATernaryTableMayHitAnyEntry(t *testing.T) {
	if keys, ok, err := Lookups("punt.trap", nil); keys != nil || ok || err != nil {
		t.Errorf("%v, %v, %v", keys, ok, err)
	}
}

func TestALookupThatTheProgramHasNotIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		table  string
		values map[string][]byte
	}{
		"no such table":   {"bridge.nowhere", nil},
		"a field missing": {"bridge.fdb", map[string][]byte{"bridge": {1}}},
		"a value that does not fit": {
			"bridge.fdb", map[string][]byte{"bridge": {1, 0, 0}, "mac": {1}},
		},
	} {
		if _, _, err := Lookups(tc.table, tc.values); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
