package controller

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// route is one EVPN route, the best of all peers' of its key, as the loop needs it. There
// are many: it is small.
type route struct {
	bgp.Key
	vtep         netip.Addr // where to send: next hop, or a type-3 route's tunnel
	routeTargets *routeTargetSet
	among        uint32 // its place in routeTargets.routes
	vni          uint32 // the encapsulation's; of a type-3 route 0 = the bridge's
	l3vni        uint32 // type 2: the VRF's, 0 = none
	sequence     uint32
	host         bool // type 2: the address is used
	sticky       bool
	gateway      bool
	immutable    bool         // type 2: the address is configured at its MAC (RFC 9047)
	flags        packet.Flags // type 2: of an IPv6 address
	overlay      bool         // it has an overlay index (RFC 9136), which we do not resolve
	// routerMAC is the inner destination of what is sent by an L3 VNI.
	routerMAC  ether.MAC
	preference bgp.Preference // of type 5
}

func (r *route) key() bgp.Key { return r.Key }

// prefix is that of a type 5; the host's of a type-2 route whose address is used; else
// invalid.
func (r *route) prefix() netip.Prefix {
	switch {
	case r.host:
		return single(r.IP)
	case r.Type == bgp.TypePrefix:
		return r.Prefix().Masked()
	}
	return netip.Prefix{}
}

// bgpChanged takes a batch of events of the speaker.
func (l *loop) bgpChanged(events []bgp.Event) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case bgp.RouteUpdate:
			l.routeUpdated(e.Peer, &e.Route)
		case bgp.RouteWithdraw:
			l.setRoute(e.Route.Key, nil)
		case bgp.Converged:
			l.bgpConverged()
		}
	}
}

// routeUpdated takes a route that is new or changed. One that cannot be used
// takes back what its key was before.
func (l *loop) routeUpdated(from netip.Addr, r *bgp.Route) {
	n := readRoute(r)
	if r.Type == bgp.TypeMACIP {
		l.readHost(n, r)
	}
	if reason, bad := n.unusable(); bad {
		l.stats.unusable[reason].Add(1)
		l.log.Debug("route cannot be used", "peer", from, "route", r.Key, "why", reason)
		n = nil
	} else {
		n.routeTargets = l.routeTargetSet(r.RouteTargets)
		l.countIdle(n)
	}
	l.setRoute(r.Key, n)
}

// readRoute takes what a route says, but for the host of a type 2.
func readRoute(r *bgp.Route) *route {
	n := &route{Key: r.Key, vtep: r.NextHop.Unmap(), vni: r.Label,
		sequence: r.Sequence, sticky: r.Sticky, gateway: r.DefaultGateway}
	switch r.Type {
	case bgp.TypePrefix:
		n.routerMAC, n.preference = r.RouterMAC, r.Preference
		n.overlay = r.GatewayIP.IsValid() && !r.GatewayIP.IsUnspecified() || !r.ESI.IsZero()
	case bgp.TypeMulticast:
		if r.Tunnel.IsValid() {
			n.vtep = r.Tunnel.Unmap()
		}
		if n.vni == 0 {
			n.vni = r.EthernetTag // RYU gives no PMSI and its VNI as the tag
		}
	}
	return n
}

// readHost takes what a type-2 route says beyond its MAC. Where that will not do
// the MAC alone is used.
func (l *loop) readHost(n *route, r *bgp.Route) {
	if !r.IP.IsValid() {
		return
	}
	if !packet.IsHost(r.IP) {
		l.stats.unusable[unusablePrefix].Add(1)
		return
	}
	n.host = true
	n.immutable, n.flags = r.ARPND.Flags&bgp.ARPNDImmutable != 0, readFlags(r)
	if r.Label2 == 0 {
		return // it is of its bridge alone
	}
	if r.RouterMAC.IsZero() || r.RouterMAC.IsMulticast() {
		l.stats.unusable[unusableRouterMAC].Add(1)
		return
	}
	n.l3vni, n.routerMAC = r.Label2, r.RouterMAC
}

