package controller

import (
	"cmp"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
)

// step is what told two routes of one key apart: one of bgp's for prefixes, or one of
// those that follow them.
type step uint8

// The steps beside those of bgp. None is that both say the same.
const (
	stepNone      = step(bgp.Equal)
	stepHost      = step(bgp.Steps) + iota // a host's route before a prefix's
	stepImmutable                          // of hosts
	stepSticky                             // of MACs and hosts
	stepSequence                           // of MACs and hosts, the higher one
	stepVTEP                               // the lower one, as of all that follow
	stepVNI
	stepL3VNI
	stepRouterMAC
	stepMAC
	stepFlags // the higher ones
	steps
)

var stepNames = [steps - step(bgp.Steps)]string{
	"", "a host's route before a prefix's", "configured at its MAC", "sticky", "sequence number", "lower VTEP",
	"lower VNI", "lower L3 VNI",
	"lower router MAC", "lower MAC", "flags of its address",
}

func (s step) String() string {
	if s < step(bgp.Steps) {
		return bgp.Step(s).String()
	}
	return stepNames[s-step(bgp.Steps)]
}

// rank is what selection compares of a MAC, wherever it is (RFC 7432 section 15): sticky
// first, then the higher sequence, then the lower VTEP address. A gateway's MAC (section
// 10.1) does not move and ranks as sticky.
type rank struct {
	sticky   bool
	sequence uint32
	vtep     netip.Addr
}

func (r *route) rank() rank { return rank{r.sticky || r.gateway, r.sequence, r.vtep} }

// compare is less than 0 if r comes before o, and says by which step.
func (r rank) compare(o rank) (int, step) {
	switch {
	case r.sticky != o.sticky:
		return ahead(r.sticky), stepSticky
	case r.sequence != o.sequence:
		return cmp.Compare(o.sequence, r.sequence), stepSequence
	case r.vtep != o.vtep:
		return r.vtep.Compare(o.vtep), stepVTEP
	}
	return 0, stepNone
}

func (r rank) beats(o rank) bool { n, _ := r.compare(o); return n < 0 }

// ahead is the comparison of one that has what the other has not.
func ahead(has bool) int {
	if has {
		return -1
	}
	return 1
}

// compare is less than 0 if r comes before another route of its key, and says by which
// step: MACs and hosts by RFC 7432 section 15, prefixes by RFC 4271 section 9.1.2.2. What
// these leave open is decided by what the routes say, so that the order in which they came
// means nothing; routes that are equal make the same entries. MED counts between routes by
// one neighbouring AS alone: over several this is no order (see contest).
func (r *route) compare(o *route) (int, step) {
	switch {
	case r.Type != o.Type:
		return ahead(r.Type == bgp.TypeMACIP), stepHost
	case r.Type == bgp.TypeMACIP:
		if n, by := r.rank().compare(o.rank()); n != 0 {
			return n, by
		}
	case r.Type == bgp.TypePrefix:
		if n, by := comparePreference(&r.preference, &o.preference); n != 0 {
			return n, by
		}
	}
	switch {
	case r.vtep != o.vtep:
		return r.vtep.Compare(o.vtep), stepVTEP
	case r.vni != o.vni:
		return cmp.Compare(r.vni-1, o.vni-1), stepVNI // 0, which a type-3 route may have, is none and the last
	case r.l3vni != o.l3vni:
		return cmp.Compare(r.l3vni, o.l3vni), stepL3VNI
	case r.routerMAC != o.routerMAC:
		return r.routerMAC.Compare(o.routerMAC), stepRouterMAC
	case r.MAC != o.MAC:
		return r.MAC.Compare(o.MAC), stepMAC
	case r.flags != o.flags:
		return cmp.Compare(o.flags, r.flags), stepFlags
	}
	return 0, stepNone
}

// comparePreference takes the steps of RFC 4271 section 9.1.2.2 that there are between
// routes of several NLRI: up to d, since BGP identifiers and addresses of peers say nothing
// of a VTEP.
func comparePreference(p, o *bgp.Preference) (int, step) {
	if n, by := p.Tier(o); n != 0 {
		return n, step(by)
	}
	switch {
	case p.NeighborAS == o.NeighborAS && p.MED != o.MED:
		return cmp.Compare(p.MED, o.MED), step(bgp.StepMED)
	case p.Internal != o.Internal:
		return ahead(!p.Internal), step(bgp.StepExternal)
	}
	return 0, stepNone
}

// group tells apart the routes of a key between which MED does not count: those of a
// prefix by their neighbouring AS.
func (r *route) group() uint64 { return uint64(r.Type)<<32 | uint64(r.preference.NeighborAS) }
