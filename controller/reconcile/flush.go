package controller

import (
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/p4"
)

// targetState is what the loop knows of the target.
type targetState struct {
	phase   phase
	reason  string // why it is not up
	session uint64 // counts connections: results of an older one mean nothing
	busy    bool   // the writer has a job
	reads   int    // read-backs that succeeded
	// emptied: a pipeline was pushed since the start, and nothing was kept.
	emptied bool
	// replaced: one was pushed since the last read-back, so entries may be gone.
	replaced bool
	readAt   time.Time
	counts   map[string]int // of what it holds, by table
	failed   map[p4.Key]*failure
	refused  map[uint32]string // ports that it does not use, with the reason
	// waiting are the entries that wait for one that failed.
	waiting map[p4.Key]map[p4.Key]entry
	// retryAt is when the first failure is due, zero if none is.
	retryAt time.Time
	// holdUntil lets marks gather after a large batch, until there are enough for
	// another.
	holdUntil time.Time
}

type phase uint8

// The phases of a target: only one that is up is written to.
const (
	phaseDown phase = iota
	phaseReading
	phaseUp
)

func newTargetState() targetState {
	return targetState{
		reason: "the target was not reached yet",
		counts: map[string]int{}, failed: map[p4.Key]*failure{}, waiting: map[p4.Key]map[p4.Key]entry{},
	}
}

// maxBatch bounds the entries of the last level in one job, and so the memory
// that messages take for a moment.
const maxBatch = 8000

// idleTick is how often the loop looks at what only time changes.
const idleTick = 10 * time.Second

// flush brings what is dirty on its way, if it can go now, and says when it
// wants to be called again at the latest.
func (l *loop) flush(w *writer) time.Duration {
	l.settle()
	l.settleKernel()
	l.flushAdverts()
	l.endHold()
	t := &l.target
	l.stats.depth.Store(int64(l.depth()))
	now := l.now()
	_, auditDue := l.auditDue(now)
	switch {
	case t.phase == phaseReading && !t.busy && !now.Before(t.readAt):
		t.busy = true
		w.jobs <- job{session: t.session, began: now}
	case t.phase != phaseUp:
		l.release()
	case t.busy:
	case now.Before(t.holdUntil) && l.depth() < maxBatch:
		return t.holdUntil.Sub(now)
	case auditDue:
		t.busy = true
		w.jobs <- job{session: t.session, audit: true, began: now}
	default:
		if changes := l.changes(); len(changes) > 0 {
			t.busy = true
			w.jobs <- job{session: t.session, changes: changes, began: now}
		} else {
			l.sweepLeaving()
		}
	}
	return l.wakeAfter(now)
}

func (l *loop) wakeAfter(now time.Time) time.Duration {
	next := idleTick
	if l.target.phase == phaseUp && !l.target.busy && l.depth() > 0 {
		next = 0 // what was computed marked something else
	}
	if l.target.phase == phaseReading && !l.target.busy {
		next = min(next, l.target.readAt.Sub(now))
	}
	if in, _ := l.auditDue(now); l.target.phase == phaseUp && !l.target.busy {
		next = min(next, in)
	}
	if h := &l.hold; !h.over && !h.converged.IsZero() {
		next = min(next, resolveTime-now.Sub(h.converged))
	}
	if !l.target.retryAt.IsZero() {
		next = min(next, l.target.retryAt.Sub(now))
	}
	return max(next, time.Millisecond)
}

// settle computes what lies between inputs and entries: SVIs, attachments, static
// MACs, the VTEPs to follow, the prefixes behind them.
func (l *loop) settle() {
	l.settleSVIs()
	for n := range l.dirtyPorts {
		l.attach(l.ports[n])
	}
	clear(l.dirtyPorts)
	for index := range l.dirtyStatics {
		if b := l.bridges[index]; b != nil {
			l.setStatics(b)
		}
	}
	clear(l.dirtyStatics)
	l.settleRemotes()
	l.settleTunnels()
}

