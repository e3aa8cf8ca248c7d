package bgp

import (
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
)

// PeerState is what is known of a neighbour now.
type PeerState struct {
	Address  netip.Addr
	AS       uint32
	RouterID netip.Addr // of the peer, invalid before its first OPEN
	State    string     // "idle", "active", "opensent", "openconfirm", "established"
	Up       bool
	Shutdown bool      // it is configured not to be spoken with
	Since    time.Time // of the last change of Up
	Routes   uint64    // EVPN routes in its Adj-RIB-In
	Unicast  uint64    // unicast routes there
	EndOfRIB bool      // of EVPN, received in this session
	Flaps    uint64    // sessions lost since the start
	LastDown string    // why the last session ended, empty if none did
	Graceful bool      // it does graceful restart, or is away and its routes are kept
	Families []Family  // of its sessions, as configured
	Limit    uint32    // of routes of each family
	// Faults counts what was wrong with what it sent, since the start; Recent are the last
	// ten, the oldest first.
	Faults map[Reason]uint64
	Recent []Fault
	// BFD is what is known of the path to it; zero where it is not watched.
	BFD bfd.Status
}

// Fault is something that a peer sent and that was not taken as it stood.
type Fault struct {
	Time   time.Time
	Reason Reason
	Action Action
	// What names it: "EVPN route type 6", "attribute 16, community 06:7f".
	What string
	// Bytes are its first, at most 64. Faults share them: nobody changes them.
	Bytes []byte
	// Routes is how many routes were not taken, or taken back, for it.
	Routes int
}

// FirstBytes gives what a Fault keeps of some bytes.
func FirstBytes(b []byte) []byte { return slices.Clone(b[:min(len(b), 64)]) }

// Action is what was done about a fault, the mildest first (RFC 7606 section 2).
type Action uint8

// The actions.
const (
	Discarded    Action = iota + 1 // this NLRI, attribute or community alone
	Withdrawn                      // treat-as-withdraw: the routes of the UPDATE
	SessionEnded                   // by a NOTIFICATION
)

func (a Action) String() string {
	switch a {
	case Discarded:
		return "discarded"
	case Withdrawn:
		return "treated as withdrawn"
	case SessionEnded:
		return "session ended"
	}
	return "nothing"
}
