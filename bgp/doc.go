// Package bgp says what the EVPN speaker of p4evpn is asked and what it tells: routes
// as small comparable types, neighbours, their states and events, and the checks of
// all that is configured or advertised. It is the contract of package bgp/gobgp, which
// is the speaker.
//
// It knows the values of BGP and their texts, and nothing of how sessions are held: no
// GoBGP, no sockets. So what only names a route target or a family links no BGP. What a
// route means for a bridge or a VRF, which of several routes wins and which MAC moved is
// for the controller to say.
package bgp
