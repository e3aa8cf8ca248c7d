package api

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Why a connection or a request was refused, besides what package socket says.
const (
	refusedHandshake = "handshake"
	refusedFrames    = "frames" // an HTTP/2 flood
	refusedHost      = "host"
	refusedOrigin    = "origin"
	refusedRole      = "role"
	refusedRate      = "rate"
	refusedCalls     = "calls"
	refusedBytes     = "bytes" // in flight
	refusedBody      = "body"  // too large, or it did not come in time
)

// metrics count what is refused, and time calls.
type metrics struct {
	connections, requests *prometheus.CounterVec

	calls   *prometheus.HistogramVec
	methods map[string]method // by "/service/method": no others have metrics of their own

	lost prometheus.Counter // lines of the audit log
}

// method is how a method is called in metrics.
type method struct{ service, name string }

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "p4evpn", Subsystem: "api", Name: name, Help: help},
			labels)
	}
	return &metrics{
		connections: counter("connections_refused_total", "API connections that were closed, by reason.", "reason"),
		requests:    counter("requests_refused_total", "API requests that were refused before a call, by reason.", "reason"),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "p4evpn", Subsystem: "api",
			Name: "audit_lost_total", Help: "Lines that could not be written to the audit log."}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "p4evpn", Subsystem: "api",
			Name: "call_duration_seconds", Help: "Time that API calls took, those that were refused included; of a " +
				"stream until its end.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"service", "method", "code"}),
		methods: map[string]method{},
	}
}

// serves makes a method known: clients may ask for others, which are counted as one.
func (m *metrics) serves(service, name string) {
	m.methods["/"+service+"/"+name] = method{service, name}
}

func (m *metrics) counters() []prometheus.Collector {
	return []prometheus.Collector{m.connections, m.requests, m.calls, m.lost}
}

func (m *metrics) connection(reason string) { m.connections.WithLabelValues(reason).Inc() }
func (m *metrics) request(reason string)    { m.requests.WithLabelValues(reason).Inc() }

// method is what a call is counted as.
func (m *metrics) method(asked string) method {
	name, _, _ := strings.Cut(asked, " ")
	if called, ok := m.methods[name]; ok {
		return called
	}
	return method{"unknown", "unknown"}
}

// call counts a call of what the guard calls a method; of package vtep's the verb is one.
func (m *metrics) call(asked string, code codes.Code, took time.Duration) {
	called := m.method(asked)
	m.calls.WithLabelValues(called.service, called.name, code.String()).Observe(took.Seconds())
}

var (
	descOpen   = prometheus.NewDesc("p4evpn_api_connections", "Open connections to the API.", nil, nil)
	descNow    = prometheus.NewDesc("p4evpn_api_calls_in_flight", "API calls that are being answered.", nil, nil)
	descFailed = prometheus.NewDesc("p4evpn_store_failed", "1 if the store takes no more changes, since one could not be "+
		"written.", nil, nil)
	descRead = prometheus.NewDesc("p4evpn_api_request_bytes", "Bytes of the API's requests under way.", nil, nil)
)

// gauges are the values of now.
func (s *Server) gauges() map[*prometheus.Desc]int {
	now := s.guard.flight.now()
	failed := 0
	if s.store.Failed() != nil {
		failed = 1
	}
	return map[*prometheus.Desc]int{descFailed: failed, descOpen: s.open(), descNow: now.calls, descRead: now.bytes}
}

// Describe is prometheus.Collector's.
func (s *Server) Describe(out chan<- *prometheus.Desc) {
	for _, c := range s.metrics.counters() {
		c.Describe(out) // they have no values yet
	}
	for d := range s.gauges() {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	for _, c := range s.metrics.counters() {
		c.Collect(out)
	}
	for d, v := range s.gauges() {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
}
