package web_test

import (
	"strings"
	"testing"
)

// every is a path of each page, and of each thing of a kind.
var every = []string{"/", "/bridges", "/bridges/blue", "/macs", "/macs/02:00:00:00:00:02", "/hosts", "/hosts/10.10.10.12",
	"/vrfs", "/vrfs/tenant?address=10.20.0.7", "/svis", "/svis/svi-blue", "/routes", "/neighbors", "/neighbors/10.1.1.1",
	"/vteps", "/vteps/10.0.0.3", "/ports", "/ports/port1", "/objects/port1", "/drops", "/entries", "/events", "/trace",
	"/trace?from=10.10.10.11&to=10.10.10.12&protocol=udp"}

func TestEachPageIsThere(t *testing.T) {
	g := serve(t, sample(250))
	g.happen()
	for _, path := range every {
		code, body := g.get(t, path)
		if code != 200 || !strings.Contains(body, "<main") || strings.Contains(body, "cannot be shown") {
			t.Errorf("%s: %d\n%s", path, code, body)
		}
	}
}