// release is a flush without a target: it only lets go of what is not wanted
// and not there. What else is dirty is computed when the target is up again.
func (l *loop) release() {
	for lv := range l.dirty {
		for _, m := range l.takeMarked(lv) {
			k := m.what
			m.what = nil
			if !m.held && l.desired(k) == nil {
				l.gone(k)
			}
			l.forget(m.key, m.record)
		}
	}
}

// changes takes from the dirty keys what differs from the target.
func (l *loop) changes() []change {
	out := make([]change, 0, min(l.depth(), maxBatch))
	var removals []entry // of levels that others refer to: they come last
	for lv := range l.dirty {
		taken := l.takeMarked(lv)
		for i, m := range taken {
			if lv == int(p4.LevelLeaf) && len(out) >= maxBatch {
				l.dirty[lv] = append(taken[i:], l.dirty[lv]...)
				break
			}
			k := m.what
			m.what = nil
			c, ok := l.diff(m, k)
			switch {
			case !ok:
				l.forget(m.key, m.record)
			case c.op == p4v1.Update_DELETE && k.Level() != p4.LevelLeaf:
				removals = append(removals, k)
			default:
				out = append(out, c)
			}
		}
	}
	if len(l.dirty[p4.LevelLeaf]) > 0 {
		for _, k := range removals {
			l.mark(k) // what is left may still refer to it
		}
	} else {
		out = l.removals(out, removals)
	}
	l.relate(out)
	return out
}

// diff compares one entry with what the target holds.
func (l *loop) diff(m marked, k entry) (change, bool) {
	key := m.key
	want := l.desired(k)
	if want == nil {
		if m.held && l.holds(key, k, nil) {
			return change{}, false
		}
		if m.held {
			return change{what: k, record: m.record, entry: p4.Entry{Key: key, Value: m.value}, op: p4v1.Update_DELETE}, true
		}
		l.recovered(key, k)
		l.gone(k)
		return change{}, false
	}
	e := want.Entry()
	if m.held && e.Value == m.value {
		l.hold.settled(key)
		l.recovered(key, k)
		return change{}, false
	}
	if m.held && l.holds(key, k, want) {
		return change{}, false
	}
	l.hold.settled(key)
	if on, blocked := l.blockedOn(want); blocked {
		l.block(key, k, on)
		return change{}, false
	}
	e.Key = key // the same, and kept anyway
	c := change{what: want, record: m.record, entry: e, op: p4v1.Update_INSERT}
	if m.held {
		c.op = p4v1.Update_MODIFY
	}
	return c, true
}

// removals adds the removal of what others referred to, unless an entry that
// could not be changed still does.
func (l *loop) removals(out []change, ks []entry) []change {
	if len(ks) == 0 {
		return out
	}
	used := l.stillUsed()
	for _, k := range ks {
		key := k.Key()
		if by, ok := used[key]; ok {
			l.block(key, k, by)
			continue
		}
		r := l.record(key)
		out = append(out, change{what: k, record: r, entry: p4.Entry{Key: key, Value: r.value}, op: p4v1.Update_DELETE})
	}
	return out
}

// relate says what each change needs and releases, so that nothing is written
// that refers to an update which failed in the same job. A job of leaves alone,
// which is nearly every one, has nothing to say.
func (l *loop) relate(changes []change) {
	upserts, deletes := false, false
	for i := range changes {
		if changes[i].what.Level() != p4.LevelLeaf {
			upserts = upserts || changes[i].op != p4v1.Update_DELETE
			deletes = deletes || changes[i].op == p4v1.Update_DELETE
		}
	}
	for i := range changes {
		c := &changes[i]
		if upserts && c.op != p4v1.Update_DELETE {
			for k := range l.refs(c.what) {
				c.needs = append(c.needs, string(k))
			}
		}
		if deletes && c.op != p4v1.Update_INSERT {
			for k := range l.ackedRefs(c.entry.Key) {
				c.releases = append(c.releases, string(k))
			}
		}
	}
}

// gone is called when an entry is neither wanted nor on the target: ids that
// only it kept are free.
func (l *loop) gone(k entry) {
	if t := k.Type(); t < p4.Types {
		l.tables[t].gone(l, k)
	}
}

// held reports whether the target holds the entry that k names.
func (l *loop) held(k entry) bool {
	_, ok := l.acked(k.Key())
	return ok
}
