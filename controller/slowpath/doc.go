// Package slowpath lets the Linux kernel do for the tenants' VRFs what a
// pipeline does not: answer ping, traceroute and path-MTU discovery, resolve
// hosts that nobody has heard of, and keep track of neighbours.
//
// Each VRF has a network namespace. In it stand one persistent tap per SVI, with
// the gateway's MAC and addresses, and one VRF tap, by which the default route
// leaves. A frame that the pipeline punted is given to Deliver and enters the
// tap of the bridge it came by, or the VRF tap when it came by an L3 VNI. What
// the kernel sends on a tap comes out at Config.Inject:
//
//	punted frame ──► Deliver ──► svi7, svi8 or vrf ──┐
//	                                                 │ namespace of the VRF
//	injected frame ◄── Config.Inject ◄── svi7, svi8, vrf
//
// Set says which VRFs and SVIs there are; one goroutine converges the kernel to
// it, and namespaces of our prefix that nobody wants any more go away. All of
// it outlives the process and is adopted by the next one.
//
// The package knows netlink, taps and namespaces, and that router advertisements
// have to be sent. It knows nothing of EVPN, of P4 or of who calls it.
package slowpath
