package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// contender is a path as the decision process sees it.
type contender struct {
	path       *path
	stale      bool // of long-lived graceful restart
	preference bgp.Preference
	routerID   netip.Addr
	clusters   uint16
}

// contend gives a path what the decision process compares.
func contend(a *path) contender {
	t := a.attributes.Value()
	c := contender{path: a, stale: a.longLived || t.LLGRStale, preference: t.Preference,
		routerID: a.peer.routerID, clusters: t.ClusterLength}
	if t.OriginatorID.IsValid() {
		c.routerID = t.OriginatorID // RFC 4456 section 9
	}
	if t.GracefulShutdown {
		c.preference.LocalPref = 0 // RFC 8326 section 4
	}
	return c
}

// tier compares what comes before MED: less than 0 if c is preferred.
func (c *contender) tier(o *contender) (int, bgp.Step) {
	if c.stale != o.stale { // RFC 9494 section 4.4
		return last(c.stale), bgp.StepStale
	}
	return c.preference.Tier(&o.preference)
}

// rest compares what comes after MED.
func (c *contender) rest(o *contender) (int, bgp.Step) {
	if c.preference.Internal != o.preference.Internal {
		return last(c.preference.Internal), bgp.StepExternal
	}
	if n := c.routerID.Compare(o.routerID); n != 0 {
		return n, bgp.StepRouterID
	}
	if n := cmp.Compare(c.clusters, o.clusters); n != 0 {
		return n, bgp.StepClusterLength
	}
	if n := c.path.peer.address.Compare(o.path.peer.address); n != 0 {
		return n, bgp.StepAddress
	}
	return 0, bgp.Equal
}

// last is the order of two of which only one is what is not preferred.
func last(is bool) int {
	if is {
		return 1
	}
	return -1
}

// decide gives the best of some paths, RFC 4271 section 9.1.2.2. MED is compared first
// among those of one neighbouring AS, so that their order means nothing; it reorders cs.
func decide(cs []contender) *contender {
	top := &cs[0]
	for i := range cs {
		if n, _ := cs[i].tier(top); n < 0 {
			top = &cs[i]
		}
	}
	first := *top
	cs = slices.DeleteFunc(cs, func(c contender) bool { n, _ := c.tier(&first); return n != 0 })
	slices.SortFunc(cs, func(a, b contender) int {
		if n := cmp.Compare(a.preference.NeighborAS, b.preference.NeighborAS); n != 0 {
			return n
		}
		return cmp.Compare(a.preference.MED, b.preference.MED)
	})
	best, low := &cs[0], &cs[0] // low has the lowest MED of its AS
	for i := range cs {
		c := &cs[i]
		if c.preference.NeighborAS != low.preference.NeighborAS {
			low = c
		} else if c.preference.MED != low.preference.MED {
			continue
		}
		if n, _ := c.rest(best); n < 0 {
			best = c
		}
	}
	return best
}

// lowestMEDs gives the lowest MED by neighbouring AS of the paths that are as good as the
// best one before MED.
func lowestMEDs(best *contender, all []contender) map[uint32]uint32 {
	lowest := make(map[uint32]uint32)
	for i := range all {
		p := &all[i].preference
		if n, _ := best.tier(&all[i]); n != 0 {
			continue
		}
		if low, other := lowest[p.NeighborAS]; !other || p.MED < low {
			lowest[p.NeighborAS] = p.MED
		}
	}
	return lowest
}

// step is the step that told the best path from another one.
func step(best, c *contender, lowest map[uint32]uint32) bgp.Step {
	if n, s := best.tier(c); n != 0 {
		return s
	}
	if lowest[c.preference.NeighborAS] < c.preference.MED {
		return bgp.StepMED
	}
	_, s := best.rest(c)
	return s
}

// settle puts the best path of a destination first after its paths changed, and has the
// consumer told if that is another one than was first. The peer is whose path it was.
func (t *Table) settle(p *Peer, d *destination, was *path) {
	if d.paths != nil && d.paths.next != nil {
		t.contenders = t.contenders[:0]
		for a := d.paths; a != nil; a = a.next {
			t.contenders = append(t.contenders, contend(a))
		}
		if best := decide(t.contenders).path; best != d.paths {
			d.replace(best, nil)
			d.add(best)
		}
	}
	if d.paths != was {
		t.news(p, d, was)
	}
}

// explain adds the paths of a destination as `show` has them.
func explain(d *destination, to []bgp.Path) []bgp.Path {
	var few [4]contender
	all := few[:0]
	for a := d.paths; a != nil; a = a.next {
		all = append(all, contend(a))
		to = append(to, bgp.Path{Route: a.route(&d.key), Peer: a.peer.address, Best: a == d.paths, Stale: a.stale()})
	}
	if len(all) < 2 {
		return to
	}
	rows, lowest := to[len(to)-len(all):], lowestMEDs(&all[0], all)
	for i := range rows[1:] {
		rows[i+1].Step = step(&all[0], &all[i+1], lowest)
	}
	rows[0].Step = step(&all[0], decide(slices.Clone(all[1:])), lowest)
	return to
}
