package controller

import (
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/p4"
)

// hold keeps a restarted controller from taking away what it does not know yet.
// What the target held when it was first read, and nothing has confirmed since,
// is inherited: until BGP has converged, inherited entries are not removed, nor
// changed to what BGP has said so far, since more may come. New entries are
// written at once, and so are changes that follow from what is known here: the
// objects, the configuration, the hosts on our ports, the underlay.
type hold struct {
	over      bool                // nothing is held back any more
	converged time.Time           // when BGP was; zero = not yet
	inherited map[p4.Key]struct{} // what the target held, and is not confirmed
}

// resolveTime bounds how long the end of a hold waits for the underlay, once
// BGP has converged.
const resolveTime = 5 * time.Second

// inherit takes what the target holds, after it was read.
func (h *hold) inherit(held []p4.Entry) {
	if h.over {
		return
	}
	before := h.inherited
	h.inherited = make(map[p4.Key]struct{}, len(held))
	for _, e := range held {
		if _, still := before[e.Key]; still || before == nil {
			h.inherited[e.Key] = struct{}{}
		}
	}
}

// settled records that the target holds what is wanted, or that an entry is ours
// to change.
func (h *hold) settled(key p4.Key) { delete(h.inherited, key) }

// holds reports whether a change of an entry that the target holds has to wait;
// want is nil for its removal. Nothing that others may refer to is removed.
func (l *loop) holds(key p4.Key, k, want entry) bool {
	h := &l.hold
	if h.over || h.inherited == nil {
		return false
	}
	if want == nil && k.Level() != p4.LevelLeaf {
		h.inherited[key] = struct{}{} // to be looked at when the hold ends
		return true
	}
	_, inherited := h.inherited[key]
	return inherited && (want == nil || l.tables[want.Type()].fromBGP(l, want))
}

// keepFlooded adds to a bridge's group, while entries are held back, the VTEPs
// that it has on the target: one whose route or path is not known yet must not
// miss the floods.
func (l *loop) keepFlooded(g *p4.Group) {
	if l.hold.over {
		return
	}
	key := g.Key()
	value, _ := l.acked(key)
	d, err := p4.Decode(p4.Entry{Key: key, Value: value})
	if err != nil {
		return
	}
	held, _ := d.(p4.Group)
	for _, m := range held.Members {
		known := slices.ContainsFunc(g.Members, func(o p4.GroupMember) bool { return o.Instance == m.Instance })
		if m.Instance != p4.LocalInstance && !known && !l.failingReplica(g.ID, m.Instance) {
			g.Members = append(g.Members, m)
		}
	}
}

// bgpConverged is told when more routes need not be waited for.
func (l *loop) bgpConverged() { l.hold.converged = l.now() }

// endHold lets go of what was held back, once BGP has converged and the underlay
// has said how each VTEP is reached.
func (l *loop) endHold() {
	h := &l.hold
	if h.over || h.converged.IsZero() || l.unanswered() && l.now().Sub(h.converged) < resolveTime {
		return
	}
	h.over = true
	n := 0
	for key := range h.inherited {
		if v, held := l.acked(key); held {
			l.mark(decoded(p4.Entry{Key: key, Value: v}))
			n++
		}
	}
	h.inherited = nil
	for _, b := range l.bridges {
		l.mark(p4.Group{ID: b.Index})
	}
	if l.slow != nil {
		l.slow.Converged()
	}
	l.log.Info("BGP has converged, what changed while we were away is put right now", "entries", n)
}

// unanswered reports whether the underlay has not spoken of a VTEP in use.
func (l *loop) unanswered() bool {
	for _, r := range l.remotes {
		if r.users > 0 && !r.answered {
			return true
		}
	}
	return false
}
