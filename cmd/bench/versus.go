package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

func measureType2AgainstFRR(ctx context.Context, b *bench) ([]value, error) {
	return measureAgainstFRR(ctx, b, type2Load(), 0.33, "FDB entry")
}

func measureMACIPAgainstFRR(ctx context.Context, b *bench) ([]value, error) {
	return measureAgainstFRR(ctx, b, macIPLoad(), 0.5, "FDB entry and neighbour")
}

func measureType5AgainstFRR(ctx context.Context, b *bench) ([]value, error) {
	return measureAgainstFRR(ctx, b, type5Load(), 0.5, "route")
}

// measureAgainstFRR times 100,000 routes from one injector, to the last entry in
// the kernel by FRR and to the last acknowledged one of the embedded switch by us,
// in turn, and compares the medians.
func measureAgainstFRR(ctx context.Context, b *bench, load routeLoad, bound float64, last string) ([]value, error) {
	version, err := frrVersion(ctx)
	if err != nil {
		return nil, err
	}
	var theirs, ours []float64
	for range rounds {
		took, err := routesToKernel(ctx, load)
		if err != nil {
			return nil, fmt.Errorf("FRR: %w", err)
		}
		o, err := routesToEntries(ctx, b, load, time.Minute)
		if err != nil {
			return nil, err
		}
		theirs, ours = append(theirs, took.Seconds()), append(ours, o.took.Seconds())
	}
	name := load.name + "_vs_frr"
	return []value{
		{name: name, number: median(ours) / median(theirs), unit: "ratio", goal: atMost(bound),
			against: fmt.Sprintf("medians of %d rounds in turn", rounds)},
		{name: name + "_ours", number: median(ours), unit: "s",
			against: load.what + ", UPDATEs on the wire to the last acknowledged entry"},
		{name: name + "_theirs", number: median(theirs), unit: "s",
			against: fmt.Sprintf("FRR %s, kernel VXLAN, the same bytes to the kernel's last %s", version, last)},
	}, nil
}

// routesToKernel gives FRR a load, once what the first route asks for is there.
func routesToKernel(ctx context.Context, load routeLoad) (took time.Duration, err error) {
	err = withFRR(ctx, func(f *frr) error {
		if err := f.settle(ctx, load.routes); err != nil {
			return err
		}
		took, err = f.load(ctx, load)
		return err
	})
	return took, err
}

// settle puts one MAC, by its number, behind the leaf.
func (f *frr) settle(ctx context.Context, number int) error {
	_, err := f.send(ctx, routeLoad{kernel: kernelEntries{macs: 1},
		blocks: encoded(bgptest.MACUpdates(leafAS, vtep(0), firstVNI, number, 1, 1))}, number)
	return err
}

// load sends a load and gives the time until the kernel has all entries of it.
func (f *frr) load(ctx context.Context, load routeLoad) (time.Duration, error) {
	return f.send(ctx, load, 0)
}

func (f *frr) send(ctx context.Context, load routeLoad, first int) (time.Duration, error) {
	m, err := newMonitor(f.ns, load.kernel, first)
	if err != nil {
		return 0, err
	}
	defer m.close()
	var wire bytes.Buffer
	for b := range load.blocks {
		wire.Write(b)
	}
	runtime.GC() // not while FRR is measured
	sent := make(chan error, 1)
	start := time.Now()
	go func() { sent <- f.session.Send(wire.Bytes()) }()
	end, err := m.wait(ctx, time.Minute)
	if err != nil {
		return 0, err // the end of the session ends the sender
	}
	return end.Sub(start), <-sent
}
