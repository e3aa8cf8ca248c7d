package slowpath

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Slowpath is the kernel's part of all VRFs. All methods may be called from any
// goroutine, before, while and after Run runs, and none of them waits for the
// kernel to converge.
type Slowpath struct {
	cfg    Config
	events chan Neighbor
}

// New prepares a Slowpath; Run does the work.
func New(cfg Config) *Slowpath {
	return &Slowpath{cfg: cfg, events: make(chan Neighbor)}
}

// Run converges the kernel to what Set asked for until ctx ends. Namespaces,
// taps, addresses and neighbours stay when it returns.
func (s *Slowpath) Run(ctx context.Context) error { return nil }

// Set gives all VRFs that should be. What is not among them goes away. Nothing
// is touched before the first Set.
func (s *Slowpath) Set(vrfs []VRF) {}

// Deliver gives a frame to the kernel, or drops and counts it. Data is not used
// after the return.
func (s *Slowpath) Deliver(f Frame) {}

// Events gives each neighbour of an SVI whenever it differs from what was given
// before. A slow reader delays nothing: of several changes it gets the newest.
// The channel is closed when Run returns.
func (s *Slowpath) Events() <-chan Neighbor { return s.events }

// SetRemote makes a host behind a VTEP a neighbour that the kernel neither asks
// for nor forgets. It may precede the SVI it belongs to.
func (s *Slowpath) SetRemote(bridge uint16, ip netip.Addr, mac ether.MAC) {}

// RemoveRemote takes back SetRemote.
func (s *Slowpath) RemoveRemote(bridge uint16, ip netip.Addr) {}

// Probe asks a host whether it is still there; the answer, or the lack of one
// after some seconds, is an event if it changes anything.
func (s *Slowpath) Probe(bridge uint16, ip netip.Addr) {}

// Status says what is in place.
func (s *Slowpath) Status() Status { return Status{} }

// Counters gives the counters.
func (s *Slowpath) Counters() Counters { return Counters{} }

// RemoveAll removes every namespace of a prefix, with all that is in it.
func RemoveAll(prefix string) error { return nil }
