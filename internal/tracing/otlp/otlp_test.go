package otlp

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// start makes a Sender that runs until the test ends.
func start(t *testing.T, cfg Config) *Sender {
	t.Helper()
	cfg.Logger, cfg.Sample = slog.New(slog.DiscardHandler), 1
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return s
}

func run(t *testing.T, s *Sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// end begins and ends spans.
func end(s *Sender, n int) {
	for range n {
		_, span := s.Tracer().Request(context.Background(), http.Header{}, "call")
		span.End(nil)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so: " + what)
		}
	}
}

func (s *Sender) droppedBy(reason string) float64 {
	return testutil.ToFloat64(s.dropped.WithLabelValues(reason))
}

// Nobody waits for a collector: what it does not take is dropped and counted.
func TestACollectorThatTakesNothingCostsSpansAlone(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	away, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = away.Close()
	for _, protocol := range []string{GRPC, HTTP} {
		t.Run("away, "+protocol, func(t *testing.T) {
			s := start(t, Config{Endpoint: away.Addr().String(), Protocol: protocol, Insecure: true})
			end(s, atOnce)
			eventually(t, "all are dropped", func() bool { return s.droppedBy(reasonFailed) == atOnce })
		})
		t.Run("silent, "+protocol, func(t *testing.T) {
			s := start(t, Config{Endpoint: silent.Addr().String(), Protocol: protocol, Insecure: true})
			end(s, 2*(queued+atOnce))
			if n := s.droppedBy(reasonSlow); n < queued {
				t.Errorf("%v were dropped, want what is over the queue", n)
			}
		})
	}
}

// What waits when the gateway ends is sent.
func TestTheLastSpansAreSentAtTheEnd(t *testing.T) {
	s, err := New(Config{Endpoint: "127.0.0.1:1", Insecure: true, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	taken := tracetest.NewInMemoryExporter()
	s.exporter = keeping{taken}
	end(s, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(taken.GetSpans()); n != 3 || testutil.ToFloat64(s.sent) != 3 {
		t.Errorf("%d spans were sent, want 3", n)
	}
}

// keeping is an exporter that keeps what it has when it is shut down.
type keeping struct{ *tracetest.InMemoryExporter }

func (keeping) Shutdown(context.Context) error { return nil }

func TestWithoutASampleNothingIsKept(t *testing.T) {
	s, err := New(Config{Endpoint: "127.0.0.1:1", Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	_, span := s.Tracer().Request(t.Context(), http.Header{}, "call")
	if span.Wanted() || span.Child("step").Wanted() {
		t.Error("a span is wanted")
	}
	_, span = s.Tracer().Request(t.Context(), http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-" +
		"00f067aa0ba902b7-01"}}, "call")
	if !span.Wanted() {
		t.Error("the caller's trace ends here")
	}
}

func TestAnAuthorityThatIsNoneIsAnError(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{none, "/nowhere"} {
		for _, protocol := range []string{GRPC, HTTP} {
			if _, err := New(Config{Endpoint: "127.0.0.1:1", Protocol: protocol, CA: ca}); err == nil {
				t.Errorf("%s is taken for authorities", ca)
			}
		}
	}
}

var _ sdktrace.SpanExporter = keeping{}
