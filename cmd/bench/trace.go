package main

import (
	"context"
	"fmt"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/trace"
)

// measureTrace traces frames from a VTEP to hosts behind another one, as many as there are
// entries; the first trace makes the shadow of the target.
func measureTrace(ctx context.Context, b *bench) ([]value, error) {
	const traces = 20
	speaker := controllertest.NewSpeaker()
	g, _, err := b.startBridges(ctx, speaker, 1)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	if err := g.fill(ctx, speaker, refillEntries, 1); err != nil {
		return nil, err
	}
	tracer := trace.New(trace.Config{
		Program: &p4v1.ForwardingPipelineConfig{P4Info: p4.P4Info(), P4DeviceConfig: p4.DeviceConfig()},
		Inspect: func(ctx context.Context, do func(trace.Held)) error {
			return g.loop.Inspect(ctx, func(i controller.Inspection) { do(i) })
		},
	})
	defer b.profile("trace")()
	var slowest time.Duration
	for i := range traces {
		start := time.Now()
		t, err := tracer.Trace(ctx, view.TraceRequest{VTEP: vtep(0), VNI: firstVNI, Headers: view.TraceHeaders{
			SourceMAC: stationMAC(uint32(i)), DestinationMAC: stationMAC(uint32(i + 1)),
		}})
		if err != nil {
			return nil, err
		}
		if len(t.Results) == 0 {
			return nil, fmt.Errorf("trace %d says nothing", i)
		}
		slowest = max(slowest, time.Since(start))
	}
	return []value{{name: "trace_ms", number: milliseconds(slowest), unit: "ms", goal: atMost(100),
		against: fmt.Sprintf("slowest of %d traces with %d entries, the first included", traces, refillEntries)}}, nil
}
