package bgp

import "net/netip"

// UnicastRoute is an ipv4 or ipv6 unicast route of a peer: what decides which
// of several is best (RFC 4271 section 9.1.2).
type UnicastRoute struct {
	Prefix     netip.Prefix // no host bits
	NextHop    netip.Addr   // of the IP version of the prefix
	LocalPref  uint32       // 100 unless an iBGP peer says otherwise
	PathLength int          // of the AS path
	Origin     uint8        // 0 IGP, 1 EGP, 2 incomplete
	MED        uint32       // 0 if the route has none
	Internal   bool         // learned by iBGP
}

// UnicastEvent is one change of the unicast routes of one peer. What it
// promises of order, ends of sessions and graceful restart is what Event does.
// PeerUp and PeerDown come for neighbours that have a unicast family.
type UnicastEvent struct {
	Peer     netip.Addr
	Kind     Kind
	Graceful bool         // PeerDown: the peer's routes are kept for now
	Route    UnicastRoute // RouteUpdate: all of it; RouteWithdraw: the Prefix alone
}
