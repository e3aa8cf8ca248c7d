package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
The reference topology that users of EVPN gateways know, with its AS numbers,
VTEPs, VRFs, VNIs and addresses:

	eth1 ─ trunk 10, 20, 40 ┐                        ┌ leaf2 (AS 65002, 10.0.0.4): vlan10, blue vlan20 and 30, green vlan40
	                        ├ gateway ─ spine ───────┤
	eth2 ─ access 50 ───────┘ AS 65000   AS 65001    └ border (AS 65003, 10.0.0.3): green 6.6.6.6, yellow 7.7.7.7
	                          10.0.0.2

The nodes learn each other's VTEP by ipv4 unicast. The gateways of a subnet share
the address and not the MAC. FRR takes namespaces for VRFs, since not every
kernel has the VRF device.
*/

const (
	greenL3VNI, yellowL3VNI = 100, 101
	spineAS                 = 65001
)

// reference is the reference topology when it is up.
type reference struct {
	lab           *Lab
	gateway       *Gateway
	leaf2, border *Leaf
	hosts         map[string]*Host // by address
}

func TestReferenceTopology(t *testing.T) {
	t.Parallel()
	for _, target := range []string{Embedded, BMv2} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			needDemo(t, target)
			r := &reference{lab: needLab(t), hosts: map[string]*Host{}}
			t.Cleanup(func() { logsOf(t, r.lab) })
			spaces := r.underlay(t)
			r.leaves(t, spaces)
			r.startGateway(t, spaces, target)
			t.Cleanup(func() { viewOf(t, r.gateway, r.leaf2, r.border) })
			r.objects(t)
			for _, p := range []struct{ from, to, how string }{
				{"10.10.10.10", "10.10.10.11", "L2"},
				{"20.20.20.20", "30.30.30.31", "asymmetric"},
				{"40.40.40.40", "6.6.6.6", "symmetric, type 5"},
				{"40.40.40.40", "40.40.40.41", "L2 in a bridge with symmetric IRB"},
				{"50.50.50.50", "7.7.7.7", "symmetric, type 5"},
			} {
				took, err := r.hosts[p.from].Reach(t.Context(), netip.MustParseAddr(p.to), 2*patience)
				check(t, err)
				t.Logf("%s → %s (%s) after %v", p.from, p.to, p.how, took)
			}
		})
	}
}

// underlay cables the nodes to the spine, which routes between them.
func (r *reference) underlay(t *testing.T) map[string]*Namespace {
	t.Helper()
	spaces := map[string]*Namespace{}
	for _, name := range []string{"gw", "spine", "leaf2", "border"} {
		spaces[name] = must(r.lab.Namespace(name))(t)
	}
	for _, c := range [][2]End{
		{{NS: spaces["spine"], Dev: "gw", MTU: underlayMTU}, {NS: spaces["gw"], Dev: "uplink1", Switch: true}},
		{{NS: spaces["gw"], Dev: "up1", MTU: underlayMTU}, {NS: spaces["gw"], Dev: "up1-sw", Switch: true}},
		{{NS: spaces["spine"], Dev: "leaf2", MTU: underlayMTU}, {NS: spaces["leaf2"], Dev: "spine"}},
		{{NS: spaces["spine"], Dev: "border", MTU: underlayMTU}, {NS: spaces["border"], Dev: "spine"}},
	} {
		check(t, r.lab.Cable(c[0], c[1]))
	}
	var peers []Peer
	for i, link := range []struct{ node, dev, far string }{{"gw", "up1", "gw"}, {"leaf2", "spine", "leaf2"},
		{"border", "spine", "border"}} {
		node := netip.MustParseAddr(fmt.Sprintf("10.1.%d.1", i+1))
		check(t, spaces[link.node].AddAddress(link.dev, netip.PrefixFrom(node, 24)))
		check(t, spaces["spine"].AddAddress(link.far, netip.PrefixFrom(node.Next(), 24)))
		as := map[string]uint32{"gw": gatewayAS, "leaf2": 65002, "border": 65003}[link.node]
		peers = append(peers, Peer{Address: node, AS: as, Underlay: true, Passive: true})
	}
	must(r.lab.Leaf(t.Context(), spaces["spine"], "spine", spineAS, netip.MustParseAddr("10.0.0.1"), peers))(t)
	return spaces
}

