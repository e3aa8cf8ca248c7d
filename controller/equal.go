package controller

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// nextHop is the router behind a VTEP by which a prefix is reached: what a slot holds.
type nextHop struct {
	tunnelKey
	vni       uint32
	routerMAC ether.MAC
}

func (h nextHop) compare(o nextHop) int {
	return cmp.Or(h.remote.Compare(o.remote), h.local.Compare(o.local), cmp.Compare(h.vni, o.vni),
		h.routerMAC.Compare(o.routerMAC))
}

func (c *candidate) nextHop() nextHop {
	return nextHop{c.via.tunnelKey, c.route.encapsulation(), c.route.routerMAC}
}

// nextHopsKey is a set of next hops, in order, as the key of a map.
func nextHopsKey(hops []nextHop) string {
	b := make([]byte, 0, 18*len(hops))
	for _, h := range hops {
		b = append(appendIPv4(appendIPv4(b, h.remote), h.local), h.routerMAC[:]...)
		b = binary.BigEndian.AppendUint32(b, h.vni)
	}
	return string(b)
}

// appendIPv4 appends the address of a VTEP, all of which are IPv4.
func appendIPv4(b []byte, a netip.Addr) []byte { v := a.As4(); return append(b, v[:]...) }

// maxEqual is how many candidates are looked at for those that are equal to the best one: of
// a prefix that has more of its tier, the best one alone is used.
const maxEqual = 4 * p4.Slots

// nextHops are those of a prefix: of all routes that are equal to the best one whose VTEP can
// be reached, by the steps of RFC 4271 section 9.1.2.2 up to d. They are in order, and as
// many as there are slots at most. Routes whose VTEP cannot be reached give theirs too, so
// that the set stays the same when a VTEP is lost. Hosts, which are type 2, are at one VTEP.
func (s *candidates) nextHops() []nextHop {
	best := s.reached()
	if best == nil || best.route.Type != bgp.TypePrefix {
		return nil
	}
	tier, ok := s.tier(best)
	if !ok {
		return []nextHop{best.nextHop()}
	}
	type way struct {
		nextHop
		usable bool
	}
	ways := make([]way, 0, len(tier))
	lowest := leastMEDs(tier)
	for _, c := range tier {
		p := &c.route.preference
		if p.MED == lowest[p.NeighborAS].value && p.Internal == best.route.preference.Internal {
			ways = append(ways, way{c.nextHop(), c.usable()})
		}
	}
	slices.SortFunc(ways, func(a, b way) int { return a.compare(b.nextHop) })
	ways = slices.CompactFunc(ways, func(a, b way) bool { return a.nextHop == b.nextHop })
	if len(ways) > p4.Slots { // what leads somewhere first
		slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(boolRank(b.usable), boolRank(a.usable)) })
		ways = ways[:p4.Slots]
		slices.SortFunc(ways, func(a, b way) int { return a.compare(b.nextHop) })
	}
	hops := make([]nextHop, len(ways))
	for i, w := range ways {
		hops[i] = w.nextHop
	}
	return hops
}

// shares reports whether some flows of a prefix go by a candidate, beside the best one.
func (s *candidates) shares(c, best *candidate) bool {
	if s.many == nil || s.many.group == nil || !c.usable() || c.route.Type != bgp.TypePrefix {
		return false
	}
	p, o := &c.route.preference, &best.route.preference
	tier, _ := p.Tier(o)
	return tier == 0 && p.Internal == o.Internal && p.MED == s.leader(c).route.preference.MED &&
		slices.Contains(s.many.group.live, c.nextHop())
}

// slotsOf is how many slots lead to a candidate's next hop, 0 if its prefix has no others.
func (s *candidates) slotsOf(c *candidate) (n uint32) {
	if s.many == nil || s.many.group == nil {
		return 0
	}
	for _, h := range s.many.group.slots {
		if h == c.nextHop() {
			n++
		}
	}
	return n
}

// leastMED is the lowest MED of routes by one neighbouring AS.
type leastMED struct {
	value  uint32
	usable bool // of a route whose VTEP can be reached: others do not count then
}

func leastMEDs(tier []*candidate) map[uint32]leastMED {
	lowest := map[uint32]leastMED{}
	for _, c := range tier {
		is := leastMED{c.route.preference.MED, c.usable()}
		was, seen := lowest[c.route.preference.NeighborAS]
		if !seen || is.usable && !was.usable || is.usable == was.usable && is.value < was.value {
			lowest[c.route.preference.NeighborAS] = is
		}
	}
	return lowest
}

// tier are the candidates of a prefix that are equal to its best one by what comes before MED,
// in no order; false if there are too many to be looked at.
func (s *candidates) tier(best *candidate) (all []*candidate, ok bool) {
	seen := 0
	// It is asked of candidates before those that they precede, and says whether to go on.
	look := func(c *candidate) bool {
		if c.route.Type == bgp.TypePrefix {
			n, _ := c.route.preference.Tier(&best.route.preference)
			if n > 0 {
				return false
			}
			if n == 0 {
				all = append(all, c)
			}
		}
		seen++
		return seen <= maxEqual
	}
	if s.many == nil || s.many.crowd == nil {
		for c := range s.all() {
			look(c)
		}
		return all, true
	}
	for i := range s.many.crowd.sides {
		s.many.crowd.sides[i].order.walk(0, look)
	}
	return all, seen <= maxEqual
}

// walk looks at the candidates of groups from one on and of those that follow it in the heap,
// as long as look says so.
func (o order) walk(at int, look func(*candidate) bool) {
	if at >= len(o) || !o[at].walk(0, look) {
		return
	}
	o.walk(2*at+1, look)
	o.walk(2*at+2, look)
}

// walk reports whether it is to go on behind the best one.
func (g *group) walk(at int, look func(*candidate) bool) bool {
	if at >= len(g.members) || !look(g.members[at]) {
		return false
	}
	g.walk(2*at+1, look)
	g.walk(2*at+2, look)
	return true
}
