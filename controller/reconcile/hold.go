package reconcile

import "github.com/p4evpn/p4evpn/p4"

// hold keeps a restarted model from taking away what it does not know yet. What
// the target held when it was first read, and nothing has confirmed since, is
// inherited: until the hold ends, inherited entries are not removed, nor changed to
// what is tentative, since more may come. New entries are written at once, and so
// are changes that are sure.
type hold struct {
	over      bool                // nothing is held back any more
	inherited map[p4.Key]struct{} // what the target held, and is not confirmed
}

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

// holdsBack reports whether a change of an entry that the target holds has to wait;
// want is nil for its removal. Nothing that others may refer to is removed.
func (r *Reconciler) holdsBack(key p4.Key, k, want p4.Typed) bool {
	h := &r.hold
	if h.over || h.inherited == nil {
		return false
	}
	if want == nil && k.Level() != p4.LevelLeaf {
		h.inherited[key] = struct{}{} // to be looked at when the hold ends
		return true
	}
	_, inherited := h.inherited[key]
	return inherited && (want == nil || r.model.Tentative(want))
}

// Holding reports whether entries are still held back.
func (r *Reconciler) Holding() bool { return !r.hold.over }

// HeldBack is how many entries nothing has confirmed.
func (r *Reconciler) HeldBack() int { return len(r.hold.inherited) }

// Release lets go of what was held back, and gives how many entries are looked at
// again: the model knows all that it did before it was restarted.
func (r *Reconciler) Release() int {
	h := &r.hold
	h.over = true
	n := 0
	for key := range h.inherited {
		if v, held := r.Value(key); held {
			r.Mark(decoded(p4.Entry{Key: key, Value: v}))
			n++
		}
	}
	h.inherited = nil
	return n
}
