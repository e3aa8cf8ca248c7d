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
	if c.stale != o.stale { // RFC 9494 section 4.3
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

// step is the step that told the best path from another one. Where that would win of the
// two, it lost to a third one of its neighbouring AS, by MED.
func step(best, other *contender) bgp.Step {
	n, s := best.tier(other)
	if n == 0 && best.preference.NeighborAS == other.preference.NeighborAS {
		if n, s = cmp.Compare(best.preference.MED, other.preference.MED), bgp.StepMED; n != 0 {
			return s
		}
	}
	if n == 0 {
		n, s = best.rest(other)
	}
	if n > 0 {
		return bgp.StepMED
	}
	return s
}

// settle puts the best path of a destination first after its paths changed, and has the
// consumer told if that is another one than was first.
func (t *Table) settle(d *destination, was *path) {
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
		t.news(d, was)
	}
}

// explain gives the paths of a destination as `show` has them.
func (t *Table) explain(d *destination, into []bgp.Path) []bgp.Path {
	if d.paths == nil {
		return into
	}
	best := contend(d.paths)
	first := len(into)
	t.contenders = t.contenders[:0]
	for a := d.paths; a != nil; a = a.next {
		row := bgp.Path{Route: a.route(&d.key), Peer: a.peer.address, Stale: a.stale()}
		if a != d.paths {
			c := contend(a)
			row.Step = step(&best, &c)
			t.contenders = append(t.contenders, c)
		}
		into = append(into, row)
	}
	into[first].Best = true
	if len(t.contenders) > 0 {
		into[first].Step = step(&best, decide(t.contenders))
	}
	return into
}
