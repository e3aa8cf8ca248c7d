package slowpath

import "github.com/prometheus/client_golang/prometheus"

var descFrames = prometheus.NewDesc("p4evpn_slowpath_frames_total",
	"Frames between the pipeline and Linux: delivered to it, injected by it, or dropped (no_tap, malformed, refused, "+
		"muted).", []string{"result"}, nil)

var descUnadvertised = prometheus.NewDesc("p4evpn_slowpath_unadvertised_hosts_total",
	"Hosts behind VTEPs that get no router advertisements, since their bridge has too many of them.", nil, nil)

// Describe is of prometheus.Collector.
func (s *Slowpath) Describe(ch chan<- *prometheus.Desc) {
	ch <- descFrames
	ch <- descUnadvertised
	s.overruns.Describe(ch)
}

// Collect is of prometheus.Collector.
func (s *Slowpath) Collect(ch chan<- prometheus.Metric) {
	s.overruns.Collect(ch)
	c := s.Counters()
	ch <- prometheus.MustNewConstMetric(descUnadvertised, prometheus.CounterValue, float64(c.Unadvertised))
	for result, n := range map[string]uint64{
		"delivered": c.Delivered, "injected": c.Injected,
		"no_tap": c.NoTap, "malformed": c.Malformed, "refused": c.Refused, "muted": c.Muted,
	} {
		ch <- prometheus.MustNewConstMetric(descFrames, prometheus.CounterValue, float64(n), result)
	}
}
