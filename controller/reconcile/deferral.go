package reconcile

import "github.com/p4evpn/p4evpn/p4"

// deferral keeps a restarted model from taking away what it does not know yet. What
// the target held when it was first read, and nothing has confirmed since, is
// inherited: until the deferral ends, inherited entries are not removed, nor changed to
// what is tentative, since more may come. New entries are written at once, and so
// are changes that are sure. RFC 4724 section 4.1 defers the selection of routes alike.
type deferral struct {
	over      bool                // nothing is deferred any more
	inherited map[p4.Key]struct{} // what the target held, and is not confirmed
}

// inherit takes what the target holds, after it was read.
func (d *deferral) inherit(held []p4.Entry) {
	if d.over {
		return
	}
	before := d.inherited
	d.inherited = make(map[p4.Key]struct{}, len(held))
	for _, e := range held {
		if _, still := before[e.Key]; still || before == nil {
			d.inherited[e.Key] = struct{}{}
		}
	}
}

// confirm records that the target holds what is wanted, or that an entry is ours
// to change.
func (d *deferral) confirm(key p4.Key) { delete(d.inherited, key) }

// defers reports whether a change of an entry that the target holds has to wait;
// want is nil for its removal. Nothing that others may refer to is removed.
func (r *Reconciler) defers(key p4.Key, k, want p4.Typed) bool {
	d := &r.deferral
	if d.over || d.inherited == nil {
		return false
	}
	if want == nil && k.Level() != p4.LevelLeaf {
		d.inherited[key] = struct{}{} // to be looked at when the deferral ends
		return true
	}
	_, inherited := d.inherited[key]
	return inherited && (want == nil || r.model.Tentative(want))
}

// Deferring reports whether changes are still deferred.
func (r *Reconciler) Deferring() bool { return !r.deferral.over }

// Deferred is how many entries of before the restart nothing has confirmed.
func (r *Reconciler) Deferred() int { return len(r.deferral.inherited) }

// EndDeferral lets go of what was deferred, and gives how many entries are looked at
// again: the model knows all that it did before it was restarted.
func (r *Reconciler) EndDeferral() int {
	d := &r.deferral
	d.over = true
	n := 0
	for key := range d.inherited {
		if v, held := r.Value(key); held {
			r.Mark(decoded(p4.Entry{Key: key, Value: v}))
			n++
		}
	}
	d.inherited = nil
	return n
}
