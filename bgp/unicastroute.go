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

// UnicastEvent is a change of unicast routes, whose key is the Prefix. PeerUp and
// PeerDown come for neighbours that have a unicast family.
type UnicastEvent = Change[UnicastRoute]
