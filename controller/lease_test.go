package controller

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/controller/dhcp/dhcptest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// dhcpFrom sends a copy of DHCP of a port, or of a VTEP by an uplink.
func (g *gateway) dhcpFrom(port, bridge, vrf uint16, byVTEP bool, m dhcptest.Message) {
	g.Helper()
	reason := p4.PuntDHCP
	if byVTEP {
		reason = p4.PuntVXLANDHCP
	}
	in := packetIn(reason, port, bridge, vrf, m.Frame())
	if byVTEP {
		in.Metadata = append(in.Metadata, &p4v1.PacketMetadata{MetadataId: 5, Value: leaf1.AsSlice()})
	}
	var before, after int64
	g.peek(func(l *loop) { before = l.stats.punts[reason].Load() })
	if !g.target.SendPacketIn(in) {
		g.Fatal("nobody takes packet-ins")
	}
	g.eventually("the copy was read", func() bool {
		g.peek(func(l *loop) { after = l.stats.punts[reason].Load() })
		return after > before
	})
	g.settle()
}

func asks(m ether.MAC, transaction uint32) dhcptest.Message {
	return dhcptest.Message{Kind: layers.DHCPMsgTypeRequest, Client: m, Transaction: transaction}
}

func acks(m ether.MAC, transaction uint32, ip string, lease time.Duration) dhcptest.Message {
	return dhcptest.Message{Kind: layers.DHCPMsgTypeAck, Source: mac(0x99), Client: m, Transaction: transaction,
		Given: addr(ip), Lease: lease}
}

// leased is a gateway with two guarded ports and one for servers in a bridge.
func leased(t *testing.T, o options) (g *gateway, b uint16) {
	t.Helper()
	o.cfg = testConfig()
	o.cfg.Ports[0].SourceGuard, o.cfg.Ports[1].SourceGuard = true, true
	g = start(t, o)
	if o.store == nil {
		g.bridge(10, 100)
		g.vrf("blue", 5000)
		g.svi("blue", 10, "10.10.0.1/24")
		for _, port := range []string{"eth1", "eth2", "eth3"} {
			g.access(port, 10)
		}
	}
	g.settle()
	return g, 1
}

