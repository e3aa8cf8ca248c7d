package view

import (
	"context"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Tracer says what the target does with a frame, and why. An error is one of ctx, of the
// request (*TraceError), or says why nobody can answer.
type Tracer interface {
	Trace(context.Context, TraceRequest) (Trace, error)
}

// TraceError says what is wrong with a request, by its field as the API names it.
type TraceError struct{ Field, Problem string }

func (e *TraceError) Error() string { return e.Field + ": " + e.Problem }

// TraceRequest is a frame and where it comes from: Port, a VTEP, or the place of the host
// From. It is Frame as it is, or one made of the headers.
type TraceRequest struct {
	Port string     // name of a port of the target or of a bridge port
	VTEP netip.Addr // it comes by VXLAN from there, with VNI
	VNI  uint32
	// From and To are hosts, each by its MAC or an address, or BRIDGE/HOST; they fill in what
	// is not given.
	From, To string
	// Frame is the frame that arrives, by VXLAN without outer headers; empty = from Headers.
	Frame   []byte
	Headers TraceHeaders
	// Read reads the target first, instead of taking what it acknowledged.
	Read bool
}

// TraceHeaders are those of a frame to be made; zero values are left to what fits.
type TraceHeaders struct {
	VLAN                        uint16 // 0 = untagged
	SourceMAC, DestinationMAC   ether.MAC
	Target                      netip.Addr // it asks all for the MAC of this, by ARP or ND
	Source, Destination         netip.Addr
	Protocol                    string // "udp" (the default), "tcp" or "icmp"
	SourcePort, DestinationPort uint16
	TTL                         uint8 // 0 = 64
}

// Trace is the account of one frame.
type Trace struct {
	Arrives string // in words
	Port    string
	Frame   []byte // as it arrived, outer headers and all
	Steps   []TraceStep
	Results []string // a sentence each: what leaves, or why nothing does
	Out     []TraceFrame
}

// TraceStep is one step of it.
type TraceStep struct {
	Kind    string // "table", "parser state", ...: see pipeline.StepKind
	Name    string
	Text    string   // all of it in a line
	Result  string   // of a table: hit or miss
	Entry   string   // that was hit
	Why     string   // it is there
	Changes []string // of fields
}

// TraceFrame is a frame that leaves.
type TraceFrame struct {
	Port   string // "" = the target's port has no name
	Number uint32
	Frame  []byte
}

// Place is where a host is, in one bridge.
type Place struct {
	Bridge    string
	MAC       ether.MAC
	Addresses []netip.Addr
	Port      uint16 // 0 = behind VTEP
	VLAN      uint16 // of the bridge at the port, 0 = untagged
	VTEP      netip.Addr
	VNI       uint32    // of the bridge
	Gateway   ether.MAC // zero: the bridge has none
}
