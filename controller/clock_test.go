package controller

import (
	"context"
	"slices"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// tries counts the updates of an entry that a target refuses.
func (g *gateway) tries(k entry) (count func() int) {
	got := make(chan struct{}, 1000)
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if d := decode(u.GetEntity()); d == nil || d.Key() != k.Key() {
			return nil
		}
		got <- struct{}{}
		return errTest
	})
	return func() int { return len(got) }
}

// rests waits until the loop has nothing to do but to try what was refused, after a
// pause.
func (g *gateway) rests(pause time.Duration) {
	g.Helper()
	g.eventually("at rest", func() (rests bool) {
		g.peek(func(l *loop) {
			rests = !l.target.busy && len(l.target.failed) > 0
			for _, f := range l.target.failed {
				rests = rests && f.next.Sub(l.now()) == pause
			}
		})
		return rests
	})
}

func TestARefusedEntryIsTriedAgainAfterItsPauseWhichDoublesAndNotBefore(t *testing.T) {
	o := options{cfg: testConfig(), target: p4rttest.Config{MayFail: true}}
	o.cfg.Retry = time.Second
	g, b := twoPorts(t, o)
	g.now.stop()
	tries := g.tries(p4.FDB{Bridge: b, MAC: mac(1)})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
	for n, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		pause *= time.Second
		g.rests(pause)
		g.now.advance(pause - time.Millisecond)
		g.rests(time.Millisecond)
		if got := tries(); got != n+1 {
			t.Fatalf("before a pause of %v is over, it was tried %d times, want %d", pause, got, n+1)
		}
		g.now.advance(time.Millisecond)
		g.eventually("tried again", func() bool { return tries() == n+2 })
	}
	g.target.FailUpdates(nil)
	g.rests(64 * time.Second)
	g.now.advance(64 * time.Second)
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
}

func TestAnAuditIsDueWhenItsIntervalIsOverAndNotBefore(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.AuditInterval = 10 * time.Minute
	g, _ := busy(t, o)
	g.now.stop()
	before := g.facts()
	var last time.Time
	g.peek(func(l *loop) { last = l.audits.last })
	g.tamper()
	g.now.advance(10*time.Minute - time.Second - g.now.Now().Sub(last))
	g.peek(func(*loop) {}) // it was woken
	if got := g.found(); got != [3]int64{} || g.c.stats.audits.Load() != 0 {
		t.Errorf("before the audit is due, %d audits found %v", g.c.stats.audits.Load(), got)
	}
	g.now.advance(time.Second)
	g.eventually("put right", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	if got := g.found(); got != [3]int64{1, 1, 1} || g.c.stats.audits.Load() != 1 {
		t.Errorf("%d audits found %v", g.c.stats.audits.Load(), got)
	}
}

func TestWhatIsHeldBackDoesNotWaitForTheUnderlayForEver(t *testing.T) {
	g, w, _ := restarted(t, nil)
	g.now.stop()
	g.underlay.Foresee(leaf2) // it never says anything
	g.send(busyRoutes()[:3]...) // MAC 1 is gone
	g.converge()
	g.now.advance(resolveTime - time.Millisecond)
	g.settle()
	g.wantWritten(w, any3)
	g.now.advance(time.Millisecond)
	g.eventually("released", func() (over bool) { g.peek(func(l *loop) { over = l.hold.over }); return over })
	g.settle()
	g.wantFDB(1, mac(1), "nowhere")
}

func TestATargetThatCannotBeReadIsReadAgainAfterAPause(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.Retry = time.Minute
	g, _ := busy(t, o)
	g.now.stop()
	before := g.facts()
	g.target.Intercept(func(_ context.Context, m proto.Message) error {
		if r, ok := m.(*p4v1.ReadRequest); ok && r.GetEntities()[0].GetTableEntry() != nil {
			return errTest
		}
		return nil
	})
	g.target.Disconnect()
	g.eventually("it cannot be read", func() (failed bool) {
		g.peek(func(l *loop) { failed = l.target.phase == phaseReading && !l.target.readAt.IsZero() })
		return failed
	})
	g.target.Intercept(nil)
	counts := g.target.Counts()
	g.now.advance(time.Minute - time.Millisecond)
	g.peek(func(*loop) {})
	if n := g.target.Counts().Reads - counts.Reads; n != 0 {
		t.Errorf("read %d times before the pause is over", n)
	}
	g.now.advance(time.Millisecond)
	g.eventually("all is well", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
}
