package tracing

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

func TestWhatNobodyWantsToKnowCostsNothing(t *testing.T) {
	var none *Tracer
	headers, failed := http.Header{}, errors.New("failed")
	if n := testing.AllocsPerRun(100, func() {
		ctx, span := none.Request(context.Background(), headers, "call")
		step := Of(ctx).Child("step")
		step.Count("number", 1)
		step.Text("text", "value")
		step.End(failed)
		span.End(nil)
		if span.Wanted() || step.Wanted() {
			t.Error("a span is wanted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
