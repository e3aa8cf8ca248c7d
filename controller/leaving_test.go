package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

func bridgeRef(vlan int) intent.Ref {
	return intent.Ref{Kind: intent.KindLogicalBridge, ID: fmt.Sprintf("bridge-%d", vlan)}
}

// statusOf is the status of one object as text: the state and all details.
func (g *gateway) statusOf(ref intent.Ref) (oper intent.OperStatus, text string) {
	g.Helper()
	s := g.c.Status(g.Context(), ref)[0]
	return s.Oper, fmt.Sprint(s)
}

// leavingText is what Leaving says of all kinds.
func (g *gateway) leavingText() string {
	var b strings.Builder
	for _, kind := range []intent.Kind{intent.KindLogicalBridge, intent.KindBridgePort, intent.KindVRF, intent.KindSVI} {
		for _, o := range g.c.Leaving(g.Context(), kind) {
			fmt.Fprintf(&b, "%v: %v %v\n", o.Object.Ref(), o.Status.Oper, o.Status.Components)
		}
	}
	return b.String()
}

// targetDown stops the target and waits until that is known.
func (g *gateway) targetDown() {
	g.Helper()
	g.target.Stop()
	g.eventually("down seen", func() (down bool) {
		g.peek(func(l *loop) { down = !l.target.Ready() })
		return down
	})
}

// deletions of everything that routed makes, what refers first.
var deletions = []struct {
	ref intent.Ref
	do  func(*intent.Tx) error
}{
	{intent.Ref{Kind: intent.KindSVI, ID: "svi-10"}, func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") }},
	{intent.Ref{Kind: intent.KindSVI, ID: "svi-20"}, func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-20") }},
	{intent.Ref{Kind: intent.KindBridgePort, ID: "eth1"}, func(tx *intent.Tx) error { return tx.Ports().Delete("eth1") }},
	{intent.Ref{Kind: intent.KindLogicalBridge, ID: "bridge-10"}, func(tx *intent.Tx) error { return tx.Bridges().Delete("bridge-10") }},
	{intent.Ref{Kind: intent.KindVRF, ID: "blue"}, func(tx *intent.Tx) error { return tx.VRFs().Delete("blue") }},
}

func TestADeletedObjectIsLeavingUntilTheTargetIsBackAndHasNoneOfIt(t *testing.T) {
	g, _, b10, _ := routed(t, options{})
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")))
	g.learn(b10, 1, mac(2))
	g.settle()
	g.targetDown()
	for _, d := range deletions {
		g.update(d.do)
		if got := g.leavingText(); !strings.Contains(got, fmt.Sprintf("%v: to be deleted", d.ref)) ||
			!strings.Contains(got, "not connected") {
			t.Errorf("after the deletion of %v, with the target away:\n%s", d.ref, got)
		}
		if oper, text := g.statusOf(d.ref); oper != intent.StatusUnknown {
			t.Errorf("%v: %s", d.ref, text)
		}
	}
	g.target.Start()
	g.eventually("nothing leaves any more", func() bool { return g.leavingText() == "" })
	for _, k := range g.entries() {
		switch k := k.(type) {
		case p4.Group:
			if k.ID == b10 {
				t.Errorf("%v is still there", k)
			}
		case p4.FDB, p4.Source, p4.Route, p4.RouterMAC, p4.ARPHost, p4.L3VNI:
			t.Errorf("%v is still there", k.Key())
		}
	}
}

func TestAnEntryThatCannotBeRemovedShowsOnTheDeletedObjectUntilItCan(t *testing.T) {
	for _, c := range []struct {
		ref    intent.Ref
		before int // deletions before it
		entry  entry
	}{
		{deletions[0].ref, 0, p4.RouterMAC{}},
		{deletions[2].ref, 2, p4.Member{}},
		{deletions[3].ref, 3, p4.FDB{}},
		{deletions[4].ref, 4, p4.L3VNI{}},
	} {
		t.Run(string(c.ref.Kind), func(t *testing.T) {
			g, _, _, _ := routed(t, options{target: p4rttest.Config{MayFail: true}})
			g.send(update(peer1, macRoute(leaf1, 100, mac(1))))
			g.settle()
			for _, d := range deletions[:c.before] {
				g.update(d.do)
			}
			g.eventually("the others are gone", func() bool { return g.leavingText() == "" })
			g.settle()
			g.target.FailUpdates(func(u *p4v1.Update) error {
				if u.GetType() != p4v1.Update_DELETE {
					return nil
				}
				return refuse(c.entry)(u)
			})
			g.update(deletions[c.before].do)
			g.eventually("it says why", func() bool { return strings.Contains(g.leavingText(), "on purpose") })
			got := g.leavingText()
			if want := fmt.Sprintf("%v: to be deleted", c.ref); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("%s\nwant only %s", got, want)
			}
			g.target.FailUpdates(nil)
			g.eventually("gone", func() bool { return g.leavingText() == "" })
			g.settle()
		})
	}
}

func TestAnObjectMadeAgainIsNotLeaving(t *testing.T) {
	g, _ := twoPorts(t, options{})
	g.targetDown()
	var old intent.LogicalBridge
	g.update(func(tx *intent.Tx) error {
		for _, id := range []string{"eth1", "eth2"} {
			if err := tx.Ports().Delete(id); err != nil {
				return err
			}
		}
		old, _ = tx.Bridges().Get("bridge-10")
		return tx.Bridges().Delete("bridge-10")
	})
	if got := g.leavingText(); strings.Count(got, "\n") != 3 {
		t.Errorf("leaving:\n%s", got)
	}
	g.update(func(tx *intent.Tx) error { _, err := tx.Bridges().Create(old); return err })
	if got := g.leavingText(); strings.Contains(got, "bridge-10") || strings.Count(got, "\n") != 2 {
		t.Errorf("leaving:\n%s", got)
	}
	g.target.Start()
	g.eventually("up", func() bool { oper, _ := g.statusOf(bridgeRef(10)); return oper == intent.StatusUp })
	g.eventually("nothing leaves any more", func() bool { return g.leavingText() == "" })
}

func TestWhatWasDeletedBeforeTheTargetWasReadIsLeavingUntilItIs(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	t.Run("first", func(t *testing.T) { busy(t, options{server: server, store: store}) })
	server.Stop()
	g := start(t, options{server: server, store: store})
	g.update(func(*intent.Tx) error { return nil }) // which waits until it has the store
	g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("eth2") })
	if got := g.leavingText(); !strings.Contains(got, "eth2: to be deleted") {
		t.Errorf("leaving: %q", got)
	}
	server.Start()
	g.eventually("nothing leaves any more", func() bool { return g.leavingText() == "" })
	for _, k := range g.entries() {
		if m, ok := k.(p4.Member); ok && m.Port == 2 {
			t.Errorf("%v is still there", k)
		}
	}
}

func TestAnObjectWithoutEntriesIsGoneAtOnce(t *testing.T) {
	g := start(t, options{})
	<-g.c.Synced()
	g.settle()
	g.port(intent.BridgePort{ID: "nowhere", MAC: mac(0xcc), Type: intent.Trunk})
	start := time.Now()
	g.update(func(tx *intent.Tx) error { return tx.Ports().Delete("nowhere") })
	g.eventually("gone", func() bool { return g.leavingText() == "" })
	if took := time.Since(start); took > idleTick/2 {
		t.Errorf("it left after %v", took)
	}
}
