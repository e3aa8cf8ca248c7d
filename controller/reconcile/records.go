package controller

import "github.com/p4evpn/p4evpn/p4"

// record is what the loop keeps of one entry, for as long as the target holds
// it, it is marked, or a change of it is being written.
type record struct {
	what  entry    // names it while it is marked, else nil
	value p4.Value // what the target acknowledged or answered on read-back
	held  bool     // the target holds it
}

// marked is an entry that may have to change.
type marked struct {
	key p4.Key
	*record
}

// mark says that the entry which k names may have to change.
func (l *loop) mark(k entry) {
	key := k.Key()
	r := l.record(key)
	if r.what == nil {
		lv := k.Level()
		l.dirty[lv] = append(l.dirty[lv], marked{key, r})
	}
	r.what = k
	if l.departing != nil {
		l.departing.keys[key] = k
	}
}

// record gives the record of an entry, made if there is none.
func (l *loop) record(key p4.Key) *record {
	r := l.records[key]
	if r == nil {
		r = &record{}
		l.records[key] = r
	}
	return r
}

// forget drops a record that has nothing to say any more.
func (l *loop) forget(key p4.Key, r *record) {
	if !r.held && r.what == nil {
		delete(l.records, key)
	}
}

// acked is what the target holds of an entry.
func (l *loop) acked(key p4.Key) (p4.Value, bool) {
	if r := l.records[key]; r != nil && r.held {
		return r.value, true
	}
	return "", false
}

// ackedEntry is what the target holds of an entry, if it is of one of our types.
func (l *loop) ackedEntry(key p4.Key) (entry, bool) {
	value, held := l.acked(key)
	if !held {
		return nil, false
	}
	e, err := p4.Decode(p4.Entry{Key: key, Value: value})
	return e, err == nil
}

// holdsNow records what the target holds of an entry.
func (l *loop) holdsNow(key p4.Key, r *record, v p4.Value) {
	if !r.held {
		l.target.counts[key.Table()]++
	}
	r.value, r.held = v, true
}

// dropped records that the target does not hold an entry.
func (l *loop) dropped(key p4.Key, r *record) {
	if r.held {
		l.target.counts[key.Table()]--
	}
	r.value, r.held = "", false
}

// droppedAll records that it is not known what the target holds.
func (l *loop) droppedAll() {
	clear(l.target.counts)
	for key, r := range l.records {
		r.value, r.held = "", false
		l.forget(key, r)
	}
}

// depth is how many entries are marked.
func (l *loop) depth() int {
	n := 0
	for _, d := range l.dirty {
		n += len(d)
	}
	return n
}

// takeMarked takes the marks of a level. What is marked from now on gathers anew.
func (l *loop) takeMarked(lv int) []marked {
	taken := l.dirty[lv]
	l.dirty[lv] = nil
	return taken
}
