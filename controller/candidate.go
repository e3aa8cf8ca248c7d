package controller

import (
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/p4"
)

// candidate is an imported route in one bridge or VRF, and the tunnel to its VTEP. There
// are many: it is small.
type candidate struct {
	route *route
	via   *tunnel
	among int32    // its place in via.candidates
	at    [2]int32 // its place in a crowd, by slot
	owner uint16   // index of the bridge or VRF
	inVRF bool
}

// slot is which of two crowds a candidate's place is in.
type slot uint8

// A type-2 route with an address competes in its bridge for its MAC and for its address.
const (
	slotKey     slot = iota // of a MAC, a prefix or a VTEP
	slotAddress             // of an address of a bridge
)

// usable reports whether the candidate's VTEP can be reached.
func (c *candidate) usable() bool { return c.via.adj != nil && c.via.id != 0 }

// compare is less than 0 if a candidate comes before another of its contest, and says by which
// step. Where they compete for an address, and not for a MAC, one whose address is configured
// at its MAC comes first (RFC 9047 section 3.2).
func (c *candidate) compare(o *candidate, in slot) (int, step) {
	if (in == slotAddress || c.inVRF) && c.route.immutable != o.route.immutable && c.route.Type == o.route.Type {
		return ahead(c.route.immutable), stepImmutable
	}
	return c.route.compare(o.route)
}

// precedes reports whether a candidate comes before another of its contest.
func (c *candidate) precedes(o *candidate, in slot) bool { n, _ := c.compare(o, in); return n < 0 }

// candidateIn makes a route a candidate in a bridge, and counts a user of its tunnel.
func (l *loop) candidateIn(b *bridge, r *route) *candidate {
	return l.use(&candidate{route: r, via: l.useTunnel(b.localVTEP, r.vtep), owner: b.Index})
}

// candidateInVRF is candidateIn for a VRF.
func (l *loop) candidateInVRF(v *vrf, r *route) *candidate {
	return l.use(&candidate{route: r, via: l.useTunnel(v.localVTEP, r.vtep), owner: v.Index, inVRF: true})
}

func (l *loop) use(c *candidate) *candidate {
	c.among = int32(len(c.via.candidates))
	c.via.candidates = append(c.via.candidates, c)
	return c
}

// dropCandidate is called when a candidate competes for nothing any more.
func (l *loop) dropCandidate(c *candidate) {
	t := c.via
	last := len(t.candidates) - 1
	moved := t.candidates[last]
	t.candidates[c.among], moved.among = moved, c.among
	t.candidates[last] = nil
	if t.candidates = t.candidates[:last]; cap(t.candidates) > 4*last+64 {
		t.candidates = slices.Clone(t.candidates) // gives the memory of those that went back
	}
	l.dropTunnel(t)
}

// tunnelFlipped has chosen anew what leads over a tunnel that found or lost its path.
func (l *loop) tunnelFlipped(t *tunnel) {
	l.nextHopsOver(t)
	for _, c := range t.candidates {
		switch r := c.route; {
		case c.inVRF:
			v := l.vrfs[c.owner]
			routes := v.prefixes[r.prefix()]
			routes.flipped(c)
			if l.nextHopsMayChange(v, r.prefix(), &routes); routes.many == nil || routes.many.group == nil {
				l.mark(p4.Route{VRF: v.Index, Prefix: r.prefix()})
			}
		case r.Type == bgp.TypeMulticast:
			l.bridges[c.owner].flood[r.vtep].routes.flipped(c)
		default:
			l.macFlipped(l.bridges[c.owner], c)
		}
	}
}

// macFlipped marks what may be chosen anew of a MAC and its address. A MAC with one route
// has no choice.
func (l *loop) macFlipped(b *bridge, c *candidate) {
	r := c.route
	if s := b.macs[r.MAC]; s.routes.size() > 1 {
		s.routes.flipped(c)
		l.mark(p4.FDB{Bridge: b.Index, MAC: r.MAC})
	}
	if !r.isHost() {
		return
	}
	ip := r.IP
	switch a := b.addresses[ip]; {
	case a == nil:
	case a.routes.size() > 1:
		a.routes.flipped(c)
		l.addressChanged(b, ip)
	case b.svi.covers(ip):
		if leads := b.svi.vrf.prefixes[r.prefix()]; leads.size() > 0 {
			l.mark(p4.Route{VRF: b.svi.vrf.Index, Prefix: r.prefix()})
		}
	}
}
