package reconcile

import (
	"errors"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/internal/tracing"
)

// maxCauses bounds the causes of one job, and the jobs of one cause.
const maxCauses = 64

var (
	errAway = errors.New("the target is not written to: it is given all when it is up again")
	errMany = errors.New("too many changes at once: what comes of this one is not followed")
)

// cause is the span of who asked for some of what is marked. Which of it is not kept: that
// would cost something for each entry. So it is a cause of each job until nothing more is
// marked, and ends when the last of them is acknowledged.
type cause struct {
	span tracing.Span
	jobs int
	last bool // of a job's: it is the last
}

// Because has a span follow what is marked now, and end it when that is acknowledged.
func (r *Reconciler) Because(s tracing.Span) {
	switch {
	case !s.Wanted():
	case len(r.causes) == maxCauses:
		s.End(errMany)
	default:
		r.causes = append(r.causes, cause{span: s})
	}
}

// takeCauses gives the causes of the job that is made now.
func (r *Reconciler) takeCauses() []cause {
	if len(r.causes) == 0 {
		return nil
	}
	settled := r.Depth() == 0
	var of, kept []cause
	for _, c := range r.causes {
		c.jobs++
		c.last = settled || c.jobs == maxCauses
		of = append(of, c)
		if !c.last {
			kept = append(kept, c)
		}
	}
	r.causes = kept
	return of
}

// endCauses ends all of which no job was made, or no other one will be.
func (r *Reconciler) endCauses(err error) {
	for _, c := range r.causes {
		c.span.End(err)
	}
	r.causes = nil
}

// writing begins the spans of a Write.
func writing(of []cause, updates int) (spans []tracing.Span) {
	for _, c := range of {
		s := c.span.Child("P4Runtime Write")
		s.Count("p4evpn.updates", updates)
		spans = append(spans, s)
	}
	return spans
}

// acknowledged ends what the job was the last for.
func (res *Result) acknowledged() {
	for _, c := range res.causes {
		if c.last {
			c.span.End(res.failure())
		}
	}
}

// failure is the first thing that went wrong with what was to be written.
func (res *Result) failure() error {
	switch {
	case res.discarded:
		return errAway
	case res.err != nil:
		return res.err
	}
	for i, err := range res.errs {
		if err != nil && !(res.changes[i].op == p4v1.Update_DELETE && errors.Is(err, p4rt.ErrNotFound)) {
			return err
		}
	}
	return nil
}
