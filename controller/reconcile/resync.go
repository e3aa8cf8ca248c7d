package reconcile

import (
	"errors"
	"time"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// Lost stops writing. What the target holds is read when it is back.
func (r *Reconciler) Lost(reason string) {
	r.session++
	r.phase, r.reason = phaseDown, reason
	r.answerAudits(Audit{Err: notCompared(errors.New(reason))})
}

// Up starts over with a read-back, also of a target that was just given the
// pipeline: a job that was under way may have gone on with the new one.
func (r *Reconciler) Up(e p4rt.Up) {
	r.emptied = r.emptied || e.Emptied
	r.replaced = r.replaced || e.Pushed
	r.session++
	r.phase, r.reason, r.readAt = phaseReading, "its entries are being read", time.Time{}
}

// writeFailed is called when a Write failed as a whole: what it did is only
// known by reading.
func (r *Reconciler) writeFailed(err error) {
	r.cfg.Stats.Errors.Add(1)
	if errors.Is(err, p4rt.ErrNotConnected) || errors.Is(err, p4rt.ErrNotPrimary) {
		r.Lost(err.Error()) // an Up follows
		return
	}
	r.log.Warn("a write to the target failed, its entries are read again", events.Key, events.Target, "err", err)
	r.readAgain(err)
}

func (r *Reconciler) readAgain(err error) {
	r.session++
	r.phase, r.reason = phaseReading, "its entries are read again: "+err.Error()
	r.readAt = r.cfg.Now().Add(r.cfg.Retry)
}

// readBack takes what the target holds.
func (r *Reconciler) readBack(res Result, took time.Duration) {
	if res.err != nil {
		r.cfg.Stats.Errors.Add(1)
		r.log.Warn("the target's entries could not be read, trying again", "err", res.err)
		r.readAgain(res.err)
		return
	}
	if res.foreign > 0 {
		r.log.Warn("the target holds entities that are not of this program, they are left alone", "entities", res.foreign)
	}
	r.log.Info("read the target's entries", events.Key, events.Target, "entries", len(res.entries), "took", took)
	a := Audit{Entries: len(res.entries)}
	if r.reads > 0 && !r.replaced {
		a = r.compare(res.entries, func(p4.Entry, p4.Entry) {})
		r.reportAudit(a)
	}
	r.replaced = false
	r.audits.last = r.cfg.Now()
	r.adopt(res.entries)
	r.answerAudits(a)
}

// adopt starts from what the target holds: the model takes from it what it may,
// and everything is compared with what is wanted.
func (r *Reconciler) adopt(entries []p4.Entry) {
	r.phase, r.reason = phaseUp, ""
	r.reads++
	r.gatherUntil = time.Time{}
	r.setNoneHeld()
	clear(r.failed)
	clear(r.waiting)
	r.model.Settle()
	var held [p4.Types][]p4.Typed
	for _, e := range entries {
		r.setHeld(r.record(e.Key), e.Value)
		if k := decoded(e); k.Type() < p4.Types {
			held[k.Type()] = append(held[k.Type()], k)
		} else {
			r.Mark(k)
		}
	}
	r.deferral.inherit(entries)
	r.model.Adopt(&held)
	for _, of := range held {
		for _, k := range of {
			r.Mark(k)
		}
	}
	r.model.All()
}
