package reconcile

import (
	"iter"
	"slices"

	"github.com/p4evpn/p4evpn/p4"
)

// record is what is kept of one entry, for as long as the target holds it, it is
// marked, or a change of it is being written. There are many: it is small.
type record struct {
	text   string // the entry's key, and the value that the target acknowledged or answered on read-back at last
	keyLen uint16
	mark   mark
	held   bool // the target holds it
	inJob  bool // a change of it is being written, or will be
}

func (rec *record) key() p4.Key     { return p4.Key(rec.text[:rec.keyLen]) }
func (rec *record) value() p4.Value { return p4.Value(rec.text[rec.keyLen:]) }

// mark is how an entry is marked.
type mark uint8

// An entry may be marked by what has no Go type, and then by what names it better: that
// counts.
const (
	unmarked mark = iota
	markedForeign
	markedTyped
)

func markOf(k p4.Typed) mark {
	if k.Type() < p4.Types {
		return markedTyped
	}
	return markedForeign
}

// marked is an entry that may have to change.
type marked struct {
	*record
	what p4.Typed // names it
}

// Mark says that the entry which k names, and whose key it gives, may have to
// change.
func (r *Reconciler) Mark(k p4.Typed) p4.Key {
	key := k.Key()
	rec := r.record(key)
	if m := markOf(k); m > rec.mark {
		rec.mark = m
		lv := k.Level()
		r.marked[lv] = append(r.marked[lv], marked{rec, k})
	}
	return key
}

// unmark takes the mark of an entry, and reports whether it is this one.
func (m *marked) unmark() bool {
	if m.mark != markOf(m.what) {
		return false
	}
	m.mark = unmarked
	return true
}

// record gives the record of an entry, made if there is none.
func (r *Reconciler) record(key p4.Key) *record {
	rec := r.records.Find(key)
	if rec == nil {
		rec = &record{text: string(key), keyLen: uint16(len(key))}
		r.records.Add(rec)
	}
	return rec
}

// forget drops a record that has nothing to say any more.
func (r *Reconciler) forget(rec *record) {
	if !rec.held && rec.mark == unmarked {
		r.records.Remove(rec)
	}
}

// Known reports whether the target holds an entry or may come to: one that is
// marked may be in a job under way.
func (r *Reconciler) Known(key p4.Key) bool { return r.records.Find(key) != nil }

// Len is how many entries are known.
func (r *Reconciler) Len() int { return r.records.Len() }

// Value is what the target holds of an entry, false if it does not.
func (r *Reconciler) Value(key p4.Key) (p4.Value, bool) {
	if rec := r.records.Find(key); rec != nil && rec.held {
		return rec.value(), true
	}
	return "", false
}

// Held is the entry that the target holds, false if it holds none, or none that has
// a Go type.
func (r *Reconciler) Held(key p4.Key) (p4.Typed, bool) {
	value, held := r.Value(key)
	if !held {
		return nil, false
	}
	e, err := p4.Decode(p4.Entry{Key: key, Value: value})
	return e, err == nil
}

// Entries yields what the target holds.
func (r *Reconciler) Entries() iter.Seq[p4.Entry] {
	return func(yield func(p4.Entry) bool) {
		for rec := range r.records.All() {
			if rec.held && !yield(p4.Entry{Key: rec.key(), Value: rec.value()}) {
				return
			}
		}
	}
}

// setHeld records what the target holds of an entry.
func (r *Reconciler) setHeld(rec *record, v p4.Value) {
	if !rec.held {
		r.counts[rec.key().Table()]++
		r.take(rec.key(), 1)
	}
	rec.text, rec.held = string(rec.key())+string(v), true
}

// setNotHeld records that the target does not hold an entry.
func (r *Reconciler) setNotHeld(rec *record) {
	if rec.held {
		r.counts[rec.key().Table()]--
		r.take(rec.key(), -1)
	}
	rec.held = false // of its value nobody asks any more
}

// setNoneHeld records that it is not known what the target holds.
func (r *Reconciler) setNoneHeld() {
	for _, rec := range slices.Collect(r.records.All()) {
		r.setNotHeld(rec)
		r.forget(rec)
	}
	r.takeNone()
}

// Depth is how many entries are marked.
func (r *Reconciler) Depth() int {
	n := 0
	for _, d := range r.marked {
		n += len(d)
	}
	return n
}

// takeMarked takes the marks of a level. What is marked from now on gathers anew.
func (r *Reconciler) takeMarked(lv p4.Level) []marked {
	taken := r.marked[lv]
	r.marked[lv] = nil
	return taken
}

// foreign is an entry that has no Go type. No model wants it, and it goes.
type foreign struct{ entry p4.Entry }

func (f foreign) Key() p4.Key     { return f.entry.Key }
func (f foreign) Entry() p4.Entry { return f.entry }
func (f foreign) Type() p4.Type   { return p4.Types } // none of them
func (f foreign) Level() p4.Level { return p4.LevelBase }
func (f foreign) Refs() []p4.Key  { return nil }

// decoded is the typed value of an entry that the target holds.
func decoded(e p4.Entry) p4.Typed {
	if d, err := p4.Decode(e); err == nil {
		return d
	}
	return foreign{e}
}

// desired is what the model wants of an entry, nil for none.
func (r *Reconciler) desired(k p4.Typed) p4.Typed {
	if k.Type() >= p4.Types {
		return nil
	}
	return r.model.Desired(k)
}

// unwanted reports whether an entry that was removed is still not wanted. Nothing refers to
// what is of the last level, so that it keeps no id that could be free too early, and there
// is much of it: whether that was marked again is enough.
func (r *Reconciler) unwanted(c *change) bool {
	if c.what.Level() == p4.LevelLeaf {
		return c.record.mark == unmarked
	}
	return r.desired(c.what) == nil
}

// gone is called when an entry is neither wanted nor on the target.
func (r *Reconciler) gone(k p4.Typed) {
	if k.Type() < p4.Types {
		r.model.Gone(k)
	}
}

// flipped is called when the target begins or ceases to refuse an entry.
func (r *Reconciler) flipped(k p4.Typed) {
	if k.Type() < p4.Types {
		r.model.Flipped(k)
	}
}
