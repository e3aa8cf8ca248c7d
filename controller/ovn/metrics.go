package ovn

import "github.com/prometheus/client_golang/prometheus"

// stats are the Keeper's metrics.
type stats struct {
	transactions prometheus.Counter
	wanted       prometheus.Gauge
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
		problems: gauge("problems", "Logical switches, and databases, with which something is wrong; the log says what."),
	}
}

// attached takes how many logical switches are asked for, and what is wrong.
func (s *stats) attached(wanted int, problems map[string]string) {
	s.wanted.Set(float64(wanted))
	s.problems.Set(float64(len(problems)))
}

// Describe is of prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect is of prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{k.stats.transactions, k.stats.wanted, k.stats.problems} {
		c.Collect(ch)
	}
}
