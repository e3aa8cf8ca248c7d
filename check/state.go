package check

import (
	"iter"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// State is all that decides where frames must end, at one moment.
type State struct {
	Settings
	Bridges    []intent.LogicalBridge
	Ports      []intent.BridgePort
	VRFs       []intent.VRF
	SVIs       []intent.SVI
	Instances  []intent.Instance
	StaticMACs []intent.StaticMAC
	// Routes are those of all peers, of each NLRI the best one.
	Routes []bgp.Route
	Known  view.Known
}

// TakeObjects takes the objects of a store.
func (s *State) TakeObjects(tx *intent.Tx) {
	s.Bridges, s.Ports, s.VRFs = tx.Bridges().List("", 0), tx.Ports().List("", 0), tx.VRFs().List("", 0)
	s.SVIs, s.Instances, s.StaticMACs = tx.SVIs().List("", 0), tx.Instances().List("", 0), tx.StaticMACs().List("", 0)
}

// TakeRoutes takes the best paths of those that peers told.
func (s *State) TakeRoutes(paths iter.Seq[bgp.Path]) {
	for p := range paths {
		if p.Best {
			s.Routes = append(s.Routes, p.Route)
		}
	}
}

// Settings are of the configuration file, and the API has none of them.
type Settings struct {
	VTEPs              []netip.Addr // ours, the first one for bridges and VRFs that name none
	TargetPorts        []TargetPort
	AcceptUnknownVTEPs bool
	// AnswersVXLAN are the SVIs, by id, that leaves have not: who asks for them by VXLAN is
	// answered. OtherSubnets are those whose bridges may have hosts of other subnets.
	AnswersVXLAN, OtherSubnets map[string]bool
	StaticRoutes               map[string][]StaticRoute // by VRF's id
}

// TargetPort is a port of the target: a bridge port, or an uplink with its Linux side.
type TargetPort struct {
	Name   string
	Number uint16
	// HostPort and HostDevice are an uplink's; 0 = it is a bridge port.
	HostPort   uint16
	HostDevice string
	MAC        ether.MAC
	// TrustAll and TrustNone replace that trunks are trusted and access ports are not.
	TrustAll, TrustNone               bool
	StackedTags, SourceGuard, Carries bool // Carries: all bridges that no object gives it otherwise
	StaticMACs                        []StaticMAC
}

// StaticMAC is one of the configuration.
type StaticMAC struct {
	MAC  ether.MAC
	VLAN uint16
}

// StaticRoute is one of the configuration.
type StaticRoute struct {
	Prefix  netip.Prefix
	NextHop netip.Addr
}
