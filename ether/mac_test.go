package ether

import "testing"

func TestParseMACTakesTheColonFormOnly(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{
		{"02:00:00:00:00:01", true},
		{"02:AB:cd:00:00:01", true},
		{"02-00-00-00-00-01", false},
		{"0200.0000.0001", false},
		{"02:00:00:00:00", false},
		{"02:00:00:00:00:0g", false},
		{"02:00:00:00:00:01:02", false},
		{"", false},
	} {
		m, err := ParseMAC(tc.in)
		if (err == nil) != tc.ok {
			t.Errorf("ParseMAC(%q) = %v, %v; want ok %v", tc.in, m, err, tc.ok)
		}
	}
}

func FuzzParseMACRoundTrips(f *testing.F) {
	f.Add("02:00:00:00:00:01")
	f.Add("02:00:00::00:00:01")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		again, err := ParseMAC(m.String())
		if err != nil || again != m {
			t.Fatalf("%q parsed to %v, which parsed to %v, %v", s, m, again, err)
		}
	})
}
