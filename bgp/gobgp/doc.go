// Package gobgp is the EVPN speaker of p4evpn: GoBGP embedded, with the routes and
// events of package bgp in and out.
//
// It is the one package of the gateway that knows GoBGP, and knows nothing of P4,
// bridges or their objects; of the kernel it knows the sockets of its sessions.
//
// What comes in is the Adj-RIB-In of each peer, not a best path of GoBGP's: package
// rib decides. An import policy keeps every remote EVPN route out of the Loc-RIB, so
// that only our own routes are ever advertised: a gateway is no transit and no
// reflector.
//
// What GoBGP cannot parse ends the session it came by (RFC 7606 section 5.3):
// broken NLRI, and any EVPN route type above 5, which GoBGP does not know.
//
// Data flows one way: peers, GoBGP's watcher, decode, rib, Events.
package gobgp
