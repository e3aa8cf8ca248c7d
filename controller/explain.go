package controller

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// explanations say of each type of entries, of one that is desired, what it comes from.
var explanations = [p4.Types]func(l *loop, e entry) string{
	p4.TypeBridgePort: explain(func(l *loop, e p4.BridgePort) string {
		return fmt.Sprintf("the configuration has bridge port %s", l.ports[e.Port].Name)
	}),
	p4.TypeUplink: explain(func(l *loop, e p4.Uplink) string {
		return fmt.Sprintf("the configuration has uplink %s", l.uplinkName(e.Port))
	}),
	p4.TypeHostPort: explain(func(l *loop, e p4.HostPort) string {
		return fmt.Sprintf("it is the host's side of uplink %s", l.uplinkName(e.Uplink))
	}),
	p4.TypeLocalVTEP: explain(func(_ *loop, e p4.LocalVTEP) string {
		return fmt.Sprintf("%v is a VTEP address of this gateway", e.Address)
	}),
	p4.TypeRemoteVTEP: explain((*loop).explainRemoteVTEP),
	p4.TypeAdjacency: explain(func(_ *loop, e p4.Adjacency) string {
		return fmt.Sprintf("the kernel has %v for the next hop", e.Destination)
	}),
	p4.TypeEgressVLAN: explain(func(l *loop, e p4.EgressVLAN) string {
		return fmt.Sprintf("bridge port %s is in bridge %s", l.portName(l.bridges[e.Bridge], e.Port), l.bridgeName(e.Bridge))
	}),
	p4.TypeRouterInterface: explain(func(l *loop, e p4.RouterInterface) string { return l.explainGateway(e.Bridge) }),
	p4.TypeCloneSession: explain(func(_ *loop, e p4.CloneSession) string {
		if e.ID == p4.SampleCloneSession {
			return "samples of what is dropped go to the controller"
		}
		return "copies go to the controller"
	}),
	p4.TypeTunnel:      explain(func(l *loop, e p4.Tunnel) string { return l.explainTunnel(e.VTEP) }),
	p4.TypeUplinkSlot:  explain(func(l *loop, e p4.UplinkSlot) string { return l.explainUplinks(e.Group) }),
	p4.TypeUplinkGroup: explain(func(l *loop, e p4.UplinkGroup) string { return l.explainUplinks(e.ID) }),
	p4.TypePath: explain(func(l *loop, e p4.Path) string {
		return fmt.Sprintf("the kernel routes VTEP %v by uplink %s", l.tunnelByID[e.VTEP].remote, l.uplinkName(e.Port))
	}),
	p4.TypeFlows: explain(func(l *loop, e p4.Flows) string {
		by := l.uplinkGroups.byID[e.Group].names(l)
		return fmt.Sprintf("the kernel routes VTEP %v by %s", l.tunnelByID[e.VTEP].remote, by)
	}),
	p4.TypeReplica: explain(func(l *loop, e p4.Replica) string {
		return l.explainRoute(l.bridges[e.Bridge].replicas[e.Instance].routes.best())
	}),
	p4.TypeGroup: explain(func(l *loop, e p4.Group) string {
		return fmt.Sprintf("bridge %s floods to its ports and to VTEPs with a type-3 route", l.bridgeName(e.ID))
	}),
	p4.TypeVNI: explain(func(l *loop, e p4.VNI) string {
		return fmt.Sprintf("VNI %d is that of bridge %s", e.VNI, l.bridgeName(e.Bridge))
	}),
	p4.TypeL3VNI: explain(func(l *loop, e p4.L3VNI) string {
		return fmt.Sprintf("VNI %d is that of VRF %s", e.VNI, l.vrfName(e.VRF))
	}),
	p4.TypeMember: explain(func(l *loop, e p4.Member) string {
		return fmt.Sprintf("bridge port %s has it in bridge %s", l.ports[e.Port].attached[e.VLAN].by.ID,
			l.bridgeName(e.Bridge))
	}),
	p4.TypeSource: explain((*loop).explainSource),
	p4.TypeFDB:    explain(func(l *loop, e p4.FDB) string { return l.explainMAC(l.bridges[e.Bridge], e.MAC) }),
	p4.TypeTrap: explain(func(_ *loop, e p4.Trap) string {
		return fmt.Sprintf("the controller reads %v",
			e.Reason)
	}),
	p4.TypeRouterMAC:     explain((*loop).explainRouterMAC),
	p4.TypeRoute:         explain((*loop).explainPrefix),
	p4.TypeNextHopSlot:   explain(func(l *loop, e p4.NextHopSlot) string { return l.explainNextHops(e.Group) }),
	p4.TypeNextHopGroup:  explain(func(l *loop, e p4.NextHopGroup) string { return l.explainNextHops(e.ID) }),
	p4.TypeMultipath:     explain(func(l *loop, e p4.Multipath) string { return l.explainNextHops(e.Group) }),
	p4.TypeARPHost:       explain(func(l *loop, e p4.ARPHost) string { return l.explainAddress(e.Bridge, e.Address) }),
	p4.TypeNDHost:        explain(func(l *loop, e p4.NDHost) string { return l.explainAddress(e.Bridge, e.Address) }),
	p4.TypeGateway:       explain(func(l *loop, e p4.Gateway) string { return l.explainGuard(e.Bridge) }),
	p4.TypeGatewayTarget: explain(func(l *loop, e p4.GatewayTarget) string { return l.explainGuard(e.Bridge) }),
	p4.TypeGatewayMAC:    explain(func(l *loop, e p4.GatewayMAC) string { return l.explainGuard(e.Bridge) }),
	p4.TypeBoundSource: explain(func(l *loop, e p4.BoundSource) string {
		return fmt.Sprintf("bridge port %s is guarded, and the address is bound to %v", l.ports[e.Port].Name, e.MAC)
	}),
	p4.TypeNoFlood: explain(func(l *loop, e p4.NoFlood) string {
		return fmt.Sprintf("the instance of bridge %s drops frames to unknown stations", l.bridgeName(e.Bridge))
	}),
	p4.TypeSnooped: explain(func(l *loop, e p4.Snooped) string {
		return fmt.Sprintf("bridge %s has a guarded port: answers of DHCP servers are read", l.bridgeName(e.Bridge))
	}),
}

