package bgp

import (
	"net/netip"
	"time"
)

// Config is what the speaker is told once, at the start.
type Config struct {
	AS       uint32     // our AS, 1 to 4294967295
	RouterID netip.Addr // BGP identifier, an IPv4 address
	// ListenAddresses are where sessions are accepted; none means all
	// addresses. ListenPort 0 means 179, -1 not to listen at all.
	ListenAddresses []netip.Addr
	ListenPort      int
	Neighbors       []Neighbor
}

// Neighbor is one peer. It is eBGP or iBGP by its AS.
type Neighbor struct {
	Address  netip.Addr
	AS       uint32
	Password string // TCP MD5 (RFC 2385), up to 80 bytes; empty for none
	Port     uint16 // 0 means 179
	// LocalAddress is the source of the session; invalid leaves it to the
	// kernel.
	LocalAddress netip.Addr
	Passive      bool  // wait for the peer to connect
	Multihop     uint8 // TTL for an eBGP peer that is not on our link; 0 means 1
	// Timers in whole seconds; 0 gives the default. HoldTime 90 s, Keepalive
	// a third of the hold time, ConnectRetry 10 s.
	HoldTime, Keepalive, ConnectRetry time.Duration
	// Families of the session; none means EVPN alone.
	Families []Family
	// AllowOwnAS is how often our own AS may be in an AS path: 0 for none.
	AllowOwnAS uint8
	// MaxPrefixes ends the session with a Cease when the peer sends more
	// EVPN routes; 0 for no limit.
	MaxPrefixes     uint32
	GracefulRestart GracefulRestart
}

// GracefulRestart is RFC 4724 for one neighbour.
type GracefulRestart struct {
	Enabled bool
	// RestartTime is how long the peer shall keep our routes, default the
	// hold time; Deferral how long we wait for End-of-RIB, default 3/4 of it.
	RestartTime, Deferral time.Duration
	// Restarting says that forwarding was preserved over a restart of ours:
	// it sets the R and F bits.
	Restarting bool
}

// Family is an address family of a session.
type Family uint8

// The families. Only EVPN is built now.
const (
	EVPN Family = iota + 1
	IPv4Unicast
	IPv6Unicast
)
