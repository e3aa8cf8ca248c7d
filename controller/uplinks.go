package controller

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// hop is a neighbour of an uplink: what a slot holds.
type hop struct {
	port uint16
	adjacencyKey
	mtu uint16 // the largest tenant frame that fits, its Ethernet header included
}

func (h hop) compare(o hop) int {
	return cmp.Or(cmp.Compare(h.port, o.port), h.destination.Compare(o.destination), h.source.Compare(o.source),
		cmp.Compare(h.mtu, o.mtu))
}

func hopOf(port uint16, p underlay.Path) hop {
	return hop{port: port, adjacencyKey: adjacencyKey{p.Source, p.Destination}, mtu: tenantMTU(p)}
}

// tenantMTU is the largest tenant frame that fits a path, its Ethernet header included.
func tenantMTU(p underlay.Path) uint16 {
	if p.MTU == 0 {
		return 65535 // not known
	}
	return uint16(max(0, min(p.MTU-packet.VXLANOverhead, 65535)))
}

// hopsKey is a set of hops, in order, as the key of a map.
func hopsKey(hops []hop) string {
	b := make([]byte, 0, 16*len(hops))
	for _, h := range hops {
		b = binary.BigEndian.AppendUint16(b, h.port)
		b = append(append(b, h.source[:]...), h.destination[:]...)
		b = binary.BigEndian.AppendUint16(b, h.mtu)
	}
	return string(b)
}

// uplinkGroup is the ways by which some tunnels are reached: those that all of them have. So
// what one of them loses none uses, at once, which costs as many writes as there are slots;
// a tunnel that has more ways than the others is given another group a little later.
type uplinkGroup struct {
	id      uint16
	slots   [p4.Slots]hop
	tunnels map[*tunnel]struct{}
	counts  map[hop]int // how many of the tunnels have each
	ways    int         // of all tunnels together
	live    []hop       // that all have, in order
	inUse   map[hop]*adjacency
}

// regroupAfter is how long tunnels of a group may differ: the kernel tells of their routes
// one by one.
const regroupAfter = time.Second

// uplinkGroups are all groups, and what is to be done about them.
type uplinkGroups struct {
	grouping
	byID      map[uint16]*uplinkGroup
	byHops    map[string]*uplinkGroup // by what is live; there may be more
	mixed     map[*uplinkGroup]struct{}
	regroupAt time.Time // zero: none is mixed
	tunnels   int       // that are in a group
}

func newUplinkGroups(s p4.Selector) uplinkGroups {
	return uplinkGroups{
		grouping: newGrouping(s), byID: map[uint16]*uplinkGroup{}, byHops: map[string]*uplinkGroup{},
		mixed: map[*uplinkGroup]struct{}{},
	}
}

// hopsOf gives the ways to a tunnel's VTEP, each once, as many as there are slots at most.
func (l *loop) hopsOf(t *tunnel) []hop {
	if t.users == 0 || t.id == 0 {
		return nil
	}
	var hops []hop
	for _, p := range t.to.paths {
		if n, known := l.uplinks[p.Uplink]; known && l.linkUp(n) {
			hops = append(hops, hopOf(n, p))
		}
	}
	slices.SortFunc(hops, hop.compare)
	hops = slices.Compact(hops)
	return hops[:min(len(hops), p4.Slots)]
}

// setHops gives a tunnel's flows the ways that there are now.
func (l *loop) setHops(t *tunnel, hops []hop) {
	if slices.Equal(hops, t.hops) {
		return
	}
	g := t.group
	if g != nil {
		g.count(t.hops, -1)
		g.count(hops, 1)
		t.hops = hops
		if len(hops) > 0 && len(g.common()) > 0 {
			l.refill(g)
			return
		}
		l.leave(t)
		l.refill(g)
	}
	t.hops = hops
	l.join(t)
}

func (g *uplinkGroup) count(hops []hop, n int) {
	g.ways += n * len(hops)
	for _, h := range hops {
		if g.counts[h] += n; g.counts[h] == 0 {
			delete(g.counts, h)
		}
	}
}

// common are the ways that all tunnels of a group have.
func (g *uplinkGroup) common() []hop {
	var all []hop
	for h, n := range g.counts {
		if n == len(g.tunnels) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, hop.compare)
	return all
}

// leave takes a tunnel out of its group, which is to be refilled.
func (l *loop) leave(t *tunnel) {
	g := t.group
	g.count(t.hops, -1)
	delete(g.tunnels, t)
	t.group = nil
	l.uplinkGroups.tunnels--
	l.markTunnel(t.id)
}

// join gives a tunnel a group: the one that the target has it in, if that is nobody's, or, if
// several ways lead to its VTEP, one that has the same, or a new one. Where that is not to be
// had, and where there is one way, it does without.
func (l *loop) join(t *tunnel) {
	u := &l.uplinkGroups
	if t.alone {
		return
	}
	g := l.heldGroup(t)
	if g == nil && len(t.hops) > 1 && u.tunnels < u.Entries {
		if g = u.byHops[hopsKey(t.hops)]; g == nil && u.mayAdd(len(u.byID), u.tunnels) {
			g = u.add()
		}
	}
	if g == nil {
		if len(t.hops) > 1 && u.offered() {
			u.goWithout(l.now())
		}
		return
	}
	t.group = g
	u.tunnels++
	g.tunnels[t] = struct{}{}
	g.count(t.hops, 1)
	l.refill(g)
	l.markTunnel(t.id)
}

