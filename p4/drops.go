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

// dropMeanings say it to people.
var dropMeanings = [DropReasons]string{
	DropUnknownPort:    "it came by a port that is not configured",
	DropNotMember:      "no bridge has its VLAN at the port that it came by, or at the one that it was to leave by",
	DropUnknownVTEP:    "VXLAN of a VTEP that advertised no route here",
	DropUnknownVNI:     "VXLAN with a VNI of no bridge and no VRF",
	DropBadVXLAN:       "VXLAN with a header that is none",
	DropBadChecksum:    "VXLAN with a wrong checksum in the outer IPv4 header",
	DropInnerVLAN:      "a VLAN tag inside VXLAN (RFC 7348 section 6.1)",
	DropBadSource:      "its source MAC is a group address or zero",
	DropReservedGroup:  "for a group that no bridge forwards, such as spanning tree's and LLDP's (IEEE 802.1Q)",
	DropDeclinedSource: "its source MAC is not taken: a limit is reached, it is static elsewhere, or a duplicate",
	DropFDB:            "the FDB has its destination MAC dropped: it is nowhere now",
	DropHairpin:        "its destination is at the port and in the bridge that it came from",
	DropSplitHorizon:   "it came by VXLAN and would leave by VXLAN",
	DropNoPath:         "the underlay has no path to the VTEP",
	DropNoTunnel:       "the VTEP has no tunnel yet",
	DropNoAdjacency:    "the next hop to the VTEP has no MAC yet",
	DropWrongRouterMAC: "it came with a VRF's VNI for another MAC than our router's",
	DropBadIP:          "it was to be routed, and is no whole IP packet",
	DropIPOptions:      "it was to be routed, and has IP options",
	DropMartian:        "it was to be routed from or to an address that no host has",
	DropRoute:          "a route says that packets there are dropped",
	DropMTU:            "it does not fit the path",
	DropPuntRate:       "it was for the controller, and there are too many of its like",
	DropNoInterface:    "it was routed to a bridge that has no gateway",
	DropNoRoute:        "the VRF has no route to its destination",
	DropTruncated:      "it ends within its Ethernet header",
	DropForgedGateway:  "it says that it is the gateway, and is a tenant's",
	DropStackedTags:    "it has one VLAN tag more than the port carries",
	DropRogueRouter:    "a router advertisement or redirect of a port that is not trusted",
	DropRogueDHCP:      "an answer of a DHCP server from a port that is not trusted",
	DropHidden:         "it may hide a router's or DHCP server's message behind what is not looked through",
	DropSpoofed:        "its source address is not bound to the station (source guard)",

	DropStormBroadcast: "the port floods more broadcasts than it may",
	DropStormMulticast: "the port floods more multicasts than it may",
	DropStormUnknown:   "the port floods more frames to unknown stations than it may",
	DropUnknownStation: "nobody knows its destination, and the bridge does not flood such frames",
}

// Means says it in words.
func (r DropReason) Means() string {
	if r < DropReasons {
		return dropMeanings[r]
	}
	return ""
}

// String gives the name that metrics use, such as "unknown_vni".
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// Of is the index of the reason's cell of a port, or of a bridge, in PortDrops, BridgeDrops
// and PortEgressDrops.
func (r DropReason) Of(portOrBridge uint16) uint32 { return uint32(portOrBridge)<<6 | uint32(r) }

// DropOf reads such an index.
func DropOf(index uint32) (portOrBridge uint16, r DropReason) {
	return uint16(index >> 6), DropReason(index & 63)
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

	// PuntDropped begins those of copies of frames that were dropped.
	PuntDropped PuntReason = 64
)

var puntNames = [PuntReasons]string{
	"none", "arp", "nd", "glean", "local", "ttl", "mtu", "vxlan_arp", "vxlan_nd",
	"vxlan_dhcp", "vxlan_dhcpv6", "dhcp", "dhcpv6",
}

// Dropped is why the frame was dropped of which a copy came, false if it was not.
func (r PuntReason) Dropped() (why DropReason, is bool) {
	return DropReason(r &^ PuntDropped), r >= PuntDropped && r&^PuntDropped < PuntReason(DropReasons)
}

// String gives the name that metrics use, such as "glean".
func (r PuntReason) String() string {
	if int(r) < len(puntNames) {
		return puntNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}
