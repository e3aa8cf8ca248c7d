package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// macs gives entries of a bridge, so many from one on.
func macs(bridge uint16, from, n int) []p4.Typed {
	out := make([]p4.Typed, n)
	for i := range out {
		out[i] = p4.FDB{Bridge: bridge, MAC: ether.MAC{2, 0, 0, 0, 0, byte(from + i)}, Port: 1}
	}
	return out
}

// fdbOf is a table of MACs with room for 32 entries, of which 2 are kept.
func fdbOf(size int) map[uint32]int { return map[uint32]int{p4.FDB{}.Key().ID(): size} }

// macsHeld is how many entries of a bridge the target holds.
func (b *bench) macsHeld(bridge uint16) (n int) {
	for _, e := range b.server.Entries() {
		if k, ok := typed(e); ok && k.(p4.FDB).Bridge == bridge {
			n++
		}
	}
	return n
}

// fill waits until all is done that can be, and nothing more may come in.
func (b *bench) fill() {
	b.Helper()
	b.turn()
	b.until("settled", func() bool {
		b.now = b.now.Add(time.Second)
		called := true
		for _, rm := range b.rooms {
			called = called && (rm.waits == 0 || !rm.freed)
		}
		return b.Ready() && b.jobs == 0 && b.Depth() == 0 && called
	})
}

func (b *bench) wantShares(want ...int) {
	b.Helper()
	var got []int
	for i := range want {
		got = append(got, b.macsHeld(uint16(i+1)))
	}
	if !slices.Equal(got, want) {
		b.Errorf("the bridges have %v entries, want %v", got, want)
	}
}

func TestABridgeHasNoMoreOfATableThanIsLeftForOthers(t *testing.T) {
	b := start(t, options{sizes: fdbOf(32), given: map[p4.Key]bool{}})
	b.wants(macs(1, 0, 40)...)
	b.fill()
	b.wantShares(15)
	b.wants(macs(2, 0, 40)...)
	b.fill()
	b.wantShares(15, 8)
	b.wants(macs(3, 0, 1)...)
	b.fill()
	b.wantShares(15, 8, 1)
	for i, k := range macs(1, 40, 3) { // the operator's come in, also where nothing else does
		b.model.given[k.Key()] = true
		b.wants(k)
		b.fill()
		b.wantShares(15+i+1, 8, 1)
	}
	if n := b.stats.Errors.Load(); n != 0 {
		t.Errorf("the target refused %d updates, want none", n)
	}
	if n := b.stats.Declined.Load(); n != 25+32 || len(b.model.declined) != 2 {
		t.Errorf("%d entries were declined, and %d shares said so", n, len(b.model.declined))
	}
}

func TestWhatWaitsComesInByItsKeysWhenThereIsRoom(t *testing.T) {
	b := start(t, options{sizes: fdbOf(32)})
	first := macs(1, 100, 15)
	b.wants(first...)
	late := macs(1, 0, 20)
	slices.Reverse(late)
	b.wants(late...)
	b.wants(macs(2, 0, 8)...)
	b.fill()
	b.wantShares(15, 8)
	f := b.Failure(late[0].Key())
	if f == nil || !strings.Contains(f.Err.Error(), "15 entries of bridge.fdb") || !b.Failing(late[0]) {
		t.Errorf("%v stands in the way of one that waits", f)
	}
	b.wantsNot(first[:4]...)
	b.fill()
	b.wantShares(11, 8) // of the 30 for all 11 are left
	b.wantsNot(macs(2, 0, 8)...)
	b.fill()
	b.wantShares(15, 0)
	b.holds(append(first[4:], macs(1, 0, 4)...)...)
	b.wantsNot(first...)
	b.wantsNot(late[:3]...) // of those that wait
	b.fill()
	b.holds(macs(1, 0, 15)...)
	b.wantsNot(macs(1, 0, 10)...)
	b.fill()
	b.holds(macs(1, 10, 7)...)
	if b.waits != 0 || b.Failing(late...) {
		t.Errorf("%d entries wait and there is room", b.waits)
	}
}

func TestThoseWhoHaveTheLeastComeInFirstAndOfEqualsTheLowerKey(t *testing.T) {
	for range 5 { // maps have no order
		b := start(t, options{sizes: fdbOf(1000), most: 2})
		for bridge := range uint16(4) {
			b.wants(macs(bridge+1, 0, 6)...)
		}
		b.fill()
		b.wantShares(2, 2, 2, 2)
		b.model.most = 0
		b.rooms[p4.FDB{}.Key().ID()].size = 14 // one is kept: after three more two are left
		b.Reconsider()
		b.fill()
		b.wantShares(3, 3, 3, 2)
	}
}

