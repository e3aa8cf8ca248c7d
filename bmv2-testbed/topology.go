package testbed

import (
	"context"
	"fmt"
	"net/netip"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

/*
The demo's network. Both bridges use one subnet, so that only bridging keeps
their hosts apart.

	h1, h2 ─ access ─┐                       ┌─ leaf1 (FRR) ─ l1a (blue), l1b (green)
	                 ├─ gateway = P4 switch ─┤    │
	t10, t20 ─ trunk ┘                       └─ leaf2 (FRR) ─ l2a (blue), l2b (green)

Each uplink of the switch has a host port beside it, where Linux has the
underlay's address: up1 and up2. The gateway has no other way to the leaves.
*/

const (
	blue, green       = "blue", "green"
	blueVNI, greenVNI = 1010, 1020

	underlayMTU              = 1600
	gatewayAS                = 65000
	leaf1AS                  = 65101
	leaf2AS                  = 65102
	demoAgeing               = "10s" // of the gateway
	gatewayUp1               = "10.1.1.1"
	gatewayUp2               = "10.1.2.1"
	leaf1Up, leaf2Up         = "10.1.1.2", "10.1.2.2"
	leaf1Side                = "10.1.3.1"
	leaf2Side                = "10.1.3.2"
	trunkName                = "trunk1"
	tagBlue, tagGreen        = 10, 20
	foreignTag        uint16 = 30 // a VLAN of no bridge
)

var (
	gatewayVTEP = netip.MustParseAddr("10.0.0.1")
	leaf1VTEP   = netip.MustParseAddr("10.0.0.11")
	leaf2VTEP   = netip.MustParseAddr("10.0.0.12")
)

// demo is the demo's network when it is up.
type demo struct {
	options         DemoOptions
	lab             *Lab
	gateway         *Gateway
	leaf1, leaf2    *Leaf
	trunk           *Namespace // the far end of the trunk cable, device eth0
	h1, h2          *Host      // h2 can move: see attachments
	t10, t20        *Host
	l1a, l1b        *Host
	l2a, l2b        *Host
	inBlue, inGreen []*Host
}

// bridgePort is a bridge port of the demo: its device in the gateway's
// namespace has the port's name.
type bridgePort struct {
	name    string
	number  int
	kind    opi.BridgePortType
	bridges []string
}

var demoPorts = []bridgePort{
	{"port1", 1, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, []string{blue}},
	{"port2", 2, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, []string{blue}},
	{"port3", 3, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, []string{blue}},
	{trunkName, 4, opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK, []string{blue, green}},
}

// demoUplink is an uplink of the gateway and the leaf at its end.
type demoUplink struct {
	name           string // device of the switch
	number         int
	host           string // device of the host port's Linux end
	address        string // of the host port
	peer           string // address of the leaf
	as             uint32
	vtep           netip.Addr
	hostPort       int
	hostPortDevice string // device of the host port's switch end
	other          string // address of the other leaf, on the link between the two
}

var demoUplinks = []demoUplink{
	{"uplink1", 10, "up1", gatewayUp1, leaf1Up, leaf1AS, leaf1VTEP, 11, "up1-sw", leaf2Side},
	{"uplink2", 12, "up2", gatewayUp2, leaf2Up, leaf2AS, leaf2VTEP, 13, "up2-sw", leaf1Side},
}

// buildDemo makes the network and waits until the leaves have the gateway's
// flood routes and the gateway theirs.
func buildDemo(ctx context.Context, l *Lab, o DemoOptions) (*demo, error) {
	d := &demo{options: o, lab: l}
	o.say("Building a gateway (%s switch), two FRR leaves and eight hosts in network namespaces.", o.Target)
	spaces := map[string]*Namespace{}
	for _, name := range []string{"gw", "leaf1", "leaf2", "h1", "h2", "trunk", "t10", "t20", "l1a", "l1b", "l2a", "l2b"} {
		n, err := l.Namespace(name)
		if err != nil {
			return nil, err
		}
		spaces[name] = n
	}
	d.trunk = spaces["trunk"]
	d.makeHosts(spaces)
	for _, step := range []func(context.Context, map[string]*Namespace, DemoOptions) error{
		d.cable, d.startLeaves, d.joinHosts, d.startGateway, d.createObjects, d.converge,
	} {
		if err := step(ctx, spaces, o); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *demo) makeHosts(spaces map[string]*Namespace) {
	host := func(name string, number byte) *Host {
		return &Host{
			Name: name, NS: spaces[name], Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 0, number},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, number}), 24),
		}
	}
	d.h1, d.h2 = host("h1", 0x01), host("h2", 0x02)
	d.t10, d.t20 = host("t10", 0x10), host("t20", 0x20)
	d.l1a, d.l1b = host("l1a", 0x31), host("l1b", 0x32)
	d.l2a, d.l2b = host("l2a", 0x41), host("l2b", 0x42)
	d.inBlue = []*Host{d.h1, d.h2, d.t10, d.l1a, d.l2a}
	d.inGreen = []*Host{d.t20, d.l1b, d.l2b}
}