func TestAnAddressIsBoundWhereItsStationAskedForIt(t *testing.T) {
	g, b := leased(t, options{})
	at := func(port uint16, m int, ip string) p4.BoundSource {
		return p4.BoundSource{Bridge: b, Port: port, MAC: mac(m), Address: addr(ip)}
	}
	for i, c := range []struct {
		name       string
		from       uint16 // of the answer; 11 is an uplink
		in, vrf    uint16 // that it came in, and was routed in
		transacted uint32
		ip         string
		want       bool
	}{
		{"of a server's port", 3, b, 0, 7, "10.10.0.20", true},
		{"of a VTEP", 11, b, 0, 7, "10.10.0.20", true},
		{"routed from another bridge", 11, 0, 1, 7, "10.10.0.20", true},
		{"to another question", 3, b, 0, 8, "10.10.0.20", false},
		{"in another bridge", 3, 2, 0, 7, "10.10.0.20", false},
		{"routed in another VRF", 11, 0, 2, 7, "10.10.0.20", false},
		{"the gateway's address", 3, b, 0, 7, "10.10.0.1", false},
	} {
		m := 0x100 + i
		g.dhcpFrom(1, b, 0, false, asks(mac(m), 7))
		g.dhcpFrom(c.from, c.in, c.vrf, c.from == 11, acks(mac(m), c.transacted, c.ip, time.Hour))
		if got := g.get(at(1, m, c.ip)) != nil; got != c.want {
			t.Errorf("%s: bound: %v, want %v", c.name, got, c.want)
		}
		g.wantBound(at(2, m, c.ip), false)
		if i > 0 && c.want { // a server gave it to another
			g.wantBound(at(1, m-1, c.ip), false)
		}
	}
	// An answer counts once, and what nobody asked for does not.
	g.dhcpFrom(3, b, 0, false, acks(mac(1), 7, "10.10.0.30", time.Hour))
	g.wantBound(at(1, 1, "10.10.0.30"), false)
	// Whoever repeats another's question does not get the answer.
	g.dhcpFrom(1, b, 0, false, asks(mac(1), 9))
	g.dhcpFrom(2, b, 0, false, asks(mac(1), 9))
	g.dhcpFrom(3, b, 0, false, acks(mac(1), 9, "10.10.0.31", time.Hour))
	g.wantBound(at(1, 1, "10.10.0.31"), true)
	g.wantBound(at(2, 1, "10.10.0.31"), false)
	// Nor does who asks in another's name while that one is there.
	g.dhcpFrom(2, b, 0, false, asks(mac(1), 10))
	g.dhcpFrom(3, b, 0, false, acks(mac(1), 10, "10.10.0.31", time.Hour))
	g.wantBound(at(1, 1, "10.10.0.31"), true)
	g.wantBound(at(2, 1, "10.10.0.31"), false)
	if n := g.c.stats.leasesRefused.Load(); n != 2 {
		t.Errorf("%d leases were counted as refused, want the gateway's and this one", n)
	}
	// Until it gave the address back.
	g.dhcpFrom(1, b, 0, false,
		dhcptest.Message{Kind: layers.DHCPMsgTypeRelease, Client: mac(1), Current: addr("10.10.0.31")})
	g.wantBound(at(1, 1, "10.10.0.31"), false)
	g.dhcpFrom(2, b, 0, false, asks(mac(1), 11))
	g.dhcpFrom(3, b, 0, false, acks(mac(1), 11, "10.10.0.31", time.Hour))
	g.wantBound(at(2, 1, "10.10.0.31"), true)
}

func TestALeaseOfTheGatewaysOwnServerOrRelayIsBound(t *testing.T) {
	g, b := leased(t, options{})
	vrf := uint16(1)
	for i, c := range []struct {
		frame slowpath.Frame
		want  bool
	}{
		{slowpath.Frame{VRF: vrf, Bridge: b}, true}, {slowpath.Frame{VRF: vrf}, true},
		{slowpath.Frame{VRF: 2, Bridge: 2}, false},
	} {
		ip := "10.10.0.2" + string(rune('0'+i))
		g.dhcpFrom(1, b, 0, false, asks(mac(i), 7))
		c.frame.Data = acks(mac(i), 7, ip, time.Hour).Frame()
		g.c.Injected(c.frame)
		g.eventually("the loop took it", func() bool { return len(g.c.answers) == 0 })
		g.settle()
		g.wantBound(p4.BoundSource{Bridge: b, Port: 1, MAC: mac(i), Address: addr(ip)}, c.want)
	}
	g.c.Injected(slowpath.Frame{VRF: vrf, Bridge: b, Data: asks(mac(1), 7).Frame()})
	if n := len(g.c.answers); n != 0 {
		t.Errorf("%d frames wait that are no answers", n)
	}
}

func TestALeaseEndsUnlessItIsProlonged(t *testing.T) {
	g, b := leased(t, options{})
	for i, lease := range []time.Duration{time.Hour, time.Hour, 0xffffffff * time.Second} {
		g.dhcpFrom(1, b, 0, false, asks(mac(i), 7))
		g.dhcpFrom(3, b, 0, false, acks(mac(i), 7, "10.10.0.2"+string(rune('0'+i)), lease))
	}
	g.now.advance(40 * time.Minute)
	g.dhcpFrom(1, b, 0, false, asks(mac(1), 8))
	g.dhcpFrom(3, b, 0, false, acks(mac(1), 8, "10.10.0.21", time.Hour))
	g.now.advance(30 * time.Minute)
	g.eventually("the lease that was not prolonged has ended", func() bool {
		return g.get(p4.BoundSource{Bridge: b, Port: 1, MAC: mac(0), Address: addr("10.10.0.20")}) == nil
	})
	g.wantBound(p4.BoundSource{Bridge: b, Port: 1, MAC: mac(1), Address: addr("10.10.0.21")}, true)
	g.wantBound(p4.BoundSource{Bridge: b, Port: 1, MAC: mac(2), Address: addr("10.10.0.22")}, true)
	if n := g.c.stats.leases.Load(); n != 2 {
		t.Errorf("%d leases, want 2", n)
	}
}

