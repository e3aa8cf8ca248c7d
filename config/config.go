package config

import "time"

// File is the configuration file. Bridges, bridge ports, VRFs and SVIs are
// not in it: they come by the API and are kept in the store.
type File struct {
	// AS is our AS number, RouterID our BGP identifier and the first half of
	// our route distinguishers. Without both BGP waits for the API to give them.
	AS       uint32 `yaml:"as"`
	RouterID Addr   `yaml:"router_id"`
	// VTEPs are our tunnel addresses, which the kernel of this network
	// namespace must have. Bridges that name none use the first.
	VTEPs []Addr `yaml:"vteps"`
	// Store is the file that keeps the API's objects.
	Store   string  `yaml:"store"`
	Target  Target  `yaml:"target"`
	API     API     `yaml:"api"`
	Metrics Metrics `yaml:"metrics"`
	BGP     BGP     `yaml:"bgp"`
	// Ports are the tenants' ports, Uplinks those towards the underlay.
	Ports    []Port   `yaml:"ports"`
	Uplinks  []Uplink `yaml:"uplinks"`
	Learning Learning `yaml:"learning"`
	// AcceptUnknownVTEPs terminates VXLAN from any source address, not only
	// from VTEPs that advertised a route to us.
	AcceptUnknownVTEPs bool `yaml:"accept_unknown_vteps"`
	// Bridges holds what the API lacks of a logical bridge, by its id.
	Bridges map[string]Bridge `yaml:"bridges"`
	// RouterMAC is our own in symmetric IRB; left out it follows from the first
	// VTEP. It is no anycast MAC.
	RouterMAC MAC `yaml:"router_mac"`
	// SVIs and VRFs hold what the API lacks of them, by their ids.
	SVIs     map[string]SVI `yaml:"svis"`
	VRFs     map[string]VRF `yaml:"vrfs"`
	SlowPath SlowPath       `yaml:"slow_path"`
}

// Target is the P4Runtime target.
type Target struct {
	// Address is "host:port", or "unix:PATH".
	Address    string `yaml:"address"`
	DeviceID   uint64 `yaml:"device_id"`
	ElectionID uint64 `yaml:"election_id"`
	// Embedded starts the embedded switch when nothing answers at Address.
	Embedded bool `yaml:"embedded"`
	// AuditInterval is how often the target's entries are compared with what it
	// acknowledged; 0 = never. Left out it is 10 minutes for the embedded
	// switch, and 0 for others: BMv2 forwards nothing while it is read.
	AuditInterval time.Duration `yaml:"audit_interval"`
}

// Metrics is where Prometheus scrapes, "host:port"; empty for nowhere.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// BGP is the embedded speaker.
type BGP struct {
	ListenAddresses []Addr     `yaml:"listen_addresses"`
	Port            int        `yaml:"port"`
	Neighbors       []Neighbor `yaml:"neighbors"`
	Underlay        Underlay   `yaml:"underlay"`

	GracefulRestart GracefulRestart `yaml:"graceful_restart"`
}

// Neighbor is one BGP peer.
type Neighbor struct {
	Address      Addr          `yaml:"address"`
	AS           uint32        `yaml:"as"`
	Port         uint16        `yaml:"port"`
	LocalAddress Addr          `yaml:"local_address"`
	Password     string        `yaml:"password"`
	Multihop     uint8         `yaml:"multihop"`
	Passive      bool          `yaml:"passive"`
	HoldTime     time.Duration `yaml:"hold_time"`
	Keepalive    time.Duration `yaml:"keepalive"`
	ConnectRetry time.Duration `yaml:"connect_retry"`
	MaxPrefixes  uint32        `yaml:"max_prefixes"`
	// Families are evpn, ipv4 and ipv6; none means evpn.
	Families []Family `yaml:"families"`
}

// Port is a tenant's port.
type Port struct {
	Name      string      `yaml:"name"`
	Number    uint16      `yaml:"number"`
	Interface string      `yaml:"interface"` // what the embedded switch opens
	MAC       MAC         `yaml:"mac"`
	MaxMACs   int         `yaml:"max_macs"`
	Static    []StaticMAC `yaml:"static_macs"`
}

// StaticMAC is a MAC that never leaves its port.
type StaticMAC struct {
	MAC  MAC    `yaml:"mac"`
	VLAN uint16 `yaml:"vlan"`
}

// Uplink is a port towards the underlay, with the host port beside it.
type Uplink struct {
	Name      string   `yaml:"name"`
	Number    uint16   `yaml:"number"`
	Interface string   `yaml:"interface"`
	Host      HostPort `yaml:"host"`
}

// HostPort is the Linux side of an uplink: the switch's port and interface, and
// the netdev at the other end, which has the underlay's address.
type HostPort struct {
	Number    uint16 `yaml:"number"`
	Interface string `yaml:"interface"`
	Device    string `yaml:"device"`
}

// Learning is how MACs of bridge ports are learned and forgotten.
type Learning struct {
	Ageing     time.Duration `yaml:"ageing"`
	MaxMACs    int           `yaml:"max_macs_per_bridge"`
	Duplicates Duplicates    `yaml:"duplicates"`
}

// Duplicates is duplicate MAC detection (RFC 7432 section 15.1).
type Duplicates struct {
	Moves  int           `yaml:"moves"`
	Window time.Duration `yaml:"window"`
	Freeze time.Duration `yaml:"freeze"`
}

// Bridge replaces a bridge's default route targets, such as "65000:100".
type Bridge struct {
	Import []RouteTarget `yaml:"import_route_targets"`
	Export []RouteTarget `yaml:"export_route_targets"`
}
