package controller

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/p4"
)

// nextHopGroup is the next hops of some prefixes, all of which have the same ones. When the
// VTEP of one is lost its slots lead to the others, and when it is back it takes its share
// again: that is no write to what refers to the group.
type nextHopGroup struct {
	id    uint16
	hops  []nextHop // whether their VTEPs can be reached or not, in order
	live  []nextHop // those whose VTEPs can
	slots [p4.Slots]nextHop
	users int // prefixes
	// refused: the target did not take it. Its prefixes have one next hop.
	refused bool
}

// nextHopGroups are all groups, and what is to be done about them.
type nextHopGroups struct {
	grouping
	byID   map[uint16]*nextHopGroup
	byHops map[string]*nextHopGroup
	over   map[tunnelKey]map[*nextHopGroup]struct{} // by what a next hop is reached
	dirty  map[prefixOf]struct{}                    // may have other next hops
	// slotsFirst: what a lost VTEP's flows wait for is marked, and is to be written before all
	// prefixes that it had are looked at. emptied: some group leads nowhere, so that what
	// refers to it cannot wait.
	slotsFirst, emptied bool
}

// prefixOf is a prefix of a VRF.
type prefixOf struct {
	vrf    uint16 // its index
	prefix netip.Prefix
}

func newNextHopGroups(s p4.Selector) nextHopGroups {
	return nextHopGroups{
		grouping: newGrouping(s), byID: map[uint16]*nextHopGroup{}, byHops: map[string]*nextHopGroup{},
		over: map[tunnelKey]map[*nextHopGroup]struct{}{}, dirty: map[prefixOf]struct{}{},
	}
}

// nextHopsMayChange is called when candidates of a prefix came or went, or what leads to one.
// Who has one candidate has no choice.
func (l *loop) nextHopsMayChange(v *vrf, p netip.Prefix, routes *candidates) {
	if routes.many != nil {
		l.nextHops.dirty[prefixOf{v.Index, p}] = struct{}{}
	}
}

// settleNextHops gives prefixes the groups of the next hops that they have now.
func (l *loop) settleNextHops() {
	u := &l.nextHops
	if u.slotsFirst && !u.emptied {
		u.slotsFirst = false
		return
	}
	for k := range u.dirty {
		if v := l.vrfs[k.vrf]; v != nil {
			routes := v.prefixes[k.prefix]
			l.choosesAmong(k, &routes)
		}
	}
	clear(u.dirty)
	u.slotsFirst, u.emptied = false, false
}

// choosesAmong gives a prefix its group. Where that stays the same its entry does.
func (l *loop) choosesAmong(k prefixOf, routes *candidates) {
	w := routes.many
	if w == nil {
		return
	}
	g := l.groupFor(k, routes.nextHops())
	if g != nil && g == w.group {
		return
	}
	if g != nil {
		if g.users++; g.users == 1 { // its entries may be on their way out
			l.refillNextHops(g)
			l.markNextHops(g)
		}
	}
	l.leaveNextHops(w)
	w.group = g
	l.mark(p4.Route{VRF: k.vrf, Prefix: k.prefix})
}

// leaveNextHops takes a prefix out of its group, if it is in one.
func (l *loop) leaveNextHops(w *contest) {
	g := w.group
	if g == nil {
		return
	}
	w.group = nil
	if g.users--; g.users == 0 {
		l.markNextHops(g)
	}
}

// groupFor is the group of a prefix with these next hops, nil if one is used: since there are
// no more, or where a group is not to be had. Until all has come that was there before a
// restart, a prefix has the group that it had: what is known so far may be a part.
func (l *loop) groupFor(k prefixOf, hops []nextHop) *nextHopGroup {
	u := &l.nextHops
	if len(hops) == 0 {
		return nil
	}
	held := l.heldNextHops(k)
	if l.target.Deferring() && held != nil && !held.refused && len(held.live) > 0 {
		return held
	}
	if len(hops) == 1 {
		return nil
	}
	if g := u.byHops[nextHopsKey(hops)]; g != nil {
		if g.refused {
			return l.groupLater()
		}
		return g
	}
	if held != nil && held.users == 0 && !held.refused {
		l.regroupNextHops(held, hops)
		return held
	}
	if !u.mayAdd(len(u.byID), len(u.byID)) {
		return l.groupLater()
	}
	id, ok := u.ids.take()
	if !ok {
		return l.groupLater()
	}
	g := &nextHopGroup{id: id}
	u.byID[id] = g
	l.regroupNextHops(g, hops)
	return g
}

