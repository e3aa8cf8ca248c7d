package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// busy is a gateway with something of everything.
func busy(tb testing.TB, o options) (*gateway, uint16) {
	g, b := twoPorts(tb, o)
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, floodRoute(leaf2, 100)),
		update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, with(macRoute(leaf2, 100, mac(2)), 3)))
	g.learn(b, 1, mac(2), mac(3))
	g.settle()
	g.wantRoute(mac(2), 4)
	return g, b
}

func TestATargetThatLostItsEntriesGetsThemAll(t *testing.T) {
	g, _ := busy(t, options{})
	before := g.facts()
	g.target.Restart()
	g.eventually("all is back", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
}

func TestAConnectionThatComesBackCostsNoWrite(t *testing.T) {
	g, _ := busy(t, options{})
	before, counts := g.facts(), g.target.Counts()
	g.target.Disconnect()
	g.eventually("reconnected", func() bool { return g.target.Counts().Connections > counts.Connections })
	g.eventually("read", func() bool { return g.target.Counts().Reads > counts.Reads })
	g.settle()
	if n := g.target.Counts().Writes - counts.Writes; n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are others")
	}
}

func TestWhatChangesWhileTheTargetIsAwayIsOneDiff(t *testing.T) {
	g, b := busy(t, options{})
	g.target.Stop()
	g.eventually("down seen", func() bool {
		down := false
		g.peek(func(l *loop) { down = !l.target.Ready() })
		return down
	})
	if s := g.c.Status(t.Context(), intent.Ref{Kind: intent.KindLogicalBridge,
		ID: "bridge-10"})[0]; s.Oper != intent.StatusDown {
		t.Errorf("a bridge without a target is %v", s.Oper)
	}
	g.send(withdraw(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, macRoute(leaf1, 100, mac(4))),
		withdraw(peer1, floodRoute(leaf2, 100)))
	for range 50 { // a key that changes often is still one update
		g.send(update(peer1, with(macRoute(leaf1, 100, mac(5)), 1)), update(peer1, with(macRoute(leaf2, 100, mac(5)), 2)),
			withdraw(peer1, macRoute(leaf2, 100, mac(5))))
	}
	counts := g.target.Counts()
	g.target.Start()
	g.settle()
	g.wantFDB(b, mac(1), "nowhere")
	g.wantFDB(b, mac(4), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(5), "10.0.0.11 vni 100")
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 11")
	// FDB of 1, 4 and 5, the group, the replica.
	if n := g.target.Counts().Updates - counts.Updates; n > 8 {
		t.Errorf("%d updates, want no more than what changed", n)
	}
}

