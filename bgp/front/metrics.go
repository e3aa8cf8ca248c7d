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
	descFlaps     = prometheus.NewDesc("p4evpn_bgp_session_losses_total", "Sessions lost.", []string{"neighbor"}, nil)
	descStrangers = prometheus.NewDesc("p4evpn_bgp_strangers_total",
		"Connections from addresses of no neighbour, closed at once.", nil, nil)
)

// Describe is of prometheus.Collector.
func (s *Speaker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descUpdates, descWithdrawals, descDropped, descFlaps, descStrangers,
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
		send(descFlaps, n.snapshot().Flaps, n.address.String())
	}
}
