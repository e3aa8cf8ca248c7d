package underlayroute

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/bgp"
)

// hop is a next hop: an address on the link of a device.
type hop struct {
	link    int // interface index
	address netip.Addr
}

// hops are the next hops of one route.
type hops map[hop]struct{}

func (h hops) sorted() []hop {
	list := make([]hop, 0, len(h))
	for one := range h {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b hop) int { return cmp.Or(cmp.Compare(a.link, b.link), a.address.Compare(b.address)) })
	return list
}

func (h hops) String() string {
	var names []string
	for _, one := range h.sorted() {
		names = append(names, one.address.String())
	}
	return strings.Join(names, " ")
}

// best gives the next hops of all routes that are usable and that none is
// better than.
func (s *state) best(routes map[netip.Addr]bgp.UnicastRoute) hops {
	found := hops{}
	var first bgp.UnicastRoute
	for _, route := range routes {
		h, ok := s.onLink(route.NextHop)
		if !ok {
			continue
		}
		switch order := compare(route, first); {
		case len(found) == 0 || order < 0:
			first, found = route, hops{h: {}}
		case order == 0:
			found[h] = struct{}{}
		}
	}
	return found
}

// compare orders routes of one prefix, the best first (see the package's
// documentation); 0 means that both are used.
func compare(a, b bgp.UnicastRoute) int {
	internal := func(r bgp.UnicastRoute) int {
		if r.Internal {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(b.LocalPref, a.LocalPref),
		cmp.Compare(a.PathLength, b.PathLength),
		cmp.Compare(a.Origin, b.Origin),
		cmp.Compare(a.MED, b.MED),
		cmp.Compare(internal(a), internal(b)),
	)
}
