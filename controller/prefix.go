package controller

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/p4"
)

// importPrefix makes a route a candidate in a VRF, unless it is our own or does
// not say how to route to it.
func (l *loop) importPrefix(v *vrf, r *route) {
	if l.localVTEPs[r.vtep] > 0 || !r.routable() {
		return
	}
	v.prefixes[r.prefix] = append(v.prefixes[r.prefix], candidate{r, l.useTunnel(v.localVTEP, r.vtep)})
	l.mark(p4.Route{VRF: v.Index, Prefix: r.prefix})
}

func (l *loop) unimportPrefix(v *vrf, r *route) {
	routes := v.prefixes[r.prefix]
	for i, c := range routes {
		if c.route != r {
			continue
		}
		last := len(routes) - 1
		routes[i], routes[last] = routes[last], candidate{}
		if v.prefixes[r.prefix] = routes[:last]; last == 0 {
			delete(v.prefixes, r.prefix)
		}
		l.dropTunnel(c.via)
		l.mark(p4.Route{VRF: v.Index, Prefix: r.prefix})
		return
	}
}

// routable reports whether a route leads to a prefix by the L3 VNI: a type 5, or a
// host of symmetric IRB (RFC 9135 section 5.2) that is no gateway.
func (r *route) routable() bool {
	return r.kind == bgp.TypePrefix || r.prefix.IsValid() && r.l3vni != 0 && !r.gateway &&
		!r.prefix.Addr().IsLinkLocalUnicast()
}

// encapsulation is the VNI by which a routable route is reached.
func (r *route) encapsulation() uint32 {
	if r.kind == bgp.TypePrefix {
		return r.vni
	}
	return r.l3vni
}

// usable reports whether the candidate's VTEP can be reached.
func (c *candidate) usable() bool { return c.via.adj != nil && c.via.id != 0 }

// precedes reports whether a candidate of a prefix comes before another: hosts
// (type 2) first, then by rank, which for type 5 is the lower VTEP; of equal ones the
// lower VNI and router MAC, so that the order of arrival means nothing.
func (c *candidate) precedes(o *candidate) bool {
	a, b := c.route, o.route
	switch {
	case a.kind != b.kind:
		return a.kind == bgp.TypeMACIP
	case a.rank().beats(b.rank()):
		return true
	case b.rank().beats(a.rank()):
		return false
	case a.encapsulation() != b.encapsulation():
		return a.encapsulation() < b.encapsulation()
	}
	return a.routerMAC.Compare(b.routerMAC) < 0
}

// reached is the best candidate of a prefix that can be reached, nil if there is
// none.
func (v *vrf) reached(p netip.Prefix) *candidate {
	var best *candidate
	routes := v.prefixes[p]
	for i := range routes {
		if c := &routes[i]; c.usable() && (best == nil || c.precedes(best)) {
			best = c
		}
	}
	return best
}

// imported counts the VRF's routes by type.
func (v *vrf) imported() (hosts, prefixes int64) {
	for _, routes := range v.prefixes {
		for _, c := range routes {
			if c.route.kind == bgp.TypePrefix {
				prefixes++
			} else {
				hosts++
			}
		}
	}
	return hosts, prefixes
}

// ownKind is what makes a prefix one of this gateway's own.
type ownKind uint8

// Kinds of own prefixes, the better ones first.
const (
	ownAddress ownKind = iota // of an SVI, or the loopback
	ownHost                   // a host of an attached subnet, local or behind a VTEP
	ownSubnet                 // of an SVI
	ownStatic                 // of the configuration, its next hop known
	notOwn
)

