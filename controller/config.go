package controller

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// Config is what the controller is told once, at the start.
type Config struct {
	// AS is ours, for the default export route target, and RouterID IPv4, the
	// first half of our route distinguishers. Both are replaced by those of the
	// intent's Speaker when it has one; without an AS nothing is advertised.
	AS       uint32
	RouterID netip.Addr
	// VTEPs are our VTEP addresses, IPv4. A bridge that names none of its own
	// uses the first.
	VTEPs []netip.Addr
	Ports []Port
	// RouterMAC is the gateway's own in symmetric IRB; zero derives it from the
	// first VTEP. No other gateway may have it: it is no anycast MAC.
	RouterMAC ether.MAC
	SVIs      map[string]SVI // by id; what is not there has its zero value
	VRFs      map[string]VRF // by id
	// Ageing is how long a MAC may be silent; 0 = 5 minutes.
	Ageing time.Duration
	// AddressAge is how long an address of a host here may go unheard, before which the
	// host is asked for it; 0 = three times Ageing.
	AddressAge time.Duration
	// MaxMACs limits the MACs learned in one bridge whose instance says nothing else; 0 =
	// 32768. MaxPortMACs limits those learned on one port that says nothing else; 0 = 1024.
	MaxMACs     int
	MaxPortMACs int
	// MaxAddresses limits the addresses of a MAC that is here; 0 = 64. One more replaces
	// the one that was not heard for the longest time. MaxBridgeAddresses and
	// MaxPortAddresses are to addresses what MaxMACs and MaxPortMACs are to MACs; 0 = 65536
	// and 4096.
	MaxAddresses                         int
	MaxBridgeAddresses, MaxPortAddresses int
	// MaxVTEPs limits the remote VTEPs in use; 0 = 16384. MaxReplicas limits the VTEPs
	// that a bridge floods to; 0 = 4096. MaxRoutes limits the routes of each family of a
	// VRF whose instance says nothing else; 0 = 131072. Tables have shares besides.
	MaxVTEPs, MaxReplicas, MaxRoutes int
	Duplicates                       Duplicates
	// Storm bounds what each bridge port has flooded that says nothing else; 0 = 10000 frames
	// of each kind.
	Storm Storm
	// Expecting is that Expect is called for each bridge: a station that was expected before a
	// restart is, until then.
	Expecting bool
	// Carrier delays what follows from a port's carrier; nothing is delayed by default.
	Carrier CarrierDelays
	// AcceptUnknownVTEPs terminates VXLAN from any source, not only from VTEPs
	// that advertised a route.
	AcceptUnknownVTEPs bool
	// Retry is the first pause before a refused entry is tried again; it
	// doubles up to 64 times the value. 0 = 500 ms.
	Retry time.Duration
	// AuditInterval is how often the target's entries are compared with what it
	// acknowledged; 0 = only when the connection was made, and when asked. Some
	// targets forward nothing while they are read.
	AuditInterval time.Duration
	// DropSamples is of how many dropped frames a second, of each reason, a copy goes to the
	// controller: 0 = 1, -1 = of none.
	DropSamples int
	// Link reports whether a netdev is up, "" if that is not known, and how many frames it
	// could not receive and send; nil = not known.
	Link func(netdev string) (state view.State, received, sent uint64)
	// Program is what the target runs, if its tables have other sizes than ours; nil = ours.
	Program *p4configv1.P4Info
	Logger  *slog.Logger // nil = slog.Default
	Clock   Clock        // nil = the machine's; tests have their own
}

// SVI is what the API lacks of an SVI.
type SVI struct {
	// Unique says that no other gateway has the SVI's MAC and addresses.
	Unique bool
	// Centralised says that only gateways which say so too have them: leaves of the
	// bridge only bridge. Those that are neither are anycast.
	Centralised bool
	// Silent sends no IPv6 router advertisements.
	Silent bool
	// OtherSubnets says that hosts of its bridge may have addresses of subnets that are
	// not the SVI's. They are known in the bridge, and not routed to.
	OtherSubnets bool
}

// VRF is what the API lacks of a VRF.
type VRF struct {
	StaticRoutes []StaticRoute
}

// StaticRoute is one by a host of an attached subnet.
type StaticRoute struct {
	Prefix  netip.Prefix
	NextHop netip.Addr
}

