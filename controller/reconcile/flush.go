package reconcile

import (
	"context"
	"slices"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/p4"
)

// maxBatch bounds the entries of the last level in one job, and so how long a change waits
// for the one that is under way. With four times as many a Write is hardly cheaper for each.
const maxBatch = 512

// atLatest is how long a Reconciler that has nothing to do may be left alone.
const atLatest = time.Hour

// Flush brings what is marked on its way, if it can go now, and gives the time
// after which it wants to be called again at the latest. It is to be called after
// whatever may have marked something, after Take, and after Retry.
func (r *Reconciler) Flush() time.Duration {
	r.model.Settle()
	r.cfg.Stats.Depth.Store(int64(r.Depth()))
	now := r.cfg.Now()
	_, auditDue := r.auditDue(now)
	switch {
	case r.phase == phaseReading && r.jobs == 0 && !now.Before(r.readAt):
		r.setups = nil // what Prepare gives is newer
		j := job{}
		if r.cfg.Prepare != nil {
			j.setup = r.cfg.Prepare()
		}
		r.give(j)
	case r.phase != phaseUp:
		r.forgetUnwanted()
		r.endCauses(errAway)
	case r.jobs > 0:
		if !auditDue && r.mayPrepare() {
			r.giveChanges()
		}
	case now.Before(r.gatherUntil) && r.Depth() < maxBatch:
		return r.gatherUntil.Sub(now)
	case auditDue:
		r.give(job{audit: true})
	default:
		if !r.giveChanges() && len(r.setups) > 0 {
			r.give(job{setup: r.takeSetups(), alone: true})
		}
	}
	return r.wakeAfter(now)
}

// mayPrepare reports whether to give the writer its next job while it has one: it then
// has no pause while the owner computes. The changes of such a job may not depend on what
// comes of the one before, so both are of leaves, to which nothing refers. A job is not
// prepared before it is a full one, since more may come, and a change never waits for
// more than two.
func (r *Reconciler) mayPrepare() bool {
	leaves := len(r.marked[p4.LevelLeaf])
	return r.jobs == 1 && r.leaves && leaves >= maxBatch && leaves == r.Depth() && len(r.setups) == 0
}

// giveChanges has the writer write what differs, and reports whether anything does.
func (r *Reconciler) giveChanges() bool {
	changes := r.changes()
	if len(changes) == 0 {
		r.spare = changes
		if r.Depth() == 0 {
			r.endCauses(nil) // there is nothing to be written for them
		}
		return false
	}
	r.leaves = true
	for i := range changes {
		changes[i].record.inJob = true
		r.leaves = r.leaves && changes[i].what.Level() == p4.LevelLeaf
	}
	r.give(job{changes: changes, setup: r.takeSetups(), causes: r.takeCauses()})
	return true
}

// SetUp has the writer set up more of the target, before it writes what is marked: what
// came after Prepare. A target that is reached again is given it by Prepare.
func (r *Reconciler) SetUp(s Setup) { r.setups = append(r.setups, s) }

// takeSetups takes what there is to set up as one, nil if there is nothing.
func (r *Reconciler) takeSetups() Setup {
	setups := r.setups
	if r.setups = nil; len(setups) == 0 {
		return nil
	}
	return func(ctx context.Context, t Target) error {
		for _, s := range setups {
			if err := s(ctx, t); err != nil {
				return err
			}
		}
		return nil
	}
}

// give has the writer do a job, after the one that it may have.
func (r *Reconciler) give(j job) {
	if r.jobs == 0 {
		r.began = r.cfg.Now()
	}
	r.jobs++
	j.session = r.session
	r.leaves = r.leaves && j.changes != nil
	r.writer.jobs <- j
}

func (r *Reconciler) wakeAfter(now time.Time) time.Duration {
	next := atLatest
	if r.phase == phaseUp && r.jobs == 0 && r.Depth() > 0 {
		next = 0 // what was computed marked something else
	}
	if r.phase == phaseReading && r.jobs == 0 {
		next = min(next, r.readAt.Sub(now))
	}
	if in, _ := r.auditDue(now); r.phase == phaseUp && r.jobs == 0 {
		next = min(next, in)
	}
	if !r.retryAt.IsZero() {
		next = min(next, r.retryAt.Sub(now))
	}
	return max(next, time.Millisecond)
}

// forgetUnwanted is a flush without a target: it only lets go of what is not wanted
// and not there. What else is marked is computed when the target is up again.
func (r *Reconciler) forgetUnwanted() {
	for lv := range p4.Levels {
		for _, m := range r.takeMarked(lv) {
			if !m.unmark() {
				continue
			}
			k := m.what
			if !m.held && r.desired(k) == nil {
				r.gone(k)
			}
			r.forget(m.record)
		}
	}
}

