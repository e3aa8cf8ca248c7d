package slowpath

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// VRF is a VRF as it should be.
type VRF struct {
	ID        uint16       // 1..4095, unique
	Name      string       // unique; the namespace is Config.Prefix + Name
	RouterMAC ether.MAC    // destination of every frame that the kernel sends on the VRF tap
	Loopback  netip.Prefix // invalid = none; only its address counts, which Linux gets as /32 or /128
	SVIs      []SVI
}

// SVI is the gateway of one bridge. A bridge has at most one.
type SVI struct {
	Bridge    uint16         // 1..4095, unique over all VRFs
	Name      string         // for messages only
	MAC       ether.MAC      // unicast
	Addresses []netip.Prefix // gateway addresses with the length of their subnet, v4 and v6
	Advertise bool           // send router advertisements; they need a v6 address
	// AdvertiseFar sends them to all hosts behind VTEPs too, not only to Askers.
	AdvertiseFar bool
}

// Asker is a host behind a VTEP that asked for routers, or whose link-local address is
// known.
type Asker struct {
	IP  netip.Addr // link-local; invalid if it has none yet
	MAC ether.MAC
}

// Frame is an untagged Ethernet frame without frame check sequence.
type Frame struct {
	VRF       uint16 // VRF.ID
	Bridge    uint16 // SVI.Bridge; 0 = the VRF tap, to or from an L3 VNI
	Data      []byte
	LocalOnly bool // of frames to inject: not to hosts behind VTEPs (router advertisements)
	Far       bool // of frames to deliver: from a host behind a VTEP
}

// Neighbor is what the kernel knows of a host, as it learned it by ARP or ND
// itself. The address is of one of the SVI's subnets, or link-local (v6).
type Neighbor struct {
	VRF, Bridge uint16
	IP          netip.Addr
	MAC         ether.MAC // zero when not present
	Present     bool      // reachable, stale, or being asked; false = did not answer, or forgotten
}

// Status is how far the kernel is with what Set asked for: an error text for
// each VRF by ID and each SVI by Bridge, "" when it is in place; what is not made yet is
// in neither.
type Status struct {
	VRFs map[uint16]string
	SVIs map[uint16]string
}

// Counters count since New.
type Counters struct {
	Delivered uint64 // frames given to the kernel
	Injected  uint64 // frames that the kernel sent, router advertisements included
	NoTap     uint64 // dropped by Deliver: the VRF or SVI is not in place
	Malformed uint64 // dropped by Deliver: shorter than an Ethernet header, or longer than a tap takes
	Refused   uint64 // dropped by Deliver: the kernel did not take the frame
	Muted     uint64 // frames of the kernel not injected: its multicast listener reports
	// Unadvertised are hosts behind VTEPs that get no router advertisements, since their
	// bridge has too many of them.
	Unadvertised uint64
}

// Config of a Slowpath.
type Config struct {
	// Prefix of the names of our namespaces; "" = "p4evpn-". Namespaces of
	// this prefix belong to this Slowpath alone.
	Prefix string
	// Inject takes a frame that the kernel sent. It is called from several
	// goroutines, must not block, and owns Frame.Data afterwards.
	Inject func(Frame)
	// MTU of the taps, in bytes of IP packet: that of the underlay less the
	// encapsulation. 0 = 1500. IPv6 needs 1280.
	MTU uint16
	// AdvertiseInterval is the longest time between two router advertisements
	// of an SVI (MaxRtrAdvInterval, RFC 4861, section 6.2.1): 4 s to 1800 s;
	// 0 = 600 s.
	AdvertiseInterval time.Duration
	// Retry is the first pause before what failed is tried again; it doubles
	// up to 64 times the value. 0 = 500 ms.
	Retry  time.Duration
	Logger *slog.Logger // nil = slog.Default
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "p4evpn-")
	c.MTU = cmp.Or(c.MTU, 1500)
	c.AdvertiseInterval = cmp.Or(c.AdvertiseInterval, 600*time.Second)
	c.Retry = cmp.Or(c.Retry, 500*time.Millisecond)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	switch {
	case len(c.Prefix) > maxPrefix || strings.ContainsAny(c.Prefix, "/\x00"):
		return fmt.Errorf("prefix %q cannot begin the name of a network namespace", c.Prefix)
	case c.AdvertiseInterval < 4*time.Second || c.AdvertiseInterval > 1800*time.Second: // RFC 4861 section 6.2.1
		return fmt.Errorf("advertise interval %v: want 4s to 30m0s", c.AdvertiseInterval)
	case c.Retry < 0:
		return fmt.Errorf("retry %v: want a time that is not negative", c.Retry)
	}
	return nil
}
