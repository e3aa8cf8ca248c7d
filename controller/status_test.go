package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

// stalled holds back the answers of a target to Writes until it is told to go on.
func (g *gateway) stalled() (goOn func()) {
	release := make(chan struct{})
	g.target.InterceptAnswer(func(ctx context.Context, m proto.Message) error {
		if _, ok := m.(*p4v1.WriteRequest); ok {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	})
	return func() { g.target.InterceptAnswer(nil); close(release) }
}

func TestAnObjectIsUpOnlyOnceTheTargetAcknowledgedIt(t *testing.T) {
	g, _ := twoPorts(t, options{})
	g.settle()
	goOn := g.stalled()
	if err := g.store.Update(func(tx *intent.Tx) error {
		_, err := tx.Bridges().Create(intent.LogicalBridge{ID: "bridge-30", VLAN: 30, VNI: 300})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// At once, and after the target has the entries but did not say so.
	for range 2 {
		if oper, text := g.statusOf(bridgeRef(30)); oper != intent.StatusDown || !strings.Contains(text, "not acknowledged") {
			t.Errorf("before the acknowledgement: %v %s", oper, text)
		}
		g.eventually("written", func() bool { return g.get(p4.VNI{Local: vtep1, VNI: 300}) != nil })
	}
	goOn()
	g.eventually("up", func() bool { oper, _ := g.statusOf(bridgeRef(30)); return oper == intent.StatusUp })
}

func TestAStatusIsOfTheObjectAsTheStoreHasItNow(t *testing.T) {
	g, _ := twoPorts(t, options{})
	g.settle()
	goOn := g.stalled()
	// However soon it is asked after the change, the old state is not the answer.
	for vni := uint32(101); vni < 150; vni++ {
		if err := g.store.Update(func(tx *intent.Tx) error {
			b, err := tx.Bridges().Get("bridge-10")
			if err == nil {
				b.VNI = vni
				_, err = tx.Bridges().Update(b)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if oper, text := g.statusOf(bridgeRef(10)); oper == intent.StatusUp {
			t.Fatalf("right after the change to VNI %d: %v %s", vni, oper, text)
		}
	}
	goOn()
	g.eventually("up", func() bool { oper, _ := g.statusOf(bridgeRef(10)); return oper == intent.StatusUp })
}

func TestARefusedEntryShowsOnTheObjectThatCausedItUntilItIsTaken(t *testing.T) {
	all := []intent.Ref{bridgeRef(10), bridgeRef(20), {Kind: intent.KindBridgePort, ID: "eth1"},
		{Kind: intent.KindVRF, ID: "blue"},
		{Kind: intent.KindSVI, ID: "svi-10"}, {Kind: intent.KindSVI, ID: "svi-20"}}
	for _, c := range []struct {
		name string
		is   func(entry) bool
		on   []intent.Ref
		up   bool // what follows from routes leaves its object up
	}{
		{"VNI", func(k entry) bool { v, ok := k.(p4.VNI); return ok && v.VNI == 100 }, []intent.Ref{bridgeRef(10)}, false},
		{"Group", func(k entry) bool { v, ok := k.(p4.Group); return ok && v.ID == 2 }, []intent.Ref{bridgeRef(20)}, false},
		{"FDB", func(k entry) bool { _, ok := k.(p4.FDB); return ok }, []intent.Ref{bridgeRef(10)}, true},
		{"Replica", func(k entry) bool { _, ok := k.(p4.Replica); return ok }, []intent.Ref{bridgeRef(10)}, true},
		{"RemoteVTEP", func(k entry) bool { _, ok := k.(p4.RemoteVTEP); return ok },
			[]intent.Ref{bridgeRef(10), {Kind: intent.KindVRF, ID: "blue"}}, true},
		{"Tunnel", func(k entry) bool { _, ok := k.(p4.Tunnel); return ok }, []intent.Ref{bridgeRef(10), {Kind: intent.KindVRF, ID: "blue"}}, true},
		{"Adjacency", func(k entry) bool { _, ok := k.(p4.Adjacency); return ok }, []intent.Ref{bridgeRef(10), {Kind: intent.KindVRF, ID: "blue"}}, true},
		{"Member", func(k entry) bool { v, ok := k.(p4.Member); return ok && v.Port == 1 }, []intent.Ref{{Kind: intent.KindBridgePort, ID: "eth1"}}, false},
		{"L3VNI", func(k entry) bool { _, ok := k.(p4.L3VNI); return ok }, // what leads to hosts of an SVI by EVPN comes by it
			[]intent.Ref{{Kind: intent.KindVRF, ID: "blue"}, {Kind: intent.KindSVI, ID: "svi-10"},
				{Kind: intent.KindSVI, ID: "svi-20"}}, false},
		{"Route", func(k entry) bool { r, ok := k.(p4.Route); return ok && r.Prefix == prefix("10.50.0.0/16") }, []intent.Ref{{Kind: intent.KindVRF, ID: "blue"}}, true},
		{"RouterMAC", func(k entry) bool { r, ok := k.(p4.RouterMAC); return ok && r.Bridge == 2 }, []intent.Ref{{Kind: intent.KindSVI, ID: "svi-20"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, store := p4rttest.New(t, p4rttest.Config{MayFail: true}), intent.NewMemory()
			server.FailUpdates(func(u *p4v1.Update) error {
				if d := decode(u.GetEntity()); d != nil && c.is(d) {
					return status.Error(codes.ResourceExhausted, "on purpose")
				}
				return nil
			})
			g := start(t, options{server: server, store: store, noSlowPath: true})
			b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
			if b10 != 1 || b20 != 2 {
				t.Fatal(b10, b20)
			}
			g.access("eth1", 10)
			g.access("eth2", 20)
			g.vrf("blue", 5000)
			g.svi("blue", 10, "10.10.0.1/24")
			g.svi("blue", 20, "10.20.0.1/24")
			g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))),
				update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")))
			g.eventually("refused", func() bool { return server.Counts().Failed > 0 })
			for _, ref := range c.on {
				g.eventually(fmt.Sprintf("%v says why, and is up: %v", ref, c.up), func() bool {
					oper, text := g.statusOf(ref)
					return strings.Contains(text, "on purpose") && strings.Contains(text, "pipeline 3") &&
						(oper == intent.StatusUp) == c.up
				})
			}
			g.eventually("the others are up, and say nothing of it", func() bool {
				for _, ref := range all {
					oper, text := g.statusOf(ref)
					if strings.Contains(text, "on purpose") != slices.Contains(c.on, ref) || (oper != intent.StatusUp) &&
						!slices.Contains(c.on, ref) {
						return false
					}
				}
				return true
			})
			server.FailUpdates(nil)
			g.eventually("all is well", func() bool {
				for _, ref := range all {
					if oper, text := g.statusOf(ref); oper != intent.StatusUp || strings.Contains(text, "reason") {
						return false
					}
				}
				return true
			})
		})
	}
}
