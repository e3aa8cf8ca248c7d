package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	trialTime  = 400 * time.Millisecond
	quietTime  = 100 * time.Millisecond // without a frame: no more will come
	drainTime  = 5 * time.Second        // after which it is given up to wait for that
	thriftPort = 9090
)

// packetSizes are lengths of inner frames without FCS; the first one is that of
// the ratios.
var packetSizes = []int{64, 512, 1400}

// measureBridging and measureRouting are the same method for frames that are
// bridged and for those that are routed.
func measureBridging(ctx context.Context, b *bench) ([]value, error) {
	return measurePackets(ctx, b, bridgedCases)
}

func measureRouting(ctx context.Context, b *bench) ([]value, error) {
	return measurePackets(ctx, b, routedCases)
}

// measurePackets sends frames through the embedded switch and then through
// BMv2, over the same cables, with the same P4 program and entries, and finds
// the highest rate that arrives with at most 1 % loss.
func measurePackets(ctx context.Context, b *bench, all []packetCase) (values []value, err error) {
	if os.Geteuid() != 0 {
		return nil, skip("it makes a network namespace: run it as root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	var cases []packetCase
	for _, c := range all {
		if b.wanted("switch_" + c.name + "_vs_bmv2") {
			cases = append(cases, c)
		}
	}
	r, err := newRig(b, lab)
	if err != nil {
		return nil, err
	}
	ours, err := r.measure(ctx, embedded, cases)
	if err != nil {
		return nil, err
	}
	theirs, err := r.measure(ctx, bmv2, cases)
	reason, absent := skipped(err)
	if err != nil && !absent {
		return nil, err
	}
	return packetValues(cases, ours, theirs, reason), nil
}

// packetValues are the rates of each case and size, and their ratios.
func packetValues(cases []packetCase, ours, theirs map[string]speed, absent string) []value {
	var ratios, rates []value
	for _, c := range cases {
		for i, size := range packetSizes {
			key := cell(c, size)
			ratio := value{name: "switch_" + c.name + "_vs_bmv2", number: ours[key].rate / theirs[key].rate, unit: "ratio", goal: atLeast(1),
				against: fmt.Sprintf("BMv2, same JSON and entries: switch_%s to bmv2_%s", key, key), missing: absent}
			if i > 0 {
				ratio.name = "switch_" + key + "_vs_bmv2"
			}
			ratios = append(ratios, ratio)
			rates = append(rates, ours[key].value("switch_"+key))
			if absent == "" {
				v := theirs[key].value("bmv2_" + key)
				v.against += ": " + bmv2Program()
				rates = append(rates, v)
			}
		}
	}
	return append(ratios, rates...)
}

func (s speed) value(name string) value {
	v := value{name: name, number: s.rate, unit: "frames/s", against: fmt.Sprintf("received with at most %.0f %% loss, veth to veth", 100*lossAllowed)}
	if s.all {
		v.against += ": all that the generator sends"
	}
	return v
}

func cell(c packetCase, size int) string { return fmt.Sprintf("%s_%d", c.name, size) }

// rig is a namespace with the cables between a switch and us.
type rig struct {
	bench *bench
	ns    *testbed.Namespace
}

func newRig(b *bench, lab *testbed.Lab) (*rig, error) {
	ns, err := lab.Namespace("bench")
	if err != nil {
		return nil, err
	}
	for _, dev := range []string{devA, devB, devUp, devC} {
		if err := lab.Cable(testbed.End{NS: ns, Dev: dev}, testbed.End{NS: ns, Dev: switchEnd(dev)}); err != nil {
			return nil, err
		}
	}
	return &rig{bench: b, ns: ns}, nil
}

// switchEnd is the device at the switch's end of a cable.
func switchEnd(dev string) string { return "sw-" + dev }

// port names a port of the switch and its device, as -i takes it.
func port(number int, dev string) string { return fmt.Sprintf("%d@%s", number, switchEnd(dev)) }

// measure gives the rates of one switch in frames/s by cell.
func (r *rig) measure(ctx context.Context, kind switchKind, cases []packetCase) (map[string]speed, error) {
	o := switchOptions{
		kind: kind, address: "unix:" + filepath.Join(r.bench.dir, "p4rt.sock"), thrift: thriftPort,
		ports:  []string{port(portA, devA), port(portB, devB), port(portUp, devUp), port(portC, devC)},
		inside: func(args ...string) *exec.Cmd { return r.ns.Command(ctx, args...) },
	}
	sw, err := r.bench.startProgrammed(ctx, o, 0)
	if err != nil {
		return nil, err
	}
	defer sw.stop()
	deepenQueues(o)
	if err := sw.install(ctx, packetEntries()...); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	rates := map[string]speed{}
	for _, c := range cases {
		for _, size := range packetSizes {
			if err := r.prove(ctx, c, size); err != nil {
				return nil, fmt.Errorf("%s, %s with %d bytes: %w", kind, c.name, size, err)
			}
			if rates[cell(c, size)], err = r.rate(ctx, c, size); err != nil {
				return nil, fmt.Errorf("%s, %s with %d bytes: %w", kind, c.name, size, errors.Join(err, sw.process.lastWords()))
			}
		}
	}
	return rates, nil
}

// prove sends single frames until one arrives, which must be the right one: a
// rate of anything else would mean nothing.
func (r *rig) prove(ctx context.Context, c packetCase, size int) error {
	in, err := r.ns.OpenRaw(c.from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := r.ns.OpenRaw(c.to)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	sent := c.frame(size, 0)
	buffer := make([]byte, 4096)
	return testbed.Eventually(ctx, 10*time.Second, "a frame arrives as it should", func(context.Context) error {
		if err := in.Send(sent); err != nil {
			return err
		}
		got, err := out.Receive(buffer, time.Now().Add(200*time.Millisecond))
		if err != nil {
			return err
		}
		if len(got) != len(sent)+c.grows || !bytes.Equal(got[:6], c.destination[:]) || !bytes.Equal(inner(got, size), c.inner(inner(sent, size))) {
			return fmt.Errorf("got % x for % x", got, sent)
		}
		return nil
	})
}

// rate finds the rate of one cell.
func (r *rig) rate(ctx context.Context, c packetCase, size int) (speed, error) {
	var frames [][]byte
	for flow := range packetFlows {
		frames = append(frames, c.frame(size, flow))
	}
	var g *generator
	var s *sink
	err := r.ns.Do(func() error {
		from, err := net.InterfaceByName(c.from)
		if err != nil {
			return err
		}
		to, err := net.InterfaceByName(c.to)
		if err != nil {
			return err
		}
		if g, err = newGenerator(from.Index, frames); err != nil {
			return err
		}
		if s, err = newSink(to.Index, c.destination[:], len(frames[0])+c.grows); err != nil {
			g.close()
		}
		return err
	})
	if err != nil {
		return speed{}, err
	}
	defer g.close()
	defer s.close()
	return searchRate(func(rate float64) (trial, error) { return tryRate(ctx, g, s, rate) })
}

// tryRate offers frames for a while and counts those that arrive, also after
// that: what waits in queues is carried too, but it takes its time.
func tryRate(ctx context.Context, g *generator, s *sink, rate float64) (trial, error) {
	if _, err := s.take(); err != nil {
		return trial{}, err
	}
	start := time.Now()
	offered, err := g.send(ctx, rate, trialTime)
	if err != nil {
		return trial{}, err
	}
	ended := time.Now()
	var received uint64
	for last := ended; ; time.Sleep(2 * time.Millisecond) {
		n, err := s.take()
		if err != nil {
			return trial{}, err
		}
		now := time.Now()
		if received += n; n > 0 {
			last = now
		}
		if now.Sub(last) >= quietTime || now.Sub(ended) >= drainTime {
			seconds := last.Sub(start).Seconds()
			return trial{offered: float64(offered), received: float64(received), rate: float64(received) / seconds}, ctx.Err()
		}
	}
}
