package controller

import (
	"slices"
	"testing"
	"time"
)

func TestTheClockAloneMakesAnAuditDue(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.AuditInterval = 10 * time.Minute
	g, _ := busy(t, o)
	g.now.stop()
	before := g.facts()
	g.tamper()
	g.now.advance(8 * time.Minute)
	g.settle() // it was woken
	if got := g.found(); got != [3]int64{} || g.c.stats.target.Audits.Load() != 0 {
		t.Errorf("before the audit is due, %d audits found %v", g.c.stats.target.Audits.Load(), got)
	}
	g.now.advance(2 * time.Minute)
	g.eventually("put right", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	if got := g.found(); got != [3]int64{1, 1, 1} || g.c.stats.target.Audits.Load() != 1 {
		t.Errorf("%d audits found %v", g.c.stats.target.Audits.Load(), got)
	}
}

func TestWhatIsDeferredDoesNotWaitForTheUnderlayForEver(t *testing.T) {
	g, w, _ := restarted(t, nil)
	g.now.stop()
	g.underlay.Foresee(leaf2)   // it never says anything
	g.send(busyRoutes()[:3]...) // MAC 1 is gone
	g.converge()
	g.peek(func(*loop) {}) // it knows
	g.now.advance(resolveTime - time.Millisecond)
	g.settle()
	g.wantWritten(w, any3)
	g.now.advance(time.Millisecond)
	g.eventually("released", func() (over bool) { g.peek(func(l *loop) { over = !l.target.Deferring() }); return over })
	g.settle()
	g.wantFDB(1, mac(1), "nowhere")
}