// leaves starts leaf2 and the border leaf, with their VRFs and hosts.
func (r *reference) leaves(t *testing.T, spaces map[string]*Namespace) {
	t.Helper()
	vrf := func(leaf, name string, vni uint32) LeafVRF {
		return LeafVRF{Name: name, NS: must(r.lab.Namespace(leaf + "-" + name))(t), VNI: vni,
			RouterMAC: ether.MAC{2, 0xbb, leaf[0], leaf[1], name[0], 1}}
	}
	prepare := func(name string, as uint32, vtep, spine string, vrfs ...LeafVRF) *Leaf {
		peers := []Peer{{Address: netip.MustParseAddr(spine), AS: spineAS, Underlay: true}}
		return must(r.lab.NewLeaf(spaces[name], name, as, netip.MustParseAddr(vtep), peers, 1500, vrfs...))(t)
	}
	r.leaf2 = prepare("leaf2", 65002, "10.0.0.4", "10.1.2.2", vrf("leaf2", "blue", 0), vrf("leaf2", "green", greenL3VNI))
	r.border = prepare("border", 65003, "10.0.0.3", "10.1.3.2", vrf("border", "green", greenL3VNI),
		vrf("border", "yellow", yellowL3VNI))

	check(t, r.leaf2.AddVNI(10))
	for vlan, vrf := range map[uint32]string{20: "blue", 30: "blue", 40: "green"} {
		check(t, r.leaf2.AddRoutedVNI(vrf, vlan, ether.MAC{2, 0xbb, 0, 0, 2, byte(vlan)}, gatewayOf(vlan)))
	}
	for vlan, n := range map[uint32]*Namespace{10: spaces["leaf2"], 30: r.leaf2.VRFs["blue"].NS,
		40: r.leaf2.VRFs["green"].NS} {
		h := r.host(t, vlan, byte(vlan+1))
		dev := fmt.Sprintf("host%d", vlan)
		check(t, r.lab.Cable(End{NS: h.NS, Dev: h.Dev}, End{NS: n, Dev: dev}))
		check(t, join(n, dev, vlan))
		check(t, h.Configure())
	}
	check(t, r.border.VRFs["green"].NS.AddAddress("lo", netip.MustParsePrefix("6.6.6.6/32")))
	check(t, r.border.VRFs["yellow"].NS.AddAddress("lo", netip.MustParsePrefix("7.7.7.7/32")))
	check(t, r.leaf2.Start(t.Context()))
	check(t, r.border.Start(t.Context()))
}

// gatewayOf is the gateway's address in a bridge, on every node that has one.
func gatewayOf(vlan uint32) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("%[1]d.%[1]d.%[1]d.1/24", vlan))
}

// host makes a host of a bridge, which is not cabled yet.
func (r *reference) host(t *testing.T, vlan uint32, last byte) *Host {
	t.Helper()
	address := netip.MustParsePrefix(fmt.Sprintf("%[1]d.%[1]d.%[1]d.%[2]d/24", vlan, last))
	name := fmt.Sprintf("h%d-%d", vlan, last)
	h := &Host{Name: name, NS: must(r.lab.Namespace(name))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, byte(vlan), last},
		Address: address}
	if vlan != 10 { // has no gateway
		h.Gateway = gatewayOf(vlan).Addr()
	}
	r.hosts[address.Addr().String()] = h
	return h
}

