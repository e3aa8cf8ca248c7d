package view

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// VRF is one VRF.
type VRF struct {
	Name      string // id
	VNI       uint32 // of symmetric IRB; 0: none
	Loopback  netip.Prefix
	VTEP      netip.Prefix // zero: none
	RouterMAC ether.MAC    // zero: none
	State     State
	Reason    string   // why it is not up
	SVIs      []string // ids
	Hosts     uint32   // addresses known in its subnets, local and remote
	Prefixes  uint32   // that a packet can match, host routes among them
}

// SVI is one SVI.
type SVI struct {
	Name     string // id
	VRF      string
	Bridge   string
	MAC      ether.MAC // in use: the one asked for, or the one derived
	Gateways []netip.Prefix
	Anycast  bool        // other gateways of the subnet may share MAC and address
	Aliases  []ether.MAC // of other gateways with one of the addresses: frames for them are routed here too
	State    State
	Reason   string // why it is not up
}

// HostKind is where a host is.
type HostKind string

// Kinds of hosts.
const (
	HostLocal   HostKind = "local"   // behind a bridge port
	HostRemote  HostKind = "remote"  // behind a VTEP: a type-2 route
	HostGateway HostKind = "gateway" // an address of the SVI
)

// Host is one address of a bridge: what ARP and ND know of it.
type Host struct {
	Bridge string
	IP     netip.Addr
	MAC    ether.MAC
	Kind   HostKind
	Port   string     // local: id of the bridge port
	VTEP   netip.Addr // remote: where it is
	State  State
	Reason string  // why it is not up
	Claims []Claim // the active one first; none of the gateway's own
}

// PrefixKind is where a prefix comes from.
type PrefixKind string

// Kinds of prefixes.
const (
	PrefixHost      PrefixKind = "host"      // one host of an attached subnet
	PrefixRemote    PrefixKind = "remote"    // an EVPN route: type 5, or type 2 by the L3 VNI
	PrefixConnected PrefixKind = "connected" // the subnet of an SVI
	PrefixGateway   PrefixKind = "gateway"   // an address of ours: of an SVI or the loopback
	PrefixStatic    PrefixKind = "static"    // configured
)

// Prefix is one prefix of a VRF and where it leads.
type Prefix struct {
	VRF       string
	Prefix    netip.Prefix // without host bits; one address is a /32 or /128
	Kind      PrefixKind
	Bridge    string     // of a host, subnet or gateway's address
	MAC       ether.MAC  // host: its own
	VTEP      netip.Addr // remote: the next hop
	VNI       uint32     // remote: the encapsulation's L3 VNI
	RouterMAC ether.MAC  // remote: the next hop's
	NextHop   netip.Addr // static
	Selected  bool       // its prefix uses it; several remote ones that are equal are
	State     State      // of what is selected
	Reason    string     // why it is not selected or not up
	Uplinks   []string   // remote and selected: by which its VTEP is reached, each flow by one
	Slots     uint32     // of those among which flows choose it is the next hop of; 0 = it is the only one
}

// Underlay gives the routes of the underlay that BGP learned, in any order, from
// any goroutine. Who routes the underlay is not the controller.
type Underlay interface{ UnderlayRoutes() []UnderlayRoute }

// UnderlayRoute is one route of the underlay that BGP learned.
type UnderlayRoute struct {
	Prefix    netip.Prefix
	Neighbors []netip.Addr // that advertise it
	NextHops  []netip.Addr
	State     State  // up when the kernel has it
	Reason    string // why it is not up
}

// Lookup is what becomes of a packet to one address.
type Lookup struct {
	VRF     string
	Address netip.Addr
	// Entry is the target's entry that the packet meets, as Entry.Text has it;
	// "" if no entry matches.
	Entry string
	// Result says what that entry does, and to whom.
	Result string
	// Candidates hold the address, best first: the longest prefix, and within
	// it the one that is selected. Each says why it is not the one in use.
	Candidates []Prefix
}
