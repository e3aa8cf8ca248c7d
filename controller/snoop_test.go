package controller

import (
	"slices"
	"testing"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

func TestPuntsGoToTheKernel(t *testing.T) {
	g, v, b10, _ := routed(t, options{})
	solicitation := nd(packet.ICMPv6RouterSolicitation, mac(5), "fe80::5", "::", sourceMAC)
	plain := g.bridge(30, 300)
	g.settle()
	for _, c := range []struct {
		name        string
		reason      p4.PuntReason
		bridge, vrf uint16
		frame       []byte
		want        *slowpath.Frame
	}{
		{"to the gateway", p4.PuntLocal, b10, v, []byte("local"), &slowpath.Frame{VRF: v, Bridge: b10, Data: []byte("local")}},
		{"to be resolved", p4.PuntGlean, b10, v, []byte("glean"), &slowpath.Frame{VRF: v, Bridge: b10, Data: []byte("glean")}},
		{"expired, by the L3 VNI", p4.PuntTTL, 0, v, []byte("ttl"), &slowpath.Frame{VRF: v, Data: []byte("ttl")}},
		{"too big", p4.PuntMTU, b10, v, []byte("mtu"), &slowpath.Frame{VRF: v, Bridge: b10, Data: []byte("mtu")}},
		{"router solicitation", p4.PuntND, b10, 0, solicitation, &slowpath.Frame{VRF: v, Bridge: b10, Data: solicitation}},
		{"router solicitation without a router", p4.PuntND, plain, 0, solicitation, nil},
		{"ARP is the pipeline's", p4.PuntARP, b10, 0, arp(mac(5), "10.10.0.5", "10.10.0.1"), nil},
		{"of no VRF", p4.PuntLocal, 0, 99, []byte("none"), nil},
		{"of no bridge", p4.PuntLocal, 99, v, []byte("none"), nil},
		{"of no reason", p4.PuntReasons, b10, v, []byte("none"), nil},
	} {
		g.slow.mu.Lock()
		g.slow.delivered = nil
		g.slow.mu.Unlock()
		g.punt(c.reason, 1, c.bridge, c.vrf, c.frame)
		g.slow.mu.Lock()
		got := g.slow.delivered
		g.slow.mu.Unlock()
		switch {
		case c.want == nil && len(got) > 0:
			t.Errorf("%s: delivered %+v", c.name, got)
		case c.want != nil && (len(got) != 1 || got[0].VRF != c.want.VRF || got[0].Bridge != c.want.Bridge ||
			!slices.Equal(got[0].Data, c.want.Data)):
			t.Errorf("%s: delivered %+v, want %+v", c.name, got, *c.want)
		}
	}
}

func TestAGatewayWithoutASlowPathForwards(t *testing.T) {
	g := start(t, options{noSlowPath: true})
	b := g.bridge(10, 100)
	g.access("eth1", 10)
	v := g.vrf("blue", 5000)
	g.svi("blue", 10, "10.10.0.1/24")
	g.hears(b, 1, mac(5), "10.10.0.5")
	g.punt(p4.PuntLocal, 1, b, v, []byte("lost"))
	g.wantRouteTo(v, "10.10.0.5/32", "host "+mac(5).String()+" in 1")
}