// groupLater gives no group now, and has one be asked for later if there are any.
func (l *loop) groupLater() *nextHopGroup {
	if u := &l.nextHops; u.offered() {
		u.goWithout(l.now())
	}
	return nil
}

// askForNextHops has prefixes that go without a group have one if that is to be had now.
func (l *loop) askForNextHops() {
	for _, g := range l.nextHops.byID {
		g.refused = false
	}
	for k := range l.contests() {
		l.nextHops.dirty[k] = struct{}{}
	}
}

// heldNextHops is the group that the target has for a prefix, nil if it has none.
func (l *loop) heldNextHops(k prefixOf) *nextHopGroup {
	held, _ := l.target.Held(p4.Route{VRF: k.vrf, Prefix: k.prefix}.Key())
	if r, ok := held.(p4.Route); ok && r.Kind == p4.RouteVTEPs {
		return l.nextHops.byID[r.Group]
	}
	return nil
}

// regroupNextHops has a group be that of other next hops.
func (l *loop) regroupNextHops(g *nextHopGroup, hops []nextHop) {
	u := &l.nextHops
	u.forgetHops(g)
	g.hops = hops
	if key := nextHopsKey(hops); u.byHops[key] == nil {
		u.byHops[key] = g
	}
	for _, h := range hops {
		if u.over[h.tunnelKey] == nil {
			u.over[h.tunnelKey] = map[*nextHopGroup]struct{}{}
		}
		u.over[h.tunnelKey][g] = struct{}{}
	}
	l.refillNextHops(g)
}

func (u *nextHopGroups) forgetHops(g *nextHopGroup) {
	if key := nextHopsKey(g.hops); u.byHops[key] == g {
		delete(u.byHops, key)
	}
	for _, h := range g.hops {
		delete(u.over[h.tunnelKey], g)
		if len(u.over[h.tunnelKey]) == 0 {
			delete(u.over, h.tunnelKey)
		}
	}
	g.hops = nil
}

// nextHopsOver has the groups that have next hops over a tunnel follow it.
func (l *loop) nextHopsOver(t *tunnel) {
	for g := range l.nextHops.over[t.tunnelKey] {
		l.refillNextHops(g)
	}
}

// refillNextHops has a group's slots lead to what can be reached, and changes no more of them
// than it must.
func (l *loop) refillNextHops(g *nextHopGroup) {
	before := len(g.live)
	g.live = nil
	for _, h := range g.hops {
		if l.leads(h) {
			g.live = append(g.live, h)
		}
	}
	if len(g.live) > 0 {
		for _, slot := range fill(g.slots[:], g.live) {
			l.mark(p4.NextHopSlot{Group: g.id, Slot: uint8(slot)})
			l.nextHops.slotsFirst = l.nextHops.slotsFirst || g.users > 0
		}
	}
	l.nextHops.emptied = l.nextHops.emptied || before > 0 && len(g.live) == 0
	if (before == 0) != (len(g.live) == 0) {
		l.markNextHops(g)
	}
}

// leads reports whether a next hop can be reached. After a restart, what the target has leads
// there until it is known that it does not.
func (l *loop) leads(h nextHop) bool {
	t := l.tunnels[h.tunnelKey]
	switch {
	case t == nil || t.id == 0:
		return false
	case t.adj != nil:
		return t.users > 0
	}
	return l.target.Deferring() && (t.users == 0 || !t.to.answered) && l.held(p4.Tunnel{VTEP: t.id})
}

// markNextHops marks all entries of a group.
func (l *loop) markNextHops(g *nextHopGroup) {
	l.markNextHopSlots(g)
	l.mark(p4.NextHopGroup{ID: g.id})
	l.mark(p4.Multipath{Group: g.id})
}

func (l *loop) markNextHopSlots(g *nextHopGroup) {
	for i := range g.slots {
		l.mark(p4.NextHopSlot{Group: g.id, Slot: uint8(i)})
	}
}

// forgetNextHops drops a group without users once no entry of it is left.
func (l *loop) forgetNextHops(id uint16) {
	u := &l.nextHops
	g := u.byID[id]
	if g == nil || g.users > 0 || l.held(p4.NextHopGroup{ID: id}) || l.held(p4.Multipath{Group: id}) {
		return
	}
	for i := range g.slots {
		if l.held(p4.NextHopSlot{Group: id, Slot: uint8(i)}) {
			return
		}
	}
	u.forgetHops(g)
	delete(u.byID, id)
	u.ids.release(id)
}

