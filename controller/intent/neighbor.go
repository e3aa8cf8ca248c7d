package intent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp"
)

// TheSpeaker is the id of the BGP speaker: there is one.
const TheSpeaker = "default"

// Speaker is the BGP instance. Without one there are no sessions, and nothing is
// advertised.
type Speaker struct {
	// AS is ours, 1 to 4294967295.
	AS uint32 `json:"as"`
	// RouterID is our BGP identifier, IPv4, and the first half of our route
	// distinguishers.
	RouterID netip.Addr `json:"router_id"`
	// Configured says that the configuration file gives it.
	Configured bool `json:"-"`
}

// Ref names the speaker.
func (s Speaker) Ref() Ref { return Ref{KindSpeaker, TheSpeaker} }

// Equal reports whether two ask for the same.
func (s Speaker) Equal(o Speaker) bool { return s.AS == o.AS && s.RouterID == o.RouterID }

func (s Speaker) Check() error {
	var v violations
	if s.AS == 0 {
		v.add("as_number", "not set: want 1 to 4294967295")
	}
	if !s.RouterID.Is4() || s.RouterID.IsUnspecified() || s.RouterID.IsMulticast() || s.RouterID.IsLoopback() {
		v.add("router_id", "want an IPv4 address such as 10.0.0.1")
	}
	return v.invalid(s.Ref())
}

func (s Speaker) admit(*Tx, *Speaker) (Speaker, error) { return s, nil }

// release: neighbours wait for the next one.
func (s Speaker) release(*Tx) error { return nil }

func (s Speaker) clone() Speaker { return s }

// Neighbor is one BGP neighbour. Its id is its address.
type Neighbor struct {
	Address netip.Addr `json:"address"`
	// AS is the neighbour's, 1 to 4294967295: ours makes the session iBGP.
	AS   uint32 `json:"as"`
	Port uint16 `json:"port,omitempty"` // 0 = 179
	// LocalAddress is the source of the session; the zero value is any.
	LocalAddress netip.Addr `json:"local_address,omitzero"`
	Password     string     `json:"password,omitempty"` // TCP MD5 (RFC 2385), at most maxPassword bytes
	Multihop     uint8      `json:"multihop,omitempty"` // TTL for an eBGP neighbour that is not on our link
	// TTLSecurity is how many hops away it may be (RFC 5082), in place of Multihop; 0 = any.
	TTLSecurity uint8 `json:"ttl_security,omitempty"`
	Passive     bool  `json:"passive,omitempty"`
	// Shutdown: nobody speaks with it. ShutdownMessage is what it is told then (RFC 9003).
	Shutdown        bool   `json:"shutdown,omitempty"`
	ShutdownMessage string `json:"shutdown_message,omitempty"`
	// Timers in whole seconds; 0 is the default of package bgp.
	HoldTime     time.Duration `json:"hold_time,omitempty"`
	Keepalive    time.Duration `json:"keepalive,omitempty"`
	ConnectRetry time.Duration `json:"connect_retry,omitempty"`
	MaxPrefixes  uint32        `json:"max_prefixes,omitempty"` // of each family; 0 = bgp.DefaultMaxPrefixes
	AllowOwnAS   uint8         `json:"allow_own_as,omitempty"` // times in an AS path; 0 = none
	Families     []bgp.Family  `json:"families,omitempty"`     // none = evpn
	// MACIPOnly: it is told type-2 routes for a MAC with an IPv4 address alone.
	MACIPOnly bool `json:"mac_ip_only,omitempty"`
	// NoARPND: it is told nothing of RFC 9047.
	NoARPND bool `json:"no_arp_nd,omitempty"`
	BFD     BFD  `json:"bfd,omitzero"`
	// Configured says that the configuration file gives it.
	Configured bool `json:"-"`
}

// BFD is how the path to a neighbour is watched (RFC 5880). 0 is the default of each.
type BFD struct {
	On         bool          `json:"on,omitempty"`
	Interval   time.Duration `json:"interval,omitempty"` // between two packets
	Multiplier uint8         `json:"multiplier,omitempty"`
	// Hops is how many hops away it may be, 1 on our link.
	Hops uint8 `json:"hops,omitempty"`
}

// Ref names the neighbour.
func (n Neighbor) Ref() Ref { return Ref{KindNeighbor, n.Address.String()} }