// heldGroup is the group in which the target has a tunnel, nil if another one is better.
func (l *loop) heldGroup(t *tunnel) *uplinkGroup {
	held, _ := l.target.Held(p4.Flows{VTEP: t.id}.Key())
	flows, ok := held.(p4.Flows)
	if !ok || len(t.hops) == 0 {
		return nil
	}
	g := l.uplinkGroups.byID[flows.Group]
	if g == nil || len(g.tunnels) > 0 && !slices.Equal(g.live, t.hops) {
		return nil
	}
	return g
}

// add makes a group without tunnels, nil if there is no id left.
func (u *uplinkGroups) add() *uplinkGroup {
	id, ok := u.ids.take()
	if !ok {
		return nil
	}
	return u.put(id)
}

func (u *uplinkGroups) put(id uint16) *uplinkGroup {
	g := &uplinkGroup{
		id: id, tunnels: map[*tunnel]struct{}{}, counts: map[hop]int{}, inUse: map[hop]*adjacency{},
	}
	u.byID[id] = g
	return g
}

// refill has a group's slots lead by what is live, and changes no more of them than it must.
func (l *loop) refill(g *uplinkGroup) {
	u := &l.uplinkGroups
	if key := hopsKey(g.live); u.byHops[key] == g {
		delete(u.byHops, key)
	}
	empty := len(g.live) == 0
	g.live = g.common()
	if len(g.tunnels) == 0 {
		g.live = nil
		delete(u.mixed, g)
		l.holdAdjacencies(g)
		l.markGroup(g)
		return
	}
	u.byHops[hopsKey(g.live)] = g
	if len(g.live) > 0 {
		for _, slot := range fill(g.slots[:], g.live) {
			l.mark(p4.UplinkSlot{Group: g.id, Slot: uint8(slot)})
		}
		l.holdAdjacencies(g)
		if empty { // its entries may be on their way out
			l.markGroup(g)
		}
	}
	if g.ways != len(g.live)*len(g.tunnels) {
		u.mixed[g] = struct{}{}
		if u.regroupAt.IsZero() {
			u.regroupAt = l.now().Add(regroupAfter)
		}
	} else {
		delete(u.mixed, g)
	}
}

// fill has slots lead to the hops that are live, each by its share, and gives those that it
// changed: what led elsewhere, and then as few as make the shares equal.
func fill[H comparable](slots, live []H) (changed []int) {
	has := make(map[H]int, len(live))
	for _, h := range live {
		has[h] = 0
	}
	var free []int
	for i, h := range slots {
		if _, ok := has[h]; ok {
			has[h]++
		} else {
			free = append(free, i)
		}
	}
	least := func() H { return slices.MinFunc(live, func(a, b H) int { return cmp.Compare(has[a], has[b]) }) }
	for _, i := range free {
		h := least()
		slots[i] = h
		has[h]++
	}
	for i := len(slots) - 1; i >= 0; i-- {
		if to := least(); has[slots[i]] > has[to]+1 {
			has[slots[i]]--
			has[to]++
			slots[i] = to
			free = append(free, i)
		}
	}
	return free
}

// holdAdjacencies keeps the adjacencies that a group's slots lead to, and no others.
func (l *loop) holdAdjacencies(g *uplinkGroup) {
	wanted := map[hop]struct{}{}
	if len(g.tunnels) > 0 {
		for _, h := range g.slots {
			wanted[h] = struct{}{}
			if g.inUse[h] == nil {
				g.inUse[h] = l.useAdjacency(h.adjacencyKey)
			}
		}
	}
	for h, a := range g.inUse {
		if _, ok := wanted[h]; !ok {
			delete(g.inUse, h)
			l.dropAdjacency(a)
		}
	}
}

func (l *loop) markGroup(g *uplinkGroup) {
	l.markSlots(g)
	l.mark(p4.UplinkGroup{ID: g.id})
}

func (l *loop) markSlots(g *uplinkGroup) {
	for i := range g.slots {
		l.mark(p4.UplinkSlot{Group: g.id, Slot: uint8(i)})
	}
}

// regroupDue gives groups of their own to tunnels that have had other ways than the rest of
// their group for a while, and the time until there are more.
func (l *loop) regroupDue() (in time.Duration, waiting bool) {
	u := &l.uplinkGroups
	if u.regroupAt.IsZero() {
		return 0, false
	}
	if in := u.regroupAt.Sub(l.now()); in > 0 {
		return in, true
	}
	mixed := slices.SortedFunc(maps.Keys(u.mixed), func(a, b *uplinkGroup) int { return cmp.Compare(a.id, b.id) })
	clear(u.mixed)
	u.regroupAt = time.Time{}
	for _, g := range mixed {
		l.regroup(g)
	}
	return regroupAfter, !u.regroupAt.IsZero()
}

