package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/config"
	"github.com/p4evpn/p4evpn/internal/certtest"
)

// sink is a collector of spans, over gRPC and HTTP.
type sink struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	got map[string][]*spans.Span // by trace
}

// Export is of OTLP over gRPC.
func (s *sink) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse,
	error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				s.got[id] = append(s.got[id], span)
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP is of OTLP over HTTP.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = s.Export(r.Context(), &m)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// of gives the spans of a trace by name, and how many there are.
func (s *sink) of(trace string) (map[string]*spans.Span, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byName := map[string]*spans.Span{}
	for _, span := range s.got[trace] {
		byName[span.GetName()] = span
	}
	return byName, len(s.got[trace])
}

// startSink serves a collector until the test ends, with a certificate if secure is not nil.
func startSink(t *testing.T, protocol string, secure *tls.Config) (*sink, string) {
	t.Helper()
	s := &sink{got: map[string][]*spans.Span{}}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	if protocol == config.OTLPoverGRPC {
		var options []grpc.ServerOption
		if secure != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(secure)))
		}
		server := grpc.NewServer(options...)
		collector.RegisterTraceServiceServer(server, s)
		running.Go(func() { _ = server.Serve(l) })
		t.Cleanup(func() { server.Stop(); running.Wait() })
	} else {
		if secure != nil {
			l = tls.NewListener(l, secure)
		}
		server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
		running.Go(func() { _ = server.Serve(l) })
		t.Cleanup(func() { _ = server.Close(); running.Wait() })
	}
	return s, l.Addr().String()
}

func TestACallIsOneTraceFromItsCallerToTheAcknowledgementOfTheTarget(t *testing.T) {
	certificate, key := certtest.SelfSigned(t, "collector", "localhost")
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	for name, to := range map[string]struct {
		config.OTLP
		secure *tls.Config
	}{
		"gRPC":          {config.OTLP{Protocol: config.OTLPoverGRPC, Insecure: true}, nil},
		"gRPC over TLS": {config.OTLP{Protocol: config.OTLPoverGRPC, CA: certificate}, secure},
		"HTTP":          {config.OTLP{Protocol: config.OTLPoverHTTP, Insecure: true}, nil},
		"HTTP over TLS": {config.OTLP{Protocol: config.OTLPoverHTTP, CA: certificate}, secure},
	} {
		t.Run(name, func(t *testing.T) {
			got, address := startSink(t, to.Protocol, to.secure)
			target := "unix:" + filepath.Join(t.TempDir(), "switch.sock")
			defer runSwitch(t, target)()
			f := gatewayFile(t, target)
			f.Metrics.Listen = freeAddress(t)
			f.Telemetry.OTLP = to.OTLP
			f.Telemetry.OTLP.Endpoint = strings.Replace(address, "127.0.0.1", "localhost", 1)
			runFile(t, f)
			awaitScrape(t, f.Metrics.Listen, "the target is written to", func(m map[string]*dto.MetricFamily) bool {
				return value(m, "p4evpn_controller_target_up") == 1
			})
			const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7" // of W3C's examples
			ask := asks(t, f, "Traceparent", "00-"+trace+"-"+parent+"-01")
			code, answer := ask("POST", "/v1/logicalBridges?logical_bridge_id=blue", `{"spec":{"vlanId":10,"vni":100}}`)
			if code != 200 {
				t.Fatalf("HTTP %d %s", code, answer)
			}
			// Who does not want to be traced is not: Sample is 0.
			if code, answer := asks(t, f)("DELETE", "/v1/logicalBridges/blue", ""); code != 200 {
				t.Fatalf("HTTP %d %s", code, answer)
			}
			steps := []string{"opi_api.network.evpn_gw.v1alpha1.LogicalBridgeService/CreateLogicalBridge", "store", "controller",
				"P4Runtime Write"}
			awaitScrape(t, f.Metrics.Listen, "the collector has the trace", func(m map[string]*dto.MetricFamily) bool {
				_, n := got.of(trace)
				return n >= len(steps) && value(m, "p4evpn_telemetry_spans_sent_total") >= float64(n)
			})
			byName, _ := got.of(trace)
			above := parent
			for _, name := range steps {
				span := byName[name]
				if span == nil || hex.EncodeToString(span.GetParentSpanId()) != above {
					t.Fatalf("%s is %v, want a child of %s, of %v", name, span, above, byName)
				}
				if span.GetStatus().GetCode() != spans.Status_STATUS_CODE_UNSET {
					t.Errorf("%s failed: %v", name, span.GetStatus())
				}
				above = hex.EncodeToString(span.GetSpanId())
			}
			if byName["controller"].GetEndTimeUnixNano() < byName["P4Runtime Write"].GetEndTimeUnixNano() {
				t.Error("the controller's span ended before the target acknowledged")
			}
			got.mu.Lock()
			defer got.mu.Unlock()
			if len(got.got) != 1 {
				t.Errorf("%d traces, want the one that was asked for", len(got.got))
			}
		})
	}
}
