package reconcile

import (
	"context"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/p4"
)

// writer does what takes time with the target, one job after the other, while
// its owner goes on gathering.
type writer struct {
	target  Target
	jobs    chan job    // slots for all that there may be, so that its owner never waits
	results chan Result // likewise, so that it never waits for its owner
	// failed is the session of which a job failed: one that was prepared then is not done.
	failed uint64
	plan   p4rt.Plan // of the job before, whose memory the next one takes
}

// maxJobs is how many jobs the writer may have: one under way and one prepared.
const maxJobs = 2

// job is a set of changes to write or, if there are none, a read of all that
// the target holds; or a set-up alone.
type job struct {
	session uint64
	changes []change
	setup   Setup   // what comes before; nil = nothing
	alone   bool    // nothing follows the set-up
	audit   bool    // of a read: of a target that is written to
	causes  []cause // mostly none
}

// change is one update. It is written as it is: no message is made of it.
type change struct {
	what     p4.Typed // names the entry
	record   *record  // the owner's
	entry    p4.Entry
	op       p4v1.Update_Type
	needs    []string
	releases []string
}

// GetType makes a change a p4rt.Update.
func (c *change) GetType() p4v1.Update_Type { return c.op }

// GetEntity makes a change a p4rt.Update.
func (c *change) GetEntity() *p4v1.Entity { return c.entry.Entity() }

// AppendEntity makes a change a p4rt.EntityAppender.
func (c *change) AppendEntity(b []byte) []byte {
	if c.op == p4v1.Update_DELETE {
		return c.entry.AppendName(b)
	}
	return c.entry.AppendEntity(b)
}

// Key is for those who look at what is written.
func (c *change) Key() p4.Key { return c.entry.Key }

// Result is what came of a job, for Take.
type Result struct {
	job
	errs    []error    // one a change
	entries []p4.Entry // of a read
	foreign int        // entities read that the program cannot hold
	err     error      // the whole job failed
	// discarded: nothing was done, since the job before failed.
	discarded bool
}

func newWriter(t Target) *writer {
	return &writer{target: t, jobs: make(chan job, maxJobs), results: make(chan Result, maxJobs)}
}

// Run does what Flush gives to be done, until ctx ends. Its results are to be taken.
func (r *Reconciler) Run(ctx context.Context) { r.writer.run(ctx) }

// Results gives what is to be handed to Take.
func (r *Reconciler) Results() <-chan Result { return r.writer.results }

func (w *writer) run(ctx context.Context) {
	for {
		select {
		case j := <-w.jobs:
			w.results <- w.do(ctx, j)
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) do(ctx context.Context, j job) Result {
	res := Result{job: j}
	if j.session == w.failed {
		res.discarded = true
		return res
	}
	if j.setup != nil {
		res.err = j.setup(ctx, w.target)
	}
	switch {
	case j.alone:
	case j.changes == nil && res.err == nil:
		res.entries, res.foreign, res.err = readAll(ctx, w.target)
	case j.changes != nil && res.err == nil:
		w.plan = plan(w.plan[:0], j.changes)
		spans := writing(j.causes, len(j.changes))
		res.errs, res.err = w.plan.Write(ctx, w.target)
		for _, s := range spans {
			s.End(res.failure())
		}
		clear(w.plan)
	case j.changes != nil:
		res.errs = slices.Repeat([]error{p4rt.ErrNotWritten}, len(j.changes))
	}
	if res.err != nil && !j.audit { // its owner begins a new session
		w.failed = j.session
	}
	return res
}

// plan adds changes to a plan.
func plan(p p4rt.Plan, changes []change) p4rt.Plan {
	for i := range changes {
		c := &changes[i]
		p = append(p, p4rt.Change{
			Key:      string(c.entry.Key),
			Update:   c,
			Level:    int(c.what.Level()),
			Needs:    c.needs,
			Releases: c.releases,
		})
	}
	return p
}

// readAll reads every table, group and clone session, one after the other: a
// big table stalls some targets.
func readAll(ctx context.Context, t Target) (entries []p4.Entry, foreign int, err error) {
	take := func(e *p4v1.Entity) error {
		if e.GetTableEntry().GetIsDefaultAction() {
			return nil
		}
		if got, err := p4.FromEntity(e); err == nil {
			entries = append(entries, got)
		} else {
			foreign++
		}
		return nil
	}
	for _, e := range p4.Wildcards() {
		if err := t.Read(ctx, []*p4v1.Entity{e}, take); err != nil {
			return nil, 0, err
		}
	}
	return entries, foreign, nil
}
