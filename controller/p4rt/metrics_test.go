package p4rt_test

import (
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
)

// gauge gives one metric of a client as a collector of its own, by its name
// and the value of its label.
func gauge(tb testing.TB, c *p4rt.Client, name string, label ...string) prometheus.Collector {
	tb.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		tb.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "found"})
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if slices.Equal(labels, label) {
				g.Set(m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()))
			}
		}
	}
	return g
}

func TestMetricsCountWhatHappened(t *testing.T) {
	c, s := up(t, p4rttest.Config{})
	for range 2 {
		if _, err := c.Write(t.Context(), []p4rt.Update{
			nexthop(p4v1.Update_INSERT, 1, 1), nexthop(p4v1.Update_DELETE, 2, 1),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []struct {
		want float64
		name string
		of   []string
	}{
		{1, "p4evpn_p4rt_connected", nil},
		{1, "p4evpn_p4rt_primary", nil},
		{1, "p4evpn_p4rt_connects_total", nil},
		{1, "p4evpn_p4rt_pipeline_pushes_total", nil},
		{3, "p4evpn_p4rt_write_seconds", nil}, // the digest's too
		{3, "p4evpn_p4rt_write_updates", nil},
		{3, "p4evpn_p4rt_updates_total", []string{"insert"}},
		{2, "p4evpn_p4rt_updates_total", []string{"delete"}},
		{1, "p4evpn_p4rt_update_errors_total", []string{"AlreadyExists"}},
		{2, "p4evpn_p4rt_update_errors_total", []string{"NotFound"}},
	} {
		if got := testutil.ToFloat64(gauge(t, c, m.name, m.of...)); got != m.want {
			t.Errorf("%s%v is %v, want %v", m.name, m.of, got, m.want)
		}
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	s.Stop()
	next[p4rt.Down](t, c)
	if got := testutil.ToFloat64(gauge(t, c, "p4evpn_p4rt_connected")); got != 0 {
		t.Errorf("p4evpn_p4rt_connected is %v after the target stopped", got)
	}
}
