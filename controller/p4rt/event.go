package p4rt

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// Event is one of Up, Down, NotPrimary, PortStates, Digest, PacketIn and Idle.
//
// Up, Down and NotPrimary are states and are never lost, though while nobody
// reads, what was superseded is left out: the reader sees the latest state,
// and a Down or NotPrimary between two Ups. Digest, PacketIn and Idle are
// dropped, and counted, when Config.QueueSize of them wait: the target repeats
// a digest that was not acknowledged, and an idle timeout until it is acted on.
// None of the three comes before the first Up. PortStates is a state too, of the
// connection: the latest that waits is kept, and a Down ends it.
type Event interface{ event() }

// Up says that this controller is primary and the target runs its pipeline:
// writes are possible now.
type Up struct {
	// Pushed: the pipeline was pushed since the last Up that was read.
	Pushed bool
	// Emptied: and the target kept nothing of what it held before, so it holds no
	// entries but those written since. Where it keeps what fits a pipeline that
	// replaces another, what it holds is only known by reading.
	Emptied bool
}

// Down says that the connection is lost or could not be made. It will be
// tried again; it is repeated only when the reason changes.
type Down struct {
	// Err is never nil; errors.Is tells ErrRefused from ErrNotConnected.
	Err error
}

// NotPrimary says that there is a connection, but another controller is
// primary. Reads are possible, writes are not; an Up follows when this
// controller becomes primary.
type NotPrimary struct {
	// Primary is the highest election id that the target has seen.
	Primary ElectionID
}

// PortStates are the ports that the target has and frames do not pass, by number, each with
// its reason. It comes when that changes, from targets that say so: p4evpn's own switch
// does, by a google.protobuf.Struct in StreamMessageResponse.other.
type PortStates struct {
	Refused map[uint32]string // the target does not use them
	Down    map[uint32]string // absent, set down, or without carrier; nil = it says nothing of that
}

// Digest is one digest list. It is acknowledged when it has been received from
// the channel of Events, not before.
type Digest struct {
	ID      uint32
	ListID  uint64
	Members []*p4v1.P4Data

	from *session // where the acknowledgement must go
}

// PacketIn is one packet that the target sent to its controller.
type PacketIn struct{ Packet *p4v1.PacketIn }

// Idle names entries that were not hit for their idle timeout. The target
// repeats it until each is hit, modified or deleted.
type Idle struct{ Entries []*p4v1.TableEntry }

func (Up) event()         {}
func (Down) event()       {}
func (NotPrimary) event() {}
func (PortStates) event() {}
func (Digest) event()     {}
func (PacketIn) event()   {}
func (Idle) event()       {}
