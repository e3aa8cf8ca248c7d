package controller

import (
	"fmt"

	"github.com/p4evpn/p4evpn/bgp"
)

// unselected says why nothing here uses a route, "" if something does.
func (l *loop) unselected(r *route) string {
	switch reason, useless := l.useless(r); {
	case useless && reason == unusableOwn:
		return "its next hop is ours"
	case useless:
		return "its MAC is our router MAC"
	case len(r.routeTargets.bridges)+len(r.routeTargets.vrfs) == 0:
		return "no bridge or VRF imports its route targets"
	}
	why := "no VRF imports it"
	if r.routable() {
		for _, v := range r.routeTargets.vrfs {
			if why = l.unselectedPrefix(v, r); why == "" {
				return ""
			}
		}
	}
	if r.Type == bgp.TypePrefix {
		return why
	}
	if l.misfit(r) {
		return fmt.Sprintf("its Ethernet tag %d is that of no bridge which imports its route targets", r.EthernetTag)
	}
	for _, b := range r.routeTargets.bridges {
		if !l.tagFits(b, r) {
			continue
		}
		if r.Type == bgp.TypeMulticast {
			why = b.unselectedFlood(r)
		} else {
			why = b.unselectedMAC(r)
		}
		if why == "" {
			return ""
		}
	}
	return why
}

// unselectedPrefix says why a VRF does not use a route that it imports, "" if it does.
func (l *loop) unselectedPrefix(v *vrf, r *route) string {
	routes := v.prefixes[r.prefix()]
	c := routes.find(r)
	if c == nil {
		return "no VRF imports it"
	}
	_, kind, _, best := l.choose(v, r.prefix())
	if kind == notOwn && best != nil {
		if n, _ := best.route.compare(r); n == 0 || routes.shares(c, best) {
			return "" // or one that says the same
		}
	}
	return v.passedOver(&routes, c, kind, best)
}

// passedOver says why a candidate of a prefix is not the one in use.
func (v *vrf) passedOver(all *candidates, c *candidate, own ownKind, best *candidate) string {
	switch {
	case !c.usable():
		return fmt.Sprintf("VTEP %v: %s", c.route.vtep, c.via.unresolved())
	case own != notOwn:
		return "this gateway has the prefix itself"
	case v.unassignable(c.route.prefix()):
		return "it is no host's address in a subnet of the VRF"
	}
	return better("another route", all.why(c, best))
}

// better says that something else is better than a route, and by which step.
func better(what string, by step) string {
	if by == stepNone {
		return what + " says the same"
	}
	return fmt.Sprintf("%s is better: %v", what, by)
}

// unselectedMAC says why a bridge does not use a type-2 route that it imports, "" if it
// does.
func (b *bridge) unselectedMAC(r *route) string {
	s := b.macs[r.MAC]
	if s == nil {
		return ""
	}
	const elsewhere = "another location of the MAC"
	c, here := b.selected(r.MAC, s)
	switch {
	case b.frozen(r.MAC) && (here || c == nil || c.route.vtep != r.vtep):
		return "the MAC is frozen where it is"
	case here:
		mine, _ := b.rankHere(r.MAC)
		_, by := mine.compare(r.rank())
		return better(elsewhere, by)
	case c.route.rank() == r.rank() && c.route.vni == r.vni:
		return "" // or one that says the same, with another IP or by another RD
	}
	n, by := c.route.compare(r)
	if n > 0 { // the better one was passed over
		return fmt.Sprintf("VTEP %v cannot be reached", r.vtep)
	}
	return better(elsewhere, by)
}

// unselectedFlood says why a bridge does not flood by a type-3 route that it imports, "" if
// it does.
func (b *bridge) unselectedFlood(r *route) string {
	rep := b.flood[r.vtep]
	if rep == nil || rep.routes.size() == 0 {
		return ""
	}
	if n, by := rep.routes.best().route.compare(r); n != 0 {
		return better("another route of the VTEP", by)
	}
	return ""
}
