package softswitch

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	portLabels = []string{"port", "interface"}

	descUp      = portDesc("port_up", "1 if the port receives and sends.")
	descClaimed = portDesc("port_claimed", "1 if the host's network stack is kept off the port's interface.")
	descRefused = portDesc("port_refused", "1 if the interface is there and is not used, since it cannot be claimed.")
	descLost    = portDesc("port_claims_lost_total", "How often somebody else removed the claim of the port's interface.")
	descFrames  = portDesc("port_frames_total", "Frames that the port received and sent.", "direction")
	descDropped = portDesc("port_dropped_total", "Frames that the port could not receive or send, by reason.", "reason")
)

var descReconciled = prometheus.NewDesc("p4evpn_switch_reconcile_dropped_total",
	"Entries and other state that did not fit a pipeline that replaced another.", nil, nil)

// What clients of P4Runtime have, and what they were refused.
var (
	descConnections = clientDesc("connections", "Open connections to P4Runtime.")
	descStreams     = clientDesc("streams", "Open streams of P4Runtime.")
	descBytes       = clientDesc("bytes", "Bytes under way of clients that are not primary, above 64 kB of each.")
	descBounded     = clientDesc("bounded_total", "Clients that had to go, by what there was too much of.", "reason")
)

func clientDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("p4evpn_switch_clients_"+name, help, labels, nil)
}

func portDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("p4evpn_switch_"+name, help, append(portLabels[:2:2], labels...), nil)
}

// Describe is of prometheus.Collector.
func (s *Switch) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descClaimed, descRefused, descLost, descFrames, descDropped,
		descReconciled, descConnections, descStreams, descBytes, descBounded} {
		out <- d
	}
}

// Collect is of prometheus.Collector.
func (s *Switch) Collect(out chan<- prometheus.Metric) {
	stats := s.Stats()
	s.collectClients(out, stats)
	out <- prometheus.MustNewConstMetric(descReconciled, prometheus.CounterValue, float64(stats.Server.ReconcileDropped))
	for _, p := range stats.Ports {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			labels = append([]string{strconv.FormatUint(uint64(p.Number), 10), p.Interface}, labels...)
			out <- prometheus.MustNewConstMetric(d, kind, value, labels...)
		}
		send(descUp, prometheus.GaugeValue, number(p.Up))
		send(descClaimed, prometheus.GaugeValue, number(p.Claim != ""))
		send(descRefused, prometheus.GaugeValue, number(p.Refused != ""))
		send(descLost, prometheus.CounterValue, float64(p.ClaimsLost))
		send(descFrames, prometheus.CounterValue, float64(p.RxFrames), "in")
		send(descFrames, prometheus.CounterValue, float64(p.TxFrames), "out")
		for reason, n := range map[string]uint64{
			"ring_full": p.RxRingFull, "too_long": p.RxTooLong, "malformed": p.RxMalformed,
			"down": p.TxDown, "queue_full": p.TxFull, "send_error": p.TxError,
		} {
			send(descDropped, prometheus.CounterValue, float64(n), reason)
		}
	}
}

func (s *Switch) collectClients(out chan<- prometheus.Metric, stats Stats) {
	c := s.clients
	for d, v := range map[*prometheus.Desc]int{descConnections: c.bounded.Open(), descBytes: c.bytes(),
		descStreams: int(stats.Server.Streams)} {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	for reason, n := range map[string]uint64{
		"connections": c.bounded.Evicted() + c.refused.Load(), "bytes": c.flooded.Load(),
		"streams": stats.Server.StreamsEvicted, "reads": stats.Server.ReadsRefused,
	} {
		out <- prometheus.MustNewConstMetric(descBounded, prometheus.CounterValue, float64(n), reason)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
