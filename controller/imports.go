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

// imports says whether a bridge takes routes with these targets: those that
// were set by hand, else *:VNI. Neither VNI nor RD of a route matter.
func (l *loop) imports(b *bridge, rts bgp.RouteTargets) bool {
	wanted := l.importTargets(b)
	if wanted.Len() == 0 {
		return rts.MatchesVNI(b.VNI)
	}
	for rt := range wanted.All() {
		if rts.Contains(rt) {
			return true
		}
	}
	return false
}

// join imports into a bridge what matches it.
func (l *loop) join(b *bridge) {
	for _, t := range l.targets {
		if !l.imports(b, t.targets) {
			continue
		}
		t.bridges = append(t.bridges, b)
		for r := range t.routes {
			l.importRoute(b, r)
		}
	}
}

// leave takes all imported routes out of a bridge.
func (l *loop) leave(b *bridge) {
	for _, t := range l.targets {
		i := slices.Index(t.bridges, b)
		if i < 0 {
			continue
		}
		t.bridges = slices.Delete(t.bridges, i, i+1)
		for r := range t.routes {
			l.unimportRoute(b, r)
		}
	}
}
