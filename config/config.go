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
	Web     Web     `yaml:"web"`
	Metrics Metrics `yaml:"metrics"`
	Check   Check   `yaml:"check"`
	// Telemetry sends traces of API calls to a collector.
	Telemetry Telemetry `yaml:"telemetry"`
	// Liveness is where BFD runs.
	Liveness Liveness `yaml:"liveness"`
	BGP      BGP      `yaml:"bgp"`
	// Ports are the tenants' ports, Uplinks those towards the underlay.
	Ports   []Port   `yaml:"ports"`
	Uplinks []Uplink `yaml:"uplinks"`
	// Underlay is what is known of it besides the kernel's routes.
	Underlay Underlay `yaml:"underlay"`
	// CarrierDelay keeps a port that flaps from being used.
	CarrierDelay CarrierDelay `yaml:"carrier_delay"`
	Learning     Learning     `yaml:"learning"`
	Limits       TableLimits  `yaml:"limits"`
	Drops        Drops        `yaml:"drops"`
	// AcceptUnknownVTEPs terminates VXLAN from any source address, not only
	// from VTEPs that advertised a route to us.
	AcceptUnknownVTEPs bool `yaml:"accept_unknown_vteps"`
	// VTEPRoutes says which routes of the kernel may lead to a remote VTEP: "not_default",
	// all but a default route, which leads to one that is gone too; "host", those to its
	// address alone; or "all". Left out: not_default.
	VTEPRoutes string `yaml:"vtep_routes"`
	// Bridges holds what the API lacks of a logical bridge, by its id.
	Bridges map[string]Bridge `yaml:"bridges"`
	// RouterMAC is our own in symmetric IRB; left out it follows from the first
	// VTEP. It is no anycast MAC.
	RouterMAC MAC `yaml:"router_mac"`
	// SVIs and VRFs hold what the API lacks of them, by their ids.
	SVIs     map[string]SVI `yaml:"svis"`
	VRFs     map[string]VRF `yaml:"vrfs"`
	SlowPath SlowPath       `yaml:"slow_path"`
	OVN      OVN            `yaml:"ovn"`
}

// Target is the P4Runtime target.
type Target struct {
	// Address is "unix:PATH", or "host:port".
	Address string `yaml:"address"`
	// TLS is shown to a target that is reached by TCP.
	TLS        TargetTLS `yaml:"tls"`
	DeviceID   uint64    `yaml:"device_id"`   // of the target, as P4Runtime names it
	ElectionID uint64    `yaml:"election_id"` // the highest of all controllers is primary
	// Embedded starts the embedded switch when nothing answers at Address.
	Embedded bool `yaml:"embedded"`
	// Claim is how the embedded switch keeps the host's network stack off its
	// interfaces: tcx, clsact, nft, or auto for the first of them that works.
	Claim string `yaml:"claim"`
	// UnsafeSharedDevices lets the embedded switch use an interface that cannot
	// be claimed: whoever is behind it reaches this machine.
	UnsafeSharedDevices bool `yaml:"unsafe_shared_devices"`
	// AuditInterval is how often the target's entries are compared with what it
	// acknowledged; 0 = never. Left out it is 10 minutes for the embedded
	// switch, and 0 for others: BMv2 forwards nothing while it is read.
	AuditInterval time.Duration `yaml:"audit_interval"`
}

// Liveness is the process with the BFD sessions, which go on when p4evpn ends: the embedded
// switch's, or `p4evpn liveness` beside another target.
type Liveness struct {
	// Where the gateway asks for sessions, unix:PATH. Left out: NAME-liveness.sock where
	// target.address is unix:NAME.sock, else unix:/run/p4evpn/liveness.sock.
	Address string `yaml:"address"`
}

