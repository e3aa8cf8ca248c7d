package bgp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

// RouteType is the EVPN route type (RFC 7432 section 7, RFC 9136 section 3).
type RouteType uint8

// The route types that the speaker takes and gives are 2, 3 and 5; it reads 1 and 4 too.
// Others are counted and ignored.
const (
	TypeEthernetAD RouteType = 1 // Ethernet auto-discovery
	TypeMACIP      RouteType = 2 // MAC/IP advertisement
	TypeMulticast  RouteType = 3 // inclusive multicast Ethernet tag
	TypeSegment    RouteType = 4 // Ethernet segment
	TypePrefix     RouteType = 5 // IP prefix
)

// Key is what tells one route of a peer from another: the fields that RFC 7432
// section 7 counts as the prefix of the NLRI, and no others. It is comparable
// and holds what the type needs, the rest being zero:
//
//	type 1: RD, Segment, EthernetTag
//	type 2: RD, EthernetTag, MAC and, for MAC+IP, IP
//	type 3: RD, EthernetTag, IP, the originating router's address
//	type 4: RD, Segment, IP, the originating router's address
//	type 5: RD, EthernetTag, IP and PrefixLength; see PrefixKey and Prefix
type Key struct {
	Type         RouteType
	PrefixLength uint8 // type 5 only
	MAC          ether.MAC
	EthernetTag  uint32
	RD           RD
	Segment      ESI // types 1 and 4 only
	IP           netip.Addr
}

// MACKey names a type-2 route; ip is the zero Addr for a MAC alone.
func MACKey(rd RD, mac ether.MAC, ip netip.Addr) Key {
	return Key{Type: TypeMACIP, RD: rd, MAC: mac, IP: ip}
}

// MulticastKey names a type-3 route.
func MulticastKey(rd RD, originator netip.Addr) Key {
	return Key{Type: TypeMulticast, RD: rd, IP: originator}
}

// PrefixKey names a type-5 route. Host bits of the prefix are cleared.
func PrefixKey(rd RD, prefix netip.Prefix) Key {
	prefix = prefix.Masked()
	return Key{Type: TypePrefix, RD: rd, IP: prefix.Addr(), PrefixLength: uint8(prefix.Bits())}
}

