package web

import (
	"strings"
	"testing"
)

func TestATextLeadsToWhatItNames(t *testing.T) {
	for text, want := range map[string]string{
		"the configuration has bridge port port1":        "/ports/port1",
		"bridge port vm-1 is in bridge blue":             "/objects/vm-1 /bridges/blue",
		"it was learned at bridge port vm-1, sequence 3": "/objects/vm-1",
		"the kernel routes VTEP 10.0.0.3 by uplink up1":  "/vteps/10.0.0.3 /ports/up1",
		"routes lead to VTEP 2001:db8::3, from our ::1":  "/vteps/2001:db8::3",
		"SVI svi-1 routes bridge blue in VRF tenant":     "/svis/svi-1 /bridges/blue /vrfs/tenant",
		"10.0.0.1 is a VTEP address of this gateway":     "",
		"bridge.fdb bridge=1 mac=02:00:00:00:00:02 -> x": "/macs/02:00:00:00:00:02",
		"VNI 100 is that of VRF tenant: it is down":      "/vrfs/tenant",
		"no name of anything":                            "",
		"":                                               "",
		"route [3]:[0]:[32]:[10.0.0.3] RD 1:1 of VTEP 1.2.3.4, from peer 10.1.1.1": "/routes?q=%5B3%5D%3A%5B0%5D%3A%5B32%5D%3A%5B10.0.0.3%5D " +
			"/vteps/1.2.3.4 /neighbors/10.1.1.1",
	} {
		var whole string
		var links []string
		for _, s := range linked(text, "") {
			whole += s.Text
			if s.Href != "" {
				links = append(links, s.Href)
			}
		}
		if got := strings.Join(links, " "); got != want || whole != text {
			t.Errorf("%q: %q with %q, want %q", text, whole, got, want)
		}
	}
}