// regroup leaves a group to the ways that the most of its tunnels have.
func (l *loop) regroup(g *uplinkGroup) {
	parts := map[string][]*tunnel{}
	for t := range g.tunnels {
		key := hopsKey(t.hops)
		parts[key] = append(parts[key], t)
	}
	keys := slices.SortedFunc(maps.Keys(parts), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(parts[b]), len(parts[a])), cmp.Compare(a, b))
	})
	var leaving []*tunnel
	for i, key := range keys {
		if i > 0 {
			leaving = append(leaving, parts[key]...)
		}
	}
	for _, t := range leaving {
		l.leave(t)
	}
	l.refill(g)
	for _, t := range leaving {
		l.join(t)
	}
}

// groupFlipped is called when the target begins or ceases to refuse an entry of a group.
func (l *loop) groupFlipped(k entry, id uint16) {
	if l.uplinkGroups.byID[id] != nil {
		l.uplinkGroups.flipped(k)
	}
}

// flowsFlipped is groupFlipped for the entry of a VTEP that refers to a group.
func (l *loop) flowsFlipped(k p4.Flows) {
	if t := l.tunnelByID[k.VTEP]; t != nil && t.group != nil {
		l.uplinkGroups.flipped(k)
	}
	l.markFloods(k.VTEP)
}

// doubtUplinks gives tunnels one way from now on, which needs no group, if the target refuses
// theirs.
func (l *loop) doubtUplinks() {
	for _, e := range l.doubts(&l.uplinkGroups.grouping, "uplinks") {
		switch e := e.(type) {
		case p4.Flows:
			if t := l.tunnelByID[e.VTEP]; t != nil && t.group != nil {
				g := t.group
				t.alone = true
				l.leave(t)
				l.refill(g)
			}
		case p4.UplinkGroup:
			l.dissolve(l.uplinkGroups.byID[e.ID])
		case p4.UplinkSlot:
			l.dissolve(l.uplinkGroups.byID[e.Group])
		}
	}
}

// askForUplinks gives the tunnels that go without a group one if that is to be had now.
func (l *loop) askForUplinks() {
	for _, t := range l.tunnels {
		if t.alone = false; t.group == nil {
			l.join(t)
		}
	}
}

// dissolve has the tunnels leave a group.
func (l *loop) dissolve(g *uplinkGroup) {
	if g == nil {
		return
	}
	for _, t := range slices.Collect(maps.Keys(g.tunnels)) {
		t.alone = true
		l.leave(t)
	}
	l.refill(g)
}

// forgetGroup drops a group without tunnels once no entry of it is left.
func (l *loop) forgetGroup(id uint16) {
	u := &l.uplinkGroups
	g := u.byID[id]
	if g == nil || len(g.tunnels) > 0 || l.held(p4.UplinkGroup{ID: id}) {
		return
	}
	for i := range g.slots {
		if l.held(p4.UplinkSlot{Group: id, Slot: uint8(i)}) {
			return
		}
	}
	delete(u.byID, id)
	u.ids.release(id)
}

// adoptSlots starts anew with the groups that the target has; its paths say whose they are.
func (l *loop) adoptSlots(held iter.Seq[p4.UplinkSlot]) {
	u := &l.uplinkGroups
	for _, g := range u.byID {
		for _, a := range g.inUse {
			l.dropAdjacency(a)
		}
	}
	for _, t := range l.tunnels {
		t.group, t.alone = nil, false
	}
	*u = newUplinkGroups(u.Selector)
	slots := map[uint16][]p4.UplinkSlot{}
	for e := range held {
		slots[e.Group] = append(slots[e.Group], e)
	}
	for id, of := range slots {
		if !u.ids.reserve(id) {
			continue
		}
		g := u.put(id)
		for _, e := range of {
			if a := l.adjacencyByID[e.Adjacency]; a != nil {
				g.slots[e.Slot] = hop{e.Port, a.adjacencyKey, e.MTU}
			}
		}
	}
}

// rejoin gives tunnels their groups, once it is known which the target has.
func (l *loop) rejoin() {
	for _, id := range slices.Sorted(maps.Keys(l.tunnelByID)) {
		if t := l.tunnelByID[id]; t.group == nil {
			t.hops = l.hopsOf(t)
			l.join(t)
		}
	}
}

func (l *loop) desiredSlot(k p4.UplinkSlot) entry {
	g := l.uplinkGroups.byID[k.Group]
	if g == nil || len(g.tunnels) == 0 {
		return nil
	}
	h := g.slots[k.Slot]
	a := g.inUse[h]
	if a == nil {
		return nil
	}
	return p4.UplinkSlot{Group: k.Group, Slot: k.Slot, Port: h.port, Adjacency: a.id, MTU: h.mtu}
}

func (l *loop) desiredUplinkGroup(id uint16) entry {
	if g := l.uplinkGroups.byID[id]; g != nil && len(g.tunnels) > 0 {
		return p4.UplinkGroup{ID: id}
	}
	return nil
}