// cable lays the cables and gives the underlay its addresses and routes.
func (d *demo) cable(_ context.Context, ns map[string]*Namespace, _ DemoOptions) error {
	end := func(space, dev string) End { return End{NS: ns[space], Dev: dev} }
	port := func(dev string) End { return End{NS: ns["gw"], Dev: dev, Switch: true} }
	// The underlay carries a host's full frame and 50 bytes of VXLAN more.
	wide := func(e End) End { e.MTU = underlayMTU; return e }
	cables := [][2]End{
		{end("h1", "eth0"), port("port1")},
		{end("h2", atPort2), port("port2")},
		{end("h2", atPort3), port("port3")},
		{end("h2", atLeaf1), end("leaf1", "h2")},
		{end("h2", atLeaf2), end("leaf2", "h2")},
		{end("trunk", "eth0"), port(trunkName)},
		{end("l1a", "eth0"), end("leaf1", "l1a")},
		{end("l1b", "eth0"), end("leaf1", "l1b")},
		{end("l2a", "eth0"), end("leaf2", "l2a")},
		{end("l2b", "eth0"), end("leaf2", "l2b")},
		{wide(end("leaf1", "leaf2")), end("leaf2", "leaf1")},
	}
	for i, u := range demoUplinks {
		cables = append(cables,
			[2]End{wide(end(fmt.Sprintf("leaf%d", i+1), "gw")), port(u.name)},
			[2]End{wide(end("gw", u.host)), port(u.hostPortDevice)})
	}
	for _, c := range cables {
		if err := d.lab.Cable(c[0], c[1]); err != nil {
			return err
		}
	}
	for _, a := range []struct{ ns, dev, address string }{
		{"gw", "up1", gatewayUp1}, {"leaf1", "gw", leaf1Up}, {"gw", "up2", gatewayUp2}, {"leaf2", "gw", leaf2Up},
		{"leaf1", "leaf2", leaf1Side}, {"leaf2", "leaf1", leaf2Side},
	} {
		if err := ns[a.ns].AddAddress(a.dev, netip.PrefixFrom(netip.MustParseAddr(a.address), 24)); err != nil {
			return err
		}
	}
	for _, r := range []struct {
		ns  string
		to  netip.Addr
		via string
	}{
		{"gw", leaf1VTEP, leaf1Up}, {"gw", leaf2VTEP, leaf2Up},
		{"leaf1", gatewayVTEP, gatewayUp1}, {"leaf1", leaf2VTEP, leaf2Side},
		{"leaf2", gatewayVTEP, gatewayUp2}, {"leaf2", leaf1VTEP, leaf1Side},
	} {
		if err := ns[r.ns].AddRoute(netip.PrefixFrom(r.to, 32), netip.MustParseAddr(r.via)); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startLeaves(ctx context.Context, ns map[string]*Namespace, o DemoOptions) (err error) {
	for i, u := range demoUplinks {
		other := demoUplinks[1-i]
		peers := []Peer{o.sessions.peer(u.address, gatewayVTEP, gatewayAS), o.sessions.peer(u.other, other.vtep, other.as)}
		name := fmt.Sprintf("leaf%d", i+1)
		leaf, err := d.lab.Leaf(ctx, ns[name], name, o.sessions.as(u.as), u.vtep, peers)
		if err != nil {
			return err
		}
		if i == 0 {
			d.leaf1 = leaf
		} else {
			d.leaf2 = leaf
		}
	}
	for _, leaf := range []*Leaf{d.leaf1, d.leaf2} {
		for _, vni := range []uint32{blueVNI, greenVNI} {
			if err := leaf.AddVNI(vni); err != nil {
				return err
			}
		}
	}
	for _, j := range []struct {
		leaf *Leaf
		dev  string
		vni  uint32
	}{
		{d.leaf1, "l1a", blueVNI}, {d.leaf1, "l1b", greenVNI}, {d.leaf1, "h2", blueVNI},
		{d.leaf2, "l2a", blueVNI}, {d.leaf2, "l2b", greenVNI}, {d.leaf2, "h2", blueVNI},
	} {
		if err := j.leaf.Join(j.dev, j.vni); err != nil {
			return err
		}
	}
	return nil
}

// joinHosts gives the hosts their addresses, those behind the trunk a stack.
func (d *demo) joinHosts(_ context.Context, ns map[string]*Namespace, _ DemoOptions) error {
	err := d.lab.JoinTrunk(End{NS: d.trunk, Dev: "eth0"}, "eth0",
		map[uint16]*Namespace{tagBlue: ns["t10"], tagGreen: ns["t20"]})
	if err != nil {
		return err
	}
	// h2's spare devices are up and silent: each answers ARP for its own
	// address only, of which it has none.
	if err := d.h2.NS.Sysctl("net.ipv4.conf.all.arp_ignore", "1"); err != nil {
		return err
	}
	for _, h := range d.hosts() {
		if err := h.Configure(); err != nil {
			return err
		}
	}
	for _, h := range d.spares() {
		if err := h.NS.SetMAC(h.Dev, h.MAC); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startGateway(ctx context.Context, ns map[string]*Namespace, o DemoOptions) (err error) {
	var ports []SwitchPort
	for _, p := range demoPorts {
		ports = append(ports, SwitchPort{p.number, p.name})
	}
	for _, u := range demoUplinks {
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
	}
	if d.gateway, err = d.lab.Gateway(ns["gw"], o.Binary, o.Target, gatewayVTEP, ports); err != nil {
		return err
	}
	if !o.ownSwitch {
		if err := d.gateway.StartSwitch(ctx); err != nil {
			return err
		}
	}
	return d.gateway.StartController(ctx, d.gatewayConfig())
}

// gatewayConfig writes the configuration file as an operator would.
func (d *demo) gatewayConfig() string { return d.gatewayFile().String() }

func (d *demo) gatewayFile() gatewayFile {
	f := gatewayFile{gateway: d.gateway, as: gatewayAS, ownSwitch: d.options.ownSwitch, uplinks: demoUplinks}
	for _, p := range demoPorts {
		f.ports = append(f.ports, SwitchPort{p.number, p.name})
	}
	for _, u := range demoUplinks {
		f.peers = append(f.peers, d.options.sessions.peer(u.peer, u.vtep, u.as))
	}
	return f
}

// as gives a node's AS number.
func (s sessions) as(own uint32) uint32 {
	if s.ibgp {
		return gatewayAS
	}
	return own
}

// peer describes a node as a BGP neighbour, by its address on the link and its
// VTEP address.
func (s sessions) peer(link string, vtep netip.Addr, as uint32) Peer {
	p := Peer{Address: netip.MustParseAddr(link), AS: s.as(as), Password: s.password, Multihop: s.loopbacks}
	if s.loopbacks {
		p.Address = vtep
	}
	return p
}

func (d *demo) createObjects(ctx context.Context, _ map[string]*Namespace, _ DemoOptions) error {
	if err := d.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI); err != nil {
		return err
	}
	if err := d.gateway.CreateBridge(ctx, green, tagGreen, greenVNI); err != nil {
		return err
	}
	for _, p := range demoPorts {
		if err := d.gateway.CreatePort(ctx, p.name, ether.MAC{2, 0, 0, 0, 1, byte(p.number)}, p.kind,
			p.bridges...); err != nil {
			return err
		}
	}
	return d.gateway.AwaitPortsUp(ctx)
}

func (d *demo) hosts() []*Host { return append(append([]*Host{}, d.inBlue...), d.inGreen...) }