// TargetTLS names PEM files: all of them, or none. They are read for every new connection.
type TargetTLS struct {
	Certificate string `yaml:"certificate"` // ours
	Key         string `yaml:"key"`         // of our certificate
	CA          string `yaml:"ca"`          // the authorities that the target's certificate is of
	ServerName  string `yaml:"server_name"` // what that is for; left out: the host of the address
}

// Metrics is where Prometheus scrapes, "host:port"; empty for nowhere.
type Metrics struct {
	Listen string `yaml:"listen"` // "host:port" of /metrics; left out: nowhere
	Switch string `yaml:"switch"` // the same of the embedded switch that is started; left out: nowhere
	// The same of p4evpn liveness; the embedded switch has BFD's with its own.
	Liveness string `yaml:"liveness"`
}

// Check looks again and again whether the target does what objects, configuration and routes
// ask for. The embedded switch is read for that; of other targets it takes what they
// acknowledged.
type Check struct {
	// CPUPercent is how much of a core it may take, up to 100; left out: 1; 0: it looks only
	// when it is asked.
	CPUPercent float64 `yaml:"cpu_percent"`
}

// BGP is the embedded speaker.
type BGP struct {
	ListenAddresses []Addr      `yaml:"listen_addresses"` // left out: all
	Port            int         `yaml:"port"`             // 0: 179; -1: do not listen
	Neighbors       []Neighbor  `yaml:"neighbors"`        // others come by the API
	Underlay        BGPUnderlay `yaml:"underlay"`

	GracefulRestart GracefulRestart `yaml:"graceful_restart"`
}

// Neighbor is one BGP peer.
type Neighbor struct {
	Address      Addr   `yaml:"address"`       // needed
	AS           uint32 `yaml:"as"`            // needed; our own makes the session iBGP
	Port         uint16 `yaml:"port"`          // 0: 179
	LocalAddress Addr   `yaml:"local_address"` // source of the session
	Password     string `yaml:"password"`      // TCP MD5 (RFC 2385)
	Multihop     uint8  `yaml:"multihop"`      // TTL, for an eBGP neighbour that is not on our link
	// TTLSecurity is how many hops away the neighbour may be, 1 on our link: what comes
	// from further is not heard (RFC 5082). Both ends must have it; not with multihop.
	TTLSecurity uint8 `yaml:"ttl_security"`
	Passive     bool  `yaml:"passive"` // wait for the neighbour to connect
	// Shutdown keeps the neighbour and does not speak with it.
	Shutdown        bool          `yaml:"shutdown"`
	ShutdownMessage string        `yaml:"shutdown_message"` // what it is told then, up to 255 bytes (RFC 9003)
	HoldTime        time.Duration `yaml:"hold_time"`        // left out: 90s
	Keepalive       time.Duration `yaml:"keepalive"`        // left out: a third of the hold time
	ConnectRetry    time.Duration `yaml:"connect_retry"`    // left out: 10s
	MaxPrefixes     uint32        `yaml:"max_prefixes"`     // of each family; 0: 250000
	AllowOwnAS      uint8         `yaml:"allow_own_as"`     // how often our AS may be in an AS path, up to 10
	// Families are evpn, ipv4 and ipv6; none means evpn.
	Families []Family `yaml:"families"`
	// MACIPOnly tells the neighbour type-2 routes for a MAC with an IPv4 address
	// alone, which is all that RYU's rest_vtep can read.
	MACIPOnly bool `yaml:"mac_ip_only"`
	// NoARPND leaves the ARP/ND community (RFC 9047) out of what the neighbour is told:
	// GoBGP takes routes with one for withdrawn.
	NoARPND bool `yaml:"no_arp_nd"`
	// BFD watches the path to the neighbour, whose loss ends the session at once (RFC 5880,
	// 5882); {} does with the defaults. Left out: off.
	BFD *BFD `yaml:"bfd"`
}