func TestThereIsRoomAgainWhereTheTargetRefusedWhatWasToTakeIt(t *testing.T) {
	b := start(t, options{sizes: fdbOf(8), mayFail: true})
	refused := macs(1, 0, 1)
	b.refuse(refused...)
	b.wants(macs(1, 0, 4)...)
	b.fill()
	b.wantShares(3)
	if b.waits != 0 {
		t.Errorf("%d entries wait, want none: what was refused takes no room", b.waits)
	}
}

func TestWhatTheTargetHoldsBeyondAShareStaysAfterARestart(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{})
	t.Run("before", func(t *testing.T) { start(t, options{server: server, want: macs(1, 0, 25)}).fill() })
	b := start(t, options{server: server, sizes: fdbOf(32), want: macs(1, 0, 30)})
	b.wants(macs(2, 0, 10)...)
	b.fill()
	b.wantShares(25, 3)
	b.wantsNot(macs(1, 0, 25)...)
	b.fill()
	b.wantShares(5, 10)
}

func TestALimitOfTheModelCountsBesideTheShare(t *testing.T) {
	b := start(t, options{sizes: fdbOf(1000), most: 3})
	b.wants(macs(1, 0, 10)...)
	b.wants(macs(2, 0, 2)...)
	b.fill()
	b.wantShares(3, 2)
	b.model.most = 2
	b.Reconsider()
	b.fill()
	b.wantShares(3, 2)
	b.model.most = 5
	b.Reconsider()
	b.fill()
	b.wantShares(5, 2)
	b.model.most = 0
	b.Reconsider()
	b.fill()
	b.wantShares(10, 2)
}

// What goes without an entry that waits is told, as where the target refuses it, and follows
// when the entry comes in.
func TestWhatRefersToAnEntryThatWaitsWaitsToo(t *testing.T) {
	paths := []p4.Typed{p4.Path{VTEP: 1, Port: 1}, p4.Path{VTEP: 2, Port: 1}, p4.Path{VTEP: 3, Port: 1}}
	b := start(t, options{sizes: map[uint32]int{p4.Path{}.Key().ID(): 3}})
	b.wants(p4.Adjacency{ID: 1})
	for i, k := range paths {
		b.wants(k, p4.Tunnel{VTEP: k.(p4.Path).VTEP, Adjacency: 1},
			p4.FDB{Bridge: 1, MAC: ether.MAC{2, byte(i)}, Kind: p4.ToVTEP, VTEP: k.(p4.Path).VTEP, VNI: 100})
	}
	b.fill()
	if !slices.Contains(b.model.flipped, paths[2].Key()) {
		t.Error("nobody was told of the path that waits")
	}
	leads := func() (n int) {
		for _, text := range b.held() {
			if strings.HasPrefix(text, "bridge.fdb") {
				n++
			}
		}
		return n
	}
	if leads() != 2 {
		t.Errorf("the target holds\n%v\nwant two MACs", b.held())
	}
	b.wantsNot(paths[0], p4.Tunnel{VTEP: 1}, p4.FDB{Bridge: 1, MAC: ether.MAC{2, 0}})
	b.fill()
	if leads() != 2 || b.FailureCount() != 0 || b.waits != 0 {
		t.Errorf("the target holds\n%v\nwant the two MACs of the paths that are left", b.held())
	}
}

// A job that is under way is counted, and one of a connection that is gone is not counted for
// ever.
func TestRoomIsCountedAlsoWhereTheConnectionIsLostMeanwhile(t *testing.T) {
	b := start(t, options{server: p4rttest.New(t, p4rttest.Config{}), sizes: fdbOf(32)})
	for i := range 5 {
		b.wants(macs(1, 20*i, 40)...)
		b.server.Disconnect()
		b.turn()
		b.until("back", func() bool { return b.Ready() && b.jobs == 0 && b.Depth() == 0 && b.reads > i+1 })
	}
	for id, rm := range b.rooms {
		if n := b.macsHeld(1); id == (p4.FDB{}).Key().ID() && (rm.taken != n || n != 15) {
			t.Errorf("%d entries take room and the target holds %d, want 15", rm.taken, n)
		}
	}
}
