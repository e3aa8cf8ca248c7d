package controller

import (
	"context"
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/p4"
)

func TestWhatARPAndNDSayOfTheirSender(t *testing.T) {
	changed := func(f []byte, at int, to byte) []byte { f = slices.Clone(f); f[at] = to; return f }
	request := arp(mac(5), "10.0.0.5", "10.0.0.9")
	solicit := nd(neighborSolicitation, mac(5), "fe80::5", "fe80::9", optionSourceLinkLayer)
	for _, c := range []struct {
		name  string
		frame []byte
		ip    string // "" = it says none
		ok    bool
	}{
		{"request", request, "10.0.0.5", true},
		{"reply", changed(request, 21, 2), "10.0.0.5", true},
		{"gratuitous", arp(mac(5), "10.0.0.5", "10.0.0.5"), "10.0.0.5", true},
		{"probe", arp(mac(5), "0.0.0.0", "10.0.0.5"), "", true},
		{"RARP", changed(request, 21, 3), "", false},
		{"for another hardware", changed(request, 15, 6), "", false},
		{"short", request[:41], "", false},
		{"empty", nil, "", false},
		{"not the sender's", changed(request, 11, 99), "", false},
		{"multicast sender", arp(mac(5), "224.0.0.5", "10.0.0.9"), "", false},
		{"broadcast sender", arp(mac(5), "255.255.255.255", "10.0.0.9"), "", false},
		{"loopback sender", arp(mac(5), "127.0.0.1", "10.0.0.9"), "", false},
		{"from a group", changed(request, 6, 3), "", false},
		{"solicitation", solicit, "fe80::5", true},
		{"solicitation of duplicate address detection", nd(neighborSolicitation, mac(5), "::", "fe80::5", 0), "", true},
		{"advertisement", nd(neighborAdvertisement, mac(5), "fe80::5", "2001:db8::5", optionTargetLinkLayer), "2001:db8::5", true},
		{"advertisement without an address", nd(neighborAdvertisement, mac(5), "fe80::5", "2001:db8::5", 0), "", true},
		{"router solicitation", nd(routerSolicitation, mac(5), "fe80::5", "::", optionSourceLinkLayer), "fe80::5", true},
		{"router solicitation of nobody", nd(routerSolicitation, mac(5), "::", "::", 0), "", true},
		{"router advertisement", nd(134, mac(5), "fe80::5", "fe80::9", 0), "", false},
		{"from behind a router", changed(solicit, 21, 64), "", false},
		{"damaged", changed(solicit, 60, 1), "", false},
		{"truncated", solicit[:len(solicit)-1], "", false},
		{"option of no length", changed(solicit, 79, 0), "", false},
		{"not the sender's ND", changed(solicit, 11, 99), "", false},
		{"IPv4", changed(request, 13, 0), "", false},
	} {
		s, ok := readSighting(c.frame)
		ip := ""
		if s.ip.IsValid() {
			ip = s.ip.String()
		}
		if ok != c.ok || ip != c.ip || ok && s.mac != mac(5) {
			t.Errorf("%s: %+v, %v; want %q, %v", c.name, s, ok, c.ip, c.ok)
		}
	}
}

func FuzzReadSighting(f *testing.F) {
	f.Add(arp(mac(5), "10.0.0.5", "10.0.0.9"))
	f.Add(nd(neighborSolicitation, mac(5), "fe80::5", "fe80::9", optionSourceLinkLayer))
	f.Add(nd(neighborAdvertisement, mac(5), "fe80::5", "2001:db8::5", optionTargetLinkLayer))
	f.Add(nd(routerSolicitation, mac(5), "::", "::", 0))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, ok := readSighting(frame)
		if ok && (s.mac.IsZero() || s.mac.IsMulticast() || s.ip.IsValid() && !stationAddress(s.ip)) {
			t.Errorf("%x says %+v", frame, s)
		}
	})
}

func TestPuntsGoToTheKernel(t *testing.T) {
	g, v, b10, _ := routed(t, options{})
	solicitation := nd(routerSolicitation, mac(5), "fe80::5", "::", optionSourceLinkLayer)
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
		{"of no reason", puntReasons, b10, v, []byte("none"), nil},
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
		case c.want != nil && (len(got) != 1 || got[0].VRF != c.want.VRF || got[0].Bridge != c.want.Bridge || !slices.Equal(got[0].Data, c.want.Data)):
			t.Errorf("%s: delivered %+v, want %+v", c.name, got, *c.want)
		}
	}
}

type outs []*p4v1.PacketOut

func (o *outs) PacketOut(_ context.Context, p *p4v1.PacketOut) error { *o = append(*o, p); return nil }

func TestFramesOfTheKernelAreInjected(t *testing.T) {
	var got outs
	for _, f := range []slowpath.Frame{{VRF: 3, Bridge: 7, Data: []byte("a")}, {VRF: 3, Bridge: 7, Data: []byte("b"), LocalOnly: true}, {VRF: 3, Data: []byte("c")}} {
		if err := Inject(t.Context(), &got, f); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []p4.PacketOut{{Bridge: 7, Frame: []byte("a")}, {Bridge: 7, LocalOnly: true, Frame: []byte("b")}, {VRF: 3, Frame: []byte("c")}} {
		if w := want.Message(); got[i].String() != w.String() {
			t.Errorf("%v, want %v", got[i], w)
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
