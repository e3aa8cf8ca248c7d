// Package rib holds what BGP peers told us: the Adj-RIB-In (RFC 4271 section 3.2) of all
// peers, which of it is stale (RFC 4724, RFC 9494), and the queues of changes to those who
// use it.
//
// EVPN is in a Table, which decides between the paths of all peers to one NLRI (RFC 4271
// section 9.1.2) and tells of the best one. Unicast routes are in an AdjRIBIn for each
// peer, and its consumer, who makes several next hops of them, is told of each peer's.
//
// It knows the values of BGP, and nothing of messages, sessions and clocks: whoever holds
// the sessions says what happened to them, and when.
package rib