func TestARestartedControllerTakesOverWhatTheTargetHolds(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	store := intent.NewMemory()
	var before []string
	t.Run("first", func(t *testing.T) {
		g, _ := busy(t, options{server: server, store: store})
		before = g.facts()
	})
	// The second has the same routes before it reads, in another order, so
	// that it would give other ids.
	g := start(t, options{server: server, store: store})
	counts := server.Counts()
	g.send(update(peer1, with(macRoute(leaf2, 100, mac(2)), 3)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, floodRoute(leaf2, 100)), update(peer1, floodRoute(leaf1, 100)))
	<-g.c.Synced()
	g.settle()
	if after := g.facts(); !slices.Equal(before, after) {
		t.Errorf("entries\n%s\nwere\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	g.wantRoute(mac(2), 4) // its sequence came with the entry
	g.wantRoute(mac(3), 0)
	t.Logf("%d updates", server.Counts().Updates-counts.Updates)
}

func TestIDsOfTheTargetAreAdopted(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	store := intent.NewMemory()
	t.Run("first", func(t *testing.T) { busy(t, options{server: server, store: store}) })
	server.Stop() // until the second has its routes
	g := start(t, options{server: server, store: store})
	g.eventually("intent", func() (ok bool) { g.peek(func(l *loop) { ok = g.intentSeen(l) }); return ok })
	g.send(update(peer1, with(macRoute(leaf2, 100, mac(2)), 3)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, floodRoute(leaf2, 100)), update(peer1, floodRoute(leaf1, 100)))
	counts := server.Counts()
	server.Start()
	<-g.c.Synced()
	g.settle()
	if n := server.Counts().Updates - counts.Updates; n != 0 {
		t.Errorf("%d updates though nothing changed", n)
	}
}

func TestEntriesOfNobodyAreRemoved(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{})
	g, _ := busy(t, options{server: server})
	before := g.facts()
	server.Put(
		p4.FDB{Bridge: 7, MAC: mac(9), Kind: p4.ToVTEP, VTEP: 99, VNI: 5}.Entry().Entity(),
		p4.FDB{Bridge: 1, MAC: mac(9), Kind: p4.Drop}.Entry().Entity(),
		p4.Tunnel{VTEP: 99, Source: vtep1, Destination: leaf0, Adjacency: 44}.Entry().Entity(),
		p4.Adjacency{ID: 44, Source: up1, Destination: hop2}.Entry().Entity(),
		p4.Group{ID: 9, Members: []p4.GroupMember{{Port: 1, Instance: 5}}}.Entry().Entity(),
		p4.Replica{Bridge: 1, Instance: 50, VTEP: 99, VNI: 3}.Entry().Entity(),
		p4.Source{Bridge: 1, MAC: mac(3), Port: 2, IdleTimeout: time.Second, Metadata: "odd"}.Entry().Entity(),
		p4.RemoteVTEP{Prefix: netip.MustParsePrefix("10.0.0.0/9")}.Entry().Entity(),
		p4.Trap{Priority: 5, EtherType: 0x806}.Entry().Entity(),
	)
	server.Remove(p4.FDB{Bridge: 1, MAC: mac(1), Kind: p4.ToVTEP, VTEP: 1, VNI: 100}.Entry().Entity())
	server.Disconnect()
	g.eventually("put right", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	g.peek(func(l *loop) {
		if len(l.tunnels) != 2 || len(l.adjacencies) != 1 || len(l.bridges[1].replicas) != 2 {
			t.Errorf("%d tunnels, %d adjacencies, %d replicas are in memory",
				len(l.tunnels), len(l.adjacencies), len(l.bridges[1].replicas))
		}
	})
}

func TestAStandbyWritesNothingAndTakesOver(t *testing.T) {
	g, b := busy(t, options{})
	g.target.TakeMastership(p4rt.ElectionID{Low: 99})
	g.eventually("standby", func() bool {
		standby := false
		g.peek(func(l *loop) { standby = !l.target.Ready() })
		return standby
	})
	counts := g.target.Counts()
	g.send(update(peer1, macRoute(leaf1, 100, mac(7))))
	g.wantFDB(b, mac(7), "nowhere")
	g.target.ReleaseMastership()
	g.settle()
	g.wantFDB(b, mac(7), "10.0.0.11 vni 100")
	if n := g.target.Counts().Updates - counts.Updates; n != 1 {
		t.Errorf("%d updates, want 1", n)
	}
}

func TestAnAnswerThatGetsLostIsReadBack(t *testing.T) {
	g, b := busy(t, options{})
	lost := false
	g.target.InterceptAnswer(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok && !lost {
			lost = true
			return status.Error(codes.DeadlineExceeded, "on purpose")
		}
		return nil
	})
	g.send(update(peer1, macRoute(leaf1, 100, mac(7))))
	g.settle()
	g.wantFDB(b, mac(7), "10.0.0.11 vni 100")
	if !lost {
		t.Error("no answer was lost")
	}
}

func TestARefusedEntryIsRetriedAndTheOthersStand(t *testing.T) {
	g, b := twoPorts(t, options{target: p4rttest.Config{MayFail: true}})
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if f, ok := decode(u.GetEntity()).(p4.FDB); ok && f.MAC == mac(1) {
			return status.Error(codes.ResourceExhausted, "table full")
		}
		return nil
	})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, macRoute(leaf1, 100, mac(2))))
	g.eventually("the other", func() bool { return g.whereIs(b, mac(2)) != "nowhere" })
	g.eventually("tried three times", func() bool { return g.target.Counts().Failed >= 3 })
	g.wantFDB(b, mac(1), "nowhere")
	s := g.c.Status(t.Context(), intent.Ref{Kind: intent.KindLogicalBridge, ID: "bridge-10"})[0]
	if s.Oper != intent.StatusUp || !strings.Contains(fmt.Sprint(s.Components), "table full") {
		t.Errorf("bridge of a refused FDB entry: %+v, want up and the target's words", s)
	}
	g.target.FailUpdates(nil)
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	s = g.c.Status(t.Context(), intent.Ref{Kind: intent.KindLogicalBridge, ID: "bridge-10"})[0]
	if strings.Contains(fmt.Sprint(s.Components), "table full") {
		t.Errorf("the error stays: %+v", s)
	}
}