// BFD is how a path is watched.
type BFD struct {
	Interval   time.Duration `yaml:"interval"`   // between two packets, 10ms to 1m; left out: 100ms
	Multiplier uint8         `yaml:"multiplier"` // after so many missing the path is lost; 0: 3
	// Hops is how many hops away the neighbour may be: 1 on our link (RFC 5881), else
	// multihop (RFC 5883). 0: ttl_security or multihop, else 1 for eBGP and 255 for iBGP.
	Hops uint8 `yaml:"hops"`
}

// Port is a tenant's port.
type Port struct {
	Name      string `yaml:"name"`      // a BridgePort with this id binds to the port
	Number    uint16 `yaml:"number"`    // of the target
	Interface string `yaml:"interface"` // what the embedded switch opens
	MAC       MAC    `yaml:"mac"`       // a BridgePort with this MAC binds to the port, if none does by name
	MaxMACs   int    `yaml:"max_macs"`  // how many are learned here; 0: learning.max_macs_per_port
	// MaxAddresses is how many addresses hosts here may have; 0: learning.max_addresses_per_port.
	MaxAddresses int         `yaml:"max_addresses"`
	Static       []StaticMAC `yaml:"static_macs"` // never learned elsewhere, advertised as sticky
	// Trusted lets routers and DHCP servers be behind the port where its bridge
	// has an SVI; left out: behind a trunk, not behind an access port.
	Trusted *bool `yaml:"trusted"`
	// StackedTags has a trunk carry frames with a VLAN tag inside the bridge's, to
	// other such trunks.
	StackedTags bool `yaml:"stacked_tags"`
	// Storm bounds what of the port is flooded.
	Storm Storm `yaml:"storm"`
	// SourceGuard has stations behind the port send from those addresses alone that static
	// MACs or DHCPv4 gave them, and from link-local IPv6 ones. Not with stacked_tags.
	SourceGuard bool `yaml:"source_guard"`
}

// Storm is how many frames a second of one port are flooded, by what they are to. 0 is what
// limits.storm says, and there 10000; -1 any number.
type Storm struct {
	Broadcast      int `yaml:"broadcast"`       // frames a second; 0: the default; -1: any number
	Multicast      int `yaml:"multicast"`       // the same
	UnknownUnicast int `yaml:"unknown_unicast"` // the same, of frames to stations that the bridge does not know
}

// StaticMAC is a MAC that never leaves its port.
type StaticMAC struct {
	MAC  MAC    `yaml:"mac"`  // needed
	VLAN uint16 `yaml:"vlan"` // the bridge's; 0: of an access port's bridge
}

// Uplink is a port towards the underlay, with the host port beside it.
type Uplink struct {
	Name      string   `yaml:"name"`      // as logs and metrics have it
	Number    uint16   `yaml:"number"`    // of the target
	Interface string   `yaml:"interface"` // what the embedded switch opens
	Host      HostPort `yaml:"host"`      // the host port beside the uplink
}

// HostPort is the Linux side of an uplink: the switch's port and interface, and
// the netdev at the other end, which has the underlay's address.
type HostPort struct {
	Number uint16 `yaml:"number"` // of the target
	// Interface is what the embedded switch opens. It is the gateway's to set down while the
	// uplink has no carrier, so that Device has none, and up.
	Interface string `yaml:"interface"`
	Device    string `yaml:"device"` // the netdev with the underlay's address
}

// CarrierDelay is for how long a port's carrier must be as it is before that counts.
type CarrierDelay struct {
	Up   time.Duration `yaml:"up"`   // carrier is there; left out: 100ms
	Down time.Duration `yaml:"down"` // it is gone; left out: 0s
}

