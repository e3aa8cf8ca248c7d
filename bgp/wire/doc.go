// Package wire is the codec of BGP: messages, OPENs and NOTIFICATIONs in both
// directions, and what an UPDATE says of EVPN and unicast routes, as RFC 7606 has a
// receiver judge it.
//
// It knows bytes and the values of package bgp, and nothing of sockets, timers, sessions'
// states or what becomes of a route. Whatever bytes come in, it neither panics nor keeps
// them: what it gives owns its memory, except where a comment says otherwise. It judges
// routes by themselves: one that is well formed and of no use, such as one with an MPLS
// encapsulation, is a fault and its key is withdrawn.
//
// What of which RFC is done, and which test proves it, is in docs/standards.md.
package wire
