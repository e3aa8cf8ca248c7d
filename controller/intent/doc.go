// Package intent holds what operators asked for: logical bridges, bridge ports,
// VRFs and SVIs, the rules they obey, and the store that keeps them over restarts.
//
// The whole model is in memory as immutable sorted tables; bbolt makes each
// transaction durable before it is visible or acknowledged. Rules are methods
// of the objects and run on the model alone, so that every way in (the API,
// the configuration, a file read at start) obeys the same ones.
//
// The package knows nothing of gRPC, BGP or P4. Fields in its errors have the
// names of the OPI EVPN GW API, which are the ones that operators write.
package intent
