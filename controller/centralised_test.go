package controller

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// central is routed where the gateway of bridge-10 is this one's alone.
func central(t *testing.T) (g *gateway, v, b10, b20 uint16) {
	t.Helper()
	cfg := testConfig()
	cfg.SVIs = map[string]SVI{"svi-10": {Unique: true}}
	return routed(t, options{cfg: cfg})
}

// solicits has a host ask for routers by VXLAN, and gives what the kernel got.
func (g *gateway) solicits(bridge uint16, vtep netip.Addr) []slowpath.Frame {
	g.Helper()
	g.slow.mu.Lock()
	g.slow.delivered = nil
	g.slow.mu.Unlock()
	g.peek(func(l *loop) {
		l.snoop(p4.PacketIn{Reason: p4.PuntND, Port: 9, Bridge: bridge, VTEP: vtep,
			Frame: nd(packet.ICMPv6RouterSolicitation, mac(0x61), "fe80::61", "::", sourceMAC)})
	})
	g.slow.mu.Lock()
	defer g.slow.mu.Unlock()
	return g.slow.delivered
}

// RFC 4861 section 6.2.6, for hosts behind leaves that only bridge.
func TestHostsBehindLeavesThatOnlyBridgeHaveARouterHere(t *testing.T) {
	g, _, b10, b20 := central(t)
	g.send(update(peer1, macRoute(leaf1, 100, mac(0x61))))
	g.settle()
	if got := g.solicits(b10, leaf1); len(got) != 1 || !got[0].Far || got[0].Bridge != b10 {
		t.Errorf("the kernel got %+v, want the solicitation from afar", got)
	}
	if got := g.solicits(b20, leaf1); len(got) != 0 { // anycast: its leaf is its router
		t.Errorf("the kernel got %+v, want nothing", got)
	}
	own := gatewayRoute(leaf1, 100, mac(0x62), "10.10.0.2")
	g.send(update(peer1, own))
	g.settle()
	if got := g.solicits(b10, leaf1); len(got) != 0 {
		t.Errorf("the kernel got %+v of a host whose leaf is a gateway, want nothing", got)
	}
	if got := g.solicits(b10, leaf2); len(got) != 1 {
		t.Errorf("the kernel got %+v of a host whose leaf is none, want the solicitation", got)
	}
	g.send(withdraw(peer1, own))
	g.settle()
	if got := g.solicits(b10, leaf1); len(got) != 1 {
		t.Errorf("the kernel got %+v once the leaf is no gateway, want the solicitation", got)
	}
}

// wantAskers checks which hosts behind VTEPs get router advertisements.
func (g *gateway) wantAskers(want map[neighborKey]ether.MAC) {
	g.Helper()
	g.settle()
	if got := g.slow.told(); !maps.Equal(got, want) {
		g.Errorf("router advertisements go to %v, want %v", got, want)
	}
}

func TestHostsThatAskedForARouterAreToldWhileTheyAreThere(t *testing.T) {
	g, v, b10, b20 := central(t)
	r := macRoute(leaf1, 100, mac(0x61))
	asked := slowpath.Neighbor{VRF: v, Bridge: b10, IP: addr("fe80::61"), MAC: mac(0x61), Present: true}
	one := map[neighborKey]ether.MAC{{b10, addr("fe80::61")}: mac(0x61)}
	none := map[neighborKey]ether.MAC{}
	g.slow.events <- asked
	g.wantAskers(none) // nobody knows where it is
	g.send(update(peer1, r), update(peer1, macRoute(leaf1, 200, mac(0x61))),
		update(peer1, hostRoute(leaf1, 100, mac(0x63), "fe80::63", 0))) // that one never asked
	g.wantAskers(one)
	other := asked
	other.Bridge = b20 // anycast
	g.slow.events <- other
	g.wantAskers(one)
	own := gatewayRoute(leaf1, 100, mac(0x62), "10.10.0.2")
	g.send(update(peer1, own))
	g.wantAskers(none)
	g.send(withdraw(peer1, own))
	g.wantAskers(one)
	g.send(withdraw(peer1, r))
	g.wantAskers(none)
	g.send(update(peer1, r))
	g.wantAskers(one)
	asked.Present = false
	g.slow.events <- asked
	g.wantAskers(none)
	asked.Present = true
	g.slow.events <- asked
	g.wantAskers(one)
	g.update(func(tx *intent.Tx) error { return tx.SVIs().Delete("svi-10") })
	g.wantAskers(none)
}

// The kernel says only what changes: it would hear a host that is back and say nothing.
func TestAHostThatDoesNotAnswerIsForgottenByTheKernelToo(t *testing.T) {
	g, v, b10, _ := central(t)
	g.send(update(peer1, macRoute(leaf1, 100, mac(0x61))))
	there := slowpath.Neighbor{VRF: v, Bridge: b10, IP: addr("10.10.0.9"), MAC: mac(0x61), Present: true}
	gone := slowpath.Neighbor{VRF: v, Bridge: b10, IP: addr("10.10.0.9")}
	g.slow.events <- there
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x61).String()+" in 1")
	g.peek(func(l *loop) { l.probeFailed(l.bridges[b10], there.IP, there.MAC) })
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "nowhere")
	g.slow.mu.Lock()
	if !g.slow.forgotten[neighborKey{b10, there.IP}] {
		t.Error("the kernel was not told")
	}
	g.slow.mu.Unlock()
	g.hears(b10, 1, mac(0x62), "10.10.0.9") // meanwhile another one has it
	g.slow.events <- gone
	g.settle()
	g.wantRouteTo(v, "10.10.0.9/32", "host "+mac(0x62).String()+" in 1")
	g.peek(func(l *loop) {
		if len(l.forgotten) != 0 {
			t.Errorf("%v are still to be forgotten", l.forgotten)
		}
	})
}
