package controller

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// written are the updates that a target got.
type written struct {
	mu      sync.Mutex
	updates []*p4v1.Update
}

// watch notes what a target gets from now on.
func watch(s *p4rttest.Server) *written {
	w := &written{}
	s.Intercept(func(_ context.Context, m proto.Message) error {
		if r, ok := m.(*p4v1.WriteRequest); ok {
			w.mu.Lock()
			w.updates = append(w.updates, r.GetUpdates()...)
			w.mu.Unlock()
		}
		return nil
	})
	return w
}

// of gives the updates of some types, readable.
func (w *written) of(types ...p4v1.Update_Type) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, u := range w.updates {
		if !slices.Contains(types, u.GetType()) {
			continue
		}
		what := decode(u.GetEntity())
		text := what.Key().String() // all that a DELETE says
		if u.GetType() != p4v1.Update_DELETE {
			text = what.Entry().String()
		}
		out = append(out, u.GetType().String()+" "+text)
	}
	slices.Sort(out)
	return out
}

var (
	adding   = []p4v1.Update_Type{p4v1.Update_INSERT}
	changing = []p4v1.Update_Type{p4v1.Update_MODIFY, p4v1.Update_DELETE}
	any3     = append(adding, changing...)
)

// restarted leaves a target as a busy gateway left it, and gives a gateway that
// starts again: its peers have not said anything yet.
func restarted(t *testing.T, edit func(*intent.Store)) (g *gateway, w *written, before []string) {
	t.Helper()
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	t.Run("before", func(t *testing.T) {
		old, _ := busy(t, options{server: server, store: store})
		before = old.facts()
	})
	if edit != nil {
		edit(store)
	}
	w = watch(server)
	g = start(t, options{server: server, store: store, deferring: true})
	<-g.c.Synced()
	g.settle()
	return g, w, before
}

// An upgrade that changes the program: the target keeps what fits the new one.
func TestARestartOverAnotherProgramWritesWhatDidNotFitAlone(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder, Keeps: true}), intent.NewMemory()
	var before []string
	t.Run("before", func(t *testing.T) {
		old, _ := busy(t, options{server: server, store: store})
		before = old.facts()
	})
	server.SetCookie(1)
	var lost []string
	for _, e := range server.Entries() {
		if text := decode(e).Entry().String(); strings.HasPrefix(text, "bridge.vlan") {
			lost = append(lost, "INSERT "+text)
			server.Remove(e)
		}
	}
	slices.Sort(lost)
	w := watch(server)
	g := start(t, options{server: server, store: store, deferring: true})
	<-g.c.Synced()
	g.settle()
	if len(lost) == 0 {
		t.Fatal("there was no entry to lose")
	}
	g.wantWritten(w, any3, lost...)
	if after := g.facts(); !slices.Equal(before, after) {
		t.Errorf("the entries are others: %s", difference(after, before))
	}
	if !g.c.Preserved() {
		t.Error("peers are told that forwarding was not preserved")
	}
}

// busyRoutes are those of busy's peer.
func busyRoutes() []bgp.Event {
	return []bgp.Event{
		update(peer1, floodRoute(leaf2, 100)), update(peer1, floodRoute(leaf1, 100)),
		update(peer1, with(macRoute(leaf2, 100, mac(2)), 3)), update(peer1, macRoute(leaf1, 100, mac(1))),
	}
}

func (g *gateway) wantWritten(w *written, types []p4v1.Update_Type, want ...string) {
	g.Helper()
	if got := w.of(types...); len(got) != len(want) || !slices.EqualFunc(got, want, strings.HasPrefix) {
		g.Errorf("written\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARestartIntoWhatWasThereWritesNothing(t *testing.T) {
	g, w, before := restarted(t, nil)
	for _, e := range busyRoutes() { // one after the other, each flushed
		g.send(e)
		g.settle()
		g.wantWritten(w, any3)
	}
	g.converge()
	g.settle()
	g.wantWritten(w, any3)
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are others")
	}
	if !g.c.Preserved() {
		t.Error("the target ran our pipeline and was not taken to have gone on forwarding")
	}
	g.eventually("the kernel's hosts are swept",
		func() bool { g.slow.mu.Lock(); defer g.slow.mu.Unlock(); return g.slow.converged })
}

func TestWhatPeersDoNotRepeatGoesAfterEndOfRIBAndNotBefore(t *testing.T) {
	g, w, before := restarted(t, nil)
	events := busyRoutes()
	g.send(events[1], events[2]) // leaf1 floods no more for leaf2's place, MAC 1 is gone
	g.settle()
	g.wantWritten(w, any3)
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are others before BGP has converged")
	}
	g.converge()
	g.settle()
	g.wantFDB(1, mac(1), "nowhere")
	g.wantFlood(1, "port 1", "port 2", "10.0.0.11 vni 100 by port 11")
	g.wantWritten(w, changing, "DELETE bridge.fdb", "DELETE flood.replica", "MODIFY multicast_group 1")
}

