package controller

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// planted is a gateway with an embedded switch, to whose entries somebody else has access.
type planted struct {
	*gateway
	sw      *embedded
	entries []p4.Entry // as they are to be
}

// plant has two bridges of a VRF, on an access port each and a trunk; hosts here and behind two
// VTEPs, prefixes behind them.
func plant(t *testing.T) *planted {
	cfg := testConfig()
	cfg.Ports[2].SourceGuard = true
	cfg.AuditInterval = 0
	cfg.Ageing, cfg.AddressAge = time.Hour, 1000*time.Hour // hosts are silent while faults are tried
	cfg.SVIs = map[string]SVI{"svi-20": {Unique: true}}
	sw := startEmbedded(t).(*embedded)
	g := start(t, options{at: sw.at(), json: string(p4.DeviceConfig()), cfg: cfg})
	g.underlay.Foresee(leaf2, path1, path2)
	b10, b20 := g.bridge(10, 100), g.bridge(20, 200)
	g.access("eth1", 10)
	g.port(intent.BridgePort{ID: "eth2", Type: intent.Trunk, Bridges: []string{"bridge-10", "bridge-20"}})
	g.access("eth3", 20)
	g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24", "2001:db8:10::1/64")
	g.svi("blue", 20, "10.20.0.1/24")
	g.update(func(tx *intent.Tx) error {
		_, err := tx.StaticMACs().Create(intent.StaticMAC{ID: "static", Bridge: "bridge-20", Port: "eth3", MAC: mac(0x30),
			IPs: []netip.Addr{addr("10.20.0.30")}})
		return err
	})
	g.update(func(tx *intent.Tx) error {
		_, err := tx.Instances().Create(intent.Instance{ID: "bridge.bridge-20", DropUnknownUnicast: true})
		return err
	})
	told := hostRoute(leaf1, 100, mac(0x42), "2001:db8:10::42", 0)
	told.ARPND = bgp.ARPND{Said: true, Flags: bgp.ARPNDOverride}
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, floodRoute(leaf2, 100)),
		update(peer1, floodRoute(leaf2, 200)),
		update(peer1, macRoute(leaf1, 100, mac(0x41))), update(peer1, hostRoute(leaf2, 100, mac(0x43), "10.10.0.43", 5000)),
		update(peer1, hostRoute(leaf2, 200, mac(0x44), "10.20.0.44", 0)), update(peer1, told),
		update(peer1, prefixRoute(leaf1, 5000, "10.78.0.0/16")), update(peer1, prefixRoute(leaf2, 5000, "10.78.0.0/16")),
		update(peer1, prefixRoute(leaf1, 5000, "10.77.0.0/16")), update(peer1, prefixRoute(leaf2, 5000, "2001:db8:77::/48")))
	g.settle()
	g.peek(func(l *loop) {
		for _, h := range []struct {
			bridge, port uint16
			n            int
			ip           string
		}{{b10, 1, 1, "10.10.0.11"}, {b10, 2, 2, "10.10.0.12"}, {b20, 2, 3, "10.20.0.13"}} {
			l.learn(p4.Learn{Bridge: h.bridge, MAC: mac(h.n), Port: h.port})
			l.heard(l.bridges[h.bridge], sighting{ip: addr(h.ip), mac: mac(h.n), port: h.port, by: byHost})
		}
	})
	g.settle()
	p := &planted{gateway: g, sw: sw}
	if err := g.c.Inspect(t.Context(), func(i Inspection) { p.entries = slices.Collect(i.Entries()) }); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(p.entries, func(a, b p4.Entry) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return p
}

// fault is what somebody does to an entry; is none takes it away, was none adds it.
type fault struct {
	kind    string
	was, is p4.Typed
}

func (f fault) key() p4.Key {
	if f.is != nil {
		return f.is.Key()
	}
	return f.was.Key()
}

func (f fault) String() string {
	if f.is == nil {
		return fmt.Sprintf("%s: without %v", f.kind, f.was.Entry())
	}
	return fmt.Sprintf("%s: %v", f.kind, f.is.Entry())
}

