package reconcile

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// Entries of every level, each of which refers to the one before.
var (
	adjacency = p4.Adjacency{ID: 1, Source: ether.MAC{2, 1}, Destination: ether.MAC{2, 2}}
	tunnel    = p4.Tunnel{VTEP: 1, Source: address(1), Destination: address(2), Adjacency: 1, MTU: 9000}
	path      = p4.Path{VTEP: 1, Port: 3, MTU: 9000}
	replica   = p4.Replica{Bridge: 1, Instance: 2, VTEP: 1, VNI: 100}
	group     = p4.Group{ID: 1, Members: []p4.GroupMember{{Port: 3, Instance: 2}}}
	leaf      = p4.FDB{Bridge: 1, MAC: ether.MAC{2, 3}, Kind: p4.ToVTEP, VTEP: 1, VNI: 100}
	alone     = p4.FDB{Bridge: 1, MAC: ether.MAC{2, 4}, Port: 4} // refers to nothing
	chain     = []p4.Typed{adjacency, tunnel, path, replica, group, leaf}
)

func address(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }

func keys(ks ...p4.Typed) (out []p4.Key) {
	for _, k := range ks {
		out = append(out, k.Key())
	}
	return out
}

func TestAChainIsMadeInTheOrderOfItsLevelsAndGoesInReverse(t *testing.T) {
	b := start(t, options{want: chain})
	b.holds(chain...)
	b.wantsNot(chain...)
	b.settle()
	b.holds()
	slices.Sort(b.model.gone)
	want := keys(chain...)
	slices.Sort(want)
	if !slices.Equal(b.model.gone, want) {
		t.Errorf("gone were %v, want each once", b.model.gone)
	}
	if b.Len() != 0 || !b.Settled() {
		t.Errorf("%d records of nothing", b.Len())
	}
}

func TestWhatIsAsItWasIsNotWritten(t *testing.T) {
	b := start(t, options{want: chain})
	counts := b.server.Counts()
	b.wants(chain...)
	b.settle()
	changed := leaf
	changed.VNI++
	b.wants(changed)
	b.wants(leaf) // before it was written
	b.settle()
	if n := b.server.Counts().Updates - counts.Updates; n != 0 {
		t.Errorf("%d updates, want none", n)
	}
}

func TestWhatRefersToARefusedEntryWaitsAndSaysWhatFor(t *testing.T) {
	b := start(t, options{mayFail: true})
	tries := b.refuse(tunnel)
	b.wants(chain...)
	b.wants(alone)
	b.settle()
	b.holds(adjacency, path, alone)
	if tries() != 1 {
		t.Errorf("the tunnel was tried %d times", tries())
	}
	for _, k := range []p4.Typed{tunnel, replica, group, leaf} {
		f := b.Failure(k.Key())
		if f == nil || !strings.Contains(b.Why(f), errTest.Error()) || f.Refused() != (k == p4.Typed(tunnel)) {
			t.Errorf("%v: %+v", k.Key(), f)
		}
	}
	if b.FailureCount() != 4 || !b.Failing(alone, leaf) || b.Failing(alone) || b.Settled() {
		t.Errorf("%d failures", b.FailureCount())
	}
	b.server.FailUpdates(nil)
	b.advance(retry)
	b.holds(append(slices.Clone(chain), p4.Typed(alone))...)
	if !b.Settled() {
		t.Errorf("%d failures", b.FailureCount())
	}
	for _, k := range []p4.Typed{tunnel, replica, group, leaf} { // once when it failed, once when it was taken
		if n := len(slices.DeleteFunc(slices.Clone(b.model.flipped), func(o p4.Key) bool { return o != k.Key() })); n != 2 {
			t.Errorf("%v flipped %d times", k.Key(), n)
		}
	}
}

func TestWhatAnEntryThatCannotBeChangedRefersToIsNotRemoved(t *testing.T) {
	b := start(t, options{mayFail: true, want: chain})
	b.refuse(group)
	b.wantsNot(replica, group, leaf, tunnel, path, adjacency)
	b.settle()
	b.holds(adjacency, tunnel, path, replica, group)
	b.server.FailUpdates(nil)
	b.advance(64 * retry)
	b.holds()
}

func TestARefusedEntryIsTriedAgainAfterItsPauseWhichDoublesAndNotBefore(t *testing.T) {
	b := start(t, options{mayFail: true})
	tries := b.refuse(alone)
	b.wants(alone)
	b.settle()
	for n, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		pause *= retry
		b.advance(pause - time.Millisecond)
		if got := tries(); got != n+1 {
			t.Fatalf("before a pause of %v is over, it was tried %d times, want %d", pause, got, n+1)
		}
		if b.next != time.Millisecond {
			t.Errorf("a millisecond before it is due, the next turn is in %v", b.next)
		}
		b.advance(time.Millisecond)
		if got := tries(); got != n+2 {
			t.Fatalf("after a pause of %v it was tried %d times, want %d", pause, got, n+2)
		}
	}
	b.server.FailUpdates(nil)
	b.advance(64 * retry)
	b.holds(alone)
}

