package testbed

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

/*
The fabric of addresses that move: three tunnel end points of one bridge, a session
between each two of them, and hosts at all of them.

	gw-owner, gw-other, gw-watcher ─ gateway (p4evpn) ─┬─ leaf (FRR)      ─ leaf-owner, leaf-watcher
	                                          │        │      │
	                                          └────────┴─ second (p4evpn) ─ second-owner, second-watcher

An owner is who has an address for a while, a watcher who wants to reach it all the
time. The mover has a device at each of the three, and at two ports of the gateway.
*/

const (
	secondAS = 65202

	toLeaf, toSecond = "gw", "second" // devices of the leaf
)

var (
	secondVTEP = netip.MustParseAddr("10.0.0.22")

	fabricUplinks = []demoUplink{
		{"uplink1", 10, "up1", "10.3.1.1", "10.3.1.2", leaf1AS, leaf1VTEP, 11, "up1-sw", ""},
		{"uplink2", 12, "up2", "10.3.2.1", "10.3.2.2", secondAS, secondVTEP, 13, "up2-sw", ""},
	}
	fabricSecondUplinks = []demoUplink{
		{"uplink1", 10, "up1", "10.3.2.2", "10.3.2.1", gatewayAS, gatewayVTEP, 11, "up1-sw", ""},
		{"uplink2", 12, "up2", "10.3.3.2", "10.3.3.1", leaf1AS, leaf1VTEP, 13, "up2-sw", ""},
	}

	fabricSubnet  = netip.MustParsePrefix("192.168.10.0/24")
	fabricSubnet6 = netip.MustParsePrefix("2001:db8:10::/64")
	// The gateways' anycast addresses, and the leaf's own.
	fabricGateway, fabricGateway6 = numbered(1), numbered6(1)
	leafSVI, leafSVI6             = numbered(254), numbered6(254)
)

// numbered and numbered6 give an address of the fabric's subnet by its last byte.
func numbered(n byte) netip.Prefix {
	a := fabricSubnet.Addr().As4()
	a[3] = n
	return netip.PrefixFrom(netip.AddrFrom4(a), fabricSubnet.Bits())
}

func numbered6(n byte) netip.Prefix {
	a := fabricSubnet6.Addr().As16()
	a[15] = n
	return netip.PrefixFrom(netip.AddrFrom16(a), fabricSubnet6.Bits())
}

// FabricOptions say what a fabric is like.
type FabricOptions struct {
	Target, Binary string

	SVI bool // the gateways have an anycast gateway
	// LeafSVI gives the leaf's bridge an address, so that it knows its hosts' addresses:
	// without it the leaf only bridges. Suppress has it answer ARP and ND for those
	// behind others, and flood none of it that it could answer.
	LeafSVI, Suppress bool

	Ageing string // of the gateways and the leaf's bridge; empty: demoAgeing
	Moves  int    // that make a duplicate; 0: the gateways' default, -1: none do
	More   string // of the gateways' configuration, as it is
}

// Fabric is that network when it is up.
type Fabric struct {
	Gateway, Second *Gateway
	Leaf            *Leaf
	Hosts           map[string]*Host

	options               FabricOptions
	lab                   *Lab
	spaces                map[string]*Namespace
	config, secondConfig  gatewayFile
	gwPorts, secondPorts  []SwitchPort
	moverDevs, moverPlace map[string]string // by place, by device
}

// fabricHosts are all but the mover. The ports are the gateways'.
var fabricHosts = []struct {
	name, at string
	port     int
}{
	{"gw-owner", "gw", 1}, {"gw-other", "gw", 2}, {"gw-watcher", "gw", 3},
	{"leaf-owner", "leaf", 0}, {"leaf-watcher", "leaf", 0},
	{"second-owner", "second", 1}, {"second-watcher", "second", 2},
}

// moverPlaces are where the mover has a device, eth0 to eth3.
var moverPlaces = []struct {
	name, at string
	port     int
}{{"gateway", "gw", 4}, {"gateway, other port", "gw", 5}, {"leaf", "leaf", 0}, {"second", "second", 3}}

