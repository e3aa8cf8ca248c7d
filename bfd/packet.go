package bfd

import (
	"encoding/binary"
	"fmt"
	"time"
)

// State is that of a session (RFC 5880 section 4.1).
type State uint8

// The states.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

func (s State) String() string {
	switch s {
	case AdminDown:
		return "admin_down"
	case Down:
		return "down"
	case Init:
		return "init"
	case Up:
		return "up"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Diagnostic is why a session's state changed (RFC 5880 section 4.1).
type Diagnostic uint8

// The diagnostics that sessions here have; a peer may send others.
const (
	NoDiagnostic  Diagnostic = 0
	TimeExpired   Diagnostic = 1
	NeighborDown  Diagnostic = 3
	AdminDownDiag Diagnostic = 7
)

func (d Diagnostic) String() string {
	names := [...]string{
		"none", "detection time expired", "echo failed", "neighbor signaled session down", "forwarding plane reset",
		"path down", "concatenated path down", "administratively down", "reverse concatenated path down",
	}
	if int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// Size is that of a control packet without authentication, and all that is read of one.
const Size = 24

// Packet is a control packet (RFC 5880 section 4.1) without authentication. Intervals are
// whole microseconds.
type Packet struct {
	State       State
	Diagnostic  Diagnostic // 5 bits
	Poll, Final bool
	// Independent is the C bit: the sender's BFD does not share fate with its control plane.
	Independent   bool
	Demand        bool
	Multiplier    uint8
	Mine, Yours   uint32 // discriminators
	DesiredMinTx  time.Duration
	RequiredMinRx time.Duration
	EchoMinRx     time.Duration
}

// Reason is why a packet was discarded.
type Reason uint8

// The reasons. The first ones are found in the packet alone (RFC 5880 section 6.8.6).
const (
	Taken               Reason = iota
	BadLength                  // too short, or its length field is too short or too long
	BadVersion                 // other than 1
	BadMultiplier              // a detect multiplier of 0
	Multipoint                 // the M bit
	Authenticated              // the A bit: there is no authentication here
	BadDiscriminator           // my discriminator of 0
	NoYourDiscriminator        // your discriminator of 0 in a state that knows it
	BadTTL                     // it came from further than the peer may be (RFC 5881 section 5)
	NoSession                  // a discriminator, or the address of nobody
	BadAddress                 // the discriminator of another peer's session
	Busy                       // more than the session can take
	Reasons
)

var reasonNames = [Reasons]string{
	"taken", "length", "version", "multiplier", "multipoint", "authentication", "discriminator",
	"your_discriminator", "ttl", "no_session", "address", "busy",
}

// String is the name of the reason as metrics show it.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// The bits of the second byte under the state.
const (
	bitPoll        = 1 << 5
	bitFinal       = 1 << 4
	bitIndependent = 1 << 3
	bitAuth        = 1 << 2
	bitDemand      = 1 << 1
	bitMultipoint  = 1
)

// Parse reads a packet, or says why it has to be discarded.
func Parse(b []byte) (Packet, Reason) {
	if len(b) < Size {
		return Packet{}, BadLength
	}
	length := int(b[3])
	flags := b[1]
	p := Packet{
		State: State(flags >> 6), Diagnostic: Diagnostic(b[0] & 0x1f),
		Poll: flags&bitPoll != 0, Final: flags&bitFinal != 0,
		Independent: flags&bitIndependent != 0, Demand: flags&bitDemand != 0,
		Multiplier: b[2],
		Mine:       binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		DesiredMinTx: interval(b[12:]), RequiredMinRx: interval(b[16:]), EchoMinRx: interval(b[20:]),
	}
	switch {
	case b[0]>>5 != 1:
		return Packet{}, BadVersion
	case length < Size || length > len(b):
		return Packet{}, BadLength
	case p.Multiplier == 0:
		return Packet{}, BadMultiplier
	case flags&bitMultipoint != 0:
		return Packet{}, Multipoint
	case p.Mine == 0:
		return Packet{}, BadDiscriminator
	case p.Yours == 0 && p.State > Down:
		return Packet{}, NoYourDiscriminator
	case flags&bitAuth != 0:
		return Packet{}, Authenticated
	}
	return p, Taken
}

func interval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Append appends the packet's bytes.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State)<<6 | bit(bitPoll, p.Poll) | bit(bitFinal, p.Final) |
		bit(bitIndependent, p.Independent) | bit(bitDemand, p.Demand)
	b = append(b, 1<<5|byte(p.Diagnostic)&0x1f, flags, p.Multiplier, Size)
	b = binary.BigEndian.AppendUint32(b, p.Mine)
	b = binary.BigEndian.AppendUint32(b, p.Yours)
	for _, t := range []time.Duration{p.DesiredMinTx, p.RequiredMinRx, p.EchoMinRx} {
		b = binary.BigEndian.AppendUint32(b, uint32(t/time.Microsecond))
	}
	return b
}

func bit(value byte, set bool) byte {
	if set {
		return value
	}
	return 0
}