// Duplicates is duplicate MAC detection, RFC 7432 section 15.1.
type Duplicates struct {
	Moves  int           // that many moves, 0 = 5, -1 = never detect
	Window time.Duration // within that time freeze the MAC; 0 = 180 s
	Freeze time.Duration // for that long; 0 = until it is cleared
}

// PortKind says what a port of the target is for.
type PortKind uint8

// The kinds of port. An uplink's host port is named by the uplink.
const (
	KindBridge PortKind = iota + 1
	KindUplink
)

// Port is one port of the target.
type Port struct {
	Name   string
	Number uint16 // P4 port, 1 to 509
	Kind   PortKind
	// HostPort and HostDevice are an uplink's host port: its P4 port and the
	// Linux netdev at it, which is the name that underlay paths have.
	HostPort   uint16
	HostDevice string
	// Netdev is what the port is for Linux, to show it; may be empty.
	Netdev  string
	MAC     ether.MAC // of a bridge port, to bind API objects by; may be zero
	MaxMACs int       // limit of MACs learned on a bridge port; 0 = the Config's MaxPortMACs
	// MaxAddresses limits the addresses of MACs on a bridge port; 0 = the Config's
	// MaxPortAddresses.
	MaxAddresses int
	// Trust says whether routers and DHCP servers may be behind a bridge port.
	Trust Trust
	// StackedTags has a trunk carry frames with a VLAN tag of their own inside
	// the bridge's, to other such trunks.
	StackedTags bool
	// Storm bounds what a bridge port has flooded; 0 = the Config's.
	Storm Storm
	// SourceGuard has stations behind a bridge port send from those addresses alone that are
	// bound to them: of static MACs and of DHCP. Not with StackedTags.
	SourceGuard bool
	// Everywhere has a bridge port carry all bridges without an object of the API that says so,
	// but those that one does.
	Everywhere bool
	StaticMACs []StaticMAC // sticky MACs that live on this port
}

// Storm is how many frames a second of one bridge port are flooded, by what they are to;
// -1 is any number.
type Storm struct{ Broadcast, Multicast, Unknown int }

// Trust is whether a tenant's router advertisements, redirects and answers of
// a DHCP server are forwarded in a bridge that has an SVI.
type Trust uint8

// What a port may be trusted with.
const (
	TrustByType Trust = iota // a trunk is trusted, an access port is not
	Trusted
	Untrusted
)

// StaticMAC is a MAC that is on its port for ever: it is never learned
// elsewhere and is advertised as sticky.
type StaticMAC struct {
	MAC  ether.MAC
	VLAN uint16 // the port's VLAN, which says the bridge; 0 on an access port
}

// maxPort is the last port that a configuration may name; above are the CPU's
// and the drop port.
const maxPort = p4.CPUPort - 1

// What is learned is bounded, whatever a tenant sends. Each default is far above what an
// honest one has: hosts of a hypervisor behind a port, bridges in the size of a data centre.
const (
	defaultMaxPortMACs        = 1024
	defaultMaxMACs            = 1 << 15 // an eighth of the table
	defaultMaxAddresses       = 64      // of a MAC
	defaultMaxPortAddresses   = 4 * defaultMaxPortMACs
	defaultMaxBridgeAddresses = 1 << 16 // an eighth of the tables of both families
	defaultMaxVTEPs           = 1 << 14
	defaultMaxReplicas        = 1 << 12 // of a bridge
	defaultMaxRoutes          = 1 << 17 // of a VRF and family, half of a table
	defaultStorm              = 10_000  // frames a second of a port and kind
)

