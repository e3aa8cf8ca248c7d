package controller

import (
	"encoding/binary"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/p4rt/p4rttest"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// saysFlags is an advertisement of a host's address with the flags of RFC 4861 section 4.4.
func saysFlags(m ether.MAC, ip string, flags byte) []byte {
	const targetMAC, at = 2, packet.EthernetLength + 40
	f := nd(packet.ICMPv6NeighborAdvertisement, m, ip, ip, targetMAC)
	f[at+4] = flags
	binary.BigEndian.PutUint16(f[at+2:], 0)
	binary.BigEndian.PutUint16(f[at+2:], packet.ICMPv6Checksum(f[packet.EthernetLength:]))
	return f
}

func (g *gateway) wantND(bridge uint16, want p4.NDHost) {
	g.Helper()
	if got := g.get(p4.NDHost{Bridge: bridge, Address: want.Address}); got != entry(want) {
		g.Errorf("%v is answered as\n%+v, want\n%+v", want.Address, got, want)
	}
}

// RFC 9161 section 3.3, RFC 9047.
func TestAnAnswerHasTheFlagsAndKnowsThePortOfItsHost(t *testing.T) {
	const router, override = 0x80, 0x20
	g, _, b10, _ := routed(t, options{})
	g.access("eth3", 10)
	g.settle()
	g.hears(b10, 1, mac(5), "10.10.0.5")
	if got, want := g.get(p4.ARPHost{Bridge: b10, Address: addr("10.10.0.5")}), (p4.ARPHost{Bridge: b10,
		Address: addr("10.10.0.5"), MAC: mac(5), Port: 1, Metadata: localHost}); got != entry(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	host := p4.NDHost{Bridge: b10, Address: addr("2001:db8:10::5"), MAC: mac(5), Unanswered: true, Metadata: localHost}
	g.hears(b10, 1, mac(5), "2001:db8:10::5") // it asks, and says nothing of itself
	g.wantND(b10, host)
	host.Unanswered, host.Port = false, 1
	for _, flags := range []byte{router | override, router, override, 0} {
		g.punt(p4.PuntND, 1, b10, 0, saysFlags(mac(5), "2001:db8:10::5", flags))
		g.settle()
		host.Router, host.Override = flags&router != 0, flags&override != 0
		g.wantND(b10, host)
	}
	g.learn(b10, 3, mac(5))
	g.settle()
	host.Port = 3
	g.wantND(b10, host)
}

func TestAnAnswerForAHostBehindAVTEPHasTheFlagsOfItsRoute(t *testing.T) {
	g, _, b10, _ := routed(t, options{})
	g.underlay.Set(leaf1, "", path1)
	r := hostRoute(leaf1, 100, mac(7), "2001:db8:10::7", 0)
	host := p4.NDHost{Bridge: b10, Address: addr("2001:db8:10::7"), MAC: mac(7), Unanswered: true}
	g.send(update(peer1, r))
	g.settle()
	g.wantND(b10, host)
	host.Unanswered = false
	for flags := range uint8(4) {
		r.ARPND = bgp.ARPND{Said: true, Flags: flags}
		g.send(update(peer1, r))
		g.settle()
		host.Router, host.Override = flags&bgp.ARPNDRouter != 0, flags&bgp.ARPNDOverride != 0
		g.wantND(b10, host)
	}
	// FRR says it of routers alone: of a host that is none any more nothing is known.
	r.ARPND = bgp.ARPND{}
	g.send(update(peer1, r))
	g.settle()
	host.Router, host.Override, host.Unanswered = false, false, true
	g.wantND(b10, host)
}

func TestWhoAsksByVXLANIsAnsweredByAGatewayThatLeavesHaveNot(t *testing.T) {
	for name, c := range map[string]struct {
		svi  SVI
		want bool
	}{"anycast": {SVI{}, false}, "unique": {SVI{Unique: true}, true}, "centralised": {SVI{Centralised: true}, true}} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.SVIs = map[string]SVI{"svi-10": c.svi}
			g, _, b10, _ := routed(t, options{cfg: cfg})
			var own ether.MAC
			g.peek(func(l *loop) { own = l.bridges[b10].svi.mac })
			for _, ip := range []string{"2001:db8:10::1", packet.LinkLocal(own).String()} {
				g.wantND(b10, p4.NDHost{Bridge: b10, Address: addr(ip), MAC: own, VXLAN: c.want, Router: true, Override: true})
			}
			a := addr("10.10.0.1")
			if got := g.get(p4.ARPHost{Bridge: b10, Address: a}); got != entry(p4.ARPHost{Bridge: b10, Address: a, MAC: own,
				VXLAN: c.want}) {
				t.Errorf("%v is answered as %+v", a, got)
			}
		})
	}
}

// What was known of hosts before is on the target.
func TestARestartKnowsTheFlagsOfHosts(t *testing.T) {
	server, store := p4rttest.New(t, p4rttest.Config{Check: checkOrder}), intent.NewMemory()
	var b10 uint16
	addresses := map[string]int{
		"2001:db8:10::5": 0xa0, "2001:db8:10::6": 0x80, "2001:db8:10::7": 0x20, "2001:db8:10::8": 0,
		"2001:db8:10::9": -1,
	}
	t.Run("before", func(t *testing.T) {
		var g *gateway
		g, _, b10, _ = routed(t, options{server: server, store: store})
		for ip, flags := range addresses {
			g.hears(b10, 1, mac(5), ip)
			if flags >= 0 {
				g.punt(p4.PuntND, 1, b10, 0, saysFlags(mac(5), ip, byte(flags)))
			}
		}
		g.settle()
	})
	w := watch(server)
	g := start(t, options{server: server, store: store})
	<-g.c.Synced()
	g.settle()
	g.wantWritten(w, any3)
	for ip, flags := range addresses {
		want := p4.NDHost{Bridge: b10, Address: addr(ip), MAC: mac(5), Unanswered: true, Metadata: localHost}
		if flags >= 0 {
			want.Unanswered, want.Port, want.Router, want.Override = false, 1, flags&0x80 != 0, flags&0x20 != 0
		}
		g.wantND(b10, want)
	}
	// An answer of a version that did not know the flags says nothing of them.
	if f := heldFlags(p4.NDHost{MAC: mac(5), Override: true, Metadata: localHost}); f.Known() {
		t.Errorf("flags %v of an answer without a port", f)
	}
}
