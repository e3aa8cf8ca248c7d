package bgp

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// Config is what the speaker is told once, at the start.
type Config struct {
	// AS is ours, 1 to 4294967295, RouterID our BGP identifier, an IPv4 address.
	// Without both the speaker waits until it is given them.
	AS       uint32
	RouterID netip.Addr
	// ListenAddresses are where sessions are accepted; none means all
	// addresses. ListenPort 0 means 179, -1 not to listen at all.
	ListenAddresses []netip.Addr
	ListenPort      int
	Neighbors       []Neighbor
	GracefulRestart GracefulRestart
}

// GracefulRestart is RFC 4724 with all neighbours that do it, in both
// directions: they keep our routes while we restart, and we keep those of the
// families that they name in their OPEN.
type GracefulRestart struct {
	Enabled bool
	// RestartTime is how long neighbours shall keep our routes without a
	// session, in whole seconds; 0 is 120 s.
	RestartTime time.Duration
	// Deferral is how long Converged waits for the neighbours; 0 is 60 s. It
	// should be shorter than the restart time.
	Deferral time.Duration
	// LongLived is how long neighbours that do RFC 9494 shall keep our EVPN routes after
	// that, in whole seconds up to 194 days; 0 asks for nothing. Theirs we keep for as
	// long as they ask.
	LongLived time.Duration
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
	// TTLSecurity is how many hops away the peer may be, 1 on our link, 0 for any: what
	// came further is not heard (GTSM, RFC 5082). It takes the place of Multihop.
	TTLSecurity uint8
	// Shutdown: it is configured and not spoken with. ShutdownMessage is what it is told
	// when its session ends for that (RFC 9003).
	Shutdown        bool
	ShutdownMessage string
	// Timers in whole seconds; 0 gives the default. HoldTime 90 s, Keepalive
	// a third of the hold time, ConnectRetry 10 s.
	HoldTime, Keepalive, ConnectRetry time.Duration
	// Families of the session; none means EVPN alone.
	Families []Family
	// NoARPND leaves the ARP/ND community (RFC 9047) out of what the neighbour is told, as
	// one wants that takes routes with a community which it does not know for withdrawn.
	NoARPND bool
	// AllowOwnAS is how often our own AS may be in an AS path: 0 for none, at most
	// MaxAllowOwnAS.
	AllowOwnAS uint8
	// MaxPrefixes ends the session with a Cease when the peer sends more
	// routes of a family; 0 for DefaultMaxPrefixes. Limit reads it.
	MaxPrefixes uint32
	// MACIPOnly: it is told type-2 routes for a MAC with an IPv4 address alone.
	// A change of it re-evaluates what the session was told, and ends nothing.
	MACIPOnly bool
}

// Limits of a neighbour's settings.
const (
	// DefaultMaxPrefixes bounds what a neighbour can make us hold where nobody said more.
	DefaultMaxPrefixes = 250_000
	MaxAllowOwnAS      = 10
	// maxTTLSecurity is what leaves a TTL of 2 to a packet that was sent with 255.
	maxTTLSecurity     = 254
	maxShutdownMessage = 255 // bytes, RFC 9003 section 2
)

// Limit is how many routes of a family are taken of the neighbour.
func (n *Neighbor) Limit() uint32 { return cmp.Or(n.MaxPrefixes, DefaultMaxPrefixes) }

// CheckAllowOwnAS checks how often our own AS may be in a path. It and the checks below
// are of one setting each, for all who read a neighbour.
func CheckAllowOwnAS(times uint32) error {
	if times > MaxAllowOwnAS {
		return fmt.Errorf("%d: want 0 to %d", times, MaxAllowOwnAS)
	}
	return nil
}

// CheckTTLSecurity checks a number of hops beside the multihop of the same neighbour.
func CheckTTLSecurity(hops uint32, multihop bool) error {
	switch {
	case hops > maxTTLSecurity:
		return fmt.Errorf("%d: want 1 to %d hops, 1 for a neighbour on our link, or 0 for none", hops, maxTTLSecurity)
	case hops > 0 && multihop:
		return errors.New("multihop is set too: of both one says how far away the neighbour may be")
	}
	return nil
}

// CheckShutdownMessage checks a text for a peer (RFC 9003 section 2).
func CheckShutdownMessage(text string) error {
	switch {
	case len(text) > maxShutdownMessage:
		return fmt.Errorf("%d bytes: want at most %d", len(text), maxShutdownMessage)
	case !utf8.ValidString(text):
		return errors.New("want UTF-8")
	}
	return nil
}

// Family is an address family of a session.
type Family uint8

// The families. A neighbour may have the unicast family of its own address's
// IP version: IPv4 routes by an IPv6 next hop (RFC 8950) are not built.
const (
	EVPN Family = iota + 1
	IPv4Unicast
	IPv6Unicast
)

