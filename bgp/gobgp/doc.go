// Package gobgp is the engine behind the front of p4evpn's BGP: GoBGP embedded, with the
// routes of ours in the types of package bgp.
//
// It is the one package of the gateway that knows GoBGP, and knows nothing of P4,
// bridges or their objects; of the kernel it knows the loopback connections between the
// front and GoBGP. Its state machine, timers and capabilities are those of each session;
// what it advertises are our routes alone, to each peer those that the peer's route target
// memberships (RFC 4684) ask for. It sees no other route of a peer: those are the front's
// to decode and to keep, so that nothing that a peer sends can upset GoBGP.
//
// For each session of a peer there is one connection to GoBGP, signed with a key that
// nobody else has, and a neighbour of GoBGP's that lives as long.
package gobgp
