package controller

import (
	"container/heap"
	"iter"
	"maps"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// candidates are the imported routes that compete for one key: a MAC or an address of a
// bridge, a prefix of a VRF, a VTEP's place in a flood list. The zero value has none. Most
// keys have one; whatever a peer advertises, a change costs no more than O(log n).
type candidates struct {
	one  *candidate // if it is alone
	many *contest   // nil while there are less than two
}

// contest is several candidates of one key.
type contest struct {
	few   []*candidate // looked at one by one; nil if there is a crowd
	crowd *crowd
	slot  slot
	group *nextHopGroup // of a prefix: among which its flows choose; nil: they have one next hop
}

// maxFew is how many are looked at one by one.
const maxFew = 8

func (s *candidates) size() int {
	switch {
	case s.one != nil:
		return 1
	case s.many == nil:
		return 0
	case s.many.crowd != nil:
		return len(s.many.crowd.byRoute)
	}
	return len(s.many.few)
}

// all yields them in no order.
func (s *candidates) all() iter.Seq[*candidate] {
	switch {
	case s.one != nil:
		return func(yield func(*candidate) bool) { yield(s.one) }
	case s.many == nil:
		return func(func(*candidate) bool) {}
	case s.many.crowd != nil:
		return maps.Values(s.many.crowd.byRoute)
	}
	return slices.Values(s.many.few)
}

// some yields n of them at most.
func (s *candidates) some(n int) iter.Seq[*candidate] {
	return func(yield func(*candidate) bool) {
		left := n
		for c := range s.all() {
			if left--; left < 0 || !yield(c) {
				return
			}
		}
	}
}

// find is the candidate of a route, nil if it is none.
func (s *candidates) find(r *route) *candidate {
	switch {
	case s.one != nil && s.one.route == r:
		return s.one
	case s.many == nil:
		return nil
	case s.many.crowd != nil:
		return s.many.crowd.byRoute[r]
	}
	for _, c := range s.many.few {
		if c.route == r {
			return c
		}
	}
	return nil
}

// best is the best of MACs, hosts or VTEPs, whether its VTEP can be reached or not; nil if
// there is none.
func (s *candidates) best() *candidate {
	switch {
	case s.many == nil:
		return s.one
	case s.many.crowd != nil:
		return s.many.crowd.best()
	}
	return s.many.bestOf(func(*candidate) bool { return true })
}

// reached is the best of those whose VTEP can be reached, nil if there is none.
func (s *candidates) reached() *candidate {
	switch {
	case s.one != nil && s.one.usable():
		return s.one
	case s.many == nil:
		return nil
	case s.many.crowd != nil:
		return s.many.crowd.sides[near].best()
	}
	return s.many.bestOf((*candidate).usable)
}

// leader is the best in the group of a candidate of those whose VTEP can be reached.
func (s *candidates) leader(of *candidate) *candidate {
	switch {
	case s.many == nil:
		return s.one
	case s.many.crowd != nil:
		return s.many.crowd.sides[near].groups[of.route.group()].members[0]
	}
	return s.many.leaderOf(of, (*candidate).usable)
}

// why is the step by which a candidate lost to the best one, both with a path.
func (s *candidates) why(lost, best *candidate) step {
	_, by := best.compare(lost, s.slot())
	if lost.route.Type != bgp.TypePrefix || by <= step(bgp.StepOrigin) || by == stepHost {
		return by
	}
	// The best one may be of another neighbouring AS, and not the one whose MED was lower.
	if _, inGroup := s.leader(lost).route.compare(lost.route); inGroup == step(bgp.StepMED) {
		return inGroup
	}
	return by
}

// slot is what they compete for; it says nothing of less than two.
func (s *candidates) slot() slot {
	if s.many == nil {
		return slotKey
	}
	return s.many.slot
}

// bestOf is the best of few candidates that will do, nil if none does. Each group has one
// that leads it, and these are compared.
func (w *contest) bestOf(do func(*candidate) bool) *candidate {
	var best *candidate
	for _, c := range w.few {
		if do(c) && (best == nil || c.precedes(best, w.slot)) &&
			(c.route.Type != bgp.TypePrefix || w.leaderOf(c, do) == c) {
			best = c
		}
	}
	return best
}

func (w *contest) leaderOf(of *candidate, do func(*candidate) bool) *candidate {
	var best *candidate
	for _, c := range w.few {
		if do(c) && c.route.group() == of.route.group() && (best == nil || c.precedes(best, w.slot)) {
			best = c
		}
	}
	return best
}

// add takes one more; a crowd has its place in a slot of the candidate.
func (s *candidates) add(c *candidate, in slot) {
	switch {
	case s.one != nil:
		s.one, s.many = nil, &contest{few: []*candidate{s.one, c}, slot: in}
	case s.many == nil:
		s.one = c
	case s.many.crowd != nil:
		s.many.crowd.add(c)
	case len(s.many.few) < maxFew:
		s.many.few = append(s.many.few, c)
	default:
		w := &crowd{slot: in, byRoute: map[*route]*candidate{}}
		for _, o := range s.many.few {
			w.add(o)
		}
		w.add(c)
		*s.many = contest{crowd: w, slot: in, group: s.many.group}
	}
}

// remove takes out one that is there.
func (s *candidates) remove(c *candidate) {
	if s.one != nil {
		s.one = nil
		return
	}
	if w := s.many.crowd; w != nil {
		if w.remove(c); len(w.byRoute) <= maxFew/2 {
			*s.many = contest{few: slices.Collect(maps.Values(w.byRoute)), slot: w.slot, group: s.many.group}
		}
		return
	}
	i := slices.Index(s.many.few, c)
	if s.many.few = slices.Delete(s.many.few, i, i+1); len(s.many.few) == 1 {
		s.one, s.many = s.many.few[0], nil
	}
}

// flipped is called when the way to a candidate's VTEP was found or lost.
func (s *candidates) flipped(c *candidate) {
	if s.many != nil && s.many.crowd != nil {
		s.many.crowd.flipped(c)
	}
}

// crowd is many candidates in order: those whose VTEP can be reached, and the others.
type crowd struct {
	slot    slot
	byRoute map[*route]*candidate
	sides   [2]ranking
}

// The sides of a crowd.
const (
	near = iota
	away
)

func sideOf(c *candidate) int {
	if c.usable() {
		return near
	}
	return away
}

func (w *crowd) add(c *candidate) {
	w.byRoute[c.route] = c
	w.sides[sideOf(c)].add(c, w.slot)
}

func (w *crowd) remove(c *candidate) {
	delete(w.byRoute, c.route)
	w.leave(c)
}

// leave takes a candidate out of the side that it is in.
func (w *crowd) leave(c *candidate) {
	for i := range w.sides {
		if w.sides[i].remove(c, w.slot) {
			return
		}
	}
}

func (w *crowd) flipped(c *candidate) {
	w.leave(c)
	w.sides[sideOf(c)].add(c, w.slot)
}

// best is that of all, where all are one group.
func (w *crowd) best() *candidate {
	a, b := w.sides[near].best(), w.sides[away].best()
	if a == nil || b != nil && b.precedes(a, w.slot) {
		return b
	}
	return a
}

// ranking is candidates in groups. Within a group they are compared by all steps; the
// best one of each is compared with those of the other groups, where MED does not count.
// So is found what RFC 4271 section 9.1.2.2 leaves when it removes routes from
// consideration, without a look at all of them.
type ranking struct {
	groups map[uint64]*group
	order  order
}

func (k *ranking) best() *candidate {
	if len(k.order) == 0 {
		return nil
	}
	return k.order[0].members[0]
}

func (k *ranking) add(c *candidate, in slot) {
	id := c.route.group()
	if g := k.groups[id]; g != nil {
		heap.Push(g, c)
		heap.Fix(&k.order, g.at)
		return
	}
	if k.groups == nil {
		k.groups = map[uint64]*group{}
	}
	g := &group{slot: in}
	heap.Push(g, c)
	k.groups[id] = g
	heap.Push(&k.order, g)
}

// remove reports whether the candidate was there.
func (k *ranking) remove(c *candidate, in slot) bool {
	id, at := c.route.group(), int(c.at[in])
	g := k.groups[id]
	if g == nil || at >= len(g.members) || g.members[at] != c {
		return false
	}
	if heap.Remove(g, at); len(g.members) > 0 {
		heap.Fix(&k.order, g.at)
		return true
	}
	heap.Remove(&k.order, g.at)
	delete(k.groups, id)
	return true
}

// group is a heap of candidates.
type group struct {
	slot    slot
	members []*candidate
	at      int // in the order of groups
}

func (g *group) Len() int           { return len(g.members) }
func (g *group) Less(i, j int) bool { return g.members[i].precedes(g.members[j], g.slot) }

func (g *group) Swap(i, j int) {
	m := g.members
	m[i], m[j] = m[j], m[i]
	m[i].at[g.slot], m[j].at[g.slot] = int32(i), int32(j)
}

func (g *group) Push(x any) {
	c := x.(*candidate)
	c.at[g.slot] = int32(len(g.members))
	g.members = append(g.members, c)
}

func (g *group) Pop() any {
	last := len(g.members) - 1
	c := g.members[last]
	g.members[last] = nil
	g.members = g.members[:last]
	return c
}

// order is a heap of groups, none of them empty, by the best of each.
type order []*group

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].members[0].precedes(o[j].members[0], o[i].slot) }
func (o order) Swap(i, j int)      { o[i], o[j] = o[j], o[i]; o[i].at, o[j].at = i, j }

func (o *order) Push(x any) {
	g := x.(*group)
	g.at = len(*o)
	*o = append(*o, g)
}

func (o *order) Pop() any {
	last := len(*o) - 1
	g := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return g
}
