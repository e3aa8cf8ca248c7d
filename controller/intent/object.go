package intent

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
)

// Kind names a kind of object.
type Kind string

// The kinds of objects, in the order in which they refer to each other: an
// object refers only to kinds before its own.
const (
	KindLogicalBridge Kind = "logical bridge"
	KindBridgePort    Kind = "bridge port"
)

// Ref names one object. It is comparable.
type Ref struct {
	Kind Kind
	ID   string
}

func (r Ref) String() string {
	if r.ID == "" {
		return string(r.Kind)
	}
	return string(r.Kind) + " " + r.ID
}

// Object is a LogicalBridge or a BridgePort, held by value.
type Object interface {
	Ref() Ref
	// Validate checks what can be said of the object alone; the error is an
	// *Error of reason Invalid that names every wrong field.
	Validate() error
}

// LogicalBridge is one L2 domain: a VLAN on the bridge ports and, if it has a
// VNI, a VXLAN segment between VTEPs (RFC 8365, VLAN-based service).
type LogicalBridge struct {
	ID string `json:"id"`
	// VLAN is 1 to 4094 and belongs to one bridge only.
	VLAN uint16 `json:"vlan"`
	// VNI is 1 to 16777215 and belongs to one bridge only; 0 is none: the
	// bridge is local to this gateway.
	VNI uint32 `json:"vni,omitempty"`
	// VTEP is our own VTEP address with the length of its subnet, host bits
	// kept, such as 10.0.0.2/32; the zero value is none.
	VTEP netip.Prefix `json:"vtep"`
	// Index is 1 to 4095, given by the store at creation (the lowest free
	// one) and kept with the object: the bridge's id in the P4 tables.
	Index uint16 `json:"index"`
}

// Ref names the bridge.
func (b LogicalBridge) Ref() Ref { return Ref{KindLogicalBridge, b.ID} }

// Equal says whether two bridges ask for the same; the index, which is not
// asked for, does not count.
func (b LogicalBridge) Equal(o LogicalBridge) bool {
	b.Index, o.Index = 0, 0
	return b == o
}

// PortType says how a bridge port carries its bridges.
type PortType uint8

const (
	// Access ports carry exactly one bridge, untagged.
	Access PortType = 1
	// Trunk ports carry each of their bridges tagged with its VLAN.
	Trunk PortType = 2
)

func (t PortType) String() string {
	switch t {
	case Access:
		return "access"
	case Trunk:
		return "trunk"
	}
	return "unspecified"
}

// BridgePort attaches a port of the target to bridges. Which port of the
// target it is the controller finds by the object's id or MAC.
type BridgePort struct {
	ID  string    `json:"id"`
	MAC ether.MAC `json:"mac"`
	// Type is Access or Trunk.
	Type PortType `json:"type"`
	// Bridges are ids of logical bridges: exactly one on an access port, any
	// number on a trunk, where none means a transparent trunk that carries
	// every bridge by its VLAN.
	Bridges []string `json:"bridges,omitempty"`
}

// Ref names the port.
func (p BridgePort) Ref() Ref { return Ref{KindBridgePort, p.ID} }

// Transparent says whether the port carries every bridge by its VLAN.
func (p BridgePort) Transparent() bool { return p.Type == Trunk && len(p.Bridges) == 0 }

// Equal says whether two ports ask for the same; the order of their bridges
// means nothing.
func (p BridgePort) Equal(o BridgePort) bool {
	return p.ID == o.ID && p.MAC == o.MAC && p.Type == o.Type &&
		slices.Equal(slices.Sorted(slices.Values(p.Bridges)), slices.Sorted(slices.Values(o.Bridges)))
}