func explain[T p4.Typed](of func(l *loop, e T) string) func(*loop, entry) string {
	return func(l *loop, e entry) string { return of(l, e.(T)) }
}

func (l *loop) uplinkName(number uint16) string {
	return cmp.Or(l.targetPort(number), fmt.Sprint(number))
}

// names are the uplinks of a group, each with how many of its slots it has, if those are more
// than one.
func (g *uplinkGroup) names(l *loop) string {
	shares := map[string]int{}
	for _, h := range g.slots {
		shares[l.uplinkName(h.port)]++
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		if len(shares) > 1 {
			name = fmt.Sprintf("%s (%d of %d)", name, shares[name], len(g.slots))
		}
		all = append(all, name)
	}
	return "uplink " + strings.Join(all, ", ")
}

func (l *loop) explainUplinks(group uint16) string {
	g := l.uplinkGroups.byID[group]
	return fmt.Sprintf("the kernel routes %d VTEPs by %s", len(g.tunnels), g.names(l))
}

// names are the VTEPs of a group, each with how many of its slots it has.
func (g *nextHopGroup) names() string {
	shares := map[string]int{}
	for _, h := range g.slots {
		shares[h.remote.String()]++
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		all = append(all, fmt.Sprintf("%s (%d of %d)", name, shares[name], len(g.slots)))
	}
	return "VTEP " + strings.Join(all, ", ")
}

func (l *loop) explainNextHops(group uint16) string {
	g := l.nextHops.byID[group]
	return fmt.Sprintf("the routes of %d prefixes are equal: each has a share of their flows, by %s", g.users, g.names())
}

func (l *loop) vrfName(index uint16) string {
	if v := l.vrfs[index]; v != nil {
		return v.ID
	}
	return fmt.Sprint(index)
}

func (l *loop) explainRemoteVTEP(e p4.RemoteVTEP) string {
	if e.Prefix.Bits() == 0 {
		return "the configuration accepts unknown VTEPs"
	}
	return fmt.Sprintf("routes lead to VTEP %v", e.Prefix.Addr())
}

func (l *loop) explainTunnel(id uint16) string {
	t := l.tunnelByID[id]
	return fmt.Sprintf("routes lead to VTEP %v, from our %v", t.remote, t.local)
}

