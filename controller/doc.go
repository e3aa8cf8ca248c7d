// Package controller turns what operators asked for, what EVPN peers advertise,
// what hosts show of themselves and what the underlay can reach into the
// entries of the P4 target, and into our own EVPN routes.
//
// One goroutine, the loop, owns all state. Desired entries are a pure function
// of that state, computed key by key: an input marks the keys it may change,
// and controller/reconcile, to which the loop is the model, computes them, compares
// with what the target acknowledged and writes the difference.
//
//	intent, BGP, digests, underlay ──► loop state ──► marked keys ──► reconcile ──► target
//
// One file a concern: bridge.go, port.go and staticmac.go realise the API's
// objects, rib.go and imports.go keep the peers' routes, mobility.go selects, fdb.go,
// flood.go, vtep.go and adjacency.go say which entries follow, learn.go takes what
// the target learned, advertise.go gives our routes. For routing, vrf.go and svi.go
// realise the objects, snoop.go and neighbour.go learn who has which address,
// host.go and prefix.go select, export.go gives our routes, and punt.go is the
// way between the pipeline and the kernel's slow path. table.go says what is to be
// said of each type of entries, and entries.go says it; target.go, adopt.go and
// deferral.go are the rest of the model; status.go and view.go say what came of it.
//
// The package knows EVPN, package p4 and its five neighbours' small interfaces.
// It knows nothing of gRPC services, netlink or GoBGP.
package controller
