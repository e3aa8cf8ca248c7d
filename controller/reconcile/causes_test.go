package reconcile

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/p4evpn/p4evpn/internal/tracing"
)

// causeOf is a span, and what gives its name and those of its children that have ended, with
// what went wrong.
func causeOf(name string) (tracing.Span, func() []string) {
	ended := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(ended))
	_, span := tracing.New(provider).Request(context.Background(), http.Header{}, name)
	return span, func() (texts []string) {
		for _, s := range ended.GetSpans() {
			texts = append(texts, strings.TrimSuffix(s.Name+": "+s.Status.Description, ": "))
		}
		return texts
	}
}

func TestACauseEndsWithTheAcknowledgementOfWhatItMarked(t *testing.T) {
	b := many(t, true)
	for _, c := range []struct {
		name  string
		marks func()
		want  []string // ended in this order
	}{
		{"an entry", func() { b.wants(alone) }, []string{"P4Runtime Write", "an entry"}},
		{"nothing that differs", func() { b.wants(alone) }, []string{"nothing that differs"}},
		{"its removal", func() { b.wantsNot(alone) }, []string{"P4Runtime Write", "its removal"}},
		{"several levels", func() { b.wants(chain...) }, []string{"P4Runtime Write", "several levels"}},
		{"more than a job has", func() { b.wants(leaves(2)...) },
			[]string{"P4Runtime Write", "P4Runtime Write", "more than a job has"}},
		{"a refused entry", func() { b.refuse(alone); b.wants(alone) },
			[]string{"P4Runtime Write: refused on purpose", "a refused entry: refused on purpose"}},
	} {
		span, ended := causeOf(c.name)
		c.marks()
		b.Because(span)
		b.Flush()
		b.finish()
		got := ended()
		for i := range got { // what the client adds to the target's text
			if j := strings.Index(got[i], ": "); j > 0 && strings.Contains(got[i], "on purpose") {
				got[i] = got[i][:j] + ": refused on purpose"
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: ended %q, want %q", c.name, got, c.want)
		}
	}
}

func TestACauseIsNotWaitedForWithoutATargetOrAmongTooMany(t *testing.T) {
	b := start(t, options{})
	var last func() []string
	for range maxCauses + 1 {
		var span tracing.Span
		span, last = causeOf("one of many")
		b.Because(span)
	}
	if got := last(); !slices.Equal(got, []string{"one of many: " + errMany.Error()}) {
		t.Errorf("ended %q", got)
	}
	b.settle()
	b.Lost("away")
	span, ended := causeOf("away")
	b.wants(alone)
	b.Because(span)
	b.Flush()
	if got := ended(); !slices.Equal(got, []string{"away: " + errAway.Error()}) {
		t.Errorf("ended %q", got)
	}
}

// The hot path: what nobody asked for costs nothing.
func TestWithoutACauseNothingIsAllocated(t *testing.T) {
	r, res := &Reconciler{}, &Result{}
	if n := testing.AllocsPerRun(100, func() {
		r.Because(tracing.Span{}.Child("controller"))
		res.causes = r.takeCauses()
		for _, s := range writing(res.causes, 1) {
			s.End(nil)
		}
		res.acknowledged()
		r.endCauses(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