func TestAMACThatMovedMeanwhileIsPutRightAfterEndOfRIB(t *testing.T) {
	g, w, _ := restarted(t, nil)
	events := busyRoutes()
	g.send(events[0], events[1], events[2], update(peer1, with(macRoute(leaf2, 100, mac(1)), 1)))
	g.settle()
	g.wantWritten(w, any3)
	g.wantFDB(1, mac(1), "10.0.0.11 vni 100")
	g.converge()
	g.settle()
	g.wantFDB(1, mac(1), "10.0.0.12 vni 100")
	g.wantWritten(w, any3, "MODIFY bridge.fdb")
}

func TestObjectsDeletedMeanwhileGoAfterEndOfRIB(t *testing.T) {
	g, w, before := restarted(t, func(s *intent.Store) {
		if err := s.Update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth2") }); err != nil {
			t.Fatal(err)
		}
	})
	g.wantWritten(w, any3, "MODIFY multicast_group 1") // it floods there no more, and to the VTEPs as before
	g.wantFlood(1, "port 1", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11")
	g.send(busyRoutes()...)
	g.converge()
	g.settle()
	if g.get(p4.Member{Port: 2}) != nil || g.get(p4.EgressVLAN{Port: 2, Bridge: 1}) != nil {
		t.Errorf("the port is in the bridge yet; before\n%s", strings.Join(before, "\n"))
	}
}

func TestWhatIsKnownHereIsWrittenBeforeEndOfRIB(t *testing.T) {
	g, w, _ := restarted(t, nil)
	g.access("eth3", 10)
	g.settle()
	g.wantFlood(1, "port 1", "port 2", "port 3", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11")
	g.learn(1, 3, mac(1)) // a host came here from behind leaf1
	g.settle()
	g.wantFDB(1, mac(1), "port 3")
	g.send(update(peer2, floodRoute(leaf0, 100)), update(peer2, macRoute(leaf0, 100, mac(7))))
	g.settle()
	g.wantFlood(1, "port 1", "port 2", "port 3", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11",
		"10.0.0.0 vni 100 by port 11")
	g.wantFDB(1, mac(7), "10.0.0.0 vni 100")
	g.idle(1, 1, mac(3)) // it went silent
	g.eventually("aged", func() bool { return g.whereIs(1, mac(3)) == "nowhere" })
	if deleted := w.of(p4v1.Update_DELETE); len(deleted) != 2 {
		t.Errorf("deleted %v, want the two entries of the MAC that aged", deleted)
	}
}

func TestAnEntryThatBGPConfirmedFollowsItAtOnce(t *testing.T) {
	g, _, _ := restarted(t, nil)
	g.send(busyRoutes()...)
	g.settle()
	g.send(update(peer1, with(macRoute(leaf2, 100, mac(1)), 1)))
	g.settle()
	g.wantFDB(1, mac(1), "10.0.0.12 vni 100")
}

func TestAVTEPWhosePathIsNotKnownYetKeepsItsEntries(t *testing.T) {
	g, w, before := restarted(t, nil)
	g.underlay.Foresee(leaf2) // the underlay takes its time
	g.send(busyRoutes()...)
	g.settle()
	g.converge()
	g.settle()
	g.wantWritten(w, any3)
	g.underlay.Set(leaf2, "", path1)
	g.eventually("released", func() (over bool) { g.peek(func(l *loop) { over = !l.target.Deferring() }); return over })
	g.settle()
	g.wantWritten(w, any3)
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are others")
	}
}

func TestAPathThatChangedMeanwhileIsTakenBeforeEndOfRIB(t *testing.T) {
	g, w, _ := restarted(t, nil)
	g.underlay.Foresee(leaf2, path2)
	g.send(busyRoutes()...)
	g.settle()
	g.wantFlood(1, "port 1", "port 2", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 12")
	if deleted := w.of(p4v1.Update_DELETE); len(deleted) != 0 {
		t.Errorf("deleted %v before BGP has converged", deleted)
	}
}

func TestAConnectionThatIsCutWhileEntriesAreDeferredKeepsThem(t *testing.T) {
	g, w, before := restarted(t, nil)
	counts := g.target.Counts()
	g.target.Disconnect()
	g.eventually("read again", func() bool { return g.target.Counts().Reads > counts.Reads })
	g.settle()
	g.wantWritten(w, any3)
	g.send(busyRoutes()...)
	g.converge()
	g.settle()
	g.wantWritten(w, any3)
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are others")
	}
}
