package reconcile

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// many gives a bench for many entries. What is checked before each update of others takes
// too long then.
func many(t *testing.T, mayFail bool, want ...p4.Typed) *bench {
	return start(t, options{server: p4rttest.New(t, p4rttest.Config{MayFail: mayFail}), want: want})
}

// finish is settle with a clock that goes on, so that what gathers after a job is written.
func (b *bench) finish() {
	b.Helper()
	b.until("settled", func() bool {
		b.now = b.now.Add(time.Millisecond)
		return b.Ready() && b.jobs == 0 && b.Depth() == 0
	})
}

// leaves gives entries that refer to nothing, for so many full jobs.
func leaves(jobs int) []p4.Typed {
	out := make([]p4.Typed, jobs*maxBatch)
	for i := range out {
		out[i] = p4.FDB{Bridge: 2, MAC: ether.MAC{2, 9, 0, 0, byte(i >> 8), byte(i)}, Port: 1}
	}
	return out
}

// moved gives a leaf as it is at another port.
func moved(k p4.Typed) p4.Typed {
	f := k.(p4.FDB)
	f.Port++
	return f
}

// writes are those that a target got, which answers none before it is released.
type writes struct {
	release chan struct{}
	fail    atomic.Bool // the first of them
	count   atomic.Int32
	under   atomic.Int32
	most    atomic.Int32 // that were under way at once
	keys    chan []p4.Key
}

// holdWrites has the target keep Writes waiting.
func (b *bench) holdWrites() *writes {
	w := &writes{release: make(chan struct{}), keys: make(chan []p4.Key, 100)}
	b.server.Intercept(func(ctx context.Context, m proto.Message) error {
		req, ok := m.(*p4v1.WriteRequest)
		if !ok {
			return nil
		}
		w.most.Store(max(w.most.Load(), w.under.Add(1)))
		var ks []p4.Key
		for _, u := range req.GetUpdates() {
			if e, err := p4.FromEntity(u.GetEntity()); err == nil {
				ks = append(ks, e.Key)
			}
		}
		w.keys <- ks
		select {
		case <-w.release:
		case <-ctx.Done():
		}
		if w.count.Add(1) == 1 && w.fail.Load() {
			w.under.Add(-1)
			return errTest
		}
		return nil
	})
	b.server.InterceptAnswer(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok {
			w.under.Add(-1)
		}
		return nil
	})
	return w
}

// two has a job under way and one prepared, with as many marks as asked for after them.
func two(b *bench, all []p4.Typed) *writes {
	b.Helper()
	w := b.holdWrites()
	b.wants(all...)
	b.until("two jobs", func() bool { return b.jobs == 2 && len(w.keys) == 1 })
	return w
}

func TestAJobIsPreparedWhileOneIsWrittenAndNoneIsSentBeforeAnAnswer(t *testing.T) {
	b := many(t, false)
	all := leaves(5)
	w := two(b, all)
	for range 10 {
		b.turn()
	}
	if b.jobs != 2 || b.Depth() != 3*maxBatch || !b.Full() {
		t.Errorf("the writer has %d jobs, and %d entries are marked", b.jobs, b.Depth())
	}
	close(w.release)
	b.finish()
	b.holds(all...)
	if w.count.Load() != 5 || w.most.Load() != 1 {
		t.Errorf("%d Writes, and at most %d at once", w.count.Load(), w.most.Load())
	}
}

func TestAnEntryInAJobIsNotInTheNextAndAChangeWaitsForNoMoreThanTwo(t *testing.T) {
	b := many(t, false)
	all := leaves(4)
	w := two(b, all[:2*maxBatch])
	if !b.Full() || b.Depth() != 0 {
		t.Errorf("%d entries are marked, and full is %v", b.Depth(), b.Full())
	}
	under, prepared := all[3], all[maxBatch+3]
	b.wants(moved(under), moved(prepared)) // before what else there is to do
	b.wantsNot(all[4], all[maxBatch+4])
	b.wants(all[2*maxBatch:]...)
	close(w.release)
	b.finish()
	want := slices.Clone(all)
	want[3], want[maxBatch+3] = moved(under), moved(prepared)
	b.holds(slices.Delete(slices.Delete(want, maxBatch+4, maxBatch+5), 4, 5)...)
	if gone := slices.Sorted(slices.Values(b.model.gone)); !slices.Equal(gone, keys(all[4], all[maxBatch+4])) {
		t.Errorf("gone are %v", gone)
	}
	in := map[p4.Key][]int{} // in which Writes an entry was
	for n := range int(w.count.Load()) {
		for _, k := range <-w.keys {
			in[k] = append(in[k], n)
		}
	}
	// What came of the prepared job is known only when the one after it was sent.
	if got := in[under.Key()]; !slices.Equal(got, []int{0, 2}) {
		t.Errorf("what was changed while it was written is in the Writes %v", got)
	}
	if got := in[prepared.Key()]; len(got) != 2 || got[0] != 1 || got[1] > 3 {
		t.Errorf("what was changed while it was prepared is in the Writes %v", got)
	}
}

