package controller

import (
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/p4"
)

// resolveTime bounds how long what is deferred after a restart waits for the
// underlay, once BGP has converged.
const resolveTime = 5 * time.Second

// Tentative is of reconcile.Model: it reports whether an entry is as it is because
// of what peers said so far. What follows from what is known here is sure: the
// objects, the configuration, the hosts on our ports, the underlay.
func (l *loop) Tentative(e entry) bool { return l.tables[e.Type()].fromBGP(l, e) }

// keepFlooded adds to a bridge's group, while changes are deferred, the VTEPs
// that it has on the target: one whose route or path is not known yet must not
// miss the floods.
func (l *loop) keepFlooded(g *p4.Group) {
	if !l.target.Deferring() {
		return
	}
	e, _ := l.target.Held(g.Key())
	held, _ := e.(p4.Group)
	for _, m := range held.Members {
		known := slices.ContainsFunc(g.Members, func(o p4.GroupMember) bool { return o.Instance == m.Instance })
		if m.Instance != p4.LocalInstance && !known && !l.failingReplica(g.ID, m.Instance) {
			g.Members = append(g.Members, m)
		}
	}
}

// bgpConverged is told when more routes need not be waited for.
func (l *loop) bgpConverged() { l.convergedAt, l.behindChanged = l.now(), true }

// endDeferral lets go of what was deferred, once BGP has converged and the underlay
// has said how each VTEP is reached.
func (l *loop) endDeferral() {
	if in, waiting := l.deferralDue(); !waiting || in > 0 && l.unanswered() {
		return
	}
	n := l.target.EndDeferral()
	l.claimNextHops()
	l.settleNextHops()
	for _, b := range l.bridges {
		l.mark(p4.Group{ID: b.Index})
	}
	if l.slow != nil {
		l.slow.Converged()
	}
	l.log.Info("BGP has converged, what changed while we were away is put right now", "entries", n)
}

// deferralDue is when the underlay is not waited for any more, false while that does
// not matter.
func (l *loop) deferralDue() (in time.Duration, waiting bool) {
	if l.convergedAt.IsZero() || !l.target.Deferring() {
		return 0, false
	}
	return resolveTime - l.now().Sub(l.convergedAt), true
}

// unanswered reports whether the underlay has not spoken of a VTEP in use.
func (l *loop) unanswered() bool {
	for _, r := range l.remoteVTEPs {
		if r.users > 0 && !r.answered {
			return true
		}
	}
	return false
}
