package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// MACFlood is what a host that is new cost while another tenant sent by ever new MACs.
type MACFlood struct {
	Sources int           // MACs that the other tenant sent by
	Reached time.Duration // until the new host reached its gateway, and was reached
}

func (f MACFlood) String() string {
	return fmt.Sprintf("a new host was there after %v beside %d MACs of another tenant's",
		f.Reached.Round(time.Millisecond), f.Sources)
}

const (
	floodSources = 1_000_000
	// floodedBefore is how many MACs come before the new host does: ten times what is
	// learned of a port.
	floodedBefore = 10_240
	floodWait     = 20 * time.Second
)

// MeasureMACFlood has a host send by a million MACs, at a rate in frames/s. After ten times
// as many as the gateway learns of a port another tenant's host gets a new MAC, as a host
// that is new has: it pings its gateway, and from is to reach it.
func MeasureMACFlood(ctx context.Context, noisy *Host, rate float64, quiet, from *Host) (f MACFlood, err error) {
	s, err := noisy.NS.OpenRaw(noisy.Dev)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	flooding, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() { done <- sendByManyMACs(flooding, s, rate, &sent) }()
	err = Eventually(ctx, floodWait, "the flood has begun", func(context.Context) error {
		if n := sent.Load(); n < floodedBefore {
			return fmt.Errorf("%d frames were sent, want %d", n, floodedBefore)
		}
		return nil
	})
	if err == nil {
		f.Reached, err = newHost(ctx, quiet, from)
	}
	f.Sources = int(sent.Load())
	stop()
	return f, errors.Join(err, <-done)
}

// newHost gives a host a new MAC, and says how long it takes it to reach its gateway and to
// be reached.
func newHost(ctx context.Context, quiet, from *Host) (time.Duration, error) {
	quiet.MAC[0], quiet.MAC[1] = 0x06, 0xfe
	if err := quiet.NS.SetMAC(quiet.Dev, quiet.MAC); err != nil {
		return 0, err
	}
	there, err := quiet.Reach(ctx, quiet.Gateway, floodWait)
	if err != nil {
		return 0, err
	}
	back, err := from.Reach(ctx, quiet.Address.Addr(), floodWait)
	return there + back, err
}

// sendByManyMACs sends each frame by another MAC, to nobody, until all were sent or ctx ends.
func sendByManyMACs(ctx context.Context, s *RawSocket, rate float64, sent *atomic.Int64) error {
	frame := make([]byte, 60)
	copy(frame, []byte{0x02, 0xff, 0, 0, 0, 1, 0x0a, 0})
	copy(frame[2*len(ether.MAC{}):], []byte{0x88, 0xb5}) // for experiments (IEEE 802)
	pause := time.Duration(stormBurst / rate * float64(time.Second))
	for due := time.Now(); ctx.Err() == nil; due = due.Add(pause) {
		time.Sleep(time.Until(due))
		for range stormBurst {
			n := sent.Load()
			if n == floodSources {
				return nil
			}
			binary.BigEndian.PutUint32(frame[8:], uint32(n))
			if err := s.Send(frame); err != nil && !errors.Is(err, syscall.ENOBUFS) {
				return err
			}
			sent.Add(1)
		}
	}
	return nil
}
