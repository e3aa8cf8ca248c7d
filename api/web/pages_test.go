package web_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

// every is a path of each page, and of each thing of a kind.
var every = []string{"/", "/bridges", "/bridges/blue", "/macs", "/macs/02:00:00:00:00:02", "/hosts", "/hosts/10.10.10.12",
	"/vrfs", "/vrfs/tenant?address=10.20.0.7", "/svis", "/svis/svi-blue", "/routes", "/neighbors", "/neighbors/10.1.1.1",
	"/vteps", "/vteps/10.0.0.3", "/ports", "/ports/port1", "/objects/port1", "/drops", "/drops?bridge=blue", "/entries", "/events", "/trace",
	"/check", "/check?show=all", "/trace?from=10.10.10.11&to=10.10.10.12&protocol=udp"}

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

var href = regexp.MustCompile(`(?:href|action)="(/[^"]*)"`)

func TestEachLinkLeadsToAPage(t *testing.T) {
	g := serve(t, sample(3))
	g.happen()
	seen := map[string]string{"/logout": "", "/login": ""}
	for _, path := range every {
		_, body := g.get(t, path)
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			to := html.UnescapeString(m[1])
			if _, known := seen[to]; known {
				continue
			}
			seen[to] = path
			if code, body := g.get(t, to); code != 200 {
				t.Errorf("%s leads to %s: %d\n%.500s", path, to, code, body)
			}
		}
	}
	if len(seen) < 80 {
		t.Errorf("%d links alone: this test looks at the wrong text", len(seen))
	}
}
