package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/p4"
)

const (
	trialTime  = 400 * time.Millisecond
	quietTime  = 100 * time.Millisecond // without a frame: no more will come
	drainTime  = 5 * time.Second        // after which it is given up to wait for that
	thriftPort = 9090
	latencies  = 300 // frames of which the latency is taken
)

// rig is a namespace with the cables between a switch and us.
type rig struct {
	bench *bench
	ns    *testbed.Namespace
	c     *packetCase // that is measured
}

// withRig measures something with a rig of its own.
func (b *bench) withRig(measure func(*rig) ([]value, error)) ([]value, error) {
	return withLab(func(lab *testbed.Lab) ([]value, error) {
		r, err := newRig(b, lab)
		if err != nil {
			return nil, err
		}
		return measure(r)
	})
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

// programmed measures a switch that runs the P4 program.
func (r *rig) programmed(ctx context.Context, kind switchKind, cells []cell) (measurements, error) {
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
	stations := 0
	return r.measure(ctx, string(kind), cells, r.c, sw.process, func(k cell) (func() error, error) {
		var entries []p4.Entry
		for ; stations < k.stations; stations++ {
			entries = append(entries, r.c.station(stations)...)
		}
		if err := sw.install(ctx, entries...); err != nil || !k.writing {
			return func() error { return nil }, err
		}
		return sw.keepWriting(ctx), nil
	})
}

// measure gives what is found out about each cell. prepare makes the switch
// ready for one and returns what ends it.
func (r *rig) measure(ctx context.Context, name string, cells []cell, c *packetCase, p *process,
	prepare func(cell) (func() error, error)) (measurements, error) {
	found := measurements{}
	for _, k := range cells {
		end, err := prepare(k)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m, err := r.cell(ctx, c, k, p)
		if err = errors.Join(err, end()); err != nil {
			if p != nil {
				err = errors.Join(err, p.lastWords())
			}
			return nil, fmt.Errorf("%s, %s: %w", name, k.in(c), err)
		}
		found[k] = m
	}
	return found, nil
}

func (r *rig) cell(ctx context.Context, c *packetCase, k cell, p *process) (m measurement, err error) {
	if m.p50, m.p99, err = r.latency(ctx, c, k); err != nil {
		return m, err
	}
	m.speed, err = r.rate(ctx, c, k, p)
	return m, err
}

// stationOfFlow spreads the flows over the stations.
func (k cell) stationOfFlow(flow int) int { return flow * 7919 % k.stations }

// latency sends one frame at a time. The first ones, until one arrives, are
// for the switch to come up, and must be the right ones: numbers of anything
// else would mean nothing.
func (r *rig) latency(ctx context.Context, c *packetCase, k cell) (p50, p99 float64, err error) {
	in, err := r.ns.OpenRaw(c.from)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = in.Close() }()
	out, err := r.ns.OpenRaw(c.to)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = out.Close() }()
	buffer := make([]byte, 4096)
	pass := func(flow int) (took time.Duration, err error) {
		station := k.stationOfFlow(flow)
		sent := c.frame(k.size, flow, station)
		to := c.arrives(station)
		start := time.Now()
		if err := in.Send(sent); err != nil {
			return 0, err
		}
		for wrong := error(nil); ; {
			got, err := out.Receive(buffer, start.Add(200*time.Millisecond))
			if err != nil {
				return 0, errors.Join(err, wrong)
			}
			took = time.Since(start)
			if len(got) != len(sent)+c.grows || !bytes.Equal(got[:2], to[:2]) {
				continue // somebody else's
			}
			if !bytes.Equal(got[:6], to[:]) || !bytes.Equal(inner(got, k.size), c.inner(inner(sent, k.size), station)) {
				wrong = fmt.Errorf("got % x for % x", got[:min(len(got), 128)], sent[:min(len(sent), 128)])
				continue // or one that was late
			}
			return took, nil
		}
	}
	err = testbed.Eventually(ctx, 20*time.Second, "a frame arrives as it should", func(context.Context) error {
		_, err := pass(0)
		return err
	})
	var samples []time.Duration
	for i := 0; i < latencies && err == nil; i++ {
		took, lost := pass(i % k.flows)
		if lost == nil {
			samples = append(samples, took)
		} else if len(samples) < i/2 {
			err = lost
		}
	}
	return percentile(samples, 50).Seconds(), percentile(samples, 99).Seconds(), err
}

// rate finds the rate of one cell.
func (r *rig) rate(ctx context.Context, c *packetCase, k cell, p *process) (speed, error) {
	var frames [][]byte
	for flow := 0; flow < k.flows || len(frames)%burst > 0; flow++ {
		frames = append(frames, c.frame(k.size, flow%k.flows, k.stationOfFlow(flow%k.flows)))
	}
	destination := c.arrives(0)
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
		if s, err = newSink(to.Index, destination[:], len(frames[0])+c.grows); err != nil {
			g.close()
		}
		return err
	})
	if err != nil {
		return speed{}, err
	}
	defer g.close()
	defer s.close()
	return searchRate(func(rate float64) (trial, error) {
		before, err := p.processorTime()
		if err != nil {
			return trial{}, err
		}
		t, err := tryRate(ctx, g, s, rate)
		if err != nil {
			return trial{}, err
		}
		after, err := p.processorTime()
		t.cpu = after - before
		return t, err
	})
}

// processorTime is what a process has used so far, in seconds; 0 for none.
func (p *process) processorTime() (float64, error) {
	if p == nil {
		return 0, nil
	}
	return processorTime(p.cmd.Process.Pid)
}

// processorTime is what a process has used so far, in seconds.
func processorTime(pid int) (float64, error) {
	var ts unix.Timespec
	clock := int32(^pid<<3 | 2) // as clock_getcpuclockid(3) has it
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return float64(ts.Nano()) / 1e9, nil
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