func TestATargetThatCannotBeReadIsReadAgainAfterAPause(t *testing.T) {
	b := start(t, options{want: chain})
	var reads atomic.Int32
	b.server.Intercept(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.ReadRequest); ok {
			reads.Add(1)
			return errTest
		}
		return nil
	})
	b.server.Disconnect()
	b.until("it cannot be read", func() bool { return b.phase == phaseReading && !b.readAt.IsZero() })
	if reason, known := b.Report(); !known || !strings.Contains(reason, errTest.Error()) || b.Ready() {
		t.Errorf("reported %q, %v", reason, known)
	}
	for range 10 {
		b.turn()
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("read %d times before the pause is over", n)
	}
	b.server.Intercept(nil)
	b.advance(retry)
	if reason, known := b.Report(); !known || reason != "" {
		t.Errorf("reported %q, %v", reason, known)
	}
	b.holds(chain...)
}

func TestATargetThatLostAllGetsItAll(t *testing.T) {
	b := start(t, options{want: chain})
	b.server.Restart()
	b.until("lost", func() bool { return !b.Ready() })
	b.settle()
	b.holds(chain...)
	if b.stats.Missing.Load() != 0 || !b.Emptied() {
		t.Errorf("emptied: %v, and %d entries are said to be missing", b.Emptied(), b.stats.Missing.Load())
	}
}

func TestWhatIsWantedWhileTheTargetIsAwayIsWrittenOnceItIsBack(t *testing.T) {
	b := start(t, options{want: []p4.Typed{alone}})
	b.server.Stop()
	b.until("down", func() bool { return !b.Ready() })
	counts := b.server.Counts()
	for i := range 50 { // what changes often is one update
		moved := alone
		moved.Port = uint16(i + 5)
		b.wants(moved)
		b.turn()
	}
	gone := p4.FDB{Bridge: 9, MAC: ether.MAC{2, 9}}
	b.wants(gone)
	b.wantsNot(gone) // it was never there
	b.turn()
	if !slices.Equal(b.model.gone, keys(gone)) || b.Depth() != 0 || b.Len() != 1 {
		t.Errorf("gone are %v; %d marks, %d records", b.model.gone, b.Depth(), b.Len())
	}
	b.server.Start()
	b.until("back", b.Ready)
	b.settle()
	moved := alone
	moved.Port = 54
	b.holds(moved)
	if n := b.server.Counts().Updates - counts.Updates; n != 1 {
		t.Errorf("%d updates, want one", n)
	}
}

// restarted leaves a target with the chain and an entry alone, and gives a bench
// that starts with nothing wanted.
func restarted(t *testing.T) *bench {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	t.Run("before", func(t *testing.T) {
		start(t, options{server: server, want: append(slices.Clone(chain), p4.Typed(alone))})
	})
	return start(t, options{server: server, deferring: true})
}

func TestARestartTakesNothingAwayUntilItIsReleased(t *testing.T) {
	b := restarted(t)
	all := append(slices.Clone(chain), p4.Typed(alone))
	b.holds(all...)
	adopted, want := slices.Sorted(slices.Values(b.model.adopted)), slices.Sorted(slices.Values(keys(all...)))
	if !slices.Equal(adopted, want) {
		t.Errorf("adopted %v, want %v", adopted, want)
	}
	if b.Deferred() == 0 || !b.Deferring() || b.Emptied() {
		t.Errorf("%d changes are deferred, emptied: %v", b.Deferred(), b.Emptied())
	}
	fresh := p4.FDB{Bridge: 1, MAC: ether.MAC{2, 5}, Port: 5}
	b.wants(fresh)
	b.wants(chain[:3]...) // which confirms them
	b.settle()
	b.holds(append(all, fresh)...)
	if n := b.EndDeferral(); n != 4 {
		t.Errorf("%d entries are looked at again, want the group, its replica and two leaves", n)
	}
	b.settle()
	b.holds(adjacency, tunnel, path, fresh)
}

func TestAHeldEntryIsChangedAtOnceOnlyToWhatIsSure(t *testing.T) {
	b := restarted(t)
	moved := alone
	moved.Port++
	b.model.tentative = true
	b.wants(moved)
	b.settle()
	if held, _ := b.Held(alone.Key()); held != p4.Typed(alone) {
		t.Errorf("it is %v before all has come", held)
	}
	b.model.tentative = false
	b.wants(moved)
	b.settle()
	if held, _ := b.Held(alone.Key()); held != p4.Typed(moved) {
		t.Errorf("it is %v, and what changed is sure", held)
	}
	b.wantsNot(moved) // ours to change from now on
	b.settle()
	b.holds(chain...)
}

func TestAConnectionThatIsCutKeepsWhatIsDeferredAndNoMore(t *testing.T) {
	b := restarted(t)
	b.wants(alone)
	b.settle()
	held := b.Deferred()
	b.server.Disconnect()
	b.until("down", func() bool { return !b.Ready() })
	b.settle()
	if b.Deferred() != held {
		t.Errorf("%d changes are deferred, and were %d", b.Deferred(), held)
	}
	b.wantsNot(alone)
	b.settle()
	b.holds(chain...)
}

func TestAnEntryWithoutAGoTypeGoes(t *testing.T) {
	b := start(t, options{want: chain})
	odd := p4.BridgePort{Port: 7}.Entry()
	odd.Value = alone.Entry().Value // an action of another table
	b.server.Put(odd.Entity())
	b.server.Disconnect()
	b.until("down", func() bool { return !b.Ready() })
	b.settle()
	b.holds(chain...)
}