// apply has the switch hold the faulty entries, or those that were before.
func (p *planted) apply(t *testing.T, faults []fault, undo bool) {
	t.Helper()
	for _, f := range faults {
		was, is := f.was, f.is
		if undo {
			was, is = is, was
		}
		u := &p4v1.Update{Type: p4v1.Update_MODIFY}
		switch {
		case was == nil:
			u.Type, u.Entity = p4v1.Update_INSERT, is.Entry().Entity()
		case is == nil:
			u.Type, u.Entity = p4v1.Update_DELETE, was.Entry().Entity()
		default:
			u.Entity = is.Entry().Entity()
		}
		for _, err := range p.sw.server.Apply([]*p4v1.Update{u}) {
			if err != nil {
				t.Fatalf("%v: %v", f, err)
			}
		}
	}
}

// faults are some of each kind, out of what there is.
func (p *planted) faults() (all []fault) {
	add := func(kind string, was, is p4.Typed) { all = append(all, fault{kind, was, is}) }
	for _, e := range p.entries {
		d, err := p4.Decode(e)
		if err != nil {
			panic(err)
		}
		switch d := d.(type) {
		case p4.FDB:
			if x := d; d.Kind == p4.ToVTEP {
				x.VTEP = 3 - d.VTEP
				add("wrong VTEP", d, x)
				x = d
				x.VNI++
				add("wrong VNI", d, x)
			} else {
				x.Port = 3 - min(d.Port, 2)
				add("swapped ports", d, x)
			}
			add("missing station", d, nil)
		case p4.Route:
			if x := d; d.Kind == p4.RouteVTEP {
				x.VTEP = 3 - d.VTEP
				add("wrong VTEP", d, x)
				x = d
				x.VNI++
				add("wrong VNI", d, x)
				x = d
				x.Destination = mac(0x77)
				add("wrong router MAC", d, x)
			}
			add("missing route", d, nil)
		case p4.Replica:
			x := d
			x.VNI++
			add("wrong VNI", d, x)
			x = d
			x.VTEP = 3 - d.VTEP
			add("wrong VTEP", d, x)
		case p4.Group:
			for i := range d.Members {
				x := d
				x.Members = slices.Delete(slices.Clone(d.Members), i, i+1)
				add("missing replica", d, x)
			}
			x := d
			x.Members = append(slices.Clone(d.Members), p4.GroupMember{Port: 4 - d.ID*2 + 1, Instance: p4.LocalInstance})
			add("a member too many", d, x)
		case p4.EgressVLAN:
			x := d
			if x.VLAN = 0; d.VLAN != 0 {
				add("lost tag", d, x)
			}
			x.VLAN = 99
			add("wrong tag", d, x)
		case p4.GatewayMAC, p4.Gateway, p4.GatewayTarget, p4.NoFlood:
			add("missing drop", d, nil)
		case p4.Member:
			x := d
			x.Gateway = false
			add("missing drop", d, x)
			if x = d; d.Guarded {
				x.Guarded = false
				add("missing drop", d, x)
			}
			x = d
			x.Bridge = 3 - d.Bridge
			add("wrong bridge", d, x)
		case p4.ARPHost:
			x := d
			x.MAC = mac(0x78)
			add("wrong answer", d, x)
			add("missing answer", d, nil)
		case p4.NDHost:
			if x := d; !d.Unanswered {
				x.Router = !d.Router
				add("wrong answer", d, x)
			}
		case p4.Source:
			add("missing source", d, nil)
			x := d
			x.Verdict = p4.Discard
			add("wrong verdict", d, x)
		case p4.VNI, p4.L3VNI, p4.RemoteVTEP, p4.LocalVTEP, p4.RouterMAC, p4.BoundSource, p4.Trap, p4.BridgePort:
			add("missing "+d.Type().String(), d, nil)
		case p4.Adjacency:
			x := d
			x.Destination = mac(0x79)
			add("wrong next hop", d, x)
		case p4.Tunnel:
			x := d
			x.Destination = addr("10.9.9.9")
			add("wrong VTEP", d, x)
		case p4.UplinkSlot:
			if x := d; d.Slot%8 == 0 {
				x.Port = 23 - d.Port
				add("wrong uplink of some flows", d, x)
			}
		case p4.NextHopSlot:
			if x := d; d.Slot%8 == 0 {
				x.VNI++
				add("wrong VNI of some flows", d, x)
			}
		case p4.Path:
			x := d
			x.Port = 12
			add("wrong uplink", d, x)
		case p4.RouterInterface:
			x := d
			x.MAC = mac(0x7a)
			add("wrong router MAC", d, x)
		}
	}
	for _, extra := range []p4.Typed{
		p4.FDB{Bridge: 1, MAC: mac(0x66), Kind: p4.ToPort, Port: 1},
		p4.FDB{Bridge: 2, MAC: mac(0x66), Kind: p4.ToVTEP, VTEP: 1, VNI: 200},
		p4.Route{VRF: 1, Prefix: prefix("10.10.0.66/32"), Kind: p4.RouteHost, Bridge: 1, MAC: mac(1)},
		p4.Route{VRF: 1, Prefix: prefix("2001:db8:10::66/128"), Kind: p4.RouteHost, Bridge: 1, MAC: mac(1)},
		p4.ARPHost{Bridge: 1, Address: addr("10.10.0.66"), MAC: mac(0x66)},
		p4.NDHost{Bridge: 1, Address: addr("2001:db8:10::66"), MAC: mac(0x66)},
	} {
		add("stale host", nil, extra)
	}
	for _, extra := range []p4.Typed{
		p4.Member{Port: 1, VLAN: 77, Bridge: 2}, p4.VNI{Local: vtep1, VNI: 777, Bridge: 1},
		p4.RemoteVTEP{Prefix: prefix("10.66.0.0/24")},
		p4.Route{VRF: 1, Prefix: prefix("10.66.0.0/16"), Kind: p4.RouteVTEP, VTEP: 1, VNI: 5000},
		p4.RouterMAC{Bridge: 1, MAC: mac(0x67), VRF: 1}, p4.GatewayMAC{Bridge: 1, MAC: mac(0x67)},
		p4.Gateway{Bridge: 1, Address: addr("10.10.0.67")}, p4.NoFlood{Bridge: 1},
		p4.Source{Bridge: 1, MAC: mac(0x67), Port: 1},
		p4.BoundSource{Bridge: 2, Port: 3, MAC: mac(0x67), Address: addr("10.20.0.67")}, p4.BridgePort{Port: 9},
		p4.Trap{EtherType: 0x88b5, Origin: p4.OriginBridge, Priority: 99, Divert: true, Reason: p4.PuntARP},
		p4.LocalVTEP{Address: addr("10.66.0.1")},
	} {
		add("extra entry", nil, extra)
	}
	return all
}

