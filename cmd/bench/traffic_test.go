package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"testing"

	"golang.org/x/net/bpf"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
	"github.com/p4evpn/p4evpn/internal/netnstest"
	"github.com/p4evpn/p4evpn/packet"
)

func TestMain(m *testing.M) {
	netnstest.Alone()
	os.Exit(m.Run())
}

// fakeSwitch carries frames up to a capacity, and under a flood less.
func fakeSwitch(capacity, generator float64, offers *int) func(float64) (trial, error) {
	return func(rate float64) (trial, error) {
		*offers++
		got := math.Min(rate, capacity)
		if rate == 0 {
			rate, got = generator, math.Min(generator, capacity*0.8)
		}
		return trial{offered: rate, received: got, rate: got}, nil
	}
}

func TestTheSearchFindsTheHighestRateWithoutLoss(t *testing.T) {
	for _, c := range []struct{ capacity, generator float64 }{
		{20_000, 800_000}, {350_000, 800_000}, {790_000, 800_000}, {2_000_000, 800_000},
	} {
		offers := 0
		got, err := searchRate(fakeSwitch(c.capacity, c.generator, &offers))
		want := math.Min(c.capacity, c.generator)
		if err != nil || got.rate > want*1.001 || got.rate < want/resolution || got.all != (c.capacity*0.8 >= c.generator) {
			t.Errorf("capacity %v: found %v, %v", c.capacity, got, err)
		}
		if offers > 1+maxTrials*maxTries {
			t.Errorf("capacity %v: %d trials", c.capacity, offers)
		}
	}
}

func TestADisturbedTrialDoesNotSpoilTheSearch(t *testing.T) {
	for disturbed := 2; disturbed < 10; disturbed++ {
		for _, arrives := range []float64{0.9, 0.5} { // worth another try at once, and not
			offers := 0
			carry := fakeSwitch(100_000, 800_000, &offers)
			got, err := searchRate(func(rate float64) (trial, error) {
				r, err := carry(rate)
				if offers == disturbed {
					r.received *= arrives
				}
				return r, err
			})
			if err != nil || got.rate < 100_000/resolution {
				t.Errorf("%v of trial %d arrive: found %v, %v", arrives, disturbed, got, err)
			}
		}
	}
}

func TestTheSearchEndsWhenNothingArrivesOrATrialFails(t *testing.T) {
	if got, err := searchRate(func(float64) (trial, error) { return trial{offered: 100}, nil }); got != (speed{}) ||
		err != nil {
		t.Errorf("nothing arrives: %v, %v", got, err)
	}
	broken := errors.New("broken")
	if _, err := searchRate(func(float64) (trial, error) { return trial{}, broken }); !errors.Is(err, broken) {
		t.Errorf("a trial fails: %v", err)
	}
}

func TestFramesHaveTheirSizeAndAValidOuterHeader(t *testing.T) {
	for _, c := range packetCases {
		for _, size := range packetSizes {
			f := c.frame(size, 3, 5)
			if len(f)+min(c.grows, 0) != size || bytes.Equal(f, c.frame(size, 4, 5)) {
				t.Errorf("%s: frame of %d bytes for %d, or flows do not differ", c.name, len(f), size)
			}
			if total := int(binary.BigEndian.Uint16(f[16:])); total != len(f)-14 {
				t.Errorf("%s: IPv4 length %d in a frame of %d bytes", c.name, total, len(f))
			}
			sum := uint32(0)
			for i := 14; i < 34; i += 2 {
				sum += uint32(binary.BigEndian.Uint16(f[i:]))
			}
			if sum = sum>>16 + sum&0xffff; sum != 0xffff {
				t.Errorf("%s: IPv4 header sums up to %#x", c.name, sum)
			}
		}
	}
}

func TestARoutedFrameHasNewMACsAndOneHopLess(t *testing.T) {
	for _, c := range packetCases {
		if c.routed == nil {
			continue
		}
		sent := c.frame(64, 0, 7)
		got, want := c.inner(sent, 7), c.routed(7)
		if !bytes.Equal(got[:6], want.destination[:]) || !bytes.Equal(got[6:12], gatewayMAC[:]) || got[22] != sent[22]-1 {
			t.Errorf("%s: % x arrives for % x", c.name, got, sent)
		}
		if sum := packet.IPv4Checksum(got[14:34]); sum != 0 {
			t.Errorf("%s: the IPv4 header is off by %#x", c.name, sum)
		}
		if !bytes.Equal(got[26:], sent[26:]) || sent[22] != 64 {
			t.Errorf("%s: more is changed: % x for % x", c.name, got, sent)
		}
	}
}

func TestTheSinkCountsItsOwnFramesOnly(t *testing.T) {
	frame := innerFrame(macA, macB, 64, 0)
	var raw []bpf.RawInstruction
	for _, f := range frameFilter(macB[:], 64) {
		raw = append(raw, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K})
	}
	program, ok := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(program)
	if !ok || err != nil {
		t.Fatalf("the filter is not valid: %v", err)
	}
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"its own":         {frame, true},
		"a longer one":    {innerFrame(macA, macB, 65, 0), false},
		"to its kin":      {innerFrame(macA, macR, 64, 0), true},
		"to another":      {innerFrame(macA, stationOf(1), 64, 0), false},
		"not even a head": {frame[:4], false},
	} {
		if n, err := vm.Run(c.frame); err != nil || n > 0 != c.want {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestWhatTheGeneratorSendsTheSinkCounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it makes a network namespace: run it as root")
	}
	lab, err := testbed.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	}()
	ns, err := lab.Namespace("wire")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Cable(testbed.End{NS: ns, Dev: "a"}, testbed.End{NS: ns, Dev: "b"}); err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for flow := range 2 * burst {
		frames = append(frames, innerFrame(macA, macB, 64, flow))
	}
	var g *generator
	var s *sink
	err = ns.Do(func() error {
		a, errA := net.InterfaceByName("a")
		b, errB := net.InterfaceByName("b")
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if g, err = newGenerator(a.Index, frames); err != nil {
			return err
		}
		s, err = newSink(b.Index, macB[:], 64)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	defer s.close()
	got, err := tryRate(context.Background(), g, s, 10_000)
	if err != nil || got.offered < 1000 || got.received != got.offered {
		t.Errorf("sent %v frames, counted %v: %v", got.offered, got.received, err)
	}
	if wanted := 10_000 * trialTime.Seconds(); got.offered > wanted+2*burst {
		t.Errorf("sent %v frames in %v, at most %v were asked for", got.offered, trialTime, wanted)
	}
}
