package reconcile

import (
	"context"
	"testing"
)

// What is set up of a target is done by its writer, between two jobs: before a read, or
// while nothing is written.
func TestATargetIsSetUpBeforeItIsReadAndWhenMoreCame(t *testing.T) {
	b := start(t, options{want: chain})
	did := make(chan string, 10)
	step := func(name string, err error) Setup {
		return func(context.Context, Target) error { did <- name; return err }
	}
	b.cfg.Prepare = func() Setup { return step("all", nil) }
	b.SetUp(step("more", nil))
	b.SetUp(step("and more", nil))
	if b.Settled() {
		t.Error("it is settled while something waits to be set up")
	}
	b.until("set up", b.Settled)
	if got := len(did); got != 2 || <-did != "more" || <-did != "and more" {
		t.Errorf("%d steps were done, or in another order", got)
	}
	// Of a target that is reached again everything is set up, and nothing twice.
	b.server.Restart()
	b.until("lost", func() bool { return !b.Ready() })
	b.SetUp(step("more", nil))
	b.until("read again", b.Settled)
	if got := len(did); got != 1 || <-did != "all" {
		t.Errorf("%d steps were done, or not all at once", got)
	}
	// One that fails leaves open what the target is like.
	b.SetUp(step("broken", errTest))
	b.until("not up", func() bool { return !b.Ready() })
	b.advance(retry)
	b.until("read again", b.Settled)
	b.holds(chain...)
}
