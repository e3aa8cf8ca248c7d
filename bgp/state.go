package bgp

import (
	"errors"
	"net/netip"
	"time"
)

// PeerState is what is known of a neighbour now.
type PeerState struct {
	Address  netip.Addr
	AS       uint32
	RouterID netip.Addr // of the peer, invalid before its first OPEN
	State    string     // "idle", "active", "opensent", "openconfirm", "established"
	Up       bool
	Since    time.Time // of the last change of Up
	Routes   uint64    // EVPN routes in its Adj-RIB-In
	Unicast  uint64    // unicast routes there
	EndOfRIB bool      // of EVPN, received in this session
	Flaps    uint64    // sessions lost since the start
	LastDown string    // why the last session ended, empty if none did
	Graceful bool      // it does graceful restart, or is away and its routes are kept
}

// ErrDeaf is what a speaker ends with when no BGP session could be accepted any more, most
// often since the process ran out of file descriptors once.
var ErrDeaf = errors.New("the BGP listener has ended and cannot be started again in this process")
