// Package front is the BGP speaker of p4evpn, as its peers see it: the sockets, which of
// two connections stays, what peers send and what becomes of it, limits, graceful restart.
//
// Behind it is an engine (package bgp/gobgp), to which each session has a connection of
// its own: from there come our OPEN, the KEEPALIVEs, the hold timer and the routes that we
// advertise, and there goes what says that the peer is alive and which routes it wants.
// Routes of peers never go there: they are decoded (package bgp/wire) and kept (package
// bgp/rib) here. So nothing that a peer sends can upset the engine, and what is unknown is
// passed over.
//
// Data flows one way: a peer's socket, its session's receiver, the table, Events. Each
// neighbour is one goroutine that decides, and others that read and write for it.
//
// It knows sockets, BGP's messages and sessions; it knows nothing of P4, of bridges, and
// of what is in the engine.
package front
