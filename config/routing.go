package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/packet"
)

// SVI is what the API lacks of an SVI.
type SVI struct {
	// Gateway is "anycast", the default: leaves and other gateways of the subnet
	// may share the addresses, and they are not advertised; "unique": they are this
	// gateway's alone; or "centralised": only gateways with this setting share them.
	// The last two are advertised as a default gateway, and answer hosts behind VTEPs.
	Gateway string `yaml:"gateway"`
	// AdvertiseRouter sends IPv6 router advertisements; left out it does.
	AdvertiseRouter *bool `yaml:"advertise_router"`
	// OtherSubnets lets hosts of the bridge have addresses outside the SVI's subnets; left
	// out they are bridged to, and neither advertised nor answered for.
	OtherSubnets bool `yaml:"other_subnets"`
}

// Values of SVI.Gateway.
const (
	GatewayAnycast     = "anycast"
	GatewayUnique      = "unique"
	GatewayCentralised = "centralised"
)

// VRF is what the API lacks of a VRF: route targets in place of the default
// ones, and static routes.
type VRF struct {
	Import  []RouteTarget `yaml:"import_route_targets"` // left out: any AS with the VRF's VNI
	Export  []RouteTarget `yaml:"export_route_targets"` // left out: (AS mod 65536):VNI
	Statics []Static      `yaml:"statics"`
	// MaxRoutes is how many routes of each family the VRF has; 0: limits.routes_per_vrf.
	MaxRoutes uint32 `yaml:"max_routes"`
}

// Static is a static route by a host of a subnet of the VRF.
type Static struct {
	Prefix  Prefix `yaml:"prefix"`   // without host bits
	NextHop Addr   `yaml:"next_hop"` // a host of a subnet of the VRF
}

// SlowPath is what Linux does for the VRFs: a network namespace each.
type SlowPath struct {
	// Disabled leaves the kernel alone: gateways answer no ping and find no
	// silent hosts.
	Disabled bool `yaml:"disabled"`
	// Namespaces is the prefix of the namespaces' names, which must be ours
	// alone.
	Namespaces string `yaml:"namespaces"`
}

// Of SlowPath.Namespaces: the default, and what leaves room for a VRF's name.
const (
	defaultNamespaces = "p4evpn-"
	maxNamespaces     = 55
)

func (c *checker) checkRouting() {
	f := c.file
	if f.RouterMAC.IsMulticast() {
		c.fail("router_mac", "%v is a group address", f.RouterMAC)
	}
	for _, id := range slices.Sorted(maps.Keys(f.SVIs)) {
		switch f.SVIs[id].Gateway {
		case "", GatewayAnycast, GatewayUnique, GatewayCentralised:
		default:
			c.fail(fmt.Sprintf("svis.%s.gateway", id), "%q: want %s, %s or %s", f.SVIs[id].Gateway,
				GatewayAnycast, GatewayUnique, GatewayCentralised)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.VRFs)) {
		c.checkStatics(id, f.VRFs[id].Statics)
	}
	if n := f.SlowPath.Namespaces; n == "" || len(n) > maxNamespaces || strings.ContainsAny(n, "/ ") {
		c.fail("slow_path.namespaces", "%q: want the beginning of a namespace's name, such as %s", n, defaultNamespaces)
	}
}

func (c *checker) checkStatics(vrf string, statics []Static) {
	seen := map[Prefix]int{}
	for i, s := range statics {
		at := fmt.Sprintf("vrfs.%s.statics[%d]", vrf, i)
		p := s.Prefix
		switch {
		case !p.IsValid():
			c.fail(at+".prefix", "missing")
			continue
		case p.Masked() != p.Prefix:
			c.fail(at+".prefix", "%v has host bits: want %v", p, p.Masked())
		case p.Bits() > 0 && (p.Addr().IsMulticast() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast()):
			c.fail(at+".prefix", "%v: no packets are routed there", p)
		}
		if j, ok := seen[p]; ok {
			c.fail(at+".prefix", "%v is there already, as vrfs.%s.statics[%d]", p, vrf, j)
		}
		seen[p] = i
		if n := s.NextHop; !packet.IsHost(n.Addr) || n.Is4() != p.Addr().Is4() {
			c.fail(at+".next_hop", "%v: want a host's address of the prefix's family", n)
		}
	}
}
