package view

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Known is what a gateway knows beside its objects, its configuration and what peers
// advertise, at one moment: whom it heard, how the underlay leads, which ports have carrier.
// Bridges are named by their index.
type Known struct {
	// Version is that of the objects which the gateway has taken.
	Version uint64
	// Busy says what is under way, so that the target may not have what it is to have yet; "" =
	// nothing.
	Busy                string
	RouterMAC, AskerMAC ether.MAC // that hosts are asked from
	NoCarrier           map[uint16]bool
	Paths               map[netip.Addr][]KnownPath // by VTEP
	Stations            []KnownStation
	Declined            []KnownStation
	HeldMACs            []KnownHold
	HeldAddresses       []KnownHold
	// Claims are who said to have an address, of each address the last one at the end.
	Claims []KnownClaim
	Leases []KnownLease
}

// KnownPath is one way to a VTEP.
type KnownPath struct {
	Device              string // of the uplink, for Linux
	Source, Destination ether.MAC
}

// KnownStation is a MAC at a port.
type KnownStation struct {
	Bridge   uint16
	MAC      ether.MAC
	Port     uint16
	Sequence uint32 // MAC mobility (RFC 7432 section 7.7)
	Passes   bool   // of one that is declined: its frames are forwarded
}

// KnownHold is a MAC, or an address, that moved too often and stays: the MAC behind VTEP,
// where that is valid, the address at MAC.
type KnownHold struct {
	Bridge  uint16
	MAC     ether.MAC
	VTEP    netip.Addr
	Address netip.Addr
}

// KnownClaim is that a MAC has an address.
type KnownClaim struct {
	Bridge  uint16
	Address netip.Addr
	MAC     ether.MAC
	// How it is known: the host spoke, it answered, another system said so.
	Spoke, Answered, Expected bool
	// Of an IPv6 address (RFC 4861 section 4.4), if FlagsKnown.
	FlagsKnown, Router, Override bool
}

// KnownLease is an address that DHCP gave a station behind a guarded port.
type KnownLease struct {
	Bridge, Port uint16
	MAC          ether.MAC
	Address      netip.Addr
}
