package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// An audit reads what the target holds and compares it with what it
// acknowledged. What was deleted, added or changed behind our back is put right.
// It is a job of the writer like any other, so that no write is under way.

// auditor is when audits are, and who waits for one.
type auditor struct {
	last  time.Time             // when the target was read
	asked []chan<- auditOutcome // each with room for its answer
	// unsure are entries whose writing was not answered: what became of them is
	// nobody's fault.
	unsure map[p4.Key]struct{}
}

type auditOutcome struct {
	audit view.Audit
	err   error
}

// kinds of difference, as metrics and views name them.
const (
	auditMissing    = "missing"
	auditUnexpected = "unexpected"
	auditChanged    = "changed"
)

var errNoAudit = errors.New("nothing was compared")

// Audit compares the target's entries with those it acknowledged, and has put
// right what differs: what it found, when it is asked for it.
func (c *Controller) Audit(ctx context.Context) (view.Audit, error) {
	answer := make(chan auditOutcome, 1)
	err := c.ask(ctx, func(l *loop) {
		if l.target.phase == phaseDown {
			answer <- auditOutcome{err: fmt.Errorf("%w: %s", errNoAudit, l.target.reason)}
			return
		}
		l.audits.asked = append(l.audits.asked, answer)
	})
	if err != nil {
		return view.Audit{}, err
	}
	select {
	case a := <-answer:
		return a.audit, a.err
	case <-c.stopped:
		return view.Audit{}, errStopped
	case <-ctx.Done():
		return view.Audit{}, ctx.Err()
	}
}

// auditDue reports whether to audit now, and else when.
func (l *loop) auditDue(now time.Time) (in time.Duration, due bool) {
	switch {
	case len(l.audits.asked) > 0:
		return 0, true
	case l.cfg.AuditInterval <= 0:
		return idleTick, false
	}
	in = l.cfg.AuditInterval - now.Sub(l.audits.last)
	return in, in <= 0
}

// audited takes what an audit read.
func (l *loop) audited(r result) {
	l.audits.last = l.now()
	if r.err != nil {
		l.stats.errors.Add(1)
		l.log.Warn("the target's entries could not be read for an audit", "err", r.err)
		l.answerAudits(view.Audit{}, fmt.Errorf("%w: %w", errNoAudit, r.err))
		return
	}
	a := l.compare(r.entries, func(is, was p4.Entry) {
		if is.Key == "" {
			l.dropped(was.Key, l.record(was.Key))
			l.mark(decoded(was))
			return
		}
		l.holdsNow(is.Key, l.record(is.Key), is.Value)
		l.mark(decoded(is))
	})
	l.reportAudit(a)
	l.answerAudits(a, nil)
}

// compare says how the entries that were read differ from those acknowledged,
// and calls differs for each that does: one of the two is zero where there is
// none.
func (l *loop) compare(entries []p4.Entry, differs func(is, was p4.Entry)) view.Audit {
	a := view.Audit{Entries: len(entries)}
	note := func(kind string, key p4.Key, is, was p4.Entry) {
		if _, unsure := l.audits.unsure[key]; !unsure {
			a.Differences = append(a.Differences, view.Difference{Kind: kind, Table: key.Table(), Is: show(is), Was: show(was)})
		}
		differs(is, was)
	}
	held := make(map[p4.Key]struct{}, len(entries))
	for _, e := range entries {
		held[e.Key] = struct{}{}
		switch have, ok := l.acked(e.Key); {
		case !ok:
			note(auditUnexpected, e.Key, e, p4.Entry{})
		case have != e.Value:
			note(auditChanged, e.Key, e, p4.Entry{Key: e.Key, Value: have})
		}
	}
	for key, r := range l.records {
		if _, ok := held[key]; r.held && !ok {
			note(auditMissing, key, p4.Entry{}, p4.Entry{Key: key, Value: r.value})
		}
	}
	clear(l.audits.unsure)
	return a
}

// show is an entry as people read it, nothing for none.
func show(e p4.Entry) string {
	if e.Key == "" {
		return ""
	}
	return e.String()
}

// reportAudit counts what an audit found, and says it in one line.
func (l *loop) reportAudit(a view.Audit) {
	l.stats.audits.Add(1)
	if len(a.Differences) == 0 {
		return
	}
	n := map[string]int{}
	for _, d := range a.Differences {
		n[d.Kind]++
	}
	l.stats.missing.Add(int64(n[auditMissing]))
	l.stats.unexpected.Add(int64(n[auditUnexpected]))
	l.stats.changed.Add(int64(n[auditChanged]))
	first := a.Differences[0]
	l.log.Warn("the target's entries were changed by somebody else, they are put right", "missing", n[auditMissing],
		"unexpected", n[auditUnexpected], "changed", n[auditChanged], "first", first.Kind, "was", first.Was, "is", first.Is)
}

func (l *loop) answerAudits(a view.Audit, err error) {
	for _, asked := range l.audits.asked {
		asked <- auditOutcome{a, err}
	}
	l.audits.asked = nil
}

// notAnswered records the entries of a job that may or may not have been done.
func (l *loop) notAnswered(changes []change) {
	for i := range changes {
		l.audits.unsure[changes[i].entry.Key] = struct{}{}
	}
}
