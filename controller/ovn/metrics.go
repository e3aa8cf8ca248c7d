package ovn

import "github.com/prometheus/client_golang/prometheus"

// stats are the Keeper's metrics.
type stats struct {
	transactions prometheus.Counter
	wanted       prometheus.Gauge
	joined       prometheus.Gauge
	problems     prometheus.Gauge
}

func newStats() *stats {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "p4evpn", Subsystem: "ovn", Name: name, Help: help})
	}
	return &stats{
		transactions: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "p4evpn", Subsystem: "ovn",
			Name: "transactions_total", Help: "Transactions that were sent to OVN and Open vSwitch."}),
		wanted:   gauge("logical_switches", "Logical switches that bridges stretch."),
		joined:   gauge("joined", "Logical switches that are joined at this gateway, which may share them."),
		problems: gauge("problems", "Logical switches, and databases, with which something is wrong; the log says what."),
	}
}

// attached takes which logical switches are asked for, and what is wrong.
func (s *stats) attached(wanted []attachment, problems map[string]string) {
	joined := 0
	for _, a := range wanted {
		if a.share == ours && problems[a.bridge] == "" {
			joined++
		}
	}
	s.joined.Set(float64(joined))
	s.wanted.Set(float64(len(wanted)))
	s.problems.Set(float64(len(problems)))
}

// Describe is of prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect is of prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{k.stats.transactions, k.stats.wanted, k.stats.joined, k.stats.problems} {
		c.Collect(ch)
	}
}
