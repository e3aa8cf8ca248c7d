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
	KindVRF           Kind = "VRF"
	KindSVI           Kind = "SVI"
	KindInstance      Kind = "EVPN instance"
	KindStaticMAC     Kind = "static MAC"
	KindSpeaker       Kind = "BGP speaker"
	KindNeighbor      Kind = "neighbor"
)

// kinds are all of them in that order.
var kinds = []Kind{KindLogicalBridge, KindBridgePort, KindVRF, KindSVI, KindInstance, KindStaticMAC, KindSpeaker,
	KindNeighbor}

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

// Object is one of the kinds above, held by value.
type Object interface {
	Ref() Ref
	// Check says what is wrong with the object alone: an *Error of reason
	// Invalid that names every wrong field.
	Check() error
}

// LogicalBridge is one L2 domain: a VLAN on the bridge ports and, if it has a
// VNI, a VXLAN segment between VTEPs (RFC 8365, VLAN-based service).
type LogicalBridge struct {
	ID string `json:"id"`
	// VLAN is 1 to 4094 and belongs to one bridge only.
	VLAN uint16 `json:"vlan"`
	// VNI is 1 to 16777215 and belongs to one bridge or VRF only; 0 is none:
	// the bridge is local to this gateway.
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

// Equal reports whether two bridges ask for the same; the index, which is not
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
	// Serial is given by the store at creation and higher than that of all
	// ports there are: of two that want the same, the older one has it.
	Serial uint64 `json:"serial,omitempty"`
}

// Ref names the port.
func (p BridgePort) Ref() Ref { return Ref{KindBridgePort, p.ID} }

// Transparent reports whether the port carries every bridge by its VLAN.
func (p BridgePort) Transparent() bool { return p.Type == Trunk && len(p.Bridges) == 0 }

// Equal reports whether two ports ask for the same; the order of their bridges
// means nothing, and the serial, which is not asked for, does not count.
func (p BridgePort) Equal(o BridgePort) bool {
	return p.ID == o.ID && p.MAC == o.MAC && p.Type == o.Type &&
		slices.Equal(slices.Sorted(slices.Values(p.Bridges)), slices.Sorted(slices.Values(o.Bridges)))
}

// VRF is one L3 domain: the prefixes and hosts that its SVIs, its peers and its
// loopback bring, apart from those of every other VRF.
type VRF struct {
	ID string `json:"id"`
	// VNI is the L3 VNI of symmetric IRB (RFC 9135), 1 to 16777215, and belongs
	// to one bridge or VRF only; 0 is none: the VRF routes between its bridges
	// (asymmetric IRB) and has no routes of its own in EVPN.
	VNI uint32 `json:"vni,omitempty"`
	// Loopback is the VRF's own address with a length, v4 or v6, host bits kept;
	// the zero value is none. A gateway of one of the VRF's SVIs may be the same.
	Loopback netip.Prefix `json:"loopback"`
	// VTEP is as a bridge's.
	VTEP netip.Prefix `json:"vtep"`
	// Index is as a bridge's: the VRF's id in the P4 tables, 1 to 4095.
	Index uint16 `json:"index"`
}

// Ref names the VRF.
func (v VRF) Ref() Ref { return Ref{KindVRF, v.ID} }

// Equal reports whether two VRFs ask for the same; the index, which is not asked
// for, does not count.
func (v VRF) Equal(o VRF) bool {
	v.Index, o.Index = 0, 0
	return v == o
}

// SVI attaches a bridge to a VRF: its addresses are the gateways of the bridge's
// hosts.
type SVI struct {
	ID string `json:"id"`
	// VRF and Bridge are ids; a bridge has one SVI at most.
	VRF    string `json:"vrf"`
	Bridge string `json:"bridge"`
	// MAC is the gateway's, zero if the controller is to derive one.
	MAC ether.MAC `json:"mac"`
	// Gateways are 1 to MaxGateways addresses with the length of their subnets,
	// v4 and v6, host bits kept, such as 10.10.10.1/24. The subnets of a VRF do
	// not overlap; those of different VRFs may.
	Gateways []netip.Prefix `json:"gateways"`
	// EnableBGP asks for BGP sessions with hosts of the bridge in AS RemoteAS,
	// which is 1 to 65535 then and means nothing otherwise.
	EnableBGP bool   `json:"enable_bgp,omitempty"`
	RemoteAS  uint32 `json:"remote_as,omitempty"`
}

// Ref names the SVI.
func (s SVI) Ref() Ref { return Ref{KindSVI, s.ID} }

// Equal reports whether two SVIs ask for the same; the order of their gateways
// means nothing.
func (s SVI) Equal(o SVI) bool {
	return s.ID == o.ID && s.VRF == o.VRF && s.Bridge == o.Bridge && s.MAC == o.MAC &&
		s.EnableBGP == o.EnableBGP && s.RemoteAS == o.RemoteAS &&
		slices.Equal(slices.SortedFunc(slices.Values(s.Gateways), netip.Prefix.Compare),
			slices.SortedFunc(slices.Values(o.Gateways), netip.Prefix.Compare))
}
