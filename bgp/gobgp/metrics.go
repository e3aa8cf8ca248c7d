package gobgp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bgp"
)

var (
	descUpdates     = prometheus.NewDesc("p4evpn_bgp_updates_total", "EVPN routes taken from neighbours.", nil, nil)
	descWithdrawals = prometheus.NewDesc("p4evpn_bgp_withdrawals_total",
		"EVPN routes withdrawn by neighbours or with their session.", nil, nil)
	descDropped = prometheus.NewDesc("p4evpn_bgp_routes_dropped_total",
		"Routes of neighbours that were not taken, by reason.", []string{"reason"}, nil)
	descFlaps = prometheus.NewDesc("p4evpn_bgp_session_losses_total", "Sessions lost.", []string{"neighbor"}, nil)
)

// Describe is of prometheus.Collector.
func (s *Speaker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUpdates, descWithdrawals, descDropped, descFlaps} {
		ch <- d
	}
}

// Collect is of prometheus.Collector. There is a metric for each reason, also for
// those that never occurred.
func (s *Speaker) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	stats := s.Stats()
	send(descUpdates, stats.Updates)
	send(descWithdrawals, stats.Withdrawals)
	for r := bgp.Accepted + 1; r < bgp.Reasons; r++ {
		send(descDropped, stats.Dropped[r], r.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		send(descFlaps, p.state.Flaps, p.state.Address.String())
	}
}
