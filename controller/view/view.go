// Package view holds the rows that operators see: what `p4evpn show` prints and
// the p4evpn.v1 View service serves. The controller fills them, the API only
// passes them on. It knows nothing of gRPC.
package view

import (
	"context"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// View is the controller's state as rows. Each call gives one consistent
// snapshot, which belongs to the caller, in any order (the API sorts). Calls may
// come from any goroutine; an error is one of ctx or says why the controller
// cannot answer. The API has a fake in its tests.
type View interface {
	Bridges(context.Context) ([]Bridge, error)
	// FDB gives the entries of one logical bridge by its id, "" for all. A
	// bridge that is unknown has none.
	FDB(ctx context.Context, bridge string) ([]FDBEntry, error)
	// MAC gives the entry of one MAC in each bridge that has it, with its claims.
	MAC(context.Context, ether.MAC) ([]MAC, error)
	VTEPs(context.Context) ([]VTEP, error)
	Routes(context.Context) ([]Route, error)
	Neighbors(context.Context) ([]Neighbor, error)
	// Ports gives the ports of the target, with what the pipeline counted if the
	// target answers.
	Ports(context.Context) ([]Port, error)
	// Entries gives the entries of one P4 table by its name, "" for all.
	Entries(ctx context.Context, table string) ([]Entry, error)
	VRFs(context.Context) ([]VRF, error)
	SVIs(context.Context) ([]SVI, error)
	// Hosts gives the addresses of one logical bridge by its id, "" for all.
	Hosts(ctx context.Context, bridge string) ([]Host, error)
	// Address gives one address in each bridge that has it.
	Address(context.Context, netip.Addr) ([]Host, error)
	// Prefixes gives the prefixes of one VRF by its id, "" for all; host routes
	// are among them. Several of one prefix are those that were to choose from.
	Prefixes(ctx context.Context, vrf string) ([]Prefix, error)
	// Lookup says what becomes of a packet to an address in a VRF; one that is
	// unknown has no candidates.
	Lookup(ctx context.Context, vrf string, address netip.Addr) (Lookup, error)
	// Drops gives a row for each reason for which the target dropped frames; ErrUnknown of a
	// port or bridge that there is not. It takes as long as the query says.
	Drops(context.Context, DropQuery) ([]Drop, error)
}

// State is whether something works.
type State string

// States.
const (
	Up      State = "up"
	Down    State = "down"    // Reason says why
	Pending State = "pending" // on its way: not acknowledged or not resolved yet
)

// Bridge is one logical bridge.
type Bridge struct {
	Name        string // id
	VLAN        uint16
	VNI         uint32       // 0: none
	VTEP        netip.Prefix // zero: none
	State       State
	Reason      string    // why it is not up
	Ports       []string  // ids of its bridge ports
	MACs        uint32    // entries of its FDB, local and remote
	RemoteVTEPs uint32    // replicas of its flood group
	Refusals    []Refusal // of addresses, by reason
}

// FDBKind is where a forwarding entry comes from.
type FDBKind string

// Kinds of forwarding entries.
const (
	Local  FDBKind = "local"  // learned on a bridge port
	Remote FDBKind = "remote" // a type-2 route
	Static FDBKind = "static" // configured
)

// FDBEntry is one MAC address of a bridge.
type FDBEntry struct {
	Bridge   string
	MAC      ether.MAC
	Kind     FDBKind
	Port     string     // local: id of the bridge port
	VTEP     netip.Addr // remote: where it is
	VNI      uint32     // remote: the encapsulation's VNI
	Sequence uint32     // MAC mobility (RFC 7432 section 7.7)
	Sticky   bool
	Age      time.Duration // since it was learned here or moved; 0: unknown
	State    State
	Reason   string // why it is not up: frozen as a duplicate, VTEP unresolved ...
}

// Path is one way to a VTEP over the underlay.
type Path struct {
	Uplink     string // netdev or port name
	Port       uint16 // the target's, 0 if it has none for the uplink
	NextHopMAC ether.MAC
}

// VTEP is one remote VTEP.
type VTEP struct {
	Address netip.Addr
	State   State
	Paths   []Path
	Bridges []string // ids of the bridges that flood or forward to it
	Reason  string   // why it is not up
}

// Direction of a route.
type Direction string

// Directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Route is one EVPN route of the Adj-RIB-In of a peer, or one of ours.
type Route struct {
	Direction    Direction
	Type         uint8 // 2, 3, 5
	RD           string
	RouteTargets []string // "65000:100"
	Key          string   // as FRR writes it: "[2]:[0]:[48]:[aa:bb:cc:dd:ee:ff]"
	NextHop      netip.Addr
	VNI          uint32
	Sequence     uint32
	Sticky       bool
	ARPND        string     // what the ARP/ND community says (RFC 9047)
	Peer         netip.Addr // in: whom we have it from
	Selected     bool       // it is used for forwarding, or (out) advertised
	Reason       string     // why it is not selected
	// Of a route in: what the decision process goes by (RFC 4271 section 9.1.2.2). Step is what
	// told it from the best one or, of the best, from the next; "" if it is alone.
	LocalPref, MED, NeighborAS uint32
	PathLength                 uint16
	Origin                     string // "IGP", "EGP", "incomplete"
	Internal                   bool   // learned by iBGP
	Stale                      bool   // kept for a peer that is away
	Step                       string
	// RouterMAC and L3VNI are of symmetric IRB.
	RouterMAC ether.MAC
	L3VNI     uint32
}

// Neighbor is one BGP peer.
type Neighbor struct {
	Address    netip.Addr
	AS         uint32
	State      string        // the FSM's, in lower case: "established", "active" ...
	Uptime     time.Duration // in this state
	Received   uint64        // EVPN routes in its Adj-RIB-In
	Advertised uint64        // EVPN routes that we advertise to it
	Reason     string        // why it is not established, if known
	Limit      uint32        // of routes of a family
	Shutdown   bool          // it is configured not to be spoken with
	RouterID   netip.Addr    // the peer's; zero before its first OPEN
	Families   []string      // "evpn", "ipv4", "ipv6"
	Unicast    uint64        // unicast routes in its Adj-RIB-In
	EndOfRIB   bool          // of EVPN
	Graceful   bool          // it does graceful restart, or is away and its routes are kept
	Losses     uint64        // sessions lost since the start
	LastLoss   string        // why the last one ended
	// FaultCounts say what was wrong with what it sent since the start, sorted by reason;
	// Faults are the last ten, the oldest first.
	FaultCounts []FaultCount
	Faults      []Fault
	BFD         *BFD // nil: it is off
}

// BFD is what is known of the path to a neighbour.
type BFD struct {
	// State is "admin_down", "down", "init" or "up", and RemoteState the peer's; both are
	// empty while the process that has the session is out of reach.
	State, RemoteState      string
	Uptime                  time.Duration // in State
	Transmission, Detection time.Duration // intervals of ours, without jitter; until the path is lost
	// LastDown is why it went down the last time, RemoteDiagnostic what the peer said last.
	LastDown, RemoteDiagnostic string
	Failures                   uint64 // losses of the path
	RemoteIndependent          bool   // the peer's C bit
	Trouble                    string // what is wrong on this side
}

// FaultCount is how often something was wrong.
type FaultCount struct {
	Reason string
	Count  uint64
}

// Fault is something that a peer sent and that was not taken as it stood.
type Fault struct {
	Time   time.Time
	Reason string
	What   string // "EVPN route type 6"
	Action FaultAction
	Bytes  []byte // its first
}

// FaultAction is what was done about a fault.
type FaultAction string

// Actions, the mildest first (RFC 7606 section 2).
const (
	Discarded    FaultAction = "discarded"
	Withdrawn    FaultAction = "withdrawn"
	SessionEnded FaultAction = "session ended"
)

// PortKind is what a port of the target is for.
type PortKind string

// Kinds of ports.
const (
	BridgePort PortKind = "bridge"
	Uplink     PortKind = "uplink"
	HostPort   PortKind = "host" // the Linux side of an uplink
)

// Port is one port of the target.
type Port struct {
	Name        string
	Kind        PortKind
	Number      uint16
	Netdev      string        // what the embedded switch opens; of a host port the one behind it
	Link        State         // its carrier, after the delays; "" if it is not known
	LinkAge     time.Duration // how long Link is so
	Losses      uint64        // times that carrier was lost, since the gateway started
	State       State         // whether the target uses the port and has its entry
	Reason      string
	BridgePorts []string // ids of bridge ports that are bound to it
	MACs        uint32   // learned on it
	// What the pipeline counted since it was loaded.
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	// Of PacketsIn those that were dropped by source guard, and by storm control.
	Spoofed, StormBroadcast, StormMulticast, StormUnknown uint64
	// Frames that the netdev could not receive or send.
	ErrorsIn, ErrorsOut uint64
	// Of a bridge port: whether its stations send from addresses alone that were given to them,
	// how many of these DHCP gave, and how many frames a second of it are flooded.
	SourceGuard bool
	Leases      uint32
	Storm       Storm
}

// Storm is how many frames a second are flooded, by what they are to; 0 is any number.
type Storm struct{ Broadcast, Multicast, Unknown uint32 }

// Entry is one desired entry of the target.
type Entry struct {
	Table string // "bridge.fdb", "multicast_group" ...
	Text  string // readable: key -> action
	Level uint8  // of dependency: lower ones are written first
	Acked bool   // the target holds it
	Error string // what the target said when it refused it
}