// Check says what is wrong with the configuration, naming the field.
func (c *Config) Check() error {
	if c.AS == 0 && c.RouterID.IsValid() {
		return errors.New("as: want 1 to 4294967295")
	}
	if c.AS != 0 && (!c.RouterID.Is4() || c.RouterID.IsUnspecified()) {
		return fmt.Errorf("router id %v: want an IPv4 address", c.RouterID)
	}
	if c.ListenPort < -1 || c.ListenPort > 65535 {
		return fmt.Errorf("listen port %d: want 1 to 65535, 0 for 179 or -1 for none", c.ListenPort)
	}
	for _, a := range c.ListenAddresses {
		if !a.IsValid() {
			return errors.New("listen addresses: one is not an address")
		}
	}
	if t := c.GracefulRestart.RestartTime; t < 0 || t > 4095*time.Second || t%time.Second != 0 {
		return fmt.Errorf("restart time %v: want whole seconds from 1s to 4095s", t)
	}
	if t := c.GracefulRestart.LongLived; t < 0 || t > (1<<24-1)*time.Second || t%time.Second != 0 {
		return fmt.Errorf("long-lived restart time %v: want whole seconds up to 16777215s", t)
	}
	if t := c.GracefulRestart.Deferral; t < 0 {
		return fmt.Errorf("deferral %v: want a time that is not negative", t)
	}
	seen := make(map[netip.Addr]bool)
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		if err := n.Check(); err != nil {
			return fmt.Errorf("neighbor %v: %w", n.Address, err)
		}
		if seen[n.Address] {
			return fmt.Errorf("neighbor %v: configured twice", n.Address)
		}
		seen[n.Address] = true
	}
	return nil
}

// Check says what is wrong with the neighbour, naming the field.
func (n *Neighbor) Check() error {
	if !n.Address.IsValid() || n.Address.IsUnspecified() || n.Address.IsMulticast() || n.Address.Is4In6() {
		return errors.New("address: want the unicast address of a peer")
	}
	if n.AS == 0 {
		return errors.New("as: want 1 to 4294967295")
	}
	if len(n.Password) > 80 {
		return fmt.Errorf("password of %d bytes: TCP MD5 takes at most 80", len(n.Password))
	}
	if n.LocalAddress.IsValid() && n.LocalAddress.Is4() != n.Address.Is4() {
		return fmt.Errorf("local address %v: want the same IP version as the neighbor's", n.LocalAddress)
	}
	if err := CheckAllowOwnAS(uint32(n.AllowOwnAS)); err != nil {
		return fmt.Errorf("allow own as: %w", err)
	}
	if err := CheckTTLSecurity(uint32(n.TTLSecurity), n.Multihop > 0); err != nil {
		return fmt.Errorf("ttl security: %w", err)
	}
	if err := CheckShutdownMessage(n.ShutdownMessage); err != nil {
		return fmt.Errorf("shutdown message: %w", err)
	}
	for _, t := range []struct {
		name     string
		value    time.Duration
		min, max time.Duration
	}{
		{"hold time", n.HoldTime, 3 * time.Second, 65535 * time.Second},
		{"keepalive", n.Keepalive, time.Second, 21845 * time.Second},
		{"connect retry", n.ConnectRetry, time.Second, 65535 * time.Second},
	} {
		if t.value != 0 && (t.value < t.min || t.value > t.max || t.value%time.Second != 0) {
			return fmt.Errorf("%s %v: want whole seconds from %v to %v", t.name, t.value, t.min, t.max)
		}
	}
	return n.checkFamilies()
}

func (n *Neighbor) checkFamilies() error {
	for i, f := range n.Families {
		if f != EVPN && f != n.UnicastFamily() {
			return fmt.Errorf("address family %v: want %v or, for a neighbor with this address, %v",
				f, EVPN, n.UnicastFamily())
		}
		if slices.Contains(n.Families[:i], f) {
			return fmt.Errorf("address family %v: given twice", f)
		}
	}
	return nil
}

// Carried gives the families of the session.
func (n *Neighbor) Carried() []Family {
	var list []Family
	for _, f := range []Family{EVPN, IPv4Unicast, IPv6Unicast} {
		if n.Has(f) {
			list = append(list, f)
		}
	}
	return list
}

// Has reports whether the session has a family.
func (n *Neighbor) Has(f Family) bool {
	return slices.Contains(n.Families, f) || len(n.Families) == 0 && f == EVPN
}

// UnicastFamily is the one that the neighbour may have, not that it has it.
func (n *Neighbor) UnicastFamily() Family {
	if n.Address.Is4() {
		return IPv4Unicast
	}
	return IPv6Unicast
}

func (f Family) String() string {
	switch f {
	case EVPN:
		return "evpn"
	case IPv4Unicast:
		return "ipv4"
	case IPv6Unicast:
		return "ipv6"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// MarshalText gives the name as String does.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads evpn, ipv4 or ipv6.
func (f *Family) UnmarshalText(b []byte) error {
	for _, known := range []Family{EVPN, IPv4Unicast, IPv6Unicast} {
		if known.String() == string(b) {
			*f = known
			return nil
		}
	}
	return fmt.Errorf("address family %q: want evpn, ipv4 or ipv6", b)
}
