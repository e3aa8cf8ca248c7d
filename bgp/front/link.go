package front

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// SetLinks says which subnets are on links that have carrier: all of them, each time.
//
// A neighbour that must be on our link, and that was on one of them and is on none now, has lost
// it: its session ends at once, as when BFD loses the path, and its routes go, also with graceful
// restart (RFC 5882 section 4.3.2.2) and those that are kept while it is away (section 4.3.1): a
// link fails apart from the control plane behind it. One whose link is back is connected to soon.
// Of a neighbour that was on none of them, as one behind another device, nothing is known.
func (s *Speaker) SetLinks(subnets []netip.Prefix) {
	s.mu.Lock()
	before, as := s.links, s.identity.as
	s.links = append([]netip.Prefix{}, subnets...)
	neighbors := slices.Clone(s.neighbors)
	s.mu.Unlock()
	for _, n := range neighbors {
		cfg, was, is := n.config(), on(before, n.address), on(subnets, n.address)
		switch {
		case was == is || !onLink(&cfg, as):
		case was:
			n.endPath(pathEnd{reason: "the link to it has no carrier", independent: true,
				send: wire.Shutdown(wire.AdminReset, "the link to you has no carrier")})
		case before != nil:
			select {
			case n.linkBack <- struct{}{}:
			default: // it has not yet taken the last time
			}
		}
	}
}

// dialSoon has the next attempt to connect be made soon, whatever became of those before.
func (n *neighbor) dialSoon() {
	if n.session == nil && !n.excess.held() {
		n.dial.wait = 0
		n.dial.about(n.s.timing.firstRetry)
	}
}

// on reports whether an address is in one of some subnets.
func on(subnets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// onLink reports whether packets to a neighbour are routed by nobody, so that it can be
// reached by its link alone.
func onLink(n *bgp.Neighbor, as uint32) bool {
	return n.TTLSecurity == 1 || n.TTLSecurity == 0 && n.Multihop <= 1 && n.AS != as
}
