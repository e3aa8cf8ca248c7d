// Package tracing follows what a client asked for through the parts of a gateway, as spans of
// one trace (OpenTelemetry). It knows OpenTelemetry's interfaces alone: where spans go is
// package otlp's.
//
// A Span that nobody wants is the zero Span, and costs nothing.
package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope names our spans' instrumentation.
const scope = "github.com/p4evpn/p4evpn"

// Tracer begins the spans of requests. A nil one begins none.
type Tracer struct{ provider trace.TracerProvider }

// New makes a Tracer whose spans a provider takes.
func New(provider trace.TracerProvider) *Tracer { return &Tracer{provider} }

// caller reads what the caller's own span is (W3C Trace Context).
var caller propagation.TraceContext

// Request begins the span of a request, as a child of the caller's where the headers name one,
// and gives a context that has it.
func (t *Tracer) Request(ctx context.Context, headers http.Header, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = caller.Extract(ctx, propagation.HeaderCarrier(headers))
	ctx, s := t.provider.Tracer(scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, wanted(s)
}

// Span is a step of what somebody asked for. The zero Span is of nobody.
type Span struct{ span trace.Span }

// wanted is a span, or the zero one if it is not recorded.
func wanted(s trace.Span) Span {
	if !s.IsRecording() {
		return Span{}
	}
	return Span{s}
}

// Of gives the span that a context has.
func Of(ctx context.Context) Span { return wanted(trace.SpanFromContext(ctx)) }

// Wanted reports whether anybody looks at the span.
func (s Span) Wanted() bool { return s.span != nil }

// Child begins a step of this one, which may have ended.
func (s Span) Child(name string) Span {
	if s.span == nil {
		return s
	}
	ctx := trace.ContextWithSpan(context.Background(), s.span)
	_, child := s.span.TracerProvider().Tracer(scope).Start(ctx, name)
	return wanted(child)
}

// Count notes a number.
func (s Span) Count(key string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, n))
	}
}

// Text notes a text.
func (s Span) Text(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// End ends the step, which failed if err is not nil.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
