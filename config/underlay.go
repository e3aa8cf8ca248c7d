package config

import (
	"fmt"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// Underlay is the network between the VTEPs.
type Underlay struct {
	// NextHops are those of static routes of the kernel that have BFD too: one whose session
	// is not up leads to no VTEP (RFC 5882 section 5). Each is on the link of an uplink.
	NextHops []NextHop `yaml:"next_hops"`
}

// NextHop is a neighbour of the underlay that is watched.
type NextHop struct {
	Address Addr `yaml:"address"` // needed
	BFD     BFD  `yaml:"bfd"`     // left out: the defaults; hops is 1
}

// maxNextHops leaves BFD sessions for neighbours.
const maxNextHops = 512

// BGPUnderlay is how we route the underlay by the neighbours' ipv4 and ipv6
// families.
type BGPUnderlay struct {
	// Advertise are the prefixes that neighbours get; none means the VTEPs and
	// the connected prefixes of the uplinks' host devices.
	Advertise []Prefix `yaml:"advertise"`
}

// Values of vtep_routes.
const (
	VTEPRoutesNotDefault = "not_default"
	VTEPRoutesHost       = "host"
	VTEPRoutesAll        = "all"
)

// has reports whether the neighbour's session carries a family.
func (n *Neighbor) has(f bgp.Family) bool { return slices.Contains(n.Families, Family{f}) }

// unicast reports whether the neighbour's routes go into the kernel.
func (n *Neighbor) unicast() bool { return n.has(bgp.IPv4Unicast) || n.has(bgp.IPv6Unicast) }

// checkFamilies checks a neighbour's families. Those of its other IP version
// need next hops that RFC 8950 describes and that we do not speak.
func (c *checker) checkFamilies(at string, n *Neighbor) {
	for i, f := range n.Families {
		path := fmt.Sprintf("%s.families[%d]", at, i)
		if slices.Contains(n.Families[:i], f) {
			c.fail(path, "%v is there already", f)
		}
		if f.Family == bgp.IPv4Unicast && n.Address.Is6() || f.Family == bgp.IPv6Unicast && n.Address.Is4() {
			c.fail(path, "%v routes need a session over that IP version, and the neighbour's address is %v", f, n.Address)
		}
	}
}

func (c *checker) checkUnderlay() {
	switch c.file.VTEPRoutes {
	case VTEPRoutesNotDefault, VTEPRoutesHost, VTEPRoutesAll:
	default:
		c.fail("vtep_routes", "%q: want %s, %s or %s", c.file.VTEPRoutes, VTEPRoutesNotDefault, VTEPRoutesHost, VTEPRoutesAll)
	}
	c.checkNextHops()
	seen := map[Prefix]int{}
	for i, p := range c.file.BGP.Underlay.Advertise {
		path := fmt.Sprintf("bgp.underlay.advertise[%d]", i)
		if p.Masked() != p.Prefix {
			c.fail(path, "%v has host bits: want %v", p, p.Masked())
		}
		if a := p.Addr(); a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Is4In6() {
			c.fail(path, "%v: want a prefix of unicast addresses", p)
		}
		if j, ok := seen[p]; ok {
			c.fail(path, "%v is there already, as bgp.underlay.advertise[%d]", p, j)
		}
		seen[p] = i
	}
	if len(seen) > 0 && !slices.ContainsFunc(c.file.BGP.Neighbors, func(n Neighbor) bool { return n.unicast() }) {
		c.fail("bgp.underlay.advertise", "no neighbour has the family ipv4 or ipv6, so nobody would get them")
	}
}

func (c *checker) checkNextHops() {
	if n := len(c.file.Underlay.NextHops); n > maxNextHops {
		c.fail("underlay.next_hops", "%d: want at most %d", n, maxNextHops)
	}
	var addresses []Addr
	for i, h := range c.file.Underlay.NextHops {
		at := fmt.Sprintf("underlay.next_hops[%d]", i)
		switch a := h.Address; {
		case !a.IsValid():
			c.fail(at+".address", "missing")
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || a.Zone() != "":
			c.fail(at+".address", "%v: want the unicast address of a neighbour", a)
		case a.IsLinkLocalUnicast():
			c.fail(at+".address", "%v: BFD to link-local addresses cannot be had", a)
		}
		if err := h.BFD.check(); err != nil {
			c.fail(at+".bfd.interval", "%v", err)
		}
		if h.BFD.Hops > 1 {
			c.fail(at+".bfd.hops", "%d: a next hop is on our link, want 1 or none", h.BFD.Hops)
		}
		addresses = append(addresses, h.Address)
	}
	c.unique("underlay.next_hops", addresses)
}
