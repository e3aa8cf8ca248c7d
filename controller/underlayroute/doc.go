// Package underlayroute routes the underlay by BGP: it puts the ipv4 and ipv6
// unicast routes that neighbours advertise into the kernel's main table, and
// says which prefixes we advertise.
//
// Routes are ours by their protocol number and their metric: the
// package adds, replaces and deletes those and no others. The metric is worse
// than what the kernel, an operator or a DHCP client gives by default, so that
// a route of another origin is preferred; a prefix that has a route of another
// protocol with the same metric is left alone, with a warning.
//
// Of several routes for a prefix all that are equally good are used, as one
// multipath route: those with the highest local preference, then the shortest
// AS path, the lowest origin, the lowest MED (compared between any neighbours,
// so that the result does not depend on the order of arrival) and learned by
// eBGP rather than iBGP (RFC 4271 section 9.1.2.2). The next hop must be on the
// link of an uplink's device that is up; others are not used, nor resolved
// through other routes.
//
// A route is not installed if its prefix is, or lies within, the prefix of an
// address of this machine: neither our VTEPs nor a connected subnet can be
// taken away by a neighbour. A shorter prefix that contains them, such as a
// default route, cannot: the longest match wins.
//
// The kernel is read anew at each change, its own or BGP's, and corrected where
// it differs. Routes outlive the process: those that are there at the start
// stay, next hop by next hop, until BGP has said the same or otherwise; what
// nobody repeats goes when BGP has converged.
//
// The package knows bgp's unicast events and netlink; nothing of EVPN or P4.
package underlayroute
