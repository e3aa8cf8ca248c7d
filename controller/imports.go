package controller

import (
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// routeTargetSet is a set of route targets that routes carry, and the bridges and
// VRFs that import by it. Routes of one VNI share one, so that a match is found once.
type routeTargetSet struct {
	set     bgp.RouteTargets
	bridges []*bridge
	vrfs    []*vrf
	routes  map[*route]struct{}
}

// routeTargetSet gives the shared record of a set of route targets.
func (l *loop) routeTargetSet(rts bgp.RouteTargets) *routeTargetSet {
	t := l.routeTargets[rts]
	if t == nil {
		t = &routeTargetSet{set: rts, routes: map[*route]struct{}{}}
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
	delete(r.routeTargets.routes, r)
	if len(r.routeTargets.routes) == 0 {
		delete(l.routeTargets, r.routeTargets.set)
	}
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
			for r := range t.routes {
				add(x, r)
			}
		case i >= 0 && !now:
			*in = slices.Delete(*in, i, i+1)
			lost = append(lost, t)
		}
	}
	for _, t := range lost {
		for r := range t.routes {
			remove(x, r)
		}
	}
}