// own gives the entry of a prefix that this gateway has itself: those are better
// than what any peer says. The SVI is nil where none is meant.
func (l *loop) own(v *vrf, p netip.Prefix) (p4.Route, ownKind, *svi) {
	r := p4.Route{VRF: v.Index, Prefix: p}
	if ip := p.Addr(); p.IsSingleIP() {
		if ip == v.Loopback.Addr() {
			r.Kind = p4.RouteLocal
			return r, ownAddress, nil
		}
		if s := v.sviOf(ip); s.gateway(ip) {
			r.Kind = p4.RouteLocal
			return r, ownAddress, s
		} else if s != nil {
			if at := s.bridge.locate(ip); at.known() {
				r.Kind, r.Bridge, r.MAC = p4.RouteHost, s.bridge.Index, at.mac
				return r, ownHost, s
			}
		}
	}
	for _, s := range v.svis {
		for _, g := range s.Gateways {
			if g.Masked() == p {
				r.Kind = p4.RouteGlean
				return r, ownSubnet, s
			}
		}
	}
	for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
		if st.Prefix.Masked() != p {
			continue
		}
		if s := v.sviOf(st.NextHop); s != nil {
			if at := s.bridge.locate(st.NextHop); at.known() {
				r.Kind, r.Bridge, r.MAC = p4.RouteHost, s.bridge.Index, at.mac
				return r, ownStatic, s
			}
		}
	}
	return r, notOwn, nil
}

// choose says what has a prefix of a VRF: this gateway, or else the candidate,
// which is nil if nothing does. A host of an attached subnet whose VTEP cannot
// be reached gives way to a router that leads to it.
func (l *loop) choose(v *vrf, p netip.Prefix) (p4.Route, ownKind, *svi, *candidate) {
	r, kind, s := l.own(v, p)
	c := v.reached(p)
	if kind == ownHost && c != nil {
		if at := s.bridge.locate(p.Addr()); !at.here() && !s.bridge.reaches(at.route) {
			return p4.Route{VRF: v.Index, Prefix: p}, notOwn, nil, c
		}
	}
	return r, kind, s, c
}

// desiredRoute sends packets of a VRF to what has the prefix: this gateway, a
// host of an attached subnet, or the router behind the best VTEP.
func (l *loop) desiredRoute(id uint16, p netip.Prefix) entry {
	v := l.vrfs[id]
	if v == nil {
		return nil
	}
	r, kind, _, c := l.choose(v, p)
	if kind != notOwn {
		return r
	}
	if c == nil {
		return nil
	}
	r.Kind, r.VTEP, r.VNI = p4.RouteVTEP, c.via.id, c.route.encapsulation()
	r.Source, r.Destination = l.routerMAC, c.route.routerMAC
	return r
}

// settleTunnels has prefixes, MACs and hosts chosen anew that lead over tunnels
// which found or lost their path. A MAC with one route has no choice.
func (l *loop) settleTunnels() {
	if len(l.dirtyTunnels) == 0 {
		return
	}
	flipped := func(c candidate) bool { _, yes := l.dirtyTunnels[c.via]; return yes }
	for _, v := range l.vrfs {
		for p, routes := range v.prefixes {
			if slices.ContainsFunc(routes, flipped) {
				l.mark(p4.Route{VRF: v.Index, Prefix: p})
			}
		}
	}
	for _, b := range l.bridges {
		for mac, s := range b.macs {
			if !slices.ContainsFunc(s.routes, flipped) {
				continue
			}
			if len(s.routes) > 1 {
				l.mark(p4.FDB{Bridge: b.Index, MAC: mac})
			}
			for _, c := range s.routes {
				l.hostFlipped(b, c.route.prefix)
			}
		}
	}
	clear(l.dirtyTunnels)
}

// hostFlipped is called when the way to an address, invalid for none, was found or
// lost: it may be chosen anew where there is a choice.
func (l *loop) hostFlipped(b *bridge, p netip.Prefix) {
	h := b.hosts[p.Addr()]
	switch {
	case h == nil:
	case len(h.routes) > 1:
		l.hostChanged(b, p.Addr())
	case b.svi.covers(p.Addr()) && len(b.svi.vrf.prefixes[p]) > 0:
		l.mark(p4.Route{VRF: b.svi.vrf.Index, Prefix: p})
	}
}
