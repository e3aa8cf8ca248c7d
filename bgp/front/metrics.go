package front

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bgp"
)

var (
	descUpdates     = prometheus.NewDesc("p4evpn_bgp_updates_total", "Routes taken from neighbours.", nil, nil)
	descWithdrawals = prometheus.NewDesc("p4evpn_bgp_withdrawals_total",
		"Routes withdrawn by neighbours or with their session.", nil, nil)
	descDropped = prometheus.NewDesc("p4evpn_bgp_routes_dropped_total",
		"Routes of neighbours that were not taken, by reason.", []string{"reason"}, nil)
	descFlaps  = prometheus.NewDesc("p4evpn_bgp_session_losses_total", "Sessions lost.", []string{"neighbor"}, nil)
	descFaults = prometheus.NewDesc("p4evpn_bgp_faults_total",
		"What neighbours sent and was not taken as it stood, by reason.", []string{"neighbor", "reason"}, nil)
	descRoutes = prometheus.NewDesc("p4evpn_bgp_routes", "Routes of neighbours, by family.",
		[]string{"neighbor", "family"}, nil)
	descLimit = prometheus.NewDesc("p4evpn_bgp_routes_limit", "How many routes of a family a neighbour may send.",
		[]string{"neighbor"}, nil)
	descStrangers = prometheus.NewDesc("p4evpn_bgp_strangers_total",
		"Connections from addresses of no neighbour, closed at once.", nil, nil)
)

// Describe is of prometheus.Collector.
func (s *Speaker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descUpdates, descWithdrawals, descDropped, descFlaps, descFaults, descRoutes, descLimit, descStrangers,
	} {
		ch <- d
	}
}

// Collect is of prometheus.Collector. There is a metric for each reason, also for
// those that never occurred.
func (s *Speaker) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	stats := s.Stats()
	send(descUpdates, stats.Updates)
	send(descWithdrawals, stats.Withdrawals)
	for r := bgp.Accepted + 1; r < bgp.Reasons; r++ {
		send(descDropped, stats.Dropped[r], r.String())
	}
	send(descStrangers, s.counts.strangers.Load())
	s.mu.Lock()
	neighbors := append([]*neighbor(nil), s.neighbors...)
	s.mu.Unlock()
	for _, n := range neighbors {
		st, cfg, name := n.snapshot(), n.config(), n.address.String()
		send(descFlaps, st.Flaps, name)
		for r, count := range st.Faults {
			send(descFaults, count, name, r.String())
		}
		if cfg.Has(bgp.EVPN) {
			gauge(descRoutes, st.Routes, name, bgp.EVPN.String())
		}
		if f := cfg.UnicastFamily(); cfg.Has(f) {
			gauge(descRoutes, st.Unicast, name, f.String())
		}
		gauge(descLimit, uint64(n.excess.limit), name)
	}
}
