package view

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// ClaimSource is how a claim is known.
type ClaimSource string

// Sources of claims.
const (
	SourceStatic   ClaimSource = "static"   // configured
	SourceHost     ClaimSource = "host"     // the host was heard: of an address by ARP or ND, of a MAC by a frame
	SourceRestart  ClaimSource = "restart"  // it was so before we started
	SourceMoved    ClaimSource = "moved"    // a route said so of the MAC before that came here
	SourceResolved ClaimSource = "resolved" // the host answered when the gateway looked for it
	SourceRoute    ClaimSource = "route"    // a type-2 route
	SourceExpected ClaimSource = "expected" // another system says so, as OVN does
)

// ClaimState is what becomes of a claim.
type ClaimState string

// States of claims.
const (
	ClaimActive    ClaimState = "active"    // it has what it claims
	ClaimInactive  ClaimState = "inactive"  // it lost, and waits
	ClaimProbed    ClaimState = "probed"    // it is asked whether it is still there
	ClaimDuplicate ClaimState = "duplicate" // what it claims moved too often
)

// Claim is that a MAC is somewhere, or that it has an address.
type Claim struct {
	MAC      ether.MAC
	Sources  []ClaimSource
	Port     string     // id of the bridge port that it is behind
	VTEP     netip.Addr // that it is behind
	Sequence uint32     // MAC mobility (RFC 7432 section 7.7)
	Sticky   bool
	Age      time.Duration // since it was confirmed, of a MAC since it was learned or moved; 0: unknown
	// FlagsKnown is that it is known whether an IPv6 address is a router's; Override is what
	// the host or its route said of overriding (RFC 4861 section 4.4, RFC 9047).
	FlagsKnown, Router, Override bool
	Immutable                    bool // the route says that the address is configured (RFC 9047)
	State                        ClaimState
	Reason                       string // why it is active, or is not
}

// MAC is a MAC of a bridge, with all that is known of it.
type MAC struct {
	FDBEntry
	Claims    []Claim      // the active one first
	Addresses []netip.Addr // that it has
}

// Refusal is how often an address was claimed on a bridge that can be no host's there.
type Refusal struct {
	Reason  string
	Count   uint64
	Address netip.Addr // of the last of them
	MAC     ether.MAC  // the same
}