func (l *loop) explainGateway(bridge uint16) string {
	s := l.bridges[bridge].svi
	return fmt.Sprintf("SVI %s routes bridge %s in VRF %s", s.ID, s.Bridge, s.VRF)
}

func (l *loop) explainGuard(bridge uint16) string {
	return fmt.Sprintf("it is the gateway's, and nobody else's: SVI %s", l.bridges[bridge].svi.ID)
}

func (l *loop) explainRouterMAC(e p4.RouterMAC) string {
	if b := l.bridges[e.Bridge]; !l.ours(b, e.MAC) {
		return fmt.Sprintf("another gateway of bridge %s has the MAC, and what is for it is routed here", b.ID)
	}
	return l.explainGateway(e.Bridge)
}

func (l *loop) explainSource(e p4.Source) string {
	b := l.bridges[e.Bridge]
	if reason, is := b.declined[e.MAC][e.Port]; is && e.Verdict != p4.Known {
		return "declined: " + strings.ReplaceAll(reason.String(), "_", " ")
	}
	return l.explainMAC(b, e.MAC)
}

// explainMAC says why a MAC is where it is.
func (l *loop) explainMAC(b *bridge, mac ether.MAC) string {
	s := b.macs[mac]
	if s == nil {
		return "it is the gateway's"
	}
	switch c, here := b.selected(mac, s); {
	case here && s.static != 0:
		return fmt.Sprintf("it is configured at bridge port %s", l.portName(b, s.static))
	case here && s.local.expected:
		return fmt.Sprintf("another system has it at bridge port %s", l.portName(b, s.local.port))
	case here:
		return fmt.Sprintf("it was learned at bridge port %s", l.portName(b, s.local.port))
	case c == nil:
		return "it is held behind a VTEP that has withdrawn it"
	default:
		return l.explainRoute(c)
	}
}

// explainRoute is a route as people write it, and whose it is.
func (l *loop) explainRoute(c *candidate) string {
	row := routeRow(c.route.Key, c.route.routeTargets.set)
	text := fmt.Sprintf("route %s RD %s of VTEP %v", row.Key, row.RD, c.route.vtep)
	for _, p := range l.speaker.PathsOf(c.route.Key) {
		if p.Best {
			text += fmt.Sprintf(", from peer %v", p.Peer)
		}
	}
	if c.route.sequence != 0 {
		text += fmt.Sprintf(", sequence %d", c.route.sequence)
	}
	if c.route.sticky {
		text += ", sticky"
	}
	return text
}

// explainPrefix says what has a prefix of a VRF.
func (l *loop) explainPrefix(e p4.Route) string {
	v := l.vrfs[e.VRF]
	_, kind, s, c := l.choose(v, e.Prefix)
	switch kind {
	case ownAddress:
		if s == nil {
			return fmt.Sprintf("it is the loopback of VRF %s", v.ID)
		}
		return fmt.Sprintf("it is an address of SVI %s", s.ID)
	case ownHost:
		return l.explainAddress(s.bridge.Index, e.Prefix.Addr())
	case ownSubnet:
		return fmt.Sprintf("it is the subnet of SVI %s", s.ID)
	case ownStatic:
		return fmt.Sprintf("the configuration of VRF %s routes it to %v", v.ID, l.staticNextHop(v, e.Prefix))
	}
	text := l.explainRoute(c)
	if e.Kind == p4.RouteVTEPs {
		g := l.nextHops.byID[e.Group]
		text = fmt.Sprintf("%d routes are equal (%s): %s, and others", len(g.hops), g.names(), text)
	}
	return text
}

// explainAddress says why an address of a bridge is its MAC's.
func (l *loop) explainAddress(index uint16, ip netip.Addr) string {
	b := l.bridges[index]
	if b.svi.has(ip) {
		return fmt.Sprintf("it is an address of SVI %s", b.svi.ID)
	}
	at := b.locate(ip)
	switch {
	case at.claimed && at.from == nil && b.addresses[ip].claimant(byStatic) == at.mac:
		return fmt.Sprintf("%v is configured to have it", at.mac)
	case at.claimed:
		return fmt.Sprintf("%v was heard to have it; %s", at.mac, l.explainMAC(b, at.mac))
	case at.from == nil:
		return "nobody has it"
	}
	return l.explainRoute(at.from)
}