// Learning is how MACs of bridge ports and their addresses are learned and forgotten.
type Learning struct {
	Ageing time.Duration `yaml:"ageing"` // how long a MAC may be silent; left out: 5m
	// AddressAge is how long an address of a host may go unheard: before, the host is
	// asked for it three times, and without an answer the address is withdrawn. Left out
	// it is three times the ageing.
	AddressAge time.Duration `yaml:"address_age"`
	// MaxMACs is how many MACs are learned in a bridge that says nothing else
	// (bridges.ID.max_macs); 0: 32768. MaxPortMACs is how many are on a port that says
	// nothing else (ports[N].max_macs); 0: 1024. Others are declined until there is room.
	MaxMACs     int `yaml:"max_macs_per_bridge"`
	MaxPortMACs int `yaml:"max_macs_per_port"`
	// MaxAddresses is how many addresses a MAC may have; 0: 64. One more replaces the one
	// that was not heard for the longest time.
	MaxAddresses int `yaml:"max_addresses_per_mac"`
	// MaxBridgeAddresses is how many addresses hosts on the ports of a bridge may have that
	// says nothing else (bridges.ID.max_addresses); 0: 65536. MaxPortAddresses is how many
	// those on a port may have that says nothing else (ports[N].max_addresses); 0: 4096.
	// Others are not taken until there is room.
	MaxBridgeAddresses int        `yaml:"max_addresses_per_bridge"`
	MaxPortAddresses   int        `yaml:"max_addresses_per_port"`
	Duplicates         Duplicates `yaml:"duplicates"`
}

// TableLimits bound what peers can make the gateway hold. Tables have shares besides.
type TableLimits struct {
	VTEPs    int `yaml:"vteps"`               // remote ones in use; 0: 16384
	Replicas int `yaml:"replicas_per_bridge"` // remote VTEPs that a bridge floods to; 0: 4096
	// Routes is how many routes of each family a VRF has, those to its hosts included, which
	// says nothing else (vrfs.ID.max_routes); 0: 131072.
	Routes int `yaml:"routes_per_vrf"`
	// Storm bounds what of a port is flooded that says nothing else (ports[N].storm). 0: 10000.
	Storm Storm `yaml:"storm"`
}

// Duplicates is duplicate MAC detection (RFC 7432 section 15.1).
type Duplicates struct {
	Moves  int           `yaml:"moves"`  // that many within the window freeze a MAC; left out: 5; -1: never
	Window time.Duration `yaml:"window"` // left out: 180s
	Freeze time.Duration `yaml:"freeze"` // for how long; 0: until `p4evpn clear duplicate`
}

// Bridge replaces a bridge's default route targets, such as "65000:100", and says
// what of its hosts is advertised and which Ethernet tag is its own.
type Bridge struct {
	Import []RouteTarget `yaml:"import_route_targets"` // left out: any AS with the bridge's VNI
	Export []RouteTarget `yaml:"export_route_targets"` // left out: (AS mod 65536):VNI
	// MACIPOnly advertises type-2 routes for a MAC with an IPv4 address alone, to
	// every neighbour.
	MACIPOnly bool `yaml:"mac_ip_only"`
	// EthernetTag is that of the bridge with peers of the VLAN-aware bundle service (RFC
	// 7432 section 6.3); left out: a tag other than 0 must be the bridge's VNI.
	EthernetTag uint32 `yaml:"ethernet_tag"`
	// TaggedMulticast says that the Ethernet tag of the bridge's type-3 route is its VNI, as
	// RYU's rest_vtep has it; left out: 0.
	TaggedMulticast bool `yaml:"tagged_multicast"`
	// LogicalSwitch is the name of the OVN logical switch that the bridge stretches.
	LogicalSwitch string `yaml:"logical_switch"`
	// DropUnknownUnicast drops frames to stations that the bridge does not know, in place of
	// flooding them.
	DropUnknownUnicast bool `yaml:"drop_unknown_unicast"`
	// MaxMACs is how many MACs are learned in the bridge; 0: learning.max_macs_per_bridge.
	MaxMACs uint32 `yaml:"max_macs"`
	// MaxAddresses is how many addresses hosts on the bridge's ports may have; 0:
	// learning.max_addresses_per_bridge.
	MaxAddresses uint32 `yaml:"max_addresses"`
}
