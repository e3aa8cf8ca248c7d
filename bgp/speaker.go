package bgp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Speaker is one BGP instance with its neighbours.
type Speaker struct{}

// PeerState is what is known of a neighbour now.
type PeerState struct {
	Address  netip.Addr
	AS       uint32
	RouterID netip.Addr // of the peer, invalid before its first OPEN
	State    string     // "idle", "active", "opensent", "openconfirm", "established"
	Up       bool
	Since    time.Time // of the last change of Up
	Routes   uint64    // EVPN routes in its Adj-RIB-In
	EndOfRIB bool      // received in this session
	Flaps    uint64    // sessions lost since the start
	LastDown string    // why the last session ended, empty if none did
}

// New checks the configuration. Run starts it.
func New(cfg Config, log *slog.Logger) (*Speaker, error) {
	return nil, errors.New("bgp: not built yet")
}

// Run opens the listener, advertises what was originated, starts the sessions
// and returns when ctx ends and all of it is closed, or with the reason why it
// could not start. It may be called once.
func (s *Speaker) Run(ctx context.Context) error { return nil }

// Events gives the changes in batches. Nothing is dropped: while nobody
// receives, several changes of a key become the last of them, so that what
// waits is bounded by the number of routes. It is closed when Run returns.
func (s *Speaker) Events() <-chan []Event { return nil }

// Originate advertises and withdraws routes of ours, declaratively by key: an
// equal route again sends nothing, a different one replaces it, withdrawing
// what is not advertised is no error. It may be called before Run: peers then
// get the routes before End-of-RIB. If any route is not valid nothing changes
// and the error names it. It is safe for concurrent use.
func (s *Speaker) Originate(add []Route, withdraw []Key) error { return nil }

// Peers gives the neighbours in the order of the configuration.
func (s *Speaker) Peers() []PeerState { return nil }