// nextHopsFlipped is called when the target begins or ceases to refuse an entry of a group.
func (l *loop) nextHopsFlipped(k entry, id uint16) {
	if l.nextHops.byID[id] != nil {
		l.nextHops.flipped(k)
	}
}

// adoptNextHops starts anew with the groups that the target has; its routes say whose they
// are.
func (l *loop) adoptNextHops(held iter.Seq[p4.NextHopSlot]) {
	for _, w := range l.contests() {
		w.group = nil
	}
	l.nextHops = newNextHopGroups(l.nextHops.Selector)
	u := &l.nextHops
	for e := range held {
		g := u.byID[e.Group]
		if g == nil {
			if !u.ids.reserve(e.Group) {
				continue
			}
			g = &nextHopGroup{id: e.Group}
			u.byID[e.Group] = g
		}
		if t := l.tunnelByID[e.VTEP]; t != nil {
			g.slots[e.Slot] = nextHop{t.tunnelKey, e.VNI, e.Destination}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(u.byID)) {
		g := u.byID[id]
		hops := slices.SortedFunc(slices.Values(g.slots[:]), nextHop.compare)
		hops = slices.DeleteFunc(slices.Compact(hops), func(h nextHop) bool { return h == nextHop{} })
		l.regroupNextHops(g, hops)
	}
}

// contests yields the prefixes that have a choice.
func (l *loop) contests() iter.Seq2[prefixOf, *contest] {
	return func(yield func(prefixOf, *contest) bool) {
		for _, v := range l.vrfs {
			for p, routes := range v.prefixes {
				if routes.many != nil && !yield(prefixOf{v.Index, p}, routes.many) {
					return
				}
			}
		}
	}
}

// claimNextHops gives the groups that the target has the next hops which most of their
// prefixes have by now, and has all prefixes find theirs: so the fewest of them are changed.
func (l *loop) claimNextHops() {
	u := &l.nextHops
	for k := range l.contests() {
		u.dirty[k] = struct{}{}
	}
	if l.target.Deferring() {
		return
	}
	claims := map[*nextHopGroup]map[string]int{}
	hopsOf := map[string][]nextHop{}
	for k, w := range l.contests() {
		hops := (&candidates{many: w}).nextHops()
		g := l.heldNextHops(k)
		if g == nil || len(hops) < 2 {
			continue
		}
		if claims[g] == nil {
			claims[g] = map[string]int{}
		}
		key := nextHopsKey(hops)
		claims[g][key]++
		hopsOf[key] = hops
	}
	for _, id := range slices.Sorted(maps.Keys(u.byID)) {
		g := u.byID[id]
		var most string
		for key, n := range claims[g] {
			if by := claims[g][most]; n > by || n == by && key < most {
				most = key
			}
		}
		if most != "" && u.byHops[most] == nil {
			l.regroupNextHops(g, hopsOf[most])
		} else {
			l.refillNextHops(g)
		}
	}
}

// doubtNextHops gives prefixes one next hop from now on if the target refuses their group.
func (l *loop) doubtNextHops() {
	for _, e := range l.doubts(&l.nextHops.grouping, "next hops") {
		var id uint16
		switch e := e.(type) {
		case p4.NextHopSlot:
			id = e.Group
		case p4.NextHopGroup:
			id = e.ID
		case p4.Multipath:
			id = e.Group
		}
		g := l.nextHops.byID[id]
		if g == nil || g.refused {
			continue
		}
		g.refused = true
		for k, w := range l.contests() {
			if w.group == g {
				l.nextHops.dirty[k] = struct{}{}
			}
		}
	}
}

func (l *loop) desiredNextHopSlot(k p4.NextHopSlot) entry {
	g := l.nextHops.byID[k.Group]
	if g == nil || g.users == 0 || len(g.live) == 0 {
		return nil
	}
	h := g.slots[k.Slot]
	t := l.tunnels[h.tunnelKey]
	if t == nil {
		return nil
	}
	return p4.NextHopSlot{Group: k.Group, Slot: k.Slot, VTEP: t.id, VNI: h.vni, Source: l.routerMAC,
		Destination: h.routerMAC}
}

// wantsNextHops reports whether there shall be a group.
func (l *loop) wantsNextHops(id uint16) bool {
	g := l.nextHops.byID[id]
	return g != nil && g.users > 0 && len(g.live) > 0
}

func (l *loop) desiredNextHopGroup(k p4.NextHopGroup) entry {
	if l.wantsNextHops(k.ID) {
		return k
	}
	return nil
}

func (l *loop) desiredMultipath(k p4.Multipath) entry {
	if l.wantsNextHops(k.Group) {
		return k
	}
	return nil
}