// Equal reports whether two ask for the same; the order of families means nothing.
func (n Neighbor) Equal(o Neighbor) bool {
	return slices.Equal(slices.Sorted(slices.Values(n.Families)), slices.Sorted(slices.Values(o.Families))) &&
		n.Address == o.Address && n.AS == o.AS && n.Port == o.Port && n.LocalAddress == o.LocalAddress &&
		n.Password == o.Password && n.Multihop == o.Multihop && n.Passive == o.Passive && n.HoldTime == o.HoldTime &&
		n.Keepalive == o.Keepalive && n.ConnectRetry == o.ConnectRetry && n.MaxPrefixes == o.MaxPrefixes &&
		n.MACIPOnly == o.MACIPOnly && n.NoARPND == o.NoARPND && n.TTLSecurity == o.TTLSecurity &&
		n.AllowOwnAS == o.AllowOwnAS && n.BFD == o.BFD &&
		n.Shutdown == o.Shutdown && n.ShutdownMessage == o.ShutdownMessage
}

// CheckNeighbor checks a neighbour's address, which may be of this machine.
func CheckNeighbor(a netip.Addr) error {
	if a.IsLoopback() {
		return nil
	}
	return CheckStation(a)
}

// NeighborAddress reads a neighbour's id, which must be in the usual form, so
// that each address has one id.
func NeighborAddress(id string) (netip.Addr, error) {
	a, err := netip.ParseAddr(id)
	if err != nil {
		return a, fmt.Errorf("%q: want the neighbour's IP address", clip(id))
	}
	if err := CheckNeighbor(a); err != nil {
		return a, err
	}
	if a.String() != id {
		return a, fmt.Errorf("%q: want it as %v", clip(id), a)
	}
	return a, nil
}

func (n Neighbor) Check() error {
	var v violations
	v.check("id", CheckNeighbor(n.Address))
	if n.AS == 0 {
		v.add("remote_as", "not set: want 1 to 4294967295")
	}
	if n.LocalAddress.IsValid() {
		v.check("local_address", CheckNeighbor(n.LocalAddress))
		if n.LocalAddress.Is4() != n.Address.Is4() {
			v.add("local_address", fmt.Sprintf("%v: want the same IP version as the neighbour's", n.LocalAddress))
		}
	}
	if len(n.Password) > maxPassword {
		v.add("password", fmt.Sprintf("%d bytes: TCP MD5 takes at most %d", len(n.Password), maxPassword))
	}
	v.check("ttl_security", bgp.CheckTTLSecurity(uint32(n.TTLSecurity), n.Multihop > 0))
	v.check("allow_own_as", bgp.CheckAllowOwnAS(uint32(n.AllowOwnAS)))
	v.check("shutdown_message", bgp.CheckShutdownMessage(n.ShutdownMessage))
	v.timer("hold_time", n.HoldTime, 3*time.Second, 65535*time.Second)
	v.timer("keepalive", n.Keepalive, time.Second, 21845*time.Second)
	v.timer("connect_retry", n.ConnectRetry, time.Second, 65535*time.Second)
	if n.HoldTime != 0 && n.Keepalive >= n.HoldTime {
		v.add("keepalive", fmt.Sprintf("%v: want less than the hold time, %v", n.Keepalive, n.HoldTime))
	}
	if n.BFD.Interval != 0 {
		v.check("bfd_interval", bfd.CheckInterval(n.BFD.Interval))
	}
	v.families(n)
	return v.invalid(n.Ref())
}

func (v *violations) families(n Neighbor) {
	for i, f := range n.Families {
		field := fmt.Sprintf("families[%d]", i)
		switch {
		case slices.Contains(n.Families[:i], f):
			v.add(field, fmt.Sprintf("%v is there twice", f))
		case f == bgp.IPv4Unicast && !n.Address.Is4(), f == bgp.IPv6Unicast && n.Address.Is4():
			v.add(field, fmt.Sprintf("%v routes need a session over that IP version", f))
		case f < bgp.EVPN || f > bgp.IPv6Unicast:
			v.add(field, "want evpn, ipv4 or ipv6")
		}
	}
}

func (v *violations) timer(field string, d, least, most time.Duration) {
	if d != 0 && (d < least || d > most || d%time.Second != 0) {
		v.add(field, fmt.Sprintf("%v: want whole seconds from %v to %v", d, least, most))
	}
}

func (n Neighbor) admit(*Tx, *Neighbor) (Neighbor, error) { return n, nil }

// release: nothing refers to a neighbour.
func (n Neighbor) release(*Tx) error { return nil }

func (n Neighbor) clone() Neighbor {
	n.Families = slices.Clone(n.Families)
	return n
}
