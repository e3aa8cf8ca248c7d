package reconcile

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// Failure is an entry that the target refused, or that waits for one.
type Failure struct {
	What     p4.Typed // names it
	Err      error
	on       p4.Key // the entry that it waits for
	attempts int    // that the target itself refused
	next     time.Time
}

// Refused reports whether the target itself refused the entry once.
func (f *Failure) Refused() bool { return f.attempts > 0 }

// Take takes what came of a job.
func (r *Reconciler) Take(res Result) {
	now := r.cfg.Now()
	took := now.Sub(r.began)
	r.began = now // the writer goes on with the job that is prepared
	r.jobs--
	res.acknowledged()
	for i := range res.changes {
		c := &res.changes[i]
		if c.record.inJob = false; c.op == p4v1.Update_INSERT {
			r.take(c.entry.Key, -1) // it is counted again if the target holds it now
		}
	}
	if res.session != r.session {
		if !res.discarded {
			r.notAnswered(res.changes)
		}
		return // the target is another one by now, or is read again, and all is marked then
	}
	switch {
	case res.alone:
		if res.err != nil {
			r.writeFailed(res.err)
		}
		return
	case res.audit:
		r.audited(res)
		return
	case res.changes == nil:
		r.readBack(res, took)
		return
	}
	if r.cfg.Written != nil {
		r.cfg.Written(len(res.changes), took)
	}
	refused, first := 0, error(nil)
	for i := range res.changes {
		c := &res.changes[i]
		err := res.errs[i]
		if err == nil || c.op == p4v1.Update_DELETE && errors.Is(err, p4rt.ErrNotFound) {
			r.acknowledge(c)
		} else if r.refused(c, err) {
			refused++
			if first == nil {
				first = err
			}
		}
		r.forget(c.record)
	}
	if refused > 0 {
		r.log.Warn("the target refused entries, they will be tried again", events.Key, events.Target, "entries", refused,
			"first", first)
	}
	if res.err != nil {
		r.notAnswered(res.changes)
		r.writeFailed(res.err)
	}
	r.gatherUntil = r.cfg.Now().Add(gatherFor(len(res.changes)))
	r.reuse(res)
}

// gatherFor is how long marks gather after a batch of that size: not at all when
// idle, so that one change costs one quick Write, and longer the more there is
// to do, so that a Write's fixed cost is shared. A whole batch does not wait.
func gatherFor(n int) time.Duration {
	if n < 8 {
		return 0
	}
	return min(time.Duration(n)*50*time.Microsecond, 2*time.Millisecond)
}

// acknowledge records what the target holds now.
func (r *Reconciler) acknowledge(c *change) {
	key := c.entry.Key
	if c.op == p4v1.Update_DELETE {
		r.setNotHeld(c.record)
		r.recovered(key, c.what)
		if r.unwanted(c) {
			r.gone(c.what)
		}
		return
	}
	r.setHeld(c.record, c.entry.Value)
	r.recovered(key, c.what)
}

// refused records that an update was not done, and reports whether the target itself
// refused it, for the first time.
func (r *Reconciler) refused(c *change, err error) bool {
	key := c.entry.Key
	switch {
	case errors.Is(err, p4rt.ErrSkipped):
		var skip *p4rt.SkipError
		if errors.As(err, &skip) {
			r.block(key, c.what, p4.Key(skip.Key))
		}
		return false
	case errors.Is(err, p4rt.ErrUnknownOutcome), errors.Is(err, p4rt.ErrNotWritten):
		r.Mark(c.what) // the whole job failed
		return false
	case errors.Is(err, p4rt.ErrAlreadyExists) && c.op == p4v1.Update_INSERT:
		// It is there with a value that we do not know. A byte more than any
		// value has makes it differ from all, so that it becomes a MODIFY.
		r.setHeld(c.record, c.entry.Value+"?")
		r.audits.unsure[key] = struct{}{}
	case errors.Is(err, p4rt.ErrNotFound) && c.op == p4v1.Update_MODIFY:
		r.setNotHeld(c.record)
	}
	r.cfg.Stats.Errors.Add(1)
	f := r.fail(key, c.what, err)
	f.on = ""
	f.attempts++
	r.tryAgain(f, r.cfg.Retry<<min(f.attempts-1, 6))
	return f.attempts == 1
}

// fail gives the record of a failure, made if there is none.
func (r *Reconciler) fail(key p4.Key, k p4.Typed, err error) *Failure {
	f := r.failed[key]
	if f == nil {
		f = &Failure{}
		r.failed[key] = f
		r.flipped(k) // go on without it
	}
	f.What, f.Err = k, err
	return f
}