func TestLeasesOutliveARestartOfEverything(t *testing.T) {
	store, err := intent.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	kept := []intent.Lease{
		{Bridge: "bridge-10", Port: "eth1", MAC: mac(1), Address: addr("10.10.0.20"), Until: time.Unix(1e9, 0).Add(time.Hour)},
		{Bridge: "bridge-10", Port: "eth1", MAC: mac(2), Address: addr("10.10.0.21")},
		{Bridge: "bridge-10", Port: "eth1", MAC: mac(3), Address: addr("10.10.0.22"), Until: time.Unix(1e9, 0).Add(-time.Hour)},
		{Bridge: "bridge-10", Port: "eth3", MAC: mac(4), Address: addr("10.10.0.23")}, // not guarded now
		{Bridge: "bridge-10", Port: "gone", MAC: mac(5), Address: addr("10.10.0.24")},
		{Bridge: "gone", Port: "eth1", MAC: mac(6), Address: addr("10.10.0.25")},
	}
	if err := store.KeepLeases(kept, nil); err != nil {
		t.Fatal(err)
	}
	err = store.Update(func(tx *intent.Tx) error {
		if _, err := tx.Bridges().Create(intent.LogicalBridge{ID: "bridge-10", VLAN: 10}); err != nil {
			return err
		}
		for i, port := range []string{"eth1", "eth3"} {
			if _, err := tx.Ports().Create(intent.BridgePort{ID: port, Type: intent.Access, MAC: mac(0xb0 + i),
				Bridges: []string{"bridge-10"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g, b := leased(t, options{store: store})
	for i, le := range kept {
		port := uint16(1)
		if le.Port == "eth3" {
			port = 3
		}
		g.wantBound(p4.BoundSource{Bridge: b, Port: port, MAC: le.MAC, Address: le.Address}, i < 2)
	}
	has := func(want ...ether.MAC) {
		t.Helper()
		g.eventually("the store has what there is", func() bool {
			got, _, err := store.Leases()
			if err != nil || len(got) != len(want) {
				return false
			}
			for i, m := range want {
				if got[i].MAC != m {
					return false
				}
			}
			return true
		})
	}
	has(mac(1), mac(2))
	g.dhcpFrom(1, b, 0, false, asks(mac(7), 7))
	g.dhcpFrom(3, b, 0, false, acks(mac(7), 7, "10.10.0.26", time.Hour))
	has(mac(1), mac(2), mac(7))
	g.update(func(tx *intent.Tx) error {
		for _, port := range []string{"eth1", "eth3"} {
			if err := tx.Ports().Delete(port); err != nil {
				return err
			}
		}
		return tx.Bridges().Delete("bridge-10")
	})
	has()
}

func TestAPortHasAsManyLeasesAsMACs(t *testing.T) {
	g, b := leased(t, options{})
	g.peek(func(l *loop) { l.ports[1].MaxMACs = 2 })
	for i := range 4 {
		g.dhcpFrom(1, b, 0, false, asks(mac(i), 7))
		g.dhcpFrom(3, b, 0, false, acks(mac(i), 7, "10.10.0.2"+string(rune('0'+i)), time.Hour))
		g.wantBound(p4.BoundSource{Bridge: b, Port: 1, MAC: mac(i), Address: addr("10.10.0.2" + string(rune('0'+i)))}, i < 2)
	}
}