func (r *reference) startGateway(t *testing.T, spaces map[string]*Namespace, target string) {
	t.Helper()
	gw, trunk := spaces["gw"], must(r.lab.Namespace("trunk"))(t)
	check(t, r.lab.Cable(End{NS: trunk, Dev: "eth0"}, End{NS: gw, Dev: "eth1", Switch: true}))
	stations, behind := map[uint16]*Namespace{}, []*Host{}
	for _, vlan := range []uint32{10, 20, 40} {
		h := r.host(t, vlan, byte(vlan))
		stations[uint16(vlan)], behind = h.NS, append(behind, h)
	}
	check(t, r.lab.JoinTrunk(End{NS: trunk, Dev: "eth0"}, "eth0", stations))
	h50 := r.host(t, 50, 50)
	check(t, r.lab.Cable(End{NS: h50.NS, Dev: h50.Dev}, End{NS: gw, Dev: "eth2", Switch: true}))
	for _, h := range append(behind, h50) {
		check(t, h.Configure())
	}

	ports := []SwitchPort{{1, "eth1"}, {2, "eth2"}}
	uplinks := []demoUplink{{name: "uplink1", number: 10, host: "up1", hostPort: 11, hostPortDevice: "up1-sw"}}
	all := append(ports[:2:2], SwitchPort{10, "uplink1"}, SwitchPort{11, "up1-sw"})
	r.gateway = must(r.lab.Gateway(gw, must(builtBinary())(t), target, netip.MustParseAddr("10.0.0.2"), all))(t)
	check(t, r.gateway.StartSwitch(t.Context()))
	check(t, r.gateway.StartController(t.Context(), gatewayFile{
		gateway: r.gateway, as: gatewayAS, ports: ports, uplinks: uplinks,
		peers: []Peer{{Address: netip.MustParseAddr("10.1.1.2"), AS: spineAS, Underlay: true}},
	}.String()))
}

// objects makes the bridges, VRFs, SVIs and ports of the topology.
func (r *reference) objects(t *testing.T) {
	t.Helper()
	ctx, g := t.Context(), r.gateway
	for _, vlan := range []uint32{10, 20, 30, 40, 50} {
		vni := vlan
		if vlan == 50 {
			vni = 0
		}
		check(t, g.CreateBridge(ctx, fmt.Sprintf("vlan%d", vlan), uint16(vlan), vni))
	}
	for i, v := range []struct {
		id  string
		vni uint32
	}{{"blue", 0}, {"green", greenL3VNI}, {"yellow", yellowL3VNI}} {
		check(t, g.CreateVRF(ctx, v.id, v.vni, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100, 0, byte(i + 1)}), 32)))
	}
	for vlan, vrf := range map[uint32]string{20: "blue", 30: "blue", 40: "green", 50: "yellow"} {
		check(t, g.CreateSVI(ctx, fmt.Sprintf("vlan%d", vlan), vrf, ether.MAC{2, 0xaa, 0, 0, 1, byte(vlan)}, gatewayOf(vlan)))
	}
	check(t, g.CreatePort(ctx, "eth1", ether.MAC{2, 0, 0, 0, 3, 1}, opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK, "vlan10",
		"vlan20", "vlan40"))
	check(t, g.CreatePort(ctx, "eth2", ether.MAC{2, 0, 0, 0, 3, 2}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, "vlan50"))
	check(t, g.AwaitPortsUp(ctx))
	check(t, g.AwaitRoutingUp(ctx))
	// No node has a static route: what it knows of the others, BGP brought.
	check(t, Eventually(ctx, 2*patience, "the gateway has both leaves as VTEPs", func(ctx context.Context) error {
		vteps, err := g.VTEPs(ctx)
		if err != nil {
			return err
		}
		for _, a := range []string{"10.0.0.3", "10.0.0.4"} {
			if v := vteps[a]; v.GetState() != p4evpnv1.State_STATE_UP {
				return fmt.Errorf("%s is %v: %s", a, v.GetState(), v.GetReason())
			}
		}
		return nil
	}))
}