func (c Config) withDefaults() Config {
	c.Ageing = cmp.Or(c.Ageing, 5*time.Minute)
	c.AddressAge = cmp.Or(c.AddressAge, 3*c.Ageing)
	c.MaxMACs = cmp.Or(c.MaxMACs, defaultMaxMACs)
	c.MaxPortMACs = cmp.Or(c.MaxPortMACs, defaultMaxPortMACs)
	c.MaxAddresses = cmp.Or(c.MaxAddresses, defaultMaxAddresses)
	c.MaxBridgeAddresses = cmp.Or(c.MaxBridgeAddresses, defaultMaxBridgeAddresses)
	c.MaxPortAddresses = cmp.Or(c.MaxPortAddresses, defaultMaxPortAddresses)
	c.MaxVTEPs = min(cmp.Or(c.MaxVTEPs, defaultMaxVTEPs), math.MaxUint16-1) // a bridge has no more replicas
	c.MaxReplicas = cmp.Or(c.MaxReplicas, defaultMaxReplicas)
	c.MaxRoutes = cmp.Or(c.MaxRoutes, defaultMaxRoutes)
	c.Storm = c.Storm.or(Storm{defaultStorm, defaultStorm, defaultStorm})
	c.DropSamples = cmp.Or(c.DropSamples, 1)
	c.Duplicates.Moves = cmp.Or(c.Duplicates.Moves, 5)
	c.Duplicates.Window = cmp.Or(c.Duplicates.Window, 180*time.Second)
	c.Retry = cmp.Or(c.Retry, 500*time.Millisecond)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Clock == nil {
		c.Clock = newSystemClock()
	}
	return c
}

func (c Config) check() error {
	if c.AS != 0 && !c.RouterID.Is4() {
		return errors.New("router id: want an IPv4 address")
	}
	seen := map[netip.Addr]bool{}
	for _, a := range c.VTEPs {
		if !a.Is4() {
			return fmt.Errorf("VTEP %v: want an IPv4 address", a)
		}
		if seen[a] {
			return fmt.Errorf("VTEP %v is there twice", a)
		}
		seen[a] = true
	}
	if c.Carrier.Up < 0 || c.Carrier.Down < 0 {
		return fmt.Errorf("carrier delays %v and %v: want times that are not negative", c.Carrier.Up, c.Carrier.Down)
	}
	if c.RouterMAC.IsMulticast() {
		return fmt.Errorf("router MAC %v is a group address", c.RouterMAC)
	}
	return errors.Join(checkStaticRoutes(c.VRFs), checkPorts(c.Ports))
}

func checkStaticRoutes(vrfs map[string]VRF) error {
	for id, v := range vrfs {
		seen := map[netip.Prefix]bool{}
		for _, st := range v.StaticRoutes {
			switch p := st.Prefix.Masked(); {
			case !destination(p):
				return fmt.Errorf("VRF %s: static route to %v: no packets are routed there", id, st.Prefix)
			case seen[p]:
				return fmt.Errorf("VRF %s: static route to %v is there twice", id, p)
			case !packet.IsHost(st.NextHop) || st.NextHop.Is4() != p.Addr().Is4():
				return fmt.Errorf("VRF %s: static route to %v: next hop %v: want a host's address of the same family", id, p,
					st.NextHop)
			default:
				seen[p] = true
			}
		}
	}
	return nil
}

func checkPorts(ports []Port) error {
	names, numbers := map[string]bool{}, map[uint16]string{}
	take := func(p Port, n uint16, what string) error {
		if n < 1 || n > maxPort {
			return fmt.Errorf("port %s: %s %d: want 1 to %d", p.Name, what, n, maxPort)
		}
		if other, ok := numbers[n]; ok {
			return fmt.Errorf("port %s: %s %d belongs to port %s", p.Name, what, n, other)
		}
		numbers[n] = p.Name
		return nil
	}
	for _, p := range ports {
		if p.Name == "" {
			return fmt.Errorf("port %d has no name", p.Number)
		}
		if names[p.Name] {
			return fmt.Errorf("port %s is there twice", p.Name)
		}
		names[p.Name] = true
		if err := take(p, p.Number, "number"); err != nil {
			return err
		}
		switch p.Kind {
		case KindUplink:
			if err := take(p, p.HostPort, "host port"); err != nil {
				return err
			}
		case KindBridge:
			if p.SourceGuard && p.StackedTags {
				return fmt.Errorf("port %s: source guard does not look behind tags: leave out stacked tags", p.Name)
			}
			for _, s := range p.StaticMACs {
				if s.MAC.IsZero() || s.MAC.IsMulticast() {
					return fmt.Errorf("port %s: static MAC %v is no station's address", p.Name, s.MAC)
				}
			}
		default:
			return fmt.Errorf("port %s: kind is neither bridge nor uplink", p.Name)
		}
	}
	return nil
}
