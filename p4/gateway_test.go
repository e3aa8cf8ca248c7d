package p4_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// The gateway that the packet tests send frames through. Bridge 1 (VNI 100) has
// the access ports 1 and 2 and VLAN 10 of the trunk 3; bridge 2 (VNI 200) has
// VLAN 20 of the trunk and the access port 4. Port 10 is an uplink with host
// port 11. VTEP 1 is 10.0.0.3, VTEP 2 is 10.0.0.4.
const (
	access1, access2, trunk, other = 1, 2, 3, 4
	uplink, host                   = 10, 11
	unused                         = 99 // a port without a kind
	bridge1, bridge2               = 1, 2
	vni1, vni2                     = 100, 200
	remoteVNI                      = 1000 // what VTEP 1 asked for in bridge 1
	tunnelMTU                      = 9500 // bytes of a tenant's frame
)

var (
	ours      = netip.MustParseAddr("10.0.0.1")
	vtep1     = netip.MustParseAddr("10.0.0.3")
	vtep2     = netip.MustParseAddr("10.0.0.4")
	uplinkMAC = ether.MAC{2, 0, 0, 0, 0xaa, 1}
	routerMAC = ether.MAC{2, 0, 0, 0, 0xaa, 2}
	hostA     = ether.MAC{2, 0, 0, 0, 0, 0xa} // at access1
	hostB     = ether.MAC{2, 0, 0, 0, 0, 0xb} // at access2
	hostT     = ether.MAC{2, 0, 0, 0, 0, 0xc} // at the trunk, VLAN 10
	remote    = ether.MAC{2, 0, 0, 0, 0, 0xd} // behind VTEP 1
	nobody    = ether.MAC{2, 0, 0, 0, 0, 0xe} // nowhere
)

type entry interface{ Entry() p4.Entry }

// target is a switch that runs the program: the pipeline in memory or BMv2.
type target interface {
	insert(...p4.Entry) error
	modify(...p4.Entry) error
	// process runs one frame through and gives all that leaves. A frame to or
	// from CPUPort starts with packet_out or packet_in.
	process(port uint32, frame []byte) (out, error)
	// learned gives what was reported since the last call.
	learned() ([]p4.Learn, error)
	// count reads a cell of a counter.
	count(counter string, index uint32) (counted, error)
	// meter configures a cell of a meter.
	meter(*p4v1.MeterEntry) error
	// countEntry reads the direct counter of an entry.
	countEntry(p4.Entry) (counted, error)
}

// out is the frames that left, by port.
type out map[uint32][][]byte

type counted struct{ packets, bytes uint64 }

// gateway is a target with the entries of the gateway above, and no others.
type gateway struct {
	*testing.T
	target target
}

// each runs a test on each target.
func each(t *testing.T, test func(*gateway)) {
	t.Helper()
	t.Run("softswitch", func(t *testing.T) { test(newGateway(t, newSoftswitch(t))) })
	t.Run("BMv2", func(t *testing.T) { test(newGateway(t, newBMv2(t))) })
}

// members is what bridge.vlan says of the ports in bridge 1, where a test wants
// other than plain bridging.
type members map[uint16]p4.Member

func newGateway(t *testing.T, on target) *gateway {
	t.Helper()
	return newGatewayOf(t, on, members{
		access1: {Port: access1, Bridge: bridge1}, access2: {Port: access2, Bridge: bridge1},
		trunk: {Port: trunk, VLAN: 10, Bridge: bridge1},
	})
}

func newGatewayOf(t *testing.T, on target, of members) *gateway {
	t.Helper()
	g := &gateway{t, on}
	g.add(of[access1], of[access2], of[trunk],
		p4.EgressVLAN{Port: trunk, Bridge: bridge1, VLAN: 10, Stacked: of[trunk].Stacked})
	g.add(p4.BridgePort{Port: access1}, p4.BridgePort{Port: access2}, p4.BridgePort{Port: trunk},
		p4.BridgePort{Port: other},
		p4.Uplink{Port: uplink, HostPort: host}, p4.HostPort{Port: host, Uplink: uplink},
		p4.Member{Port: trunk, VLAN: 20, Bridge: bridge2},
		p4.Member{Port: other, Bridge: bridge2},
		p4.EgressVLAN{Port: access1, Bridge: bridge1}, p4.EgressVLAN{Port: access2, Bridge: bridge1},
		p4.EgressVLAN{Port: trunk, Bridge: bridge2, VLAN: 20},
		p4.EgressVLAN{Port: other, Bridge: bridge2},
		p4.LocalVTEP{Address: ours},
		p4.RemoteVTEP{Prefix: netip.PrefixFrom(vtep1, 32)}, p4.RemoteVTEP{Prefix: netip.PrefixFrom(vtep2, 32)},
		p4.VNI{Local: ours, VNI: vni1, Bridge: bridge1}, p4.VNI{Local: ours, VNI: vni2, Bridge: bridge2},
		p4.Adjacency{ID: 1, Source: uplinkMAC, Destination: routerMAC},
		p4.Tunnel{VTEP: 1, Source: ours, Destination: vtep1, Adjacency: 1, MTU: tunnelMTU},
		p4.Tunnel{VTEP: 2, Source: ours, Destination: vtep2, Adjacency: 1, MTU: tunnelMTU},
		p4.Path{VTEP: 1, Port: uplink, MTU: tunnelMTU}, p4.Path{VTEP: 2, Port: uplink, MTU: tunnelMTU},
		p4.Replica{Bridge: bridge1, Instance: 2, VTEP: 1, VNI: remoteVNI},
		p4.Replica{Bridge: bridge1, Instance: 3, VTEP: 2, VNI: vni1},
		p4.Group{ID: bridge1, Members: []p4.GroupMember{{Port: access1, Instance: 1}, {Port: access2, Instance: 1},
			{Port: trunk, Instance: 1}, {Port: uplink, Instance: 2}, {Port: uplink, Instance: 3}}},
		p4.Group{ID: bridge2, Members: []p4.GroupMember{{Port: trunk, Instance: 1}, {Port: other, Instance: 1}}},
		p4.CloneSession{ID: p4.CPUCloneSession, Port: p4.CPUPort},
		p4.FDB{Bridge: bridge1, MAC: hostA, Port: access1}, p4.FDB{Bridge: bridge1, MAC: hostB, Port: access2},
		p4.FDB{Bridge: bridge1, MAC: hostT, Port: trunk},
		p4.FDB{Bridge: bridge1, MAC: remote, Kind: p4.ToVTEP, VTEP: 1, VNI: remoteVNI},
		p4.Source{Bridge: bridge1, MAC: hostA, Port: access1}, p4.Source{Bridge: bridge1, MAC: hostB, Port: access2},
		p4.Source{Bridge: bridge1, MAC: hostT, Port: trunk})
	return g
}

