// Package controllertest holds stand-ins for what surrounds the controller, for
// tests and benchmarks: a Speaker without BGP and an Underlay without a kernel,
// which feed it, and a View with the rows that a test gives, for what shows them.
//
// It knows the types that those exchange, and neither the controller nor GoBGP:
// tests inside both can use it. The P4Runtime target's stand-in is p4rttest, a BGP
// peer's bgptest; both speak their protocol.
package controllertest
