package controller

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/p4"
)

func TestFloodsGoToThePortsAndToEachVTEPWithAType3Route(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.wantFlood(b, "port 1", "port 2")
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, floodRoute(leaf2, 100)))
	g.settle()
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 11", "10.0.0.12 vni 100 by port 11")
	g.send(withdraw(peer1, floodRoute(leaf1, 100)))
	g.settle()
	g.wantFlood(b, "port 1", "port 2", "10.0.0.12 vni 100 by port 11")
}

func TestFormsOfType3Routes(t *testing.T) {
	other := floodRoute(leaf1, 100)
	other.Tunnel = leaf2
	ryu := floodRoute(leaf1, 100)
	ryu.Tunnel, ryu.Label, ryu.EthernetTag = netip.Addr{}, 0, 100
	bare := ryu
	bare.EthernetTag = 0
	downstream := floodRoute(leaf1, 100)
	downstream.Label = 777
	own := floodRoute(vtep1, 100)
	for name, c := range map[string]struct {
		route bgp.Route
		want  []string
	}{
		"the tunnel identifier comes before the next hop":        {other, []string{"10.0.0.12 vni 100 by port 11"}},
		"RYU: no PMSI, the VNI as the Ethernet tag":              {ryu, []string{"10.0.0.11 vni 100 by port 11"}},
		"neither PMSI nor tag: the bridge's VNI":                 {bare, []string{"10.0.0.11 vni 100 by port 11"}},
		"the label is the VNI to send with":                      {downstream, []string{"10.0.0.11 vni 777 by port 11"}},
		"our own route, come back to us, is not flooded to":      {own, nil},
		"a next hop that is multicast is no VTEP":                {floodRoute(netip.MustParseAddr("239.0.0.1"), 100), nil},
		"a route target of another VNI is for no bridge of ours": {floodRoute(leaf1, 101), nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, options{})
			b := g.bridge(10, 100)
			g.send(update(peer1, c.route))
			g.settle()
			g.wantFlood(b, c.want...)
		})
	}
}

func TestAVTEPThatCannotBeReachedIsNotFloodedTo(t *testing.T) {
	g, b := twoPorts(t, options{})
	g.send(update(peer1, floodRoute(leaf1, 100)), update(peer1, macRoute(leaf1, 100, mac(1))))
	g.settle()
	g.underlay.Set(leaf1, "no route to 10.0.0.11")
	g.settle()
	g.wantFlood(b, "port 1", "port 2")
	if f, ok := g.get(p4.FDB{Bridge: b, MAC: mac(1)}).(p4.FDB); !ok || f.Kind != p4.ToVTEP {
		t.Errorf("FDB entry of an unreachable VTEP is %+v, want it to stay: its frames are counted as no_path", f)
	}
	if p := g.get(p4.Path{VTEP: 1}); p != nil {
		t.Errorf("there is a path to an unreachable VTEP: %v", p)
	}
	vteps, err := g.c.VTEPs(t.Context())
	if err != nil || len(vteps) != 1 || vteps[0].State != "down" || vteps[0].Reason != "no route to 10.0.0.11" {
		t.Errorf("VTEPs: %+v, %v", vteps, err)
	}
	g.underlay.Set(leaf1, "", path2)
	g.settle()
	g.wantFlood(b, "port 1", "port 2", "10.0.0.11 vni 100 by port 12")
}

func TestWhenAnUplinkGoesItsReplicasMoveAndTheOthersStay(t *testing.T) {
	g := start(t, options{})
	b := g.bridge(10, 100)
	var leaves []netip.Addr
	for i := range 40 {
		a := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		leaves = append(leaves, a)
		g.underlay.Set(a, "", path1, path2)
		g.send(update(peer1, floodRoute(a, 100)))
	}
	g.settle()
	before := g.flood(b)
	onFirst := 0
	for _, f := range before {
		if f[len(f)-2:] == "11" {
			onFirst++
		}
	}
	if onFirst < 10 || onFirst > 30 {
		t.Errorf("%d of 40 VTEPs use the first of two uplinks, want about half", onFirst)
	}
	for _, a := range leaves {
		g.underlay.Set(a, "", path2)
	}
	g.settle()
	for _, f := range g.flood(b) {
		if f[len(f)-2:] != "12" {
			t.Errorf("%s, but that uplink is gone", f)
		}
	}
	for _, a := range leaves {
		g.underlay.Set(a, "", path1, path2)
	}
	g.settle()
	if after := g.flood(b); !slices.Equal(before, after) {
		t.Errorf("after the uplink returned floods go\n%q, want as before\n%q", after, before)
	}
}

func TestATunnelMovesBeforeItsOldAdjacencyGoes(t *testing.T) {
	g, _ := twoPorts(t, options{}) // checkOrder refuses anything else
	g.send(update(peer1, floodRoute(leaf1, 100)))
	g.settle()
	for range 5 {
		g.underlay.Set(leaf1, "", path2)
		g.settle()
		g.underlay.Set(leaf1, "", path1)
		g.settle()
	}
	n := 0
	for _, k := range g.entries() {
		if _, ok := k.(p4.Adjacency); ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d adjacencies are left, want 1", n)
	}
}

func TestOnlyVTEPsInUseAreTrackedAndLetIn(t *testing.T) {
	g, _ := twoPorts(t, options{})
	g.send(update(peer1, macRoute(leaf1, 100, mac(1))), update(peer1, floodRoute(leaf2, 100)))
	g.settle()
	if got := g.underlay.Tracked(); !slices.Equal(got, []netip.Addr{leaf1, leaf2}) {
		t.Errorf("tracked: %v", got)
	}
	if g.get(remoteVTEPKey(leaf1)) == nil || g.get(remoteVTEPKey(leaf2)) == nil {
		t.Error("a VTEP with a route is not let in")
	}
	g.send(withdraw(peer1, macRoute(leaf1, 100, mac(1))), withdraw(peer1, floodRoute(leaf2, 100)))
	g.settle()
	if got := g.underlay.Tracked(); len(got) != 0 {
		t.Errorf("tracked without a route: %v", got)
	}
	for _, k := range g.entries() {
		switch k.(type) {
		case p4.RemoteVTEP, p4.Tunnel, p4.Path, p4.Adjacency, p4.Replica, p4.FDB:
			t.Errorf("left without a route: %v", k.Entry())
		}
	}
	g.peek(func(l *loop) {
		if len(l.tunnels)+len(l.remoteVTEPs)+len(l.adjacencies) != 0 {
			t.Errorf("%d tunnels, %d VTEPs, %d adjacencies are left in memory",
				len(l.tunnels), len(l.remoteVTEPs), len(l.adjacencies))
		}
	})
}

func TestUnknownVTEPsAreLetInWhereConfigured(t *testing.T) {
	cfg := testConfig()
	cfg.AcceptUnknownVTEPs = true
	g := start(t, options{cfg: cfg})
	g.settle()
	if g.get(p4.RemoteVTEP{Prefix: anyRemoteVTEP}) == nil {
		t.Error("no entry lets every VTEP in")
	}
}
