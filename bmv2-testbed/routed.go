package testbed

import (
	"context"
	"fmt"
	"net/netip"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

/*
The routed network: VRF tenant is routed by symmetric IRB, other has the same
addresses and must never meet it, local has no L3 VNI (asymmetric IRB).

	                         gateway                      leaf (FRR)
	tenant  east1 ─ 10.1.11.0/24 ┐                  ┌ 10.1.13.0/24 ─ far1
	        west1 ─ 10.1.12.0/24 ┼─ L3 VNI 5001 ────┤ 10.9.9.9/32, default route
	        mover ─ 10.1.14.0/24 ┘── VNI 1014 ──────┘ 10.1.14.0/24 ─ mover
	other   twin1 ─ 10.1.11.0/24 ─── L3 VNI 5002 ───  10.1.13.0/24 ─ twinfar
	local   near1 ─ 10.1.31.0/24 ┬── VNI 1031 ──────┬ 10.1.31.0/24
	                10.1.32.0/24 ┴── VNI 1032 ──────┴ 10.1.32.0/24 ─ near2

Each subnet 10.1.N.0/24 has 2001:db8:N::/64 beside it; the gateway is the first
address, the host the tenth. The underlay has no room for a full frame and its
encapsulation: what is too long must be told so.
*/

const (
	tenantVNI, otherVNI = 5001, 5002
	routedMTU           = 1500
	routedTenantMTU     = routedMTU - packet.VXLANOverhead - packet.EthernetLength // of IP packets
)

// segment is a subnet with its bridge, and the host that is in it.
type segment struct {
	vrf, bridge    string
	vlan           uint16
	vni            uint32
	subnet         int
	mac            ether.MAC // of the gateway's SVI; zero: the bridge is the leaf's alone
	leafMAC        ether.MAC // of the leaf's; zero: the bridge is the gateway's alone
	host           string
	atPort, atLeaf bool // where the host has a device: the gateway's port, the leaf
}

var anycastMAC = ether.MAC{0, 0, 0x5e, 0, 1, 0x14}

var segments = []segment{
	{"tenant", "east", 11, 1011, 11, ether.MAC{2, 0xaa, 0, 0, 0, 0x11}, ether.MAC{}, "east1", true, false},
	{"tenant", "west", 12, 1012, 12, ether.MAC{2, 0xaa, 0, 0, 0, 0x12}, ether.MAC{}, "west1", true, false},
	{"tenant", "", 0, 1013, 13, ether.MAC{}, ether.MAC{2, 0xbb, 0, 0, 0, 0x13}, "far1", false, true},
	{"tenant", "both", 14, 1014, 14, anycastMAC, anycastMAC, "mover", true, true},
	{"other", "shadow", 21, 2011, 11, ether.MAC{2, 0xaa, 0, 0, 0, 0x21}, ether.MAC{}, "twin1", true, false},
	{"other", "", 0, 2013, 13, ether.MAC{}, ether.MAC{2, 0xbb, 0, 0, 0, 0x23}, "twinfar", false, true},
	{"local", "near-east", 31, 1031, 31, ether.MAC{2, 0xaa, 0, 0, 0, 0x31}, ether.MAC{2, 0xbb, 0, 0, 0, 0x31}, "near1",
		true, false},
	{"local", "near-west", 32, 1032, 32, ether.MAC{2, 0xaa, 0, 0, 0, 0x32}, ether.MAC{2, 0xbb, 0, 0, 0, 0x32}, "near2",
		false, true},
}

func (s segment) gateways() (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix(fmt.Sprintf("10.1.%d.1/24",
		s.subnet)), netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::1/64", s.subnet))
}

var (
	tenantLoopback = netip.MustParsePrefix("10.255.1.1/32")
	otherLoopback  = netip.MustParsePrefix("10.255.1.2/32")
	localLoopback  = netip.MustParsePrefix("10.255.1.3/32")
	// Of the leaf's VRF tenant: what it advertises, and what is reached by its
	// default routes alone.
	farPrefix4, farPrefix6 = netip.MustParsePrefix("10.9.9.9/32"), netip.MustParsePrefix("2001:db8:9::9/128")
	hidden4, hidden6       = netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("2001:db8:5100::1/128")
)

var routedUplinks = []demoUplink{{"uplink1", 10, "up1", gatewayUp1, leaf1Up, leaf1AS, leaf1VTEP, 11, "up1-sw", ""}}

// routed is the routed network when it is up.
type routed struct {
	options DemoOptions
	lab     *Lab
	gateway *Gateway
	leaf    *Leaf
	ports   []SwitchPort // of the gateway, for hosts
	hosts   map[string]*Host
}

// buildRouted makes the network and waits until the gateway's objects are up.
func buildRouted(ctx context.Context, l *Lab, o DemoOptions) (*routed, error) {
	r := &routed{options: o, lab: l, hosts: map[string]*Host{}}
	o.say("Building a gateway (%s switch) with three VRFs, an FRR leaf and %d hosts.", o.Target, len(segments))
	gw, err := l.Namespace("gw")
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *Namespace) error{r.startLeaf, r.startHosts, r.startGateway,
		r.createObjects} {
		if err := step(ctx, gw); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// startLeaf cables the underlay and starts the leaf with its VRFs.
func (r *routed) startLeaf(ctx context.Context, gw *Namespace) error {
	n, err := r.lab.Namespace("leaf")
	if err != nil {
		return err
	}
	u := routedUplinks[0]
	for _, c := range [][2]End{
		{{NS: n, Dev: "gw", MTU: routedMTU}, {NS: gw, Dev: u.name, Switch: true}},
		{{NS: gw, Dev: u.host, MTU: routedMTU}, {NS: gw, Dev: u.hostPortDevice, Switch: true}},
	} {
		if err := r.lab.Cable(c[0], c[1]); err != nil {
			return err
		}
	}
	here, there := netip.MustParseAddr(u.address), netip.MustParseAddr(u.peer)
	for _, a := range []struct {
		ns   *Namespace
		dev  string
		own  netip.Addr
		vtep netip.Addr // of the other side
		via  netip.Addr
	}{{gw, u.host, here, u.vtep, there}, {n, "gw", there, gatewayVTEP, here}} {
		if err := a.ns.AddAddress(a.dev, netip.PrefixFrom(a.own, 24)); err != nil {
			return err
		}
		if err := a.ns.AddRoute(netip.PrefixFrom(a.vtep, 32), a.via); err != nil {
			return err
		}
	}
	vrfs := []LeafVRF{
		{Name: "tenant", VNI: tenantVNI, RouterMAC: ether.MAC{2, 0xbb, 0, 0, 0x50, 1}, Default: true, Hidden: hidden4,
			Hidden6: hidden6},
		{Name: "other", VNI: otherVNI, RouterMAC: ether.MAC{2, 0xbb, 0, 0, 0x50, 2}},
		{Name: "local"},
	}
	for i := range vrfs {
		if vrfs[i].NS, err = r.lab.Namespace("leaf-" + vrfs[i].Name); err != nil {
			return err
		}
	}
	peers := []Peer{{Address: here, AS: gatewayAS, Passive: true}}
	if r.leaf, err = r.lab.NewLeaf(n, "leaf", u.as, u.vtep, peers, routedTenantMTU, vrfs...); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{farPrefix4, farPrefix6, hidden4, hidden6} {
		if err := vrfs[0].NS.AddAddress("lo", p); err != nil {
			return err
		}
	}
	for _, s := range segments {
		if s.leafMAC.IsZero() {
			continue
		}
		gw4, gw6 := s.gateways()
		if err := r.leaf.AddRoutedVNI(s.vrf, s.vni, s.leafMAC, gw4, gw6); err != nil {
			return err
		}
	}
	return r.leaf.Start(ctx)
}

// startHosts cables the hosts to the gateway, to the leaf, or to both: then
// with eth0 to the gateway and eth1, not in use, to the leaf.
func (r *routed) startHosts(_ context.Context, gw *Namespace) error {
	for i, s := range segments {
		n, err := r.lab.Namespace(s.host)
		if err != nil {
			return err
		}
		gw4, gw6 := s.gateways()
		h := &Host{
			Name: s.host, NS: n, Dev: atPort2, MAC: ether.MAC{2, 0, 0, 0, 1, byte(i + 1)},
			Address: netip.PrefixFrom(hostOf(gw4), gw4.Bits()), Address6: netip.PrefixFrom(hostOf(gw6), gw6.Bits()),
			Gateway: gw4.Addr(), Gateway6: gw6.Addr(),
		}
		r.hosts[s.host] = h
		if s.atPort {
			port := SwitchPort{i + 1, fmt.Sprintf("port%d", i+1)}
			r.ports = append(r.ports, port)
			if err := r.lab.Cable(End{NS: n, Dev: h.Dev}, End{NS: gw, Dev: port.Dev, Switch: true}); err != nil {
				return err
			}
		}
		if s.atLeaf {
			dev := h.Dev
			if s.atPort {
				dev = atPort3
			}
			if err := r.lab.Cable(End{NS: n, Dev: dev}, End{NS: r.leaf.VRFs[s.vrf].NS, Dev: s.host}); err != nil {
				return err
			}
			if err := r.leaf.JoinVRF(s.vrf, s.host, s.vni); err != nil {
				return err
			}
		}
		if err := h.Configure(); err != nil {
			return err
		}
	}
	return nil
}

func (r *routed) startGateway(ctx context.Context, gw *Namespace) (err error) {
	ports := r.ports
	for _, u := range routedUplinks {
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
	}
	if r.gateway, err = r.lab.Gateway(gw, r.options.Binary, r.options.Target, gatewayVTEP, ports); err != nil {
		return err
	}
	if err := r.gateway.StartSwitch(ctx); err != nil {
		return err
	}
	return r.gateway.StartController(ctx, r.gatewayConfig())
}

func (r *routed) gatewayConfig() string {
	u := routedUplinks[0]
	return gatewayFile{
		gateway: r.gateway, as: gatewayAS, ports: r.ports, uplinks: routedUplinks,
		peers: []Peer{{Address: netip.MustParseAddr(u.peer), AS: u.as}},
	}.String()
}

func (r *routed) createObjects(ctx context.Context, _ *Namespace) error {
	g := r.gateway
	for _, v := range []struct {
		id       string
		vni      uint32
		loopback netip.Prefix
	}{{"tenant", tenantVNI, tenantLoopback}, {"other", otherVNI, otherLoopback}, {"local", 0, localLoopback}} {
		if err := g.CreateVRF(ctx, v.id, v.vni, v.loopback); err != nil {
			return err
		}
	}
	for i, s := range segments {
		if s.mac.IsZero() {
			continue
		}
		gw4, gw6 := s.gateways()
		if err := g.CreateBridge(ctx, s.bridge, s.vlan, s.vni); err != nil {
			return err
		}
		if err := g.CreateSVI(ctx, s.bridge, s.vrf, s.mac, gw4, gw6); err != nil {
			return err
		}
		if !s.atPort {
			continue
		}
		err := g.CreatePort(ctx, fmt.Sprintf("port%d", i+1), ether.MAC{2, 0, 0, 0, 2, byte(i + 1)},
			opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, s.bridge)
		if err != nil {
			return err
		}
	}
	if err := g.AwaitPortsUp(ctx); err != nil {
		return err
	}
	return g.AwaitRoutingUp(ctx)
}
