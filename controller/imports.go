package controller

import (
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// targetSet is a set of route targets that routes carry, and the bridges and
// VRFs that import by it. Routes of one VNI share one, so that a match is found once.
type targetSet struct {
	targets bgp.RouteTargets
	bridges []*bridge
	vrfs    []*vrf
	routes  map[*route]struct{}
}

// targetSet gives the shared record of a set of route targets.
func (l *loop) targetSet(rts bgp.RouteTargets) *targetSet {
	t := l.targets[rts]
	if t == nil {
		t = &targetSet{targets: rts, routes: map[*route]struct{}{}}
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
		l.targets[rts] = t
	}
	return t
}

// forgetTargets takes a route out of its set, and the set away with its last
// route.
func (l *loop) forgetTargets(r *route) {
	delete(r.targets.routes, r)
	if len(r.targets.routes) == 0 {
		delete(l.targets, r.targets.targets)
	}
}

// imports reports whether a bridge takes routes with these targets.
func (l *loop) imports(b *bridge, rts bgp.RouteTargets) bool {
	return l.bridgeInstance(b).takes(b.VNI, rts)
}

// importsVRF reports whether a VRF takes routes with these targets.
func (l *loop) importsVRF(v *vrf, rts bgp.RouteTargets) bool {
	return l.vrfInstance(v).takes(v.VNI, rts)
}

// join makes what a bridge imports all that matches it, and nothing else.
func (l *loop) join(b *bridge) { l.follow(b, l.imports) }

// leave takes all imported routes out of a bridge.
func (l *loop) leave(b *bridge) {
	l.follow(b, func(*bridge, bgp.RouteTargets) bool { return false })
}

func (l *loop) follow(b *bridge, imports func(*bridge, bgp.RouteTargets) bool) {
	follow(l.targets, b, func(t *targetSet) *[]*bridge { return &t.bridges }, imports, l.importRoute, l.unimportRoute)
}

// joinVRF is join for VRFs, leaveVRF is leave.
func (l *loop) joinVRF(v *vrf) { l.followVRF(v, l.importsVRF) }

func (l *loop) leaveVRF(v *vrf) {
	l.followVRF(v, func(*vrf, bgp.RouteTargets) bool { return false })
}

func (l *loop) followVRF(v *vrf, imports func(*vrf, bgp.RouteTargets) bool) {
	follow(l.targets, v, func(t *targetSet) *[]*vrf { return &t.vrfs }, imports, l.importPrefix, l.unimportPrefix)
}

// follow makes a bridge or VRF one of those that import a set, or none, as imports
// says of it. All that is new comes before anything goes, so that a VTEP in use
// stays in use.
func follow[T comparable](
	sets map[bgp.RouteTargets]*targetSet, x T, importers func(*targetSet) *[]T,
	imports func(T, bgp.RouteTargets) bool, add, remove func(T, *route),
) {
	var lost []*targetSet
	for _, t := range sets {
		in := importers(t)
		i, now := slices.Index(*in, x), imports(x, t.targets)
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
