package controller

import (
	"errors"
	"fmt"
	"iter"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// failure is an entry that the target refused, or that waits for one.
type failure struct {
	what     entry
	err      error
	on       p4.Key // the entry that it waits for
	attempts int    // that the target itself refused
	next     time.Time
}

// finished takes what came of a job.
func (l *loop) finished(r result) {
	t := &l.target
	t.busy = false
	if r.session != t.session {
		l.notAnswered(r.changes)
		return // the target is another one by now, or was read again
	}
	if r.changes == nil {
		if r.audit {
			l.audited(r)
		} else {
			l.readBack(r)
		}
		return
	}
	l.stats.written(len(r.changes), l.now().Sub(r.began))
	refused, first := 0, error(nil)
	for i := range r.changes {
		c := &r.changes[i]
		err := r.errs[i]
		if err == nil || c.op == p4v1.Update_DELETE && errors.Is(err, p4rt.ErrNotFound) {
			l.acknowledge(c)
		} else if l.refused(c, err) {
			refused++
			if first == nil {
				first = err
			}
		}
		l.forget(c.entry.Key, c.record)
	}
	if refused > 0 {
		l.log.Warn("the target refused entries, they will be tried again", "entries", refused, "first", first)
	}
	if r.err != nil {
		l.notAnswered(r.changes)
		l.writeFailed(r.err)
	}
	t.holdUntil = l.now().Add(holdOff(len(r.changes)))
	l.sweepLeaving()
}

// holdOff is how long marks gather after a batch of that size: not at all when
// idle, so that one change costs one quick Write, and longer the more there is
// to do, so that a Write's fixed cost is shared. A whole batch does not wait.
func holdOff(n int) time.Duration {
	if n < 8 {
		return 0
	}
	return min(time.Duration(n)*50*time.Microsecond, 20*time.Millisecond)
}

// acknowledge records what the target holds now.
func (l *loop) acknowledge(c *change) {
	key := c.entry.Key
	if c.op == p4v1.Update_DELETE {
		l.dropped(key, c.record)
		l.recovered(key, c.what)
		if l.desired(c.what) == nil {
			l.gone(c.what)
		}
		return
	}
	l.holdsNow(key, c.record, c.entry.Value)
	l.recovered(key, c.what)
}

// refused records that an update was not done; true if the target itself
// refused it, for the first time.
func (l *loop) refused(c *change, err error) bool {
	key := c.entry.Key
	switch {
	case errors.Is(err, p4rt.ErrSkipped):
		var skip *p4rt.SkipError
		if errors.As(err, &skip) {
			l.block(key, c.what, p4.Key(skip.Key))
		}
		return false
	case errors.Is(err, p4rt.ErrUnknownOutcome), errors.Is(err, p4rt.ErrNotWritten):
		l.mark(c.what) // the whole job failed
		return false
	case errors.Is(err, p4rt.ErrAlreadyExists) && c.op == p4v1.Update_INSERT:
		// It is there with a value that we do not know. A byte more than any
		// value has makes it differ from all, so that it becomes a MODIFY.
		l.holdsNow(key, c.record, c.entry.Value+"?")
		l.audits.unsure[key] = struct{}{}
	case errors.Is(err, p4rt.ErrNotFound) && c.op == p4v1.Update_MODIFY:
		l.dropped(key, c.record)
	}
	l.stats.errors.Add(1)
	f := l.fail(key, c.what, err)
	f.on = ""
	f.attempts++
	l.tryAgain(f, l.cfg.Retry<<min(f.attempts-1, 6))
	return f.attempts == 1
}

// fail gives the record of a failure, made if there is none.
func (l *loop) fail(key p4.Key, k entry, err error) *failure {
	f := l.target.failed[key]
	if f == nil {
		f = &failure{}
		l.target.failed[key] = f
		l.flipped(k) // go on without it
	}
	f.what, f.err = k, err
	return f
}

// block records that an entry waits for another one that failed.
func (l *loop) block(key p4.Key, k entry, on p4.Key) {
	f := l.fail(key, k, fmt.Errorf("waits for %v", on))
	f.on = on
	waiting := l.target.waiting[on]
	if waiting == nil {
		waiting = map[p4.Key]entry{}
		l.target.waiting[on] = waiting
	}
	waiting[key] = k
	l.tryAgain(f, 64*l.cfg.Retry) // in case nothing wakes it before
}

// why says what stands in the way of an entry: what the target said of it, or of
// the one that it waits for in the end.
func (l *loop) why(f *failure) string {
	first := f
	for range p4.Levels {
		on := l.target.failed[f.on]
		if f.on == "" || on == nil {
			break
		}
		f = on
	}
	if f == first {
		return f.err.Error()
	}
	return fmt.Sprintf("waits for %v: %v", f.what.Key(), f.err)
}

func (l *loop) tryAgain(f *failure, after time.Duration) {
	f.next = l.now().Add(after)
	if t := &l.target; t.retryAt.IsZero() || f.next.Before(t.retryAt) {
		t.retryAt = f.next
	}
}

// recovered forgets a failure and wakes what waited for the entry.
func (l *loop) recovered(key p4.Key, k entry) {
	failed := l.target.failed
	if failed[key] == nil {
		return
	}
	delete(failed, key)
	l.flipped(k)
	for _, waiting := range l.target.waiting[key] {
		l.mark(waiting)
	}
	delete(l.target.waiting, key)
}

// failing reports whether the target refused any of the entries.
func (l *loop) failing(ks ...entry) bool {
	for _, k := range ks {
		if l.target.failed[k.Key()] != nil {
			return true
		}
	}
	return false
}

// flipped is called when the target begins or ceases to refuse an entry.
func (l *loop) flipped(k entry) {
	if t := k.Type(); t < p4.Types {
		l.tables[t].flipped(l, k)
	}
}

// markFloods marks the groups that use a tunnel if the target takes it.
func (l *loop) markFloods(tunnel uint16) {
	if t := l.tunnelByID[tunnel]; t != nil {
		for b := range t.floods {
			l.mark(p4.Group{ID: b.Index})
		}
	}
}

// blockedOn says which failed entry the wanted one refers to, if it does.
func (l *loop) blockedOn(want entry) (on p4.Key, blocked bool) {
	if len(l.target.failed) == 0 {
		return "", false
	}
	for k := range l.refs(want) {
		if l.target.failed[k] != nil {
			return k, true
		}
	}
	return "", false
}

// refs yields what an entry refers to: itself, and by what it refers to as that
// is on the target.
func (l *loop) refs(e entry) iter.Seq[p4.Key] {
	return func(yield func(p4.Key) bool) { l.yieldRefs(e, yield) }
}

func (l *loop) yieldRefs(e entry, yield func(p4.Key) bool) bool {
	for _, k := range e.Refs() {
		if !yield(k) {
			return false
		}
		if to, held := l.ackedEntry(k); held && !l.yieldRefs(to, yield) {
			return false
		}
	}
	return true
}

// ackedRefs is refs of an entry as the target holds it.
func (l *loop) ackedRefs(key p4.Key) iter.Seq[p4.Key] {
	e, held := l.ackedEntry(key)
	if !held {
		return func(func(p4.Key) bool) {}
	}
	return l.refs(e)
}

// stillUsed gives what entries that could not be changed refer to as they are
// on the target, and which entry it is.
func (l *loop) stillUsed() map[p4.Key]p4.Key {
	used := map[p4.Key]p4.Key{}
	for key := range l.target.failed {
		for k := range l.ackedRefs(key) {
			used[k] = key
		}
	}
	return used
}

// retry marks what is due to be tried again.
func (l *loop) retry() {
	t := &l.target
	now := l.now()
	if t.retryAt.IsZero() || now.Before(t.retryAt) {
		return
	}
	t.retryAt = time.Time{}
	for _, f := range t.failed {
		if f.next.After(now) {
			l.tryAgain(f, f.next.Sub(now))
			continue
		}
		l.mark(f.what)
		l.tryAgain(f, l.cfg.Retry) // in case nothing comes of it
	}
}
