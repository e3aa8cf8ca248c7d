package reconcile

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// tamper deletes, changes and adds an entry behind the bench's back.
func (b *bench) tamper() {
	b.server.Remove(alone.Entry().Entity())
	changed := leaf
	changed.VNI++
	b.server.Put(changed.Entry().Entity(), p4.FDB{Bridge: 7, MAC: ether.MAC{2, 7}}.Entry().Entity())
}

// found gives what audits counted: missing, unexpected, changed.
func (b *bench) found() [3]int64 {
	return [3]int64{b.stats.Missing.Load(), b.stats.Unexpected.Load(), b.stats.Changed.Load()}
}

// audit asks for one and waits for it.
func (b *bench) audit() (a Audit) {
	b.Helper()
	answer := b.Audit()
	b.until("audited", func() (done bool) {
		select {
		case a = <-answer:
			return true
		default:
			return false
		}
	})
	return a
}

func busy(t *testing.T, audits time.Duration) (*bench, []p4.Typed) {
	all := append(slices.Clone(chain), p4.Typed(alone))
	return start(t, options{want: all, audits: audits}), all
}

func TestAnAuditFindsWhatSomebodyElseDidAndPutsItRight(t *testing.T) {
	b, all := busy(t, 0)
	if a := b.audit(); a.Err != nil || len(a.Differences) != 0 || a.Entries != len(all) {
		t.Errorf("audit of an untouched target: %+v", a)
	}
	b.tamper()
	a := b.audit()
	var got []string
	for _, d := range a.Differences {
		if (d.Was.Key == "") != (d.Kind == Unexpected) || (d.Is.Key == "") != (d.Kind == Missing) {
			t.Errorf("%+v", d)
		}
		got = append(got, string(d.Kind)+" "+d.Table())
	}
	slices.Sort(got)
	want := []string{"changed bridge.fdb", "missing bridge.fdb", "unexpected bridge.fdb"}
	if a.Err != nil || !slices.Equal(got, want) {
		t.Errorf("found %v, %v; want %v", got, a.Err, want)
	}
	b.settle()
	b.holds(all...)
	if b.found() != [3]int64{1, 1, 1} || b.stats.Audits.Load() != 2 {
		t.Errorf("%d audits counted %v", b.stats.Audits.Load(), b.found())
	}
}

func TestAnAuditIsDueWhenItsIntervalIsOverAndNotBefore(t *testing.T) {
	const interval = 10 * time.Minute
	b, all := busy(t, interval)
	for range 3 {
		b.advance(interval - time.Millisecond)
		if n := b.stats.Audits.Load(); n != 0 || b.next != time.Millisecond {
			t.Fatalf("%d audits before one is due, and the next turn is in %v", n, b.next)
		}
		b.tamper()
		b.advance(time.Millisecond)
		b.until("audited", func() bool { return b.stats.Audits.Swap(0) == 1 })
		b.settle()
		b.holds(all...)
	}
}

func TestAnAuditOfATargetThatIsAwayIsAnError(t *testing.T) {
	b, _ := busy(t, 0)
	b.server.Intercept(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.ReadRequest); ok {
			return errTest
		}
		return nil
	})
	if a := b.audit(); a.Err == nil || !strings.Contains(a.Err.Error(), errTest.Error()) {
		t.Errorf("of a target that cannot be read: %v", a.Err)
	}
	answer := b.Audit()
	b.Lost("it is away")
	for _, a := range []Audit{<-answer, <-b.Audit()} {
		if a.Err == nil || !strings.Contains(a.Err.Error(), "it is away") {
			t.Errorf("of a target that is away: %v", a.Err)
		}
	}
}

func TestAWriteWhoseAnswerGotLostIsNobodysDoing(t *testing.T) {
	b, all := busy(t, 0)
	var lost atomic.Bool
	b.server.InterceptAnswer(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok && lost.CompareAndSwap(false, true) {
			return context.DeadlineExceeded
		}
		return nil
	})
	more := p4.FDB{Bridge: 7, MAC: ether.MAC{2, 7}}
	b.wants(more)
	b.until("the answer was lost", func() bool { return lost.Load() && !b.Ready() })
	b.advance(retry)
	b.until("read again", b.Ready)
	b.settle()
	b.holds(append(all, more)...)
	if b.found() != [3]int64{} {
		t.Errorf("counted %v", b.found())
	}
}
