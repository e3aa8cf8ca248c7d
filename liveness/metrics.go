package liveness

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/p4evpn/p4evpn/bfd"
)

var (
	descSessions = prometheus.NewDesc("p4evpn_bfd_sessions", "BFD sessions, by state.", []string{"state"}, nil)
	descReceived = prometheus.NewDesc("p4evpn_bfd_packets_received_total",
		"BFD control packets received, those that were discarded included.", nil, nil)
	descSent      = prometheus.NewDesc("p4evpn_bfd_packets_sent_total", "BFD control packets sent.", nil, nil)
	descDiscarded = prometheus.NewDesc("p4evpn_bfd_packets_discarded_total",
		"BFD control packets that were discarded, by reason.", []string{"reason"}, nil)
)

// Describe is of prometheus.Collector.
func (e *Endpoint) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descReceived, descSent, descDiscarded} {
		ch <- d
	}
}

// Collect is of prometheus.Collector. There is a metric for each state and reason.
func (e *Endpoint) Collect(ch chan<- prometheus.Metric) {
	states := map[bfd.State]int{}
	e.mu.RLock()
	for _, st := range e.statuses {
		states[st.State]++
	}
	e.mu.RUnlock()
	for s := bfd.Down; s <= bfd.Up; s++ {
		ch <- prometheus.MustNewConstMetric(descSessions, prometheus.GaugeValue, float64(states[s]), s.String())
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(descReceived, e.received.Load())
	count(descSent, e.sent.Load())
	for r := bfd.Taken + 1; r < bfd.Reasons; r++ {
		count(descDiscarded, e.discarded[r].Load(), r.String())
	}
}
