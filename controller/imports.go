package controller

import (
	"log/slog"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// routeTargetSet is a set of route targets that routes carry, and the bridges and
// VRFs that import by it. Routes of one VNI share one, so that a match is found once.
type routeTargetSet struct {
	set     bgp.RouteTargets
	bridges []*bridge
	vrfs    []*vrf
	routes  []*route // in no order
}

func (t *routeTargetSet) add(r *route) {
	r.among = uint32(len(t.routes))
	t.routes = append(t.routes, r)
}

func (t *routeTargetSet) remove(r *route) {
	last := len(t.routes) - 1
	moved := t.routes[last]
	t.routes[r.among], moved.among = moved, r.among
	t.routes[last] = nil
	if t.routes = t.routes[:last]; cap(t.routes) > 4*last+64 {
		t.routes = slices.Clone(t.routes) // gives the memory of those that went back
	}
}

// routeTargetSet gives the shared record of a set of route targets.
func (l *loop) routeTargetSet(rts bgp.RouteTargets) *routeTargetSet {
	t := l.routeTargets[rts]
	if t == nil {
		t = &routeTargetSet{set: rts}
		for _, b := range l.byVNI {
			if l.imports(b, rts) {
				t.bridges = append(t.bridges, b)
			}
		}
		for _, v := range l.vrfByVNI {
			if l.importsVRF(v, rts) {
				t.vrfs = append(t.vrfs, v)
			}
		}
		l.routeTargets[rts] = t
	}
	return t
}

// forgetRouteTargets takes a route out of its set, and the set away with its last
// route.
func (l *loop) forgetRouteTargets(r *route) {
	r.routeTargets.remove(r)
	if len(r.routeTargets.routes) == 0 {
		delete(l.routeTargets, r.routeTargets.set)
	}
}

// useless says why a route that was kept is of no use to any bridge or VRF, false if it
// may be of some.
func (l *loop) useless(r *route) (unusableReason, bool) {
	switch {
	case l.localVTEPs[r.vtep] > 0:
		return unusableOwn, true
	case r.Type == bgp.TypeMACIP && (r.MAC == l.routerMAC || r.MAC == l.asker):
		return unusableMAC, true
	}
	return 0, false
}

// countIdle counts a route that is kept and of no use now: that may change with
// our own objects.
func (l *loop) countIdle(r *route) {
	reason, idle := l.useless(r)
	switch {
	case idle:
	case len(r.routeTargets.bridges)+len(r.routeTargets.vrfs) == 0:
		reason, idle = unusableTargets, true
	case l.misfit(r):
		reason, idle = unusableTag, true
	case r.isHost() && l.nobodys(r):
		reason, idle = unusablePrefix, true
	}
	if idle {
		l.stats.unusable[reason].Add(1)
	}
}

// isHost reports whether a type-2 route is one of a host's address. A gateway's is not.
func (r *route) isHost() bool {
	return r.host && !r.gateway
}

// tagFits reports whether a route can be of a bridge by its Ethernet tag (RFC 7432 section
// 6.3, RFC 8365 section 5.1.3): 0, the bridge's VNI, or the tag that its instance was given.
// Peers with VLAN-aware bundles have one route target for many broadcast domains.
func (l *loop) tagFits(b *bridge, r *route) bool {
	return r.EthernetTag == 0 || r.EthernetTag == b.VNI || r.EthernetTag == l.bridgeInstance(b).ethernetTag
}

// misfit reports whether bridges import a route by its route targets, and its Ethernet tag
// is that of none of them.
func (l *loop) misfit(r *route) bool {
	bridges := r.routeTargets.bridges
	return r.Type != bgp.TypePrefix && len(bridges) > 0 &&
		!slices.ContainsFunc(bridges, func(b *bridge) bool { return l.tagFits(b, r) })
}

// importRoute makes a route a candidate in a bridge, unless it is of no use there.
func (l *loop) importRoute(b *bridge, r *route) {
	if _, useless := l.useless(r); useless || r.Type == bgp.TypePrefix || !l.tagFits(b, r) {
		return
	}
	if r.Type == bgp.TypeMulticast {
		l.addReplica(b, r)
		return
	}
	s := b.station(r.MAC)
	was := s.best()
	if was != nil && was.route.vtep != r.vtep && r.rank().beats(was.route.rank()) {
		l.macMovedBy(remoteToRemote, b, r.MAC, vtepAttr("from", was), slog.String("to", "VTEP "+r.vtep.String()))
	}
	c := l.candidateIn(b, r)
	s.routes.add(c, slotKey)
	b.pin(r.MAC, s)
	if r.gateway {
		l.countOtherGateway(b, r, 1)
	}
	l.changed(b, r.MAC)
	l.recallFound(b, r.MAC)
	if r.isHost() {
		l.addHost(b, c)
	}
	l.countPeerGateway(b, r, 1)
}

// unimportRoute takes a route out of a bridge.
func (l *loop) unimportRoute(b *bridge, r *route) {
	switch r.Type {
	case bgp.TypeMulticast:
		l.removeReplica(b, r)
		return
	case bgp.TypePrefix:
		return
	}
	s := b.macs[r.MAC]
	if s == nil {
		return
	}
	c := s.routes.find(r)
	if c == nil {
		return
	}
	if r.isHost() {
		l.removeHost(b, c)
	}
	l.countPeerGateway(b, r, -1)
	s.routes.remove(c)
	b.unpin(r.MAC, c, s)
	if r.gateway {
		l.countOtherGateway(b, r, -1)
	}
	l.dropCandidate(c)
	l.changed(b, r.MAC)
}

// retag has a bridge import by the tag of its instance, which was another one.
func (l *loop) retag(b *bridge, was uint32) {
	is := l.bridgeInstance(b).ethernetTag
	if was == is {
		return
	}
	of := func(tag uint32, do func(*bridge, *route)) {
		for _, t := range l.routeTargets {
			if tag == 0 || tag == b.VNI || !slices.Contains(t.bridges, b) {
				continue
			}
			for _, r := range t.routes {
				if r.EthernetTag == tag {
					do(b, r)
				}
			}
		}
	}
	of(is, l.importRoute)
	of(was, l.unimportRoute)
}

// imports reports whether a bridge takes routes with these route targets.
func (l *loop) imports(b *bridge, rts bgp.RouteTargets) bool {
	return l.bridgeInstance(b).takes(b.VNI, rts)
}

// importsVRF reports whether a VRF takes routes with these route targets.
func (l *loop) importsVRF(v *vrf, rts bgp.RouteTargets) bool {
	return l.vrfInstance(v).takes(v.VNI, rts)
}

// importRoutes makes what a bridge imports all that matches it, and nothing else.
func (l *loop) importRoutes(b *bridge) { l.follow(b, l.imports) }

// unimportRoutes takes all imported routes out of a bridge.
func (l *loop) unimportRoutes(b *bridge) {
	l.follow(b, func(*bridge, bgp.RouteTargets) bool { return false })
}

func (l *loop) follow(b *bridge, imports func(*bridge, bgp.RouteTargets) bool) {
	importers := func(t *routeTargetSet) *[]*bridge { return &t.bridges }
	follow(l.routeTargets, b, importers, imports, l.importRoute, l.unimportRoute)
}

// importPrefixes is importRoutes for a VRF, unimportPrefixes is unimportRoutes.
func (l *loop) importPrefixes(v *vrf) { l.followVRF(v, l.importsVRF) }

func (l *loop) unimportPrefixes(v *vrf) {
	l.followVRF(v, func(*vrf, bgp.RouteTargets) bool { return false })
}

func (l *loop) followVRF(v *vrf, imports func(*vrf, bgp.RouteTargets) bool) {
	importers := func(t *routeTargetSet) *[]*vrf { return &t.vrfs }
	follow(l.routeTargets, v, importers, imports, l.importPrefix, l.unimportPrefix)
}

// follow makes a bridge or VRF one of those that import a set, or none, as imports
// says of it. All that is new comes before anything goes, so that a VTEP in use
// stays in use.
func follow[T comparable](
	sets map[bgp.RouteTargets]*routeTargetSet, x T, importers func(*routeTargetSet) *[]T,
	imports func(T, bgp.RouteTargets) bool, add, remove func(T, *route),
) {
	var lost []*routeTargetSet
	for _, t := range sets {
		in := importers(t)
		i, now := slices.Index(*in, x), imports(x, t.set)
		switch {
		case i < 0 && now:
			*in = append(*in, x)
			for _, r := range t.routes {
				add(x, r)
			}
		case i >= 0 && !now:
			*in = slices.Delete(*in, i, i+1)
			lost = append(lost, t)
		}
	}
	for _, t := range lost {
		for _, r := range t.routes {
			remove(x, r)
		}
	}
}