// block records that an entry waits for another one that failed.
func (r *Reconciler) block(key p4.Key, k p4.Typed, on p4.Key) {
	f := r.fail(key, k, fmt.Errorf("waits for %v", on))
	f.on = on
	waiting := r.waiting[on]
	if waiting == nil {
		waiting = map[p4.Key]p4.Typed{}
		r.waiting[on] = waiting
	}
	waiting[key] = k
	r.tryAgain(f, 64*r.cfg.Retry) // in case nothing wakes it before
}

// Failures yields the entries that the target refused or that wait, by key.
func (r *Reconciler) Failures() iter.Seq2[p4.Key, *Failure] { return maps.All(r.failed) }

// FailureCount is how many entries the target refused or that wait.
func (r *Reconciler) FailureCount() int { return len(r.failed) }

// Failing reports whether the target refused any of the entries, or one waits.
func (r *Reconciler) Failing(ks ...p4.Typed) bool {
	if len(r.failed)+r.waits == 0 {
		return false
	}
	for _, k := range ks {
		if key := k.Key(); r.failed[key] != nil || r.waitsForRoom(key) {
			return true
		}
	}
	return false
}

// Failure is what stands in the way of an entry, nil if nothing does.
func (r *Reconciler) Failure(key p4.Key) *Failure {
	if f := r.failed[key]; f != nil {
		return f
	}
	return r.waitingFor(key)
}

// Why says what stands in the way of an entry: what the target said of it, or of
// the one that it waits for in the end.
func (r *Reconciler) Why(f *Failure) string {
	first := f
	for range p4.Levels {
		on := r.Failure(f.on)
		if f.on == "" || on == nil {
			break
		}
		f = on
	}
	if f == first {
		return f.Err.Error()
	}
	return fmt.Sprintf("waits for %v: %v", f.What.Key(), f.Err)
}

func (r *Reconciler) tryAgain(f *Failure, after time.Duration) {
	f.next = r.cfg.Now().Add(after)
	if r.retryAt.IsZero() || f.next.Before(r.retryAt) {
		r.retryAt = f.next
	}
}

// recovered forgets a failure and wakes what waited for the entry.
func (r *Reconciler) recovered(key p4.Key, k p4.Typed) {
	if r.failed[key] == nil {
		return
	}
	delete(r.failed, key)
	r.flipped(k)
	r.wake(key)
}

// wake marks what waited for an entry.
func (r *Reconciler) wake(key p4.Key) {
	for _, waiting := range r.waiting[key] {
		r.Mark(waiting)
	}
	delete(r.waiting, key)
}

// blockedOn says which failed entry the wanted one refers to, if it does.
func (r *Reconciler) blockedOn(want p4.Typed) (on p4.Key, blocked bool) {
	if len(r.failed)+r.waits == 0 {
		return "", false
	}
	for k := range r.follow.refs(want) {
		if r.failed[k] != nil || r.waitsForRoom(k) {
			return k, true
		}
	}
	return "", false
}

// follower follows references: to what an entry refers to itself, and by what it
// refers to as that is on the target. It is good while nothing changes there.
type follower struct {
	r *Reconciler
	// seen is where what was followed led: many lead over the same few.
	seen map[p4.Key][]p4.Key
}

func (r *Reconciler) newFollower() follower { return follower{r, map[p4.Key][]p4.Key{}} }

// refs yields what an entry refers to.
func (f follower) refs(e p4.Typed) iter.Seq[p4.Key] {
	return func(yield func(p4.Key) bool) {
		for _, k := range e.Refs() {
			if !yield(k) {
				return
			}
			for _, to := range f.behind(k) {
				if !yield(to) {
					return
				}
			}
		}
	}
}

// behind gives what an entry as the target holds it refers to, each once: the slots of a
// group lead over the same few.
func (f follower) behind(key p4.Key) []p4.Key {
	if all, ok := f.seen[key]; ok {
		return all
	}
	var all []p4.Key
	if e, held := f.r.Held(key); held {
		once := map[p4.Key]struct{}{}
		for k := range f.refs(e) {
			if _, twice := once[k]; !twice {
				once[k] = struct{}{}
				all = append(all, k)
			}
		}
	}
	f.seen[key] = all
	return all
}

// stillUsed gives what entries that could not be changed refer to as they are
// on the target, and which entry it is.
func (r *Reconciler) stillUsed() map[p4.Key]p4.Key {
	used := map[p4.Key]p4.Key{}
	f := r.newFollower()
	for key := range r.failed {
		for _, k := range f.behind(key) {
			used[k] = key
		}
	}
	return used
}

// Retry marks what is due to be tried again.
func (r *Reconciler) Retry() {
	now := r.cfg.Now()
	if r.retryAt.IsZero() || now.Before(r.retryAt) {
		return
	}
	r.retryAt = time.Time{}
	for _, f := range r.failed {
		if f.next.After(now) {
			r.tryAgain(f, f.next.Sub(now))
			continue
		}
		r.Mark(f.What)
		r.tryAgain(f, r.cfg.Retry) // in case nothing comes of it
	}
}
