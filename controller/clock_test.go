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

// setBack has somebody set the machine's clock, which what waits does not go by.
func (c *testClock) setBack(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.due = c.now.Add(-d), c.due.Add(-d)
}

func TestAnAddressAgesOnWhenTheClockIsSetBack(t *testing.T) {
	g, b := ageing(t, time.Minute)
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.wait(time.Second)
	g.now.setBack(24 * time.Hour)
	g.wait(time.Second)
	if n := g.askedFor("10.10.0.5"); n != 0 {
		t.Errorf("it was asked %d times at once", n)
	}
	g.wantAnswer(b, "10.10.0.5", mac(5).String())
	g.waitUntil("asked", time.Minute, func() bool { return g.askedFor("10.10.0.5") == 1 })
	g.now.setBack(24 * time.Hour)
	g.waitUntil("withdrawn", probeTime+time.Second, func() bool { return g.answer(b, "10.10.0.5") == "nobody" })
	if n := g.askedFor("10.10.0.5"); n != probeCount {
		t.Errorf("it was asked %d times, want %d", n, probeCount)
	}
}

// RFC 9161 section 3.7: five moves within 180 s, until a time is over.
func TestADuplicateIsFoundAndLetGoWhenTheClockIsSetBack(t *testing.T) {
	cfg := testConfig()
	cfg.Duplicates.Freeze = time.Minute
	g, b := twoPorts(t, options{cfg: cfg})
	g.now.stop()
	held := func() (is bool) {
		g.peek(func(l *loop) { l.thaw(); is = !l.bridges[b].holder(addr("10.10.0.9")).IsZero() })
		return is
	}
	g.hears(b, 1, mac(5), "10.10.0.9")
	for i := range 5 {
		if held() {
			t.Fatalf("held after %d moves", i)
		}
		g.hears(b, uint16(2-i%2), mac(6-i%2), "10.10.0.9")
		g.now.setBack(time.Hour)
		g.now.advance(time.Second)
	}
	if !held() {
		t.Fatal("five moves are not seen")
	}
	g.now.setBack(time.Hour)
	held() // the loop sees it
	g.now.advance(time.Minute - 10*time.Second)
	if !held() {
		t.Error("it was let go early")
	}
	g.now.advance(20 * time.Second)
	if held() {
		t.Error("it is held for ever")
	}
}
