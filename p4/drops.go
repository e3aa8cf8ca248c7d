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
	DropWrongRouterMAC
	DropBadIP
	DropIPOptions
	DropMartian
	DropRoute
	DropMTU
	DropPuntRate
	DropNoInterface
	DropNoRoute
	DropTruncated
	DropForgedGateway
	DropStackedTags
	DropRogueRouter
	DropRogueDHCP
	DropHidden
	DropSpoofed
	DropStormBroadcast
	DropStormMulticast
	DropStormUnknown
	DropUnknownStation
	DropReasons // how many there are
)

var dropNames = [...]string{
	"none", "unknown_port", "not_member", "unknown_vtep", "unknown_vni",
	"bad_vxlan", "bad_checksum", "inner_vlan", "bad_source", "reserved_group",
	"declined_source", "fdb", "hairpin", "split_horizon", "no_path",
	"no_tunnel", "no_adjacency", "wrong_router_mac", "bad_ip", "ip_options",
	"martian", "route", "mtu", "punt_rate", "no_interface", "no_route",
	"truncated", "forged_gateway", "stacked_tags", "rogue_router", "rogue_dhcp",
	"hidden", "spoofed", "storm_broadcast", "storm_multicast", "storm_unknown", "unknown_station",
}

// String gives the name that metrics use, such as "unknown_vni".
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// PuntReason says why a frame came to the controller (packet_in.reason).
type PuntReason uint8

// Punt reasons. Those of ARP and ND are our own traps', the rest the program's.
const (
	PuntARP   PuntReason = 1 // a copy of ARP from a bridge port
	PuntND    PuntReason = 2 // a copy of neighbour discovery from a bridge port
	PuntGlean PuntReason = 3 // for an unknown host of an attached subnet
	PuntLocal PuntReason = 4 // for the gateway itself
	PuntTTL   PuntReason = 5 // TTL or hop limit used up
	PuntMTU   PuntReason = 6 // routed, and too big for its path

	PuntVXLANARP PuntReason = 7 // a copy of ARP that came by VXLAN
	PuntVXLANND  PuntReason = 8 // a copy of neighbour discovery that came by VXLAN

	PuntVXLANDHCP   PuntReason = 9  // a copy of an answer of DHCP that came by VXLAN
	PuntVXLANDHCPv6 PuntReason = 10 // the same of DHCPv6
	PuntDHCP        PuntReason = 11 // a copy of DHCP from a bridge port
	PuntDHCPv6      PuntReason = 12 // the same of DHCPv6

	PuntReasons = 13 // how many there are
)

var puntNames = [PuntReasons]string{
	"none", "arp", "nd", "glean", "local", "ttl", "mtu", "vxlan_arp", "vxlan_nd",
	"vxlan_dhcp", "vxlan_dhcpv6", "dhcp", "dhcpv6",
}

// String gives the name that metrics use, such as "glean".
func (r PuntReason) String() string {
	if int(r) < len(puntNames) {
		return puntNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}
