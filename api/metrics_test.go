package api

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A registry refuses what a collector did not describe when it was new.
func TestWhatIsCountedOfTheAPICanBeReadAfterItWasUsed(t *testing.T) {
	g := serveConfig(t, plainConfig(), nil)
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(g.server); err != nil {
		t.Fatal(err)
	}
	g.answers(t)
	g.do(t, "GET", "/v1/none", "")
	g.server.metrics.connection(refusedHandshake)
	g.server.metrics.request(refusedHost)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) == 0 {
		t.Error("there is nothing to read")
	}
}