// Prefix is the prefix of a type-5 route; invalid for other types.
func (k Key) Prefix() netip.Prefix {
	if k.Type != TypePrefix {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(k.IP, int(k.PrefixLength))
}

// MACIPOnly reports whether a neighbour may be told the route that takes type-2
// routes for a MAC with an IPv4 address alone. RYU's rest_vtep is one: a route
// without an address, or with an IPv6 one, ends its BGP thread.
func (k Key) MACIPOnly() bool { return k.Type != TypeMACIP || k.IP.Is4() }

// String is the form for people and logs, close to what FRR prints:
// "[2]:[0]:[02:00:00:00:00:01]:[10.0.0.5] RD 10.0.0.1:100".
func (k Key) String() string {
	switch k.Type {
	case TypeEthernetAD:
		return fmt.Sprintf("[1]:[%d]:[%x] RD %v", k.EthernetTag, k.Segment[:], k.RD)
	case TypeSegment:
		return fmt.Sprintf("[4]:[%x]:[%v] RD %v", k.Segment[:], k.IP, k.RD)
	case TypeMACIP:
		if k.IP.IsValid() {
			return fmt.Sprintf("[2]:[%d]:[%v]:[%v] RD %v", k.EthernetTag, k.MAC, k.IP, k.RD)
		}
		return fmt.Sprintf("[2]:[%d]:[%v] RD %v", k.EthernetTag, k.MAC, k.RD)
	case TypeMulticast:
		return fmt.Sprintf("[3]:[%d]:[%v] RD %v", k.EthernetTag, k.IP, k.RD)
	case TypePrefix:
		return fmt.Sprintf("[5]:[%d]:[%v] RD %v", k.EthernetTag, k.Prefix(), k.RD)
	}
	return fmt.Sprintf("[%d] RD %v", k.Type, k.RD)
}

// ESI is an Ethernet segment identifier; zero means a single-homed site.
type ESI [10]byte

// IsZero reports whether the site is single-homed.
func (e ESI) IsZero() bool { return e == ESI{} }

// ARPND is the ARP/ND extended community of a route with MAC and IP (RFC 9047 section 2):
// what neighbour discovery says of the address. Bits without a meaning here are kept.
type ARPND struct {
	Said  bool // the route has one
	Flags uint8
}

// The flags of ARPND. Router and override mean something of IPv6 addresses alone.
const (
	ARPNDRouter    = 1 << 0
	ARPNDOverride  = 1 << 1
	ARPNDImmutable = 1 << 3 // the binding of the address to its MAC is configured
)

// String is the form for people: "router, override", and the bits without a meaning as a
// number: "immutable, 0x04".
func (a ARPND) String() string {
	var words []string
	for _, f := range []struct {
		bit  uint8
		name string
	}{{ARPNDRouter, "router"}, {ARPNDOverride, "override"}, {ARPNDImmutable, "immutable"}} {
		if a.Flags&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	if rest := a.Flags &^ (ARPNDRouter | ARPNDOverride | ARPNDImmutable); rest != 0 {
		words = append(words, fmt.Sprintf("0x%02x", rest))
	}
	return strings.Join(words, ", ")
}

// Route is one EVPN route, as a peer advertised it or as we do. It is a plain
// comparable value: two routes are the same advertisement exactly if they are
// equal.
type Route struct {
	Key
	// NextHop is the VTEP. Ours goes out unchanged, towards eBGP peers too.
	NextHop netip.Addr
	// Label is the VNI to send with (downstream assigned, raw 24 bits): the
	// bridge's for types 2 and 3, the VRF's for type 5. A type-3 route takes
	// it from the PMSI tunnel attribute and has 0 if there is none (RYU): the
	// VNI is then the Ethernet tag or RD.Number.
	Label uint32
	// Label2 is the L3 VNI of a type-2 route with MAC and IP, 0 if it has none.
	Label2       uint32
	RouteTargets RouteTargets
	// Sequence and Sticky are the MAC mobility community (RFC 7432 section
	// 7.7); a route without one has sequence 0.
	Sequence       uint32
	Sticky         bool
	DefaultGateway bool // Default Gateway community, RFC 7432 section 7.8
	// ARPND is of a route with MAC and IP.
	ARPND ARPND
	// RouterMAC is the inner destination of symmetric IRB (RFC 9135 section
	// 8.1), zero if the route carries none.
	RouterMAC ether.MAC
	// Tunnel is the tunnel identifier of a type-3 route's PMSI attribute
	// (ingress replication), invalid if there is none: flood to it, else to
	// the next hop.
	Tunnel netip.Addr
	// GatewayIP is the overlay index of a type-5 route, invalid if it has none.
	GatewayIP netip.Addr
	ESI       ESI
	// Preference is zero for a route of ours.
	Preference Preference
}

// String is the form for people and logs: the key, then what is said of it.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v via %v VNI %d", r.Key, r.NextHop, r.Label)
	if r.Label2 != 0 {
		fmt.Fprintf(&b, " L3 VNI %d", r.Label2)
	}
	if r.Tunnel.IsValid() {
		fmt.Fprintf(&b, " tunnel %v", r.Tunnel)
	}
	if !r.RouterMAC.IsZero() {
		fmt.Fprintf(&b, " router MAC %v", r.RouterMAC)
	}
	if r.GatewayIP.IsValid() {
		fmt.Fprintf(&b, " gateway %v", r.GatewayIP)
	}
	if r.Sequence != 0 {
		fmt.Fprintf(&b, " sequence %d", r.Sequence)
	}
	if r.Sticky {
		b.WriteString(" sticky")
	}
	if r.DefaultGateway {
		b.WriteString(" default gateway")
	}
	if r.ARPND.Said {
		fmt.Fprintf(&b, " ARP/ND flags [%v]", r.ARPND)
	}
	if !r.ESI.IsZero() {
		fmt.Fprintf(&b, " ESI %x", r.ESI[:])
	}
	if r.RouteTargets.Len() > 0 {
		fmt.Fprintf(&b, " RT %v", r.RouteTargets)
	}
	return b.String()
}

// Kind says what an event is about.
type Kind uint8

// The kinds of event. See Event for what each promises.
const (
	RouteUpdate Kind = iota + 1
	RouteWithdraw
	PeerUp
	PeerDown
	EndOfRIB
	Converged
)

func (k Kind) String() string {
	switch k {
	case RouteUpdate:
		return "update"
	case RouteWithdraw:
		return "withdraw"
	case PeerUp:
		return "peer up"
	case PeerDown:
		return "peer down"
	case EndOfRIB:
		return "end of RIB"
	case Converged:
		return "converged"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Change is one change of the routes, of type R, that one peer has told us.
//
// Per peer the order is that of the session: PeerUp, updates and withdrawals,
// EndOfRIB at most once, PeerDown. Several changes of one key may arrive as
// the last of them. A session that goes down has each of its routes withdrawn
// by an event of its own before its PeerDown, so that a consumer which keeps
// (Peer, key) -> Route needs nothing more. With graceful restart PeerDown has
// Graceful set and the routes stay: what the peer does not send again is
// withdrawn right before the EndOfRIB of its next session, or the PeerDown that
// comes sooner, or all of it, with another PeerDown, when the restart time is
// over. A withdrawal may name a route that was never delivered.
//
// Converged is of no peer and comes once: every neighbour has sent its routes
// since the speaker began, or Config.Deferral is over. That is said by End-of-RIB, or by
// two seconds of silence where a neighbour does no graceful restart. Until then
// a route that is missing may still come.
type Change[R any] struct {
	Peer     netip.Addr
	Kind     Kind
	Graceful bool // PeerDown: the peer's routes are kept for now
	Route    R    // RouteUpdate: all of it; RouteWithdraw: its key alone
}

// Event is a change of the EVPN routes of all peers together, whose key is Key. Unlike
// Change says of one peer's, RouteUpdate gives the path of a key that is the best of all
// peers' (RFC 4271 section 9.1.2), with Peer whose it is, when that is another peer's or
// says something else than the one that was given; RouteWithdraw, with Peer whose it was,
// comes when no peer has the key any more, and only for one that was given. So a consumer
// that keeps key -> (Peer, Route) has what there is, whatever became of the peers.
//
// What peers change is given in turn, some of each, so that one with little to say does
// not wait for all that another one says; the order of keys among each other means nothing.
// When an event is given it says how things are then: of several changes of a key one event
// is left, in the place of the first that is reached. So what a peer changed before its
// EndOfRIB or PeerDown, and what any changed before Converged, is given before that; what
// comes after PeerUp may be given before it, or before the PeerDown of an earlier session.
//
// PeerUp, EndOfRIB and PeerDown come for neighbours that have EVPN, in the order of the
// session; the PeerDown may be all that is left of one. A consumer of routes need not heed
// them.
type Event = Change[Route]

// Path is one peer's route as `show` has it: with why it is, or is not, the one that
// Event gave.
type Path struct {
	Route
	Peer  netip.Addr
	Best  bool
	Step  Step // what decided between it and the best or, of the best, the next one; Equal if it is alone
	Stale bool // kept for a peer that is away
}
