package controller

import (
	"iter"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/p4"
)

func TestATableThatIsForgottenKeepsTheGatewayFromStarting(t *testing.T) {
	program := p4.P4Info()
	if _, err := newController(testConfig(), Inputs{}, program, tables()); err != nil {
		t.Fatal(err)
	}
	wantNamed := func(name string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	more := proto.CloneOf(program)
	table := proto.CloneOf(program.GetTables()[0])
	table.Preamble.Id, table.Preamble.Name = 0x02ffffff, "bridge.mirror"
	more.Tables = append(more.Tables, table)
	_, err := newController(testConfig(), Inputs{}, more, tables())
	wantNamed("bridge.mirror", err)
	for typ := range p4.Types {
		less := tables()
		less[typ] = table0
		_, err := newController(testConfig(), Inputs{}, program, less)
		wantNamed(typ.String(), err)
	}
}

var table0 table // one that nobody wrote

func TestARegistrationThatLacksAPartKeepsTheGatewayFromStarting(t *testing.T) {
	whole := of[p4.FDB]{
		desired: func(*loop, p4.FDB) entry { return nil }, all: func(*loop) {},
		adopt: func(*loop, iter.Seq[p4.FDB]) {}, gone: freeNothing[p4.FDB], fromBGP: neverFromBGP[p4.FDB],
		flipped: noneDoesWithout[p4.FDB], concerns: concernsNobody[p4.FDB], given: neverGiven[p4.FDB],
		most: asManyAsFit[p4.FDB],
	}
	for part, leave := range map[string]func(*of[p4.FDB]){
		"desired":  func(o *of[p4.FDB]) { o.desired = nil },
		"all":      func(o *of[p4.FDB]) { o.all = nil },
		"adopt":    func(o *of[p4.FDB]) { o.adopt = nil },
		"gone":     func(o *of[p4.FDB]) { o.gone = nil },
		"fromBGP":  func(o *of[p4.FDB]) { o.fromBGP = nil },
		"flipped":  func(o *of[p4.FDB]) { o.flipped = nil },
		"concerns": func(o *of[p4.FDB]) { o.concerns = nil },
		"given":    func(o *of[p4.FDB]) { o.given = nil },
		"most":     func(o *of[p4.FDB]) { o.most = nil },
	} {
		o, all := whole, tables()
		leave(&o)
		all[p4.TypeFDB] = o.table()
		_, err := newController(testConfig(), Inputs{}, p4.P4Info(), all)
		if err == nil || !strings.Contains(err.Error(), "bridge.fdb") || !strings.HasSuffix(err.Error(), part) {
			t.Errorf("without %s: %v", part, err)
		}
	}
}

// What all gives is what a target that lost its entries gets, and adopt and desired
// have to agree on it.
func TestAllOfATableIsWhatTheTargetHoldsOfIt(t *testing.T) {
	server := p4rttest.New(t, p4rttest.Config{Check: checkOrder})
	cfg := testConfig()
	cfg.Ports[0].SourceGuard = true
	g, _, b10, _ := routed(t, options{server: server, cfg: cfg})
	g.staticMAC("server", "eth1", mac(9), "10.10.0.9", "2001:db8:10::9")
	g.instance(intent.Instance{ID: "bridge.bridge-10", DropUnknownUnicast: true})
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))),
		update(peer1, prefixRoute(leaf1, 5000, "10.50.0.0/16")), update(peer1, prefixRoute(leaf2, 5000, "10.50.0.0/16")),
		update(peer1, hostRoute(leaf1, 100, mac(5), "10.10.0.55", 5000)),
		update(peer1, hostRoute(leaf1, 100, mac(5), "2001:db8:10::55", 5000)))
	g.learn(b10, 1, mac(2))
	g.underlay.Set(leaf1, "", path1, path2)
	g.send(update(peer1, macRoute(leaf2, 100, mac(6))))
	g.settle()
	held := map[p4.Type][]p4.Key{}
	for _, k := range g.entries() {
		held[k.Type()] = append(held[k.Type()], k.Key())
	}
	g.peek(func(l *loop) {
		for typ := range p4.Types {
			if len(held[typ]) == 0 {
				t.Errorf("the target has nothing of %v: the test proves nothing", typ)
			}
			l.deleting = &leaving{keys: map[p4.Key]entry{}} // which notes what is marked
			l.tables[typ].all(l)
			for _, k := range held[typ] {
				if l.deleting.keys[k] == nil {
					t.Errorf("%v is on the target, and all does not mark it", k)
				}
			}
			l.deleting = nil
		}
	})
}
