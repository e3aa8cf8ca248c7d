package controller

import (
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/p4"
)

// inspect asks why of everything that the target holds, whatever is under way.
func (h *story) inspect() {
	err := h.c.Inspect(h.Context(), func(i Inspection) {
		for e := range i.Entries() {
			if held, ok := i.Entry(e.Key); !ok || held != e {
				h.Errorf("%v is held, and is not", e)
			}
			if i.Why(e) == "" {
				h.Errorf("nobody knows why there is %v", e)
			}
		}
	})
	if err != nil {
		h.Fatal(err)
	}
}

func TestEachTypeOfEntriesIsExplained(t *testing.T) {
	for typ := range p4.Types {
		if explanations[typ] == nil {
			t.Errorf("%v is not", typ)
		}
	}
}

func TestAnEntryIsExplainedByWhatItComesFrom(t *testing.T) {
	g, v, b10, b20 := routed(t, options{})
	g.learn(b10, 1, mac(1))
	g.hears(b10, 1, mac(1), "10.10.0.7")
	g.staticMAC("printer", "eth1", mac(2), "10.10.0.9")
	moved := macRoute(leaf1, 100, mac(3))
	moved.Sequence, moved.Sticky = 4, true
	g.send(update(leaf0, moved), update(leaf0, floodRoute(leaf1, 100)), update(leaf0, prefixRoute(leaf1, 5000,
		"10.99.0.0/16")),
		update(leaf0, hostRoute(leaf1, 100, mac(4), "10.10.0.8", 5000)))
	g.settle()
	g.eventually("all written", func() bool { return g.get(p4.FDB{Bridge: b10, MAC: mac(3)}) != nil })
	tunnel := g.get(p4.FDB{Bridge: b10, MAC: mac(3)}).(p4.FDB).VTEP
	for _, tc := range []struct {
		k    entry
		want string
	}{
		{p4.BridgePort{Port: 1}, "bridge port eth1"},
		{p4.Uplink{Port: 11}, "uplink up1"},
		{p4.HostPort{Port: 21}, "uplink up1"},
		{p4.LocalVTEP{Address: vtep1}, "10.0.0.1"},
		{p4.RemoteVTEP{Prefix: single(leaf1)}, "routes lead to VTEP " + leaf1.String()},
		{p4.Member{Port: 1}, "bridge port eth1 has it in bridge bridge-10"},
		{p4.EgressVLAN{Port: 2, Bridge: b20}, "bridge port eth2 is in bridge bridge-20"},
		{p4.VNI{Local: vtep1, VNI: 100}, "bridge bridge-10"},
		{p4.L3VNI{Local: vtep1, VNI: 5000}, "VRF blue"},
		{p4.Source{Bridge: b10, MAC: mac(1), Port: 1}, "learned at bridge port eth1"},
		{p4.FDB{Bridge: b10, MAC: mac(1)}, "learned at bridge port eth1"},
		{p4.FDB{Bridge: b10, MAC: mac(2)}, "configured at bridge port eth1"},
		{p4.FDB{Bridge: b10, MAC: mac(3)}, "route [2]:[0]:[48]:[" + mac(3).String() + "] RD " + moved.RD.String() +
			" of VTEP " + leaf1.String() + ", from peer " + leaf0.String() + ", sequence 4, sticky"},
		{p4.Tunnel{VTEP: tunnel}, "VTEP " + leaf1.String() + ", from our 10.0.0.1"},
		{p4.Path{VTEP: tunnel}, "VTEP " + leaf1.String() + " by uplink up1"},
		{p4.Group{ID: b10}, "bridge bridge-10 floods"},
		{p4.RouterMAC{Bridge: b10, MAC: routerMAC}, "SVI svi-10 routes bridge bridge-10 in VRF blue"},
		{p4.RouterInterface{Bridge: b10}, "SVI svi-10"},
		{p4.GatewayMAC{Bridge: b10, MAC: routerMAC}, "SVI svi-10"},
		{p4.Gateway{Bridge: b10, Address: addr("10.10.0.1")}, "SVI svi-10"},
		{p4.ARPHost{Bridge: b10, Address: addr("10.10.0.1")}, "an address of SVI svi-10"},
		{p4.ARPHost{Bridge: b10, Address: addr("10.10.0.7")}, "was heard to have it"},
		{p4.ARPHost{Bridge: b10, Address: addr("10.10.0.9")}, "is configured to have it"},
		{p4.ARPHost{Bridge: b10, Address: addr("10.10.0.8")}, "route [2]:[0]:[48]:[" + mac(4).String() +
			"]:[32]:[10.10.0.8]"},
		{p4.Route{VRF: v, Prefix: prefix("10.10.0.1/32")}, "an address of SVI svi-10"},
		{p4.Route{VRF: v, Prefix: prefix("10.10.0.0/24")}, "the subnet of SVI svi-10"},
		{p4.Route{VRF: v, Prefix: prefix("10.99.0.0/16")}, "route [5]:[0]:[16]:[10.99.0.0]"},
		{p4.CloneSession{ID: p4.CPUCloneSession}, "controller"},
	} {
		if err := g.c.Inspect(t.Context(), func(i Inspection) {
			e, held := i.Entry(tc.k.Key())
			if got := i.Why(e); !held || !strings.Contains(got, tc.want) {
				t.Errorf("%v: %v, %q, want %q in it", tc.k.Key(), held, got, tc.want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
