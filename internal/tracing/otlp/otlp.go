// Package otlp sends spans to a collector, over gRPC or HTTP (OpenTelemetry's OTLP). Nobody
// waits for it: what a collector does not take in time is dropped and counted.
package otlp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"

	"github.com/p4evpn/p4evpn/internal/file"
	"github.com/p4evpn/p4evpn/internal/tracing"
)

// Protocols of Config.
const (
	GRPC = "grpc"
	HTTP = "http"
)

// Config says where spans go.
type Config struct {
	Endpoint string  // "host:port"
	Protocol string  // GRPC, or HTTP, which posts to /v1/traces; "": GRPC
	Insecure bool    // without TLS
	CA       string  // PEM file of the authorities of the collector's certificate; "": the system's
	Sample   float64 // of the requests that no caller traces, 0 to 1
	Version  string  // of the service
	Instance string  // which gateway it is, for who looks at several
	Logger   *slog.Logger
}

// What waits for the collector, in spans, how many go at once, and how long they may wait and
// take.
const (
	queued  = 2048
	atOnce  = 512
	gather  = time.Second
	timeout = 10 * time.Second
)

// Sender sends spans. Run does it.
type Sender struct {
	exporter sdktrace.SpanExporter
	provider *sdktrace.TracerProvider
	spans    chan sdktrace.ReadOnlySpan
	timeout  time.Duration
	log      *slog.Logger

	sent    prometheus.Counter
	dropped *prometheus.CounterVec
}

// New prepares a Sender. It connects to nobody.
func New(cfg Config) (*Sender, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	exporter, err := newExporter(cfg)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	s := &Sender{exporter: exporter, spans: make(chan sdktrace.ReadOnlySpan, queued), timeout: timeout, log: cfg.Logger,
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "p4evpn_telemetry_spans_sent_total",
			Help: "Spans that the collector took."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "p4evpn_telemetry_spans_dropped_total",
			Help: "Spans that the collector did not take, by reason: it is too slow, or it failed."}, []string{"reason"}),
	}
	s.dropped.WithLabelValues(reasonSlow)
	s.dropped.WithLabelValues(reasonFailed)
	s.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "p4evpn"),
			attribute.String("service.version", cfg.Version), attribute.String("service.instance.id", cfg.Instance))),
		sdktrace.WithSpanProcessor(queue{s}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { s.log.Debug("OpenTelemetry", "err", err) }))
	return s, nil
}

// Why spans were dropped.
const (
	reasonSlow   = "slow"
	reasonFailed = "failed"
)

// newExporter makes what speaks OTLP. It does not try again: that is for who asks for traces.
func newExporter(cfg Config) (sdktrace.SpanExporter, error) {
	ctx := context.Background() // nothing is connected yet
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CA != "" {
		var err error
		if secure.RootCAs, err = file.Authorities(cfg.CA); err != nil {
			return nil, err
		}
	}
	if cfg.Protocol == HTTP {
		options := []otlptracehttp.Option{otlptracehttp.WithEndpoint(cfg.Endpoint), otlptracehttp.WithTimeout(timeout),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{})}
		if cfg.Insecure {
			options = append(options, otlptracehttp.WithInsecure())
		} else {
			options = append(options, otlptracehttp.WithTLSClientConfig(secure))
		}
		return otlptracehttp.New(ctx, options...)
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(cfg.Endpoint), otlptracegrpc.WithTimeout(timeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{})}
	if cfg.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	} else {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(secure)))
	}
	return otlptracegrpc.New(ctx, options...)
}

// Tracer begins spans that the Sender sends.
func (s *Sender) Tracer() *tracing.Tracer { return tracing.New(s.provider) }

// Run sends spans until ctx ends, and then those that wait, for a moment.
func (s *Sender) Run(ctx context.Context) error {
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.exporter.Shutdown(ended)
	}()
	tick := time.NewTicker(gather)
	defer tick.Stop()
	var batch []sdktrace.ReadOnlySpan
	failed := false
	for {
		select {
		case span := <-s.spans:
			if batch = append(batch, span); len(batch) < atOnce {
				continue
			}
		case <-tick.C:
		case <-ctx.Done():
			ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = s.send(ended, append(batch, s.waiting()...))
			return nil
		}
		if len(batch) == 0 {
			continue
		}
		err := s.send(ctx, batch)
		if err != nil && !failed {
			s.log.Warn("the collector takes no spans, which are dropped", "spans", len(batch), "err", err)
		}
		batch, failed = nil, err != nil
	}
}

// waiting takes what is in the queue.
func (s *Sender) waiting() (all []sdktrace.ReadOnlySpan) {
	for {
		select {
		case span := <-s.spans:
			all = append(all, span)
		default:
			return all
		}
	}
}

func (s *Sender) send(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.exporter.ExportSpans(ctx, batch); err != nil {
		s.dropped.WithLabelValues(reasonFailed).Add(float64(len(batch)))
		return err
	}
	s.sent.Add(float64(len(batch)))
	return nil
}

// Describe is of prometheus.Collector.
func (s *Sender) Describe(ch chan<- *prometheus.Desc) {
	s.sent.Describe(ch)
	s.dropped.Describe(ch)
}

// Collect is of prometheus.Collector.
func (s *Sender) Collect(ch chan<- prometheus.Metric) {
	s.sent.Collect(ch)
	s.dropped.Collect(ch)
}

// queue is where spans go when they end: who ends one never waits.
type queue struct{ *Sender }

var _ sdktrace.SpanProcessor = queue{}

// OnStart is of sdktrace.SpanProcessor.
func (q queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd is of sdktrace.SpanProcessor.
func (q queue) OnEnd(span sdktrace.ReadOnlySpan) {
	select {
	case q.spans <- span:
	default:
		q.dropped.WithLabelValues(reasonSlow).Inc()
	}
}

// Shutdown is of sdktrace.SpanProcessor; Run ends by its context.
func (q queue) Shutdown(context.Context) error { return nil }

// ForceFlush is of sdktrace.SpanProcessor.
func (q queue) ForceFlush(context.Context) error { return errors.ErrUnsupported }
