package controller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// tamper deletes, adds and changes an entry behind the gateway's back.
func (g *gateway) tamper() {
	g.target.Remove(g.get(p4.FDB{Bridge: 1, MAC: mac(1)}).Entry().Entity())
	g.target.Put(
		p4.FDB{Bridge: 1, MAC: mac(2), Kind: p4.Drop}.Entry().Entity(),
		p4.RemoteVTEP{Prefix: prefix("192.0.2.7/32")}.Entry().Entity(),
	)
}

var tampered = []view.Difference{
	{Kind: string(reconcile.Changed), Table: "bridge.fdb"}, {Kind: string(reconcile.Missing), Table: "bridge.fdb"}, {Kind: string(reconcile.Unexpected), Table: "vxlan.peer"},
}

func (g *gateway) wantTampered(a view.Audit) {
	g.Helper()
	slices.SortFunc(a.Differences, func(a, b view.Difference) int { return strings.Compare(a.Kind, b.Kind) })
	same := func(got, want view.Difference) bool {
		return got.Kind == want.Kind && got.Table == want.Table &&
			(got.Was == "") == (got.Kind == string(reconcile.Unexpected)) &&
			(got.Is == "") == (got.Kind == string(reconcile.Missing))
	}
	if !slices.EqualFunc(a.Differences, tampered, same) {
		g.Errorf("found %+v", a.Differences)
	}
}

// found gives what audits counted: missing, unexpected, changed.
func (g *gateway) found() [3]int64 {
	s := &g.c.stats.target
	return [3]int64{s.Missing.Load(), s.Unexpected.Load(), s.Changed.Load()}
}

func TestAuditFindsWhatSomebodyElseDidAndPutsItRight(t *testing.T) {
	g, _ := busy(t, options{})
	before := g.facts()
	a, err := g.c.Audit(t.Context())
	if err != nil || len(a.Differences) != 0 || a.Entries != len(g.target.Entries()) {
		t.Errorf("audit of an untouched target: %+v, %v", a, err)
	}
	counts := g.target.Counts()
	g.tamper()
	if a, err = g.c.Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.wantTampered(a)
	g.settle()
	if !slices.Equal(before, g.facts()) {
		t.Error("the entries are not as they were")
	}
	if n := g.target.Counts().Updates - counts.Updates; n != 3 {
		t.Errorf("%d updates, want 3", n)
	}
	if got := g.found(); got != [3]int64{1, 1, 1} {
		t.Errorf("counted %v", got)
	}
}

func TestAuditPutsRightWhateverSomebodyChanged(t *testing.T) {
	g, b := busy(t, options{target: p4rttest.Config{Check: func(*p4v1.Update, *p4rttest.State) error { return nil }}})
	before := g.facts()
	trap := g.c.loop.traps()[0]
	trap.Reason++
	for _, changed := range []entry{
		trap,
		p4.CloneSession{ID: p4.CPUCloneSession, Port: 7},
		p4.Group{ID: b, Members: []p4.GroupMember{{Port: 3, Instance: p4.LocalInstance}}},
		p4.Member{Port: 1, Bridge: 77},
		p4.Uplink{Port: 1, HostPort: 33},
		p4.L3VNI{Local: vtep1, VNI: 100, VRF: 9},
	} {
		if g.get(changed) == nil {
			t.Fatalf("%v is not there to be changed", changed.Key())
		}
		g.target.Put(changed.Entry().Entity())
		a, err := g.c.Audit(t.Context())
		if err != nil || len(a.Differences) != 1 || a.Differences[0].Kind != string(reconcile.Changed) {
			t.Errorf("%v: found %+v, %v", changed.Key(), a.Differences, err)
		}
		g.settle()
		if !slices.Equal(before, g.facts()) {
			t.Fatalf("%v was not put right", changed.Key())
		}
	}
}

func TestAuditAtConnectCountsWhatSomebodyElseDid(t *testing.T) {
	g, _ := busy(t, options{})
	before := g.facts()
	g.target.TakeMastership(p4rt.ElectionID{Low: 99})
	g.tamper()
	g.target.ReleaseMastership()
	g.eventually("put right", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	if got := g.found(); got != [3]int64{1, 1, 1} {
		t.Errorf("counted %v", got)
	}
	g.target.Restart() // empties it, and that is nobody's doing
	g.eventually("all is back", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	if got := g.found(); got != [3]int64{1, 1, 1} {
		t.Errorf("after a restart of the target counted %v", got)
	}
}

func TestAuditByItselfNeedsNoConnection(t *testing.T) {
	o := options{cfg: testConfig()}
	o.cfg.AuditInterval = 20 * time.Millisecond
	g, _ := busy(t, o)
	before := g.facts()
	g.tamper()
	g.eventually("put right", func() bool { return g.settled() && slices.Equal(before, g.facts()) })
	if got := g.found(); got != [3]int64{1, 1, 1} {
		t.Errorf("counted %v", got)
	}
}

func TestAuditOfATargetThatIsAwayIsAnError(t *testing.T) {
	g, _ := busy(t, options{})
	held := make(chan struct{})
	g.target.Intercept(func(ctx context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.ReadRequest); ok {
			close(held)
			<-ctx.Done()
		}
		return nil
	})
	done := make(chan error, 1)
	go func() { _, err := g.c.Audit(context.Background()); done <- err }()
	<-held
	g.target.Intercept(nil)
	g.target.Stop()
	if err := <-done; err == nil {
		t.Error("an audit whose connection broke says that it went well")
	}
	if _, err := g.c.Audit(t.Context()); err == nil || !strings.Contains(err.Error(), "not connected") {
		t.Errorf("audit of a target that is away: %v", err)
	}
}

func TestAWriteWhoseAnswerGotLostIsNobodysDoing(t *testing.T) {
	g, b := busy(t, options{})
	lost := false
	g.target.InterceptAnswer(func(_ context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok && !lost {
			lost = true
			go g.target.Disconnect()
			return context.DeadlineExceeded
		}
		return nil
	})
	g.send(update(peer1, macRoute(leaf1, 100, mac(7))))
	g.settle()
	g.wantFDB(b, mac(7), "10.0.0.11 vni 100")
	if got := g.found(); got != [3]int64{} {
		t.Errorf("counted %v", got)
	}
}
