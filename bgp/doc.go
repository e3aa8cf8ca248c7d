// Package bgp is the EVPN speaker of p4evpn: GoBGP embedded, with EVPN routes
// in and out as small comparable types of our own.
//
// It knows BGP and nothing of P4, bridges or the kernel. What a route means
// for a bridge or a VRF, which of several routes wins and which MAC moved is
// for the controller to say.
//
// What comes in is the Adj-RIB-In of each peer, not a best path: two VTEPs may
// share a route distinguisher, and GoBGP's selection would hide one of them. An
// import policy keeps every remote EVPN route out of the Loc-RIB, so that only
// our own routes are ever advertised: a gateway is no transit and no reflector.
//
// What GoBGP cannot parse ends the session it came by (RFC 7606 section 5.3):
// broken NLRI, and any EVPN route type above 5, which GoBGP does not know.
//
// Data flows one way: peers, GoBGP's watcher, decode, the queue, Events.
package bgp
