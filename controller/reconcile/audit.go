package reconcile

import (
	"errors"
	"fmt"
	"time"

	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// An audit reads what the target holds and compares it with what it
// acknowledged. What was deleted, added or changed behind our back is put right.
// It is a job of the writer like any other, so that no write is under way.

// Audit is what an audit found.
type Audit struct {
	Entries     int // that the target holds
	Differences []Difference
	Err         error // nothing was compared, and why
}

// Difference is an entry that is not as the target acknowledged it.
type Difference struct {
	Kind    DifferenceKind
	Is, Was p4.Entry // zero where there is none
}

// Table is the name of the entry's table.
func (d Difference) Table() string {
	if d.Kind == Missing {
		return d.Was.Key.Table()
	}
	return d.Is.Key.Table()
}

// DifferenceKind says what somebody else did to an entry.
type DifferenceKind string

// The kinds of difference, as metrics and views name them.
const (
	Missing    DifferenceKind = "missing"
	Unexpected DifferenceKind = "unexpected"
	Changed    DifferenceKind = "changed"
)

// auditor is when audits are, and who waits for one.
type auditor struct {
	last  time.Time      // when the target was read
	asked []chan<- Audit // each with room for its answer
	// unsure are entries whose writing was not answered: what became of them is
	// nobody's fault.
	unsure map[p4.Key]struct{}
}

func notCompared(err error) error { return fmt.Errorf("nothing was compared: %w", err) }

// Audit has the target compared, and what differs put right. The answer comes once.
func (r *Reconciler) Audit() <-chan Audit {
	answer := make(chan Audit, 1)
	if r.phase == phaseDown {
		answer <- Audit{Err: notCompared(errors.New(r.reason))}
	} else {
		r.audits.asked = append(r.audits.asked, answer)
	}
	return answer
}

// auditDue reports whether to audit now, and else when.
func (r *Reconciler) auditDue(now time.Time) (in time.Duration, due bool) {
	switch {
	case len(r.audits.asked) > 0:
		return 0, true
	case r.cfg.AuditInterval <= 0:
		return atLatest, false
	}
	in = r.cfg.AuditInterval - now.Sub(r.audits.last)
	return in, in <= 0
}

// audited takes what an audit read.
func (r *Reconciler) audited(res Result) {
	r.audits.last = r.cfg.Now()
	if res.err != nil {
		r.cfg.Stats.Errors.Add(1)
		r.log.Warn("the target's entries could not be read for an audit", "err", res.err)
		r.answerAudits(Audit{Err: notCompared(res.err)})
		return
	}
	a := r.compare(res.entries, func(is, was p4.Entry) {
		if is.Key == "" {
			r.setNotHeld(r.record(was.Key))
			r.Mark(decoded(was))
			return
		}
		r.setHeld(r.record(is.Key), is.Value)
		r.Mark(decoded(is))
	})
	r.reportAudit(a)
	r.answerAudits(a)
}

// compare says how the entries that were read differ from those acknowledged,
// and calls differs for each that does: one of the two is zero where there is
// none.
func (r *Reconciler) compare(entries []p4.Entry, differs func(is, was p4.Entry)) Audit {
	a := Audit{Entries: len(entries)}
	note := func(kind DifferenceKind, key p4.Key, is, was p4.Entry) {
		if _, unsure := r.audits.unsure[key]; !unsure {
			a.Differences = append(a.Differences, Difference{Kind: kind, Is: is, Was: was})
		}
		differs(is, was)
	}
	held := make(map[p4.Key]struct{}, len(entries))
	for _, e := range entries {
		held[e.Key] = struct{}{}
		switch have, ok := r.Value(e.Key); {
		case !ok:
			note(Unexpected, e.Key, e, p4.Entry{})
		case have != e.Value:
			note(Changed, e.Key, e, p4.Entry{Key: e.Key, Value: have})
		}
	}
	for was := range r.Entries() {
		if _, ok := held[was.Key]; !ok {
			note(Missing, was.Key, p4.Entry{}, was)
		}
	}
	clear(r.audits.unsure)
	return a
}

// reportAudit counts what an audit found, and says it in one line.
func (r *Reconciler) reportAudit(a Audit) {
	s := r.cfg.Stats
	s.Audits.Add(1)
	if len(a.Differences) == 0 {
		return
	}
	n := map[DifferenceKind]int{}
	for _, d := range a.Differences {
		n[d.Kind]++
	}
	s.Missing.Add(int64(n[Missing]))
	s.Unexpected.Add(int64(n[Unexpected]))
	s.Changed.Add(int64(n[Changed]))
	first := a.Differences[0]
	r.log.Warn("the target's entries were changed by somebody else, they are put right",
		events.Key, events.Audit, "missing", n[Missing],
		"unexpected", n[Unexpected], "changed", n[Changed],
		"first", first.Kind, "was", Text(first.Was), "is", Text(first.Is))
}

// Text is an entry of a Difference as people read it, nothing for none.
func Text(e p4.Entry) string {
	if e.Key == "" {
		return ""
	}
	return e.String()
}

func (r *Reconciler) answerAudits(a Audit) {
	for _, asked := range r.audits.asked {
		asked <- a
	}
	r.audits.asked = nil
}

// notAnswered records the entries of a job that may or may not have been done.
func (r *Reconciler) notAnswered(changes []change) {
	for i := range changes {
		r.audits.unsure[changes[i].entry.Key] = struct{}{}
	}
}
