package underlay

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/vishvananda/netns"
)

// Path is one way to a VTEP: frames leave by the uplink beside the host port
// that Linux knows as netdev Uplink.
type Path struct {
	Uplink      string    // netdev of the uplink's host port, as in Config.Uplinks
	Source      ether.MAC // MAC address of that netdev
	Destination ether.MAC // MAC address of the next hop
	MTU         int       // of that netdev, in bytes of IP packet
}

// Compare orders paths by uplink, then destination, source and MTU.
func (p Path) Compare(o Path) int {
	return cmp.Or(strings.Compare(p.Uplink, o.Uplink), p.Destination.Compare(o.Destination),
		p.Source.Compare(o.Source), cmp.Compare(p.MTU, o.MTU))
}

// Change is the newest state of one VTEP. It replaces whatever was published
// for that VTEP before.
type Change struct {
	VTEP   netip.Addr
	Paths  []Path // usable now, in the order of Path.Compare; empty = unreachable
	Reason string // why there is no path; empty when there is one
}

// Equal reports whether both are the same state of the same VTEP.
func (c Change) Equal(o Change) bool {
	return c.VTEP == o.VTEP && c.Reason == o.Reason && slices.Equal(c.Paths, o.Paths)
}

// Routes says which routes may lead to a VTEP.
type Routes uint8

// The routes that may lead to a VTEP. A default route leads everywhere, also to a VTEP
// that is gone.
const (
	NotDefault Routes = iota // all but a default route
	HostRoutes               // those to its address alone
	AllRoutes
)

// why says why a route with a prefix length does not lead to a VTEP, "" if it does.
func (r Routes) why(vtep netip.Addr, bits int) string {
	switch {
	case r == NotDefault && bits == 0:
		return fmt.Sprintf("only a default route leads to %s, and vtep_routes has none count", vtep)
	case r == HostRoutes && bits != vtep.BitLen():
		return fmt.Sprintf("only a route of length /%d leads to %s, and vtep_routes has host routes count alone", bits, vtep)
	}
	return ""
}

// Config of a Resolver.
type Config struct {
	// Routes that may lead to a VTEP.
	Routes Routes
	// Uplinks are the netdevs of the uplinks' host ports. Routes that leave
	// by any other device are not used. A netdev need not exist yet.
	Uplinks []string
	// Probe is how often an entry in use is confirmed; 0 = 30 s. The pipeline
	// sends past the kernel, which therefore never sees its use itself.
	Probe time.Duration
	// Retry is the first pause before a next hop that did not answer is asked
	// again; it doubles up to 16 times the value. 0 = 1 s.
	Retry time.Duration
	// Namespace is the network namespace to follow; nil = the process's own.
	Namespace *netns.NsHandle
	Logger    *slog.Logger // nil = slog.Default
}

func (c Config) withDefaults() Config {
	c.Probe = cmp.Or(c.Probe, 30*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	switch {
	case slices.Contains(c.Uplinks, ""):
		return errors.New("an uplink's host port has no netdev: name it")
	case c.Probe < 0:
		return fmt.Errorf("probe %v: want a time that is not negative", c.Probe)
	case c.Retry < 0:
		return fmt.Errorf("retry %v: want a time that is not negative", c.Retry)
	}
	return nil
}
