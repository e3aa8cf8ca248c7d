// Package underlay follows the Linux kernel, by netlink, for what the pipeline
// needs to send VXLAN to another VTEP: through which uplinks, and from which to
// which MAC address.
//
// The kernel stays the authority: its routing table gives the next hops and its
// neighbour table their MAC addresses. This package asks the kernel to resolve
// what is missing, keeps in-use entries from going away, and publishes a Change
// whenever the answer for a tracked VTEP differs. It knows nothing of BGP, of
// EVPN or of P4.
package underlay
