package bgp

import "cmp"

// DefaultLocalPref is the degree of preference of a route that gives none: those of eBGP.
const DefaultLocalPref = 100

// Preference is what RFC 4271 section 9.1.2.2 compares of a route, up to the step in
// which the peers themselves are compared. The zero value is that of our own routes.
type Preference struct {
	LocalPref uint32 // DefaultLocalPref unless an iBGP peer says otherwise
	// NeighborAS is the first AS of the path, whose MED means something beside that of
	// another route; 0 for an empty path.
	NeighborAS uint32
	MED        uint32 // 0 if the route has none
	PathLength uint16 // of the AS path: a set counts as one, a confederation's segments as none
	Origin     uint8  // 0 IGP, 1 EGP, 2 incomplete
	Internal   bool   // learned by iBGP
}

// Step is the step of the decision process that told two routes apart.
type Step uint8

// The steps, in their order: RFC 4271 section 9.1.2.2, with those of RFC 4456 section 9.
// Equal is that none did.
const (
	Equal             Step = iota
	StepStale              // RFC 9494 section 4.4: not long-lived stale
	StepLocalPref          // the higher degree of preference
	StepPathLength         // a
	StepOrigin             // b
	StepMED                // c, of routes by one neighbouring AS
	StepExternal           // d: eBGP before iBGP
	StepRouterID           // f: the lower BGP identifier, or ORIGINATOR_ID
	StepClusterLength      // RFC 4456: the shorter CLUSTER_LIST
	StepAddress            // g: the lower address of the peer
	Steps
)

var stepNames = [Steps]string{"equal", "long-lived stale", "local preference", "AS path length", "origin", "MED",
	"eBGP before iBGP", "router id", "cluster list length", "peer address"}

// String is the step as `show` prints it.
func (s Step) String() string {
	if s < Steps {
		return stepNames[s]
	}
	return "step"
}

// Tier compares what comes before MED: less than 0 if p is preferred. Equal ones are of
// one tier, in which the routes of each neighbouring AS are compared by MED first and then
// what is left of each AS, since MED is no order between routes of several (RFC 4271
// section 9.1.2.2 c).
func (p *Preference) Tier(o *Preference) (int, Step) {
	switch {
	case p.LocalPref != o.LocalPref:
		return -cmp.Compare(p.LocalPref, o.LocalPref), StepLocalPref
	case p.PathLength != o.PathLength:
		return cmp.Compare(p.PathLength, o.PathLength), StepPathLength
	case p.Origin != o.Origin:
		return cmp.Compare(p.Origin, o.Origin), StepOrigin
	}
	return 0, Equal
}
