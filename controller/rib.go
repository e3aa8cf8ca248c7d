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
	vtep         netip.Addr // where to send: next hop, or a type-3 route's tunnel
	routeTargets *routeTargetSet
	prefix       netip.Prefix // type 5's; the host's of a type-2 route with an address
	vni          uint32       // the encapsulation's; of a type-3 route 0 = the bridge's
	l3vni        uint32       // type 2: the VRF's, 0 = none
	sequence     uint32
	mac          ether.MAC // type 2
	kind         bgp.RouteType
	sticky       bool
	gateway      bool
	overlay      bool // it has an overlay index (RFC 9136), which we do not resolve
	// routerMAC is the inner destination of what is sent by an L3 VNI.
	routerMAC ether.MAC
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
	n := &route{kind: r.Type, mac: r.MAC, vtep: r.NextHop.Unmap(), vni: r.Label,
		sequence: r.Sequence, sticky: r.Sticky, gateway: r.DefaultGateway}
	switch r.Type {
	case bgp.TypePrefix:
		n.prefix, n.routerMAC = r.Prefix().Masked(), r.RouterMAC
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

// countIdle counts a route that is kept and of no use now: that may change with
// our own objects.
func (l *loop) countIdle(r *route) {
	switch {
	case l.localVTEPs[r.vtep] > 0:
		l.stats.unusable[unusableOwn].Add(1)
	case len(r.routeTargets.bridges)+len(r.routeTargets.vrfs) == 0:
		l.stats.unusable[unusableTargets].Add(1)
	}
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
	n.prefix = single(r.IP)
	if r.Label2 == 0 {
		return // it is of its bridge alone
	}
	if r.RouterMAC.IsZero() || r.RouterMAC.IsMulticast() {
		l.stats.unusable[unusableRouterMAC].Add(1)
		return
	}
	n.l3vni, n.routerMAC = r.Label2, r.RouterMAC
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
	unusableReasons
)

var unusableNames = [unusableReasons]string{"unsupported_type", "bad_next_hop", "bad_vni", "bad_mac", "bad_router_mac",
	"bad_prefix",
	"overlay_index", "own_next_hop", "no_import"}

func (r unusableReason) String() string { return unusableNames[r] }

// unusable says what is wrong with a route, if anything is. A next hop is a VTEP
// of the underlay, IPv4 alone, and as such no host of a tenant's (packet.IsHost):
// one that cannot be reached has no path.
func (r *route) unusable() (unusableReason, bool) {
	switch {
	case r.kind != bgp.TypeMACIP && r.kind != bgp.TypeMulticast && r.kind != bgp.TypePrefix:
		return unusableType, true
	case r.overlay:
		return unusableOverlay, true
	case !r.vtep.Is4() || r.vtep.IsUnspecified() || r.vtep.IsMulticast() || r.vtep.IsLoopback():
		return unusableNextHop, true
	case r.vni >= 1<<24 || r.l3vni >= 1<<24 || r.vni == 0 && r.kind != bgp.TypeMulticast:
		return unusableVNI, true
	case r.kind == bgp.TypePrefix && (r.routerMAC.IsZero() || r.routerMAC.IsMulticast()):
		return unusableRouterMAC, true
	case r.kind == bgp.TypePrefix && !destination(r.prefix):
		return unusablePrefix, true
	case r.kind == bgp.TypeMACIP && (r.mac.IsZero() || r.mac.IsMulticast()):
		return unusableMAC, true
	}
	return 0, false
}

// destination reports whether packets may be routed to a prefix. Unlike a host's
// address (packet.IsHost) it may be all zeroes, the default route, and is never
// link-local.
func destination(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && !a.Is4In6() && (p.Bits() == 0 || !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast())
}

// setRoute replaces the route of a key; nil is none. The new one comes before
// the old one goes, so that a VTEP in use is never without a user in between.
func (l *loop) setRoute(key bgp.Key, n *route) {
	old := l.routes[key]
	if old != nil && n != nil && *old == *n {
		return
	}
	if n != nil {
		l.routes[key] = n
		n.routeTargets.routes[n] = struct{}{}
		l.stats.routes[n.kind].Add(1)
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
	if n == nil {
		delete(l.routes, key)
	}
	for _, b := range old.routeTargets.bridges {
		l.unimportRoute(b, old)
	}
	for _, v := range old.routeTargets.vrfs {
		l.unimportPrefix(v, old)
	}
	l.stats.routes[old.kind].Add(-1)
	l.forgetRouteTargets(old)
}

// importRoute makes a route a candidate in a bridge, unless it is our own.
func (l *loop) importRoute(b *bridge, r *route) {
	if l.localVTEPs[r.vtep] > 0 || r.kind == bgp.TypePrefix {
		return
	}
	if r.kind == bgp.TypeMulticast {
		l.addReplica(b, r)
		return
	}
	s := b.station(r.mac)
	was := s.best()
	if was != nil && was.route.vtep != r.vtep && r.rank().beats(was.route.rank()) {
		l.stats.moves[remoteToRemote].Add(1)
	}
	s.routes = append(s.routes, candidate{r, l.useTunnel(b.localVTEP, r.vtep)})
	l.changed(b, r.mac)
	if r.prefix.IsValid() {
		l.addHost(b, r)
	}
}

// unimportRoute takes a candidate out of a bridge.
func (l *loop) unimportRoute(b *bridge, r *route) {
	switch {
	case r.kind == bgp.TypeMulticast:
		l.removeReplica(b, r)
		return
	case r.kind == bgp.TypePrefix:
		return
	case r.prefix.IsValid():
		l.removeHost(b, r)
	}
	s := b.macs[r.mac]
	if s == nil {
		return
	}
	for i, c := range s.routes {
		if c.route != r {
			continue
		}
		s.routes[i] = s.routes[len(s.routes)-1]
		s.routes[len(s.routes)-1] = candidate{}
		if s.routes = s.routes[:len(s.routes)-1]; len(s.routes) == 0 {
			s.routes = nil
		}
		l.dropTunnel(c.via)
		l.changed(b, r.mac)
		return
	}
}

// ownNextHop makes routes by an address that is ours from now on, or no longer,
// leave or come in.
func (l *loop) ownNextHop(a netip.Addr, ours bool) {
	for _, t := range l.routeTargets {
		for r := range t.routes {
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