// BuildFabric makes the network and waits until everybody floods to everybody.
func (l *Lab) BuildFabric(ctx context.Context, o FabricOptions) (*Fabric, error) {
	f := &Fabric{options: o, lab: l, Hosts: map[string]*Host{}, spaces: map[string]*Namespace{},
		moverDevs: map[string]string{}, moverPlace: map[string]string{}}
	for _, step := range []func(context.Context) error{
		f.underlay, f.cableHosts, f.startLeaf, f.startGateways, f.createObjects, f.converge,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// underlay cables the three, each with each.
func (f *Fabric) underlay(context.Context) error {
	for _, name := range []string{"gw", "leaf", "second"} {
		n, err := f.lab.Namespace(name)
		if err != nil {
			return err
		}
		f.spaces[name] = n
	}
	gw, leaf, second := f.spaces["gw"], f.spaces["leaf"], f.spaces["second"]
	up := func(n *Namespace, u demoUplink) End { return End{NS: n, Dev: u.name, Switch: true, MTU: underlayMTU} }
	at := func(n *Namespace, dev string) End { return End{NS: n, Dev: dev} }
	for _, c := range [][2]End{
		{up(gw, fabricUplinks[0]), at(leaf, toLeaf)}, {up(gw, fabricUplinks[1]), up(second, fabricSecondUplinks[0])},
		{up(second, fabricSecondUplinks[1]), at(leaf, toSecond)},
	} {
		if err := f.lab.Cable(c[0], c[1]); err != nil {
			return err
		}
	}
	for n, uplinks := range map[*Namespace][]demoUplink{gw: fabricUplinks, second: fabricSecondUplinks} {
		for _, u := range uplinks {
			if err := f.lab.hostPort(n, u); err != nil {
				return err
			}
		}
	}
	for _, u := range []struct {
		dev string
		demoUplink
		own netip.Addr
	}{{toLeaf, fabricUplinks[0], gatewayVTEP}, {toSecond, fabricSecondUplinks[1], secondVTEP}} {
		if err := leaf.farEnd(u.dev, u.demoUplink, u.own); err != nil {
			return err
		}
	}
	return nil
}

// hostPort cables an uplink's host port and gives it address and route.
func (l *Lab) hostPort(n *Namespace, u demoUplink) error {
	if err := l.Cable(End{NS: n, Dev: u.host, MTU: underlayMTU},
		End{NS: n, Dev: u.hostPortDevice, Switch: true}); err != nil {
		return err
	}
	if err := n.AddAddress(u.host, netip.PrefixFrom(netip.MustParseAddr(u.address), 24)); err != nil {
		return err
	}
	return n.AddRoute(netip.PrefixFrom(u.vtep, 32), netip.MustParseAddr(u.peer))
}

// farEnd gives the device at the other end of an uplink its address, and the route to the
// VTEP on this side.
func (n *Namespace) farEnd(dev string, u demoUplink, vtep netip.Addr) error {
	if err := n.AddAddress(dev, netip.PrefixFrom(netip.MustParseAddr(u.peer), 24)); err != nil {
		return err
	}
	return n.AddRoute(netip.PrefixFrom(vtep, 32), netip.MustParseAddr(u.address))
}

// cableHosts makes the hosts; what is behind the leaf joins its bridge later.
func (f *Fabric) cableHosts(context.Context) error {
	for i, h := range fabricHosts {
		n, err := f.lab.Namespace(h.name)
		if err != nil {
			return err
		}
		if err := f.cableHost(End{NS: n, Dev: "eth0"}, h.at, h.port, h.name); err != nil {
			return err
		}
		f.Hosts[h.name] = f.host(h.name, n, byte(i+1))
		if err := f.Hosts[h.name].Configure(); err != nil {
			return err
		}
	}
	n, err := f.lab.Namespace("mover")
	if err != nil {
		return err
	}
	// Its spare devices are up and silent: each answers ARP for its own address
	// only, of which it has none.
	if err := n.Sysctl("net.ipv4.conf.all.arp_ignore", "1"); err != nil {
		return err
	}
	for i, p := range moverPlaces {
		dev := fmt.Sprintf("eth%d", i)
		f.moverDevs[p.name], f.moverPlace[dev] = dev, p.name
		if err := f.cableHost(End{NS: n, Dev: dev}, p.at, p.port, "mover"); err != nil {
			return err
		}
		if err := n.SetMAC(dev, spareMAC(dev)); err != nil {
			return err
		}
	}
	m := f.host("mover", n, 100)
	m.Address6 = netip.Prefix{} // the kernel would speak at every device
	f.Hosts["mover"] = m
	return m.Configure()
}

func (f *Fabric) host(name string, n *Namespace, number byte) *Host {
	return &Host{Name: name, NS: n, Dev: "eth0", MAC: ether.MAC{2, 0, 0, 1, 0, number}, Address: numbered(10 + number),
		Address6: numbered6(10 + number)}
}

// cableHost lays a host's cable to a gateway's port or to the leaf.
func (f *Fabric) cableHost(e End, at string, port int, name string) error {
	if at == "leaf" {
		return f.lab.Cable(e, End{NS: f.spaces[at], Dev: name})
	}
	p := SwitchPort{port, fmt.Sprintf("port%d", port)}
	if at == "gw" {
		f.gwPorts = append(f.gwPorts, p)
	} else {
		f.secondPorts = append(f.secondPorts, p)
	}
	return f.lab.Cable(e, End{NS: f.spaces[at], Dev: p.Dev, Switch: true})
}

// startLeaf starts FRR with the bridge.
func (f *Fabric) startLeaf(ctx context.Context) (err error) {
	peers := []Peer{
		{Address: netip.MustParseAddr(fabricUplinks[0].address), AS: gatewayAS, Passive: true},
		{Address: netip.MustParseAddr(fabricSecondUplinks[1].address), AS: secondAS, Passive: true},
	}
	n := f.spaces["leaf"]
	if f.Leaf, err = f.lab.NewLeaf(n, "leaf", leaf1AS, leaf1VTEP, peers, 1500); err != nil {
		return err
	}
	if f.options.LeafSVI {
		if err := n.forwarding(); err != nil {
			return err
		}
	}
	if err := f.Leaf.AddVNI(blueVNI); err != nil {
		return err
	}
	if err := f.Leaf.setAgeing(ctx, blueVNI, cmp.Or(f.options.Ageing, demoAgeing)); err != nil {
		return err
	}
	for _, dev := range []string{"leaf-owner", "leaf-watcher", "mover"} {
		if err := f.Leaf.Join(dev, blueVNI); err != nil {
			return err
		}
	}
	if f.options.LeafSVI {
		if err := f.Leaf.becomeRouter(); err != nil {
			return err
		}
	}
	if f.options.Suppress {
		if _, err := n.Output(ctx, "ip", "link", "set", vxlanOf(blueVNI), "type", "bridge_slave", "neigh_suppress",
			"on"); err != nil {
			return err
		}
	}
	return f.Leaf.Start(ctx)
}

// becomeRouter gives the bridge the leaf's addresses. It learns addresses from
// announcements too, as leaves of operators are set.
func (l *Leaf) becomeRouter() error {
	for _, p := range []netip.Prefix{leafSVI, leafSVI6} {
		if err := l.NS.AddAddress(bridgeOf(blueVNI), p); err != nil {
			return err
		}
	}
	for key, value := range map[string]string{
		"net.ipv4.conf." + bridgeOf(blueVNI) + ".arp_accept":          "1",
		"net.ipv6.conf." + bridgeOf(blueVNI) + ".accept_untracked_na": "1",
	} {
		if err := l.NS.Sysctl(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fabric) startGateways(ctx context.Context) (err error) {
	all := func(hosts []SwitchPort, uplinks []demoUplink) []SwitchPort {
		ports := slices.Clone(hosts)
		for _, u := range uplinks {
			ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
		}
		return ports
	}
	file := func(as uint32, ports []SwitchPort, uplinks []demoUplink) gatewayFile {
		c := gatewayFile{as: as, ports: ports, uplinks: uplinks, ageing: f.options.Ageing,
			moves: f.options.Moves, more: f.options.More}
		for _, u := range uplinks {
			c.peers = append(c.peers, Peer{Address: netip.MustParseAddr(u.peer), AS: u.as})
		}
		return c
	}
	f.config = file(gatewayAS, f.gwPorts, fabricUplinks)
	f.secondConfig = file(secondAS, f.secondPorts, fabricSecondUplinks)
	o := f.options
	if f.Gateway, err = f.lab.Gateway(f.spaces["gw"], o.Binary, o.Target, gatewayVTEP,
		all(f.gwPorts, fabricUplinks)); err != nil {
		return err
	}
	if f.Second, err = f.lab.SecondGateway(f.spaces["second"], "second", o.Binary, Embedded, secondVTEP,
		all(f.secondPorts, fabricSecondUplinks)); err != nil {
		return err
	}
	f.config.gateway, f.secondConfig.gateway = f.Gateway, f.Second
	for _, c := range []gatewayFile{f.config, f.secondConfig} {
		if err := c.gateway.StartSwitch(ctx); err != nil {
			return err
		}
		if err := c.gateway.StartController(ctx, c.String()); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fabric) createObjects(ctx context.Context) error {
	for i, c := range []gatewayFile{f.config, f.secondConfig} {
		g := c.gateway
		if err := g.CreateBridge(ctx, blue, tagBlue, blueVNI); err != nil {
			return err
		}
		if f.options.SVI {
			loopback := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 3, byte(i + 1)}), 32)
			if err := g.CreateVRF(ctx, "tenant", 0, loopback); err != nil {
				return err
			}
			if err := g.CreateSVI(ctx, blue, "tenant", fabricGatewayMAC, fabricGateway, fabricGateway6); err != nil {
				return err
			}
		}
		for _, p := range c.ports {
			if err := g.CreatePort(ctx, p.Dev, ether.MAC{2, 0, 0, 1, byte(i + 1), byte(p.Number)},
				opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, blue); err != nil {
				return err
			}
		}
		if err := g.AwaitPortsUp(ctx); err != nil {
			return err
		}
		if err := g.AwaitRoutingUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

var fabricGatewayMAC = ether.MAC{0, 0, 0x5e, 0, 1, 0x10}

// converge waits until each floods to both others.
func (f *Fabric) converge(ctx context.Context) error {
	return Eventually(ctx, 2*patience, "type-3 routes are exchanged", func(ctx context.Context) error {
		for _, g := range []*Gateway{f.Gateway, f.Second} {
			b, err := g.Bridge(ctx, blue)
			if err != nil {
				return err
			}
			if b.GetRemoteVteps() != 2 {
				return fmt.Errorf("%s floods to %d VTEPs, want 2", g.VTEP, b.GetRemoteVteps())
			}
		}
		vteps, err := f.Leaf.FloodsTo(blueVNI)
		if err != nil {
			return err
		}
		if want := []string{gatewayVTEP.String(), secondVTEP.String()}; !slices.Equal(vteps, want) {
			return fmt.Errorf("the leaf floods to %v, want %v", vteps, want)
		}
		return nil
	})
}