func TestWhatRefersToARefusedEntryIsNotWritten(t *testing.T) {
	g, b := twoPorts(t, options{target: p4rttest.Config{MayFail: true, Check: checkOrder}})
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if k, ok := decode(u.GetEntity()).(p4.Tunnel); ok && k.Destination == leaf1 {
			return status.Error(codes.InvalidArgument, "not this one")
		}
		return nil
	})
	g.send(update(peer1, macRoute(leaf1, 100, mac(9))))
	g.eventually("refused", func() bool { return g.target.Counts().Failed > 0 })
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, floodRoute(leaf2, 100)), update(peer1, macRoute(leaf2, 100, mac(2))))
	g.eventually("the other leaf", func() bool {
		return slices.Equal(g.flood(b), []string{"port 1", "port 2", "10.0.0.12 vni 100 by port 11"}) &&
			g.whereIs(b, mac(2)) != "nowhere"
	})
	g.wantFDB(b, mac(1), "nowhere")
	for _, k := range g.entries() {
		if r, ok := k.(p4.Replica); ok && g.get(p4.Tunnel{VTEP: r.VTEP}) == nil {
			t.Errorf("%v refers to a tunnel that was refused", r.Entry())
		}
	}
	g.eventually("only the refused VTEP says why it is down", func() bool {
		vteps, _ := g.c.VTEPs(t.Context())
		reasons := map[netip.Addr]string{}
		for _, v := range vteps {
			reasons[v.Address] = v.Reason
		}
		return strings.Contains(reasons[leaf1], "not this one") && reasons[leaf2] == ""
	})
	g.target.FailUpdates(nil)
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11")
}

func TestWhatAnEntryThatCouldNotMoveStillUsesStays(t *testing.T) {
	g, b := twoPorts(t, options{target: p4rttest.Config{MayFail: true}})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
	g.settle()
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if _, ok := decode(u.GetEntity()).(p4.FDB); ok {
			return status.Error(codes.Internal, "on purpose")
		}
		return nil
	})
	g.send(update(peer1, with(macRoute(leaf2, 100, mac(1)), 1)), withdraw(peer1, macRoute(leaf1, 100, mac(1))))
	g.eventually("refused", func() bool { return g.target.Counts().Failed >= 3 })
	g.wantFDB(b, mac(1), "10.0.0.11 vni 100")
	g.target.FailUpdates(nil)
	g.settle()
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
	for _, k := range g.entries() {
		if k, ok := k.(p4.Tunnel); ok && k.Destination == leaf1 {
			t.Error("the tunnel that nothing uses any more stays")
		}
	}
}

func TestWhatIsThereOrGoneBehindOurBackIsPutRight(t *testing.T) {
	g, b := twoPorts(t, options{target: p4rttest.Config{MayFail: true}})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
	g.settle()
	g.target.Put(p4.FDB{Bridge: b, MAC: mac(2), Kind: p4.Drop}.Entry().Entity())
	g.target.Remove(p4.FDB{Bridge: b, MAC: mac(1), Kind: p4.ToVTEP, VTEP: 1, VNI: 100}.Entry().Entity())
	g.send(update(peer1, macRoute(leaf1, 100, mac(2))), update(peer1, with(macRoute(leaf2, 100, mac(1)), 1)))
	g.settle()
	g.wantFDB(b, mac(2), "10.0.0.11 vni 100")
	g.wantFDB(b, mac(1), "10.0.0.12 vni 100")
}

func TestAKeyThatChangesDuringAWriteIsWrittenOnce(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, macRoute(leaf2, 100, mac(2))))
	g.settle()
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	g.target.Intercept(func(ctx context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok {
			held <- struct{}{}
			select {
			case <-hold:
			case <-ctx.Done():
			}
		}
		return nil
	})
	g.send(update(peer1, macRoute(leaf1, 100, mac(3))))
	<-held
	counts := g.target.Counts()
	for i := range 10 {
		r := macRoute(leaf1, 100, mac(4))
		if i%2 == 1 {
			r = macRoute(leaf2, 100, mac(4))
		}
		g.send(update(peer1, with(r, uint32(i))))
	}
	close(hold)
	g.settle()
	g.wantFDB(b, mac(4), "10.0.0.12 vni 100")
	// The one in flight, and one for what gathered.
	if got := g.target.Counts(); got.Writes-counts.Writes != 2 || got.Updates-counts.Updates != 2 {
		t.Errorf("%d writes of %d updates, want 2 of 2", got.Writes-counts.Writes, got.Updates-counts.Updates)
	}
}

func TestAVTEPWhoseTunnelIsRefusedIsLeftOutOfFloods(t *testing.T) {
	g, b := twoPorts(t, options{target: p4rttest.Config{MayFail: true, Check: checkOrder}})
	g.underlay.Set(leaf1, "not yet") // its replica is there before its tunnel
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, floodRoute(leaf2, 100)))
	g.settle()
	g.target.FailUpdates(func(u *p4v1.Update) error {
		if k, ok := decode(u.GetEntity()).(p4.Tunnel); ok && k.Destination == leaf1 {
			return status.Error(codes.InvalidArgument, "not this one")
		}
		return nil
	})
	g.underlay.Set(leaf1, "", path1)
	g.eventually("refused", func() bool { return g.target.Counts().Failed >= 2 })
	g.bridge(20, 0)
	g.access("eth3", 20)
	g.eventually("others go on", func() bool { return slices.Equal(g.flood(2), []string{"port 3"}) })
	g.wantFlood(b, "port 1", "port 2", "10.0.0.12 vni 100 by port 11")
	g.target.FailUpdates(nil)
	g.settle()
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11")
}
