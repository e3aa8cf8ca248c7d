package p4

import "fmt"

// DropReason says why a frame was dropped: the index in the counters
// ingress_drops and egress_drops.
type DropReason uint8

// Drop reasons in the order of headers.p4.
const (
	DropNone DropReason = iota
	DropUnknownPort
	DropNotMember
	DropUnknownVTEP
	DropUnknownVNI
	DropBadVXLAN
	DropBadChecksum
	DropInnerVLAN
	DropBadSource
	DropReservedGroup
	DropDeclinedSource
	DropFDB
	DropHairpin
	DropSplitHorizon
	DropNoPath
	DropNoTunnel
	DropNoAdjacency
	DropReasons // how many there are
)

var dropNames = [...]string{
	"none", "unknown_port", "not_member", "unknown_vtep", "unknown_vni",
	"bad_vxlan", "bad_checksum", "inner_vlan", "bad_source", "reserved_group",
	"declined_source", "fdb", "hairpin", "split_horizon", "no_path",
	"no_tunnel", "no_adjacency",
}

// String gives the name that metrics use, such as "unknown_vni".
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}