// found reports whether a difference names an entry that was planted, as one that the gateway
// did not write so.
func found(c view.Check, f fault) bool {
	name := f.key().String()
	return slices.ContainsFunc(c.Differences, func(d view.CheckDifference) bool {
		return d.Object != "" && d.Expected != d.Actual && len(d.Frame) > 0 &&
			slices.ContainsFunc(d.Steps, func(s view.CheckStep) bool { return strings.Contains(s.Odd, name) })
	})
}

var ofAKind = flag.Int("faults", 2, "how many faults of each kind are planted, and a tenth of how many pairs")

// Whatever somebody does to the target's entries is found, and the entry is named. Of two things
// at once one may hide the other: then that is found when the first is put right.
func TestWhatIsPlantedOnTheTargetIsFoundAndExplained(t *testing.T) {
	p := plant(t)
	c := p.checker()
	look := func(faults ...fault) view.Check {
		p.apply(t, faults, false)
		got, err := c.Check(t.Context(), view.CheckRequest{Read: true})
		slices.Reverse(faults)
		p.apply(t, faults, true)
		if err != nil {
			t.Fatalf("%v: %v", faults, err)
		}
		return got
	}
	if got := look(); len(got.Differences) > 0 {
		t.Fatalf("a healthy target: %s", differences(got))
	}
	all := p.faults()
	r := rand.New(rand.NewPCG(*first, 5))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	kinds := map[string]int{}
	for _, f := range all {
		if kinds[f.kind]++; kinds[f.kind] > *ofAKind {
			continue
		}
		if got := look(f); !found(got, f) {
			t.Errorf("not found: %v (%d differences)", f, len(got.Differences)+got.More)
		}
	}
	t.Logf("%d faults of %d kinds, %d of each at most: %v", len(all), len(kinds), *ofAKind, kinds)
	for range *ofAKind * 10 {
		a, b := pick(r, all), pick(r, all)
		if a.key() == b.key() {
			continue
		}
		if got := look(a, b); !found(got, a) && !found(got, b) {
			t.Errorf("not found: %v and %v", a, b)
		}
	}
	if got := look(); len(got.Differences) > 0 {
		t.Fatalf("a healthy target: %s", differences(got))
	}
}
