package bgp

import (
	"net/netip"
	"slices"
	"testing"
)

func TestRouteDistinguishersAndTargetsReadWhatTheyPrint(t *testing.T) {
	for _, tc := range []struct {
		in     string
		bytes  [8]byte // of the RD
		number uint32
	}{
		{"65000:100", [8]byte{0, 0, 0xfd, 0xe8, 0, 0, 0, 100}, 100},
		{"0:16777215", [8]byte{0, 0, 0, 0, 0, 0xff, 0xff, 0xff}, 16777215},
		{"10.0.0.1:100", [8]byte{0, 1, 10, 0, 0, 1, 0, 100}, 100},
		{"4200000000:100", [8]byte{0, 2, 0xfa, 0x56, 0xea, 0, 0, 100}, 100},
	} {
		rd, err := ParseRD(tc.in)
		if err != nil || rd != tc.bytes || rd.String() != tc.in || rd.Number() != tc.number {
			t.Errorf("RD %s: % x %v number %d, %v", tc.in, rd, rd, rd.Number(), err)
		}
		rt, err := ParseRouteTarget(tc.in)
		if err != nil || rt.String() != tc.in || rt.number() != tc.number || rt[0] != tc.bytes[1] || rt[1] != 2 {
			t.Errorf("RT %s: % x %v, %v", tc.in, rt, rt, err)
		}
	}
	for _, bad := range []string{"", "1", "1:", ":1", "x:1", "1:x", "1:-1", "1:4294967296", "4294967296:1",
		"10.0.0.1:65536", "4200000000:65536", "::1:1", "1:2:3"} {
		if _, err := ParseRD(bad); err == nil {
			t.Errorf("RD %q taken", bad)
		}
		if _, err := ParseRouteTarget(bad); err == nil {
			t.Errorf("RT %q taken", bad)
		}
	}
	if rd := RouterRD(netip.MustParseAddr("10.0.0.2"), 7); rd.String() != "10.0.0.2:7" {
		t.Errorf("RouterRD prints %v", rd)
	}
}

func FuzzParseRouteTargetRoundTrips(f *testing.F) {
	f.Add("65000:100")
	f.Add("10.0.0.1:100")
	f.Add("4200000000:1")
	f.Fuzz(func(t *testing.T, s string) {
		rt, err := ParseRouteTarget(s)
		if err != nil {
			return
		}
		again, err := ParseRouteTarget(rt.String())
		if err != nil || again != rt {
			t.Fatalf("%q is %v, which reads as %v, %v", s, rt, again, err)
		}
	})
}

func TestImportByVNIMatchesAnyASAndTheAutoDerivedForm(t *testing.T) {
	for _, tc := range []struct {
		rt    string
		vni   uint32
		match bool
	}{
		{"65000:100", 100, true},
		{"1:100", 100, true},
		{"10.0.0.1:100", 100, true},
		{"4200000000:100", 100, true},
		{"65000:101", 100, false},
		{"65000:268435556", 100, true},   // 0x10000064: VXLAN, domain 0
		{"65000:520093796", 100, true},   // 0x1f000064: domain 15
		{"65000:536871012", 100, false},  // 0x20000064: not VXLAN
		{"65000:2415919204", 100, false}, // 0x90000064: not auto-derived
		{"65000:0", 0, false},
		{"65000:16777215", 16777215, true},
	} {
		rt := mustRT(tc.rt)
		if got := rt.matchesVNI(tc.vni); got != tc.match {
			t.Errorf("%s matches *:%d: %v", tc.rt, tc.vni, got)
		}
	}
	if rt := AutoRouteTarget(4200000000, 100); rt.String() != "59904:100" {
		t.Errorf("automatic target of AS 4200000000 is %v", rt)
	}
}

func TestRouteTargetSetsAreEqualWhateverTheirOrder(t *testing.T) {
	a, b := mustRT("65000:1"), mustRT("65000:2")
	s := MakeRouteTargets(b, a, b)
	if s != MakeRouteTargets(a, b) || s == MakeRouteTargets(a) || s.Len() != 2 {
		t.Errorf("set of %v", s)
	}
	if got := slices.Collect(s.All()); !slices.Equal(got, []RouteTarget{a, b}) || s.String() != "65000:1 65000:2" {
		t.Errorf("set of %v prints %v", got, s)
	}
	if !s.Contains(b) || s.Contains(mustRT("65000:3")) || !s.MatchesVNI(2) || s.MatchesVNI(3) {
		t.Error("membership")
	}
	if (MakeRouteTargets() != RouteTargets{}) || (RouteTargets{}).Len() != 0 || (RouteTargets{}).String() != "" {
		t.Error("the zero value is not the empty set")
	}
}

func mustRT(s string) RouteTarget {
	rt, err := ParseRouteTarget(s)
	if err != nil {
		panic(err)
	}
	return rt
}
