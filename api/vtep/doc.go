// Package vtep serves the REST API of RYU's rest_vtep and of evpn-for-ovn, so that
// scripts written for those work with a gateway: speakers, neighbors, networks and
// clients below /vtep.
//
// It keeps nothing of its own. A speaker is the store's Speaker, a neighbor a
// Neighbor, a network the LogicalBridge with that VNI (with an Instance for the
// route distinguisher and route target AS:VNI), a client a StaticMAC on a bridge
// port. So what is made here shows in the OPI EVPN GW API and in p4evpn.v1, and
// the other way round.
//
// A network's hosts are advertised by type-2 routes for a MAC with an IPv4 address
// alone (intent.Instance.MACIPOnly), since any other ends the originals' BGP thread, and
// its type-3 route has the VNI as its Ethernet tag (TaggedMulticast), as theirs do.
//
// It differs from the originals where those lose something or answer 500: what is
// there already is 409, but for a speaker that is the same and for clients; a client's port is
// a port of the gateway's configuration, and becomes an access port of the network
// if nothing else is attached to it. docs/two-data-centres.md compares call by call.
package vtep