// readFlags takes what a route says of an IPv6 address. It means nothing of an IPv4 one (RFC
// 9047 section 3.2), and a route that says nothing leaves it unknown.
func readFlags(r *bgp.Route) (flags packet.Flags) {
	if !r.ARPND.Said || !r.IP.Is6() {
		return 0
	}
	flags = packet.FlagsKnown | packet.FlagOverrideKnown
	if r.ARPND.Flags&bgp.ARPNDRouter != 0 {
		flags |= packet.FlagRouter
	}
	if r.ARPND.Flags&bgp.ARPNDOverride != 0 {
		flags |= packet.FlagOverride
	}
	return flags
}

type unusableReason uint8

// Why a route is left alone.
const (
	unusableType unusableReason = iota
	unusableNextHop
	unusableVNI
	unusableMAC
	unusableRouterMAC
	unusablePrefix
	unusableOverlay
	unusableOwn     // by ourselves
	unusableTargets // no bridge or VRF imports it
	unusableTag     // its Ethernet tag is that of no bridge which imports it
	unusableReasons
)

var unusableNames = [unusableReasons]string{"unsupported_type", "bad_next_hop", "bad_vni", "bad_mac", "bad_router_mac",
	"bad_prefix",
	"overlay_index", "own_next_hop", "no_import", "ethernet_tag"}

func (r unusableReason) String() string { return unusableNames[r] }

// unusable says what is wrong with a route, if anything is. A next hop is a VTEP
// of the underlay, IPv4 alone, and as such no host of a tenant's (packet.IsHost):
// one that cannot be reached has no path.
func (r *route) unusable() (unusableReason, bool) {
	switch {
	case r.Type != bgp.TypeMACIP && r.Type != bgp.TypeMulticast && r.Type != bgp.TypePrefix:
		return unusableType, true
	case r.overlay:
		return unusableOverlay, true
	case !r.vtep.Is4() || r.vtep.IsUnspecified() || r.vtep.IsMulticast() || r.vtep.IsLoopback():
		return unusableNextHop, true
	case r.vni >= 1<<24 || r.l3vni >= 1<<24 || r.vni == 0 && r.Type != bgp.TypeMulticast:
		return unusableVNI, true
	case r.Type == bgp.TypePrefix && (r.routerMAC.IsZero() || r.routerMAC.IsMulticast()):
		return unusableRouterMAC, true
	case r.Type == bgp.TypePrefix && !destination(r.prefix()):
		return unusablePrefix, true
	case r.Type == bgp.TypeMACIP && (r.MAC.IsZero() || r.MAC.IsMulticast()):
		return unusableMAC, true
	}
	return 0, false
}

// setRoute replaces the route of a key; nil is none. The new one comes before
// the old one goes, so that a VTEP in use is never without a user in between.
func (l *loop) setRoute(key bgp.Key, n *route) {
	old := l.routes.Find(key)
	if old != nil && n != nil {
		if n.among = old.among; *old == *n {
			return
		}
	}
	if old != nil {
		l.routes.Remove(old)
	}
	if n != nil {
		l.routes.Add(n)
		n.routeTargets.add(n)
		l.stats.routes[n.Type].Add(1)
		for _, b := range n.routeTargets.bridges {
			l.importRoute(b, n)
		}
		for _, v := range n.routeTargets.vrfs {
			l.importPrefix(v, n)
		}
	}
	if old == nil {
		return
	}
	for _, b := range old.routeTargets.bridges {
		l.unimportRoute(b, old)
	}
	for _, v := range old.routeTargets.vrfs {
		l.unimportPrefix(v, old)
	}
	l.stats.routes[old.Type].Add(-1)
	l.forgetRouteTargets(old)
}

// ownNextHop makes routes by an address that is ours from now on, or no longer,
// leave or come in.
func (l *loop) ownNextHop(a netip.Addr, ours bool) {
	for _, t := range l.routeTargets {
		for _, r := range t.routes {
			if r.vtep != a {
				continue
			}
			for _, b := range t.bridges {
				if ours {
					l.unimportRoute(b, r)
				} else {
					l.importRoute(b, r)
				}
			}
			for _, v := range t.vrfs {
				if ours {
					l.unimportPrefix(v, r)
				} else {
					l.importPrefix(v, r)
				}
			}
		}
	}
}
