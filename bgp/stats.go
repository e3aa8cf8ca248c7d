package bgp

import "fmt"

// Reason is why a route of a peer was not taken. A route that is not taken is
// withdrawn, should an earlier one of its key have been.
type Reason uint8

// The reasons. Accepted is that there was none, Reasons is how many there are.
const (
	Accepted         Reason = iota
	BadRouteType            // an EVPN route type that is not 1 to 5
	BadRD                   // a route distinguisher of unknown type
	BadMAC                  // length other than 48, zero or multicast
	BadIP                   // host or originator address that no host can have
	BadPrefix               // a length out of range, or a prefix that is not routed
	BadLabel                // VNI 0 where one is needed
	BadNextHop              // none, unspecified or multicast
	BadEncapsulation        // encapsulation communities, and none is VXLAN
	BadTunnel               // a PMSI tunnel other than ingress replication, or none
	BadRouterMAC            // zero or multicast
	ASLoop                  // our own AS in the path
	BadNLRI                 // an NLRI whose fields do not fit its length
	BadAttribute            // a path attribute that is malformed or unknown
	MissingAttribute        // a mandatory path attribute that is not there
	BadCommunity            // an EVPN extended community of unknown sub-type
	BadMessage              // a message, or a part of an OPEN, that is malformed
	BadFamily               // a family that the session does not have
	RouterLoop              // our router id as ORIGINATOR_ID or in CLUSTER_LIST
	OverLimit               // more routes than the neighbour may send
	Reasons
)

var reasonNames = [Reasons]string{
	"accepted", "route_type", "rd", "mac", "ip", "prefix", "label", "next_hop",
	"encapsulation", "tunnel", "router_mac", "as_loop", "nlri", "attribute", "missing_attribute", "community",
	"message", "family", "router_loop", "limit",
}

// String is the name of the reason as metrics show it.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Stats counts what came from all peers since the start.
type Stats struct {
	Updates     uint64            // routes taken
	Withdrawals uint64            // routes withdrawn by peers or with their session
	Dropped     map[Reason]uint64 // routes not taken; reasons that never occurred are absent
}
