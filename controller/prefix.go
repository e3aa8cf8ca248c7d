package controller

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/p4"
)

// importPrefix makes a route a candidate in a VRF, unless it is of no use there or does
// not say how to route to it.
func (l *loop) importPrefix(v *vrf, r *route) {
	if _, useless := l.useless(r); useless || !r.routable() {
		return
	}
	routes := v.prefixes[r.prefix()]
	routes.add(l.candidateInVRF(v, r), slotKey)
	v.prefixes[r.prefix()] = routes
	l.nextHopsMayChange(v, r.prefix(), &routes)
	v.imported[r.Type]++
	l.mark(p4.Route{VRF: v.Index, Prefix: r.prefix()})
}

func (l *loop) unimportPrefix(v *vrf, r *route) {
	routes := v.prefixes[r.prefix()]
	c := routes.find(r)
	if c == nil {
		return
	}
	w := routes.many
	if routes.remove(c); w != nil && routes.many == nil {
		l.leaveNextHops(w)
	}
	l.nextHopsMayChange(v, r.prefix(), &routes)
	if routes.size() > 0 {
		v.prefixes[r.prefix()] = routes
	} else {
		v.prefixes = without(v.prefixes, r.prefix(), &v.most)
	}
	v.imported[r.Type]--
	l.dropCandidate(c)
	l.mark(p4.Route{VRF: v.Index, Prefix: r.prefix()})
}

// routable reports whether a route leads to a prefix by the L3 VNI: a type 5, or a
// host of symmetric IRB (RFC 9135 section 5.2) that is no gateway.
func (r *route) routable() bool {
	return r.Type == bgp.TypePrefix || r.isHost() && r.l3vni != 0 && !r.IP.IsLinkLocalUnicast()
}

// encapsulation is the VNI by which a routable route is reached.
func (r *route) encapsulation() uint32 {
	if r.Type == bgp.TypePrefix {
		return r.vni
	}
	return r.l3vni
}

// reached is the best candidate of a prefix that can be reached, nil if there is
// none: hosts, which are type 2, first. What is no host's address in a subnet here is
// reached by none.
func (v *vrf) reached(p netip.Prefix) *candidate {
	routes := v.prefixes[p]
	c := routes.reached()
	if c != nil && v.unassignable(p) {
		return nil
	}
	return c
}

// unassignable reports whether a prefix is an address of a subnet here that is no host's.
func (v *vrf) unassignable(p netip.Prefix) bool {
	if !p.IsSingleIP() || !outermost(p.Addr(), 30) {
		return false
	}
	for _, s := range v.svis {
		if s.unassignable(p.Addr()) {
			return true
		}
	}
	return false
}

// nowhere are the prefixes to which no packets are routed, nor to any inside them (RFC
// 6890): all that IPv4 has for other ends than unicast, and what does not leave a link.
var nowhere = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, and what is reserved, limited broadcast in it
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// destination reports whether packets may be routed to a prefix. The default route is one,
// and so is what reaches further than a prefix of nowhere.
func destination(p netip.Prefix) bool {
	return p.IsValid() && !p.Addr().Is4In6() && !slices.ContainsFunc(nowhere, func(n netip.Prefix) bool {
		return n.Bits() <= p.Bits() && n.Contains(p.Addr())
	})
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
	switch {
	case kind == notOwn:
		return r, kind, nil, v.reached(p)
	case kind == ownHost:
		if at := s.bridge.locate(p.Addr()); at.here() || at.from.usable() {
			break
		}
		if c := v.reached(p); c != nil {
			return p4.Route{VRF: v.Index, Prefix: p}, notOwn, nil, c
		}
	}
	return r, kind, s, nil
}

// desiredRoute sends packets of a VRF to what has the prefix: this gateway, a
// host of an attached subnet, or the routers behind the best VTEPs.
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
	if w := v.prefixes[p].many; w != nil && w.group != nil {
		r.Kind, r.Group = p4.RouteVTEPs, w.group.id
		return r
	}
	r.Kind, r.VTEP, r.VNI = p4.RouteVTEP, c.via.id, c.route.encapsulation()
	r.Source, r.Destination = l.routerMAC, c.route.routerMAC
	return r
}