func TestNothingIsPreparedThatDependsOnTheJobUnderWay(t *testing.T) {
	all := leaves(3)
	for name, before := range map[string]func(*bench){
		"others refer to what is written": func(b *bench) { b.wants(chain...); b.wants(all...) },
		"others refer to what is marked": func(b *bench) {
			b.wants(all[:maxBatch]...)
			b.turn()
			b.wants(chain...)
			b.wants(all...)
		},
		"less than a job is marked": func(b *bench) { b.wants(all[:2*maxBatch-1]...) },
		"more is to be set up": func(b *bench) {
			b.wants(all[:maxBatch]...)
			b.turn()
			b.SetUp(func(context.Context, Target) error { return nil })
			b.wants(all...)
		},
		"an audit is due": func(b *bench) {
			b.wants(all[:maxBatch]...)
			b.turn()
			b.Reconciler.Audit()
			b.wants(all...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := many(t, false)
			w := b.holdWrites()
			before(b)
			b.until("a job", func() bool { return len(w.keys) == 1 })
			for range 10 {
				b.turn()
			}
			if b.jobs != 1 {
				t.Errorf("the writer has %d jobs", b.jobs)
			}
			close(w.release)
			b.finish()
			if b.stats.Missing.Load()+b.stats.Unexpected.Load()+b.stats.Changed.Load() != 0 {
				t.Error("the audit found differences")
			}
		})
	}
}

func TestARefusedEntryHoldsUpNoPreparedJobAndIsTriedAgain(t *testing.T) {
	b := many(t, true)
	all := leaves(3)
	tries := b.refuse(all[5])
	w := two(b, all)
	close(w.release)
	b.finish()
	b.holds(slices.Delete(slices.Clone(all), 5, 6)...)
	if tries() != 1 || b.FailureCount() != 1 {
		t.Errorf("it was tried %d times, and %d entries failed", tries(), b.FailureCount())
	}
	b.server.FailUpdates(nil)
	b.advance(retry)
	b.holds(all...)
}

func TestAPreparedJobIsDiscardedWhenTheOneBeforeFails(t *testing.T) {
	b := many(t, false)
	all := leaves(4)
	w := two(b, all[:3*maxBatch])
	w.fail.Store(true)
	close(w.release)
	b.until("not up", func() bool { return !b.Ready() })
	b.wants(moved(all[1]), moved(all[maxBatch+1]))
	b.wantsNot(all[2], all[maxBatch+2])
	b.until("both jobs are back", func() bool { return b.jobs == 0 })
	if w.count.Load() != 1 {
		t.Errorf("%d Writes, and the first failed", w.count.Load())
	}
	b.now = b.now.Add(retry)
	b.until("read again", b.Ready)
	b.finish()
	want := slices.Clone(all[:3*maxBatch])
	want[1], want[maxBatch+1] = moved(all[1]), moved(all[maxBatch+1])
	b.holds(slices.Delete(slices.Delete(want, maxBatch+2, maxBatch+3), 2, 3)...)
	if b.found() != [3]int64{} || !b.Settled() || b.Len() != len(want)-2 {
		t.Errorf("audits found %v, %d records", b.found(), b.Len())
	}
}

func TestATargetThatIsLostWithTwoJobsGetsAll(t *testing.T) {
	for name, lose := range map[string]func(*bench){
		"its connection is cut": func(b *bench) { b.server.Disconnect() },
		"it loses all":          func(b *bench) { b.server.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			b := many(t, false, chain...)
			all := leaves(3)
			w := two(b, all)
			b.wantsNot(chain...)
			lose(b)
			b.until("lost", func() bool { return !b.Ready() })
			close(w.release)
			b.finish()
			b.holds(all...)
			if b.found() != [3]int64{} || b.Len() != len(all) {
				t.Errorf("audits found %v, %d records", b.found(), b.Len())
			}
		})
	}
}