// inMemory gives one gateway of the softswitch again and again, since to load
// the program takes far longer than a frame does. setUp runs the first time.
func inMemory() func(t *testing.T, setUp func(*gateway)) *gateway {
	var kept target
	return func(t *testing.T, setUp func(*gateway)) *gateway {
		t.Helper()
		if kept == nil {
			g := newGateway(t, newSoftswitch(t))
			setUp(g)
			kept = g.target
		}
		if _, err := kept.learned(); err != nil {
			t.Fatal(err)
		}
		return &gateway{t, kept}
	}
}

// add writes entries.
func (g *gateway) add(entries ...entry) {
	g.Helper()
	var packed []p4.Entry
	for _, e := range entries {
		packed = append(packed, e.Entry())
	}
	if err := g.target.insert(packed...); err != nil {
		g.Fatal(err)
	}
}

// modify changes entries.
func (g *gateway) modify(entries ...entry) {
	g.Helper()
	for _, e := range entries {
		if err := g.target.modify(e.Entry()); err != nil {
			g.Fatal(err)
		}
	}
}

// send runs one frame through and gives all that leaves.
func (g *gateway) send(port uint32, frame []byte) out {
	g.Helper()
	o, err := g.target.process(port, frame)
	if err != nil {
		g.Fatal(err)
	}
	return o
}

// inject runs a frame of the controller through.
func (g *gateway) inject(p p4.PacketOut) out {
	g.Helper()
	m := p.Message()
	return g.send(p4.CPUPort, joinHeader("packet_out", m.GetMetadata(), m.GetPayload()))
}

// meter configures a cell of a meter until the test ends.
func (g *gateway) meter(cell *p4v1.MeterEntry) {
	g.Helper()
	if err := g.target.meter(cell); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() {
		if err := g.target.meter(&p4v1.MeterEntry{MeterId: cell.GetMeterId(), Index: cell.GetIndex()}); err != nil {
			g.Error(err)
		}
	})
}

// only gives the one frame that left, by this port.
func (g *gateway) only(port uint32, got out) []byte {
	g.Helper()
	if len(got) != 1 || len(got[port]) != 1 {
		g.Fatalf("left: %x; want one frame by port %d", got, port)
	}
	return got[port][0]
}

// count reads a cell of a counter.
func (g *gateway) count(counter string, index uint32) counted {
	g.Helper()
	n, err := g.target.count(counter, index)
	if err != nil {
		g.Fatal(err)
	}
	return n
}

// countEntry reads the direct counter of an entry.
func (g *gateway) countEntry(e entry) counted {
	g.Helper()
	n, err := g.target.countEntry(e.Entry())
	if err != nil {
		g.Fatal(err)
	}
	return n
}

// expectLearned compares what was reported since the last call.
func (g *gateway) expectLearned(want ...p4.Learn) {
	g.Helper()
	got, err := g.target.learned()
	if err != nil {
		g.Fatal(err)
	}
	if !slices.Equal(got, want) {
		g.Errorf("reported %v, want %v", got, want)
	}
}

// expect compares all that left with all that should.
func (g *gateway) expect(got, want out) {
	g.Helper()
	for port := range got {
		if want[port] == nil {
			g.Errorf("port %d: %d frames left, none should:\n%s", port, len(got[port]), dump(port, got[port][0]))
		}
	}
	for port, frames := range want {
		if len(got[port]) != len(frames) {
			g.Errorf("port %d: %d frames left, want %d", port, len(got[port]), len(frames))
			continue
		}
		for i, f := range frames {
			if !bytes.Equal(got[port][i], f) {
				g.Errorf("port %d, frame %d differs from byte %d on:\ngot  %s\nwant %s", port, i, firstDifference(got[port][i], f),
					dump(port, got[port][i]), dump(port, f))
			}
		}
	}
}

// dropped checks that the reason was counted once and nothing left.
func (g *gateway) dropped(counter string, reason p4.DropReason, got out) {
	g.Helper()
	g.expect(got, nil)
	for i := range p4.DropReasons {
		want := uint64(0)
		if i == reason {
			want = 1
		}
		if n := g.count(counter, uint32(i)).packets; n != want {
			g.Errorf("%s[%v] = %d, want %d", counter, i, n, want)
		}
	}
}