// changes takes from the marked entries what differs from the target.
func (r *Reconciler) changes() []change {
	r.callWaiting()
	r.follow = r.newFollower()
	out := r.spare
	r.spare = nil
	var removals []p4.Typed // of levels that others refer to: they come last
	for lv := range p4.Levels {
		taken := r.takeMarked(lv)
		next, waiting := len(taken), 0
		for i, m := range taken {
			if lv == p4.LevelLeaf && len(out) >= maxBatch {
				next = i
				break
			}
			if m.inJob { // what comes of that is to be known first
				taken[waiting] = m
				waiting++
				continue
			}
			if !m.unmark() {
				continue
			}
			k := m.what
			c, ok := r.diff(m, k)
			switch {
			case !ok:
				r.forget(m.record)
			case c.op == p4v1.Update_DELETE && k.Level() != p4.LevelLeaf:
				removals = append(removals, k)
			default:
				out = append(out, c)
			}
		}
		copy(taken[next-waiting:next], taken[:waiting])
		r.marked[lv] = append(rest(taken, next-waiting), r.marked[lv]...)
	}
	if len(r.marked[p4.LevelLeaf]) > 0 {
		for _, k := range removals {
			r.Mark(k) // what is left may still refer to it
		}
	} else {
		out = r.removals(out, removals)
	}
	r.relate(out)
	return out
}

// maxSpare bounds the memory that one job leaves to the next.
const maxSpare = 4 * maxBatch

// rest gives the marks from one on, in the memory of all, from its beginning on if they are
// few: to move many each time would take long.
func rest(taken []marked, from int) []marked {
	left := taken[from:]
	switch {
	case len(left) > maxSpare:
		return left
	case cap(taken) > maxSpare:
		return slices.Clone(left)
	}
	n := copy(taken, left)
	clear(taken[n:])
	return taken[:n]
}

// reuse leaves the memory of a job that was done to the next one. Errors point to what they
// are about.
func (r *Reconciler) reuse(res Result) {
	if cap(res.changes) <= maxSpare && !slices.ContainsFunc(res.errs, func(err error) bool { return err != nil }) {
		clear(res.changes)
		r.spare = res.changes[:0]
	}
}

// diff compares one entry with what the target holds.
func (r *Reconciler) diff(m marked, k p4.Typed) (change, bool) {
	key := m.key()
	want := r.desired(k)
	if want == nil {
		if m.held && r.defers(key, k, nil) {
			return change{}, false
		}
		if m.held {
			return change{what: k, record: m.record, entry: p4.Entry{Key: key, Value: m.value()}, op: p4v1.Update_DELETE}, true
		}
		r.waitNoMore(key)
		r.recovered(key, k)
		r.gone(k)
		return change{}, false
	}
	e := want.Entry()
	if m.held && e.Value == m.value() {
		r.deferral.confirm(key)
		r.recovered(key, k)
		return change{}, false
	}
	if m.held && r.defers(key, k, want) {
		return change{}, false
	}
	r.deferral.confirm(key)
	if on, blocked := r.blockedOn(want); blocked {
		r.waitNoMore(key)
		r.block(key, k, on)
		return change{}, false
	}
	if !m.held && !r.admits(want, key) {
		r.decline(key, k)
		return change{}, false
	}
	e.Key = key // the same, and kept anyway
	c := change{what: want, record: m.record, entry: e, op: p4v1.Update_INSERT}
	if m.held {
		c.op = p4v1.Update_MODIFY
	} else {
		r.admitted(key, k)
	}
	return c, true
}

// removals adds the removal of what others referred to, unless an entry that
// could not be changed still does.
func (r *Reconciler) removals(out []change, ks []p4.Typed) []change {
	if len(ks) == 0 {
		return out
	}
	used := r.stillUsed()
	for _, k := range ks {
		key := k.Key()
		if by, ok := used[key]; ok {
			r.block(key, k, by)
			continue
		}
		rec := r.record(key)
		e := p4.Entry{Key: key, Value: rec.value()}
		out = append(out, change{what: k, record: rec, entry: e, op: p4v1.Update_DELETE})
	}
	return out
}

// relate says what each change needs and releases, so that nothing is written
// that refers to an update which failed in the same job. A job of leaves alone,
// which is nearly every one, has nothing to say.
func (r *Reconciler) relate(changes []change) {
	upserts, deletes := false, false
	for i := range changes {
		if changes[i].what.Level() != p4.LevelLeaf {
			upserts = upserts || changes[i].op != p4v1.Update_DELETE
			deletes = deletes || changes[i].op == p4v1.Update_DELETE
		}
	}
	if !upserts && !deletes {
		return
	}
	inJob := make(map[p4.Key]struct{}, len(changes)) // of what others may refer to
	for i := range changes {
		if c := &changes[i]; c.what.Level() != p4.LevelLeaf {
			inJob[c.entry.Key] = struct{}{}
		}
	}
	f := r.newFollower()
	for i := range changes {
		c := &changes[i]
		if upserts && c.op != p4v1.Update_DELETE {
			for k := range f.refs(c.what) {
				if _, in := inJob[k]; in {
					c.needs = append(c.needs, string(k))
				}
			}
		}
		if deletes && c.op != p4v1.Update_INSERT {
			for _, k := range f.behind(c.entry.Key) {
				if _, in := inJob[k]; in {
					c.releases = append(c.releases, string(k))
				}
			}
		}
	}
}
