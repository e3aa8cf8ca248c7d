package p4rt

import (
	"errors"
	"strings"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of one client. A Client is a prometheus.Collector of
// them; label them with the target when registering several.
type metrics struct {
	connected, primary prometheus.Gauge
	connects, pushes   prometheus.Counter
	writeSeconds       prometheus.Histogram
	batchUpdates       prometheus.Histogram
	updates, failed    *prometheus.CounterVec // by type; by code
	received, dropped  *prometheus.CounterVec // by kind
	packetOuts         prometheus.Counter
	streamErrors       prometheus.Counter
	ignored            prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "p4evpn", Subsystem: "p4rt", Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "p4evpn", Subsystem: "p4rt", Name: name, Help: help})
	}
	return &metrics{
		connected: gauge("connected", "1 while there is a connection to the target."),
		primary:   gauge("primary", "1 while this controller is primary and the target runs its pipeline."),
		connects:  prometheus.NewCounter(counter("connects_total", "Connections made to the target.")),
		pushes:    prometheus.NewCounter(counter("pipeline_pushes_total", "Pipelines pushed to the target.")),
		writeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "p4evpn", Subsystem: "p4rt", Name: "write_seconds", Help: "Time from a Write RPC to its answer.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}),
		batchUpdates: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "p4evpn", Subsystem: "p4rt", Name: "write_updates", Help: "Updates in one Write RPC.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		updates: prometheus.NewCounterVec(counter("updates_total", "Updates sent, by type."), []string{"type"}),
		failed: prometheus.NewCounterVec(counter("update_errors_total", "Updates not acknowledged, by gRPC code."),
			[]string{"code"}),
		received: prometheus.NewCounterVec(counter("events_total", "Stream messages from the target, by kind."),
			[]string{"kind"}),
		dropped: prometheus.NewCounterVec(counter("events_dropped_total",
			"Stream messages dropped as the queue was full or the pipeline not known yet, by kind."), []string{"kind"}),
		packetOuts:   prometheus.NewCounter(counter("packet_outs_total", "Packets handed to the target.")),
		streamErrors: prometheus.NewCounter(counter("stream_errors_total", "Stream messages that the target refused.")),
		ignored: prometheus.NewCounter(counter("stream_messages_ignored_total",
			"Stream messages from the target of a kind that is not known.")),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.connected, m.primary, m.connects, m.pushes, m.writeSeconds, m.batchUpdates,
		m.updates, m.failed, m.received, m.dropped, m.packetOuts, m.streamErrors, m.ignored}
}

// wrote counts one Write RPC.
func (m *metrics) wrote(batch []Update, errs []error, took time.Duration) {
	m.writeSeconds.Observe(took.Seconds())
	m.batchUpdates.Observe(float64(len(batch)))
	var types [4]int
	for _, u := range batch {
		types[u.GetType()&3]++
	}
	for t, n := range types {
		if n > 0 {
			m.updates.WithLabelValues(strings.ToLower(p4v1.Update_Type(t).String())).Add(float64(n))
		}
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		code := "outcome_unknown"
		if u := (*UpdateError)(nil); errors.As(err, &u) {
			code = u.Code.String()
		} else if errors.Is(err, ErrNotWritten) {
			code = "not_written"
		}
		m.failed.WithLabelValues(code).Inc()
	}
}

var queueLength = prometheus.NewDesc("p4evpn_p4rt_event_queue", "Events that wait for the controller.", nil, nil)

func (c *Client) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics.all() {
		m.Describe(ch)
	}
	ch <- queueLength
}

func (c *Client) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.metrics.all() {
		m.Collect(ch)
	}
	ch <- prometheus.MustNewConstMetric(queueLength, prometheus.GaugeValue, float64(c.queue.length()))
}
