package testbed

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"golang.org/x/sys/unix"
)

// probe counts how often frames of its own arrive at each of some hosts. Its
// frames carry the EtherType for local experiments (IEEE 802) and a random
// mark, so that nothing else is counted.
type probe struct {
	mark    []byte
	sockets map[string]*RawSocket
	running sync.WaitGroup

	mu     sync.Mutex
	counts map[string]int
}

// settle is how long a copy too many may take to arrive after the last one due.
const settle = 250 * time.Millisecond

// newProbe starts to listen at the hosts.
func newProbe(hosts ...*Host) (*probe, error) {
	p := &probe{mark: make([]byte, 16), sockets: map[string]*RawSocket{}, counts: map[string]int{}}
	_, _ = rand.Read(p.mark) // never fails
	for _, h := range hosts {
		s, err := h.NS.OpenRaw(h.Dev)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.sockets[h.Name] = s
		p.running.Go(func() { p.listen(h.Name, s) })
	}
	return p, nil
}

func (p *probe) listen(host string, s *RawSocket) {
	buffer := make([]byte, maxFrame)
	for {
		frame, err := s.Receive(buffer, time.Time{})
		if errors.Is(err, unix.ENETDOWN) {
			continue // said once, when the device goes down
		}
		if err != nil {
			return // closed
		}
		if bytes.Contains(frame, p.mark) {
			p.mu.Lock()
			p.counts[host]++
			p.mu.Unlock()
		}
	}
}

// Send sends one frame of the probe from a host.
func (p *probe) Send(from *Host, source, destination ether.MAC) error {
	return sendFrom(from, p.frame(source, destination))
}

func (p *probe) frame(source, destination ether.MAC) []byte {
	frame := append(destination[:], source[:]...)
	frame = append(frame, 0x88, 0xb5)
	frame = append(frame, p.mark...)
	return append(frame, make([]byte, 60-len(frame))...)
}

func sendFrom(from *Host, frame []byte) error {
	s, err := from.NS.OpenRaw(from.Dev)
	if err != nil {
		return err
	}
	return errors.Join(s.Send(frame), s.Close())
}

// Counts gives what arrived until now, by host.
func (p *probe) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := map[string]int{}
	for host := range p.sockets {
		counts[host] = p.counts[host]
	}
	return counts
}

// Await waits until each of some hosts has received at least one copy.
func (p *probe) Await(ctx context.Context, hosts []string) error {
	return Eventually(ctx, patience, "a copy arrives at each", func(context.Context) error {
		counts := p.Counts()
		for _, host := range hosts {
			if counts[host] == 0 {
				return fmt.Errorf("%s has received none", host)
			}
		}
		return nil
	})
}

// Expect waits until the counts are as wanted (hosts not named: none), and checks
// that they stay so: while what fence sends after them arrives, and for a while.
func (p *probe) Expect(ctx context.Context, want map[string]int, fence func(context.Context) error) error {
	check := func(context.Context) error {
		for host, n := range p.Counts() {
			if n != want[host] {
				return fmt.Errorf("%s received it %d times, want %d", host, n, want[host])
			}
		}
		return nil
	}
	err := Eventually(ctx, patience, "each copy arrives", func(ctx context.Context) error {
		if p.tooMany(want) { // they do not become fewer
			return nil
		}
		return check(ctx)
	})
	if err != nil {
		return err
	}
	if err := check(ctx); err != nil {
		return err
	}
	if err := fence(ctx); err != nil {
		return fmt.Errorf("what was sent afterwards: %w", err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settle):
		return check(ctx)
	}
}

// tooMany reports whether some host has more copies than wanted.
func (p *probe) tooMany(want map[string]int) bool {
	for host, n := range p.Counts() {
		if n > want[host] {
			return true
		}
	}
	return false
}

// Close stops listening.
func (p *probe) Close() error {
	var errs []error
	for _, s := range p.sockets {
		errs = append(errs, s.Close())
	}
	p.running.Wait()
	return errors.Join(errs...)
}
