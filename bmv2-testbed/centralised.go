package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

/*
A gateway for hosts behind a leaf that only bridges (centralised IRB). The leaf knows no
address of its hosts, and advertises their MACs alone.

	near1 ─ 10.1.41.0/24 ┐               ┌ 10.1.41.0/24 ─ far1
	                     ├ gateway ─ leaf ┤
	near2 ─ 10.1.42.0/24 ┘               └ 10.1.42.0/24 ─ far2

Each subnet 10.1.N.0/24 has 2001:db8:N::/64 beside it; the gateway is the first address.
*/

// Centralised is that network.
type Centralised struct {
	lab     *Lab
	gateway *Gateway
	leaf    *Leaf
	ports   []SwitchPort
	hosts   map[string]*Host
}

// centralBridge is a bridge of that network.
type centralBridge struct {
	name   string
	vlan   uint16
	subnet int
	mac    ether.MAC // of the gateway
}

var centralBridges = []centralBridge{
	{"first", 41, 41, ether.MAC{2, 0xaa, 0, 0, 0, 0x41}}, {"second", 42, 42, ether.MAC{2, 0xaa, 0, 0, 0, 0x42}},
}

func (b centralBridge) vni() uint32 { return 1000 + uint32(b.subnet) }

func (b centralBridge) gateways() (v4, v6 netip.Prefix) { return segment{subnet: b.subnet}.gateways() }

// BuildCentralised builds it around a gateway whose SVIs are of a kind, unique or centralised.
func (l *Lab) BuildCentralised(ctx context.Context, target, binary, kind string) (*Centralised, error) {
	c := &Centralised{lab: l, hosts: map[string]*Host{}}
	gw, err := l.Namespace("gw")
	if err != nil {
		return nil, err
	}
	if err := c.startLeaf(ctx, gw); err != nil {
		return nil, err
	}
	if err := c.startHosts(gw); err != nil {
		return nil, err
	}
	u := routedUplinks[0]
	ports := append(c.ports[:len(c.ports):len(c.ports)], SwitchPort{u.number, u.name},
		SwitchPort{u.hostPort, u.hostPortDevice})
	if c.gateway, err = l.Gateway(gw, binary, target, gatewayVTEP, ports); err != nil {
		return nil, err
	}
	if err := c.gateway.StartSwitch(ctx); err != nil {
		return nil, err
	}
	err = c.gateway.StartController(ctx, gatewayFile{
		gateway: c.gateway, as: gatewayAS, ports: c.ports, uplinks: routedUplinks,
		peers: []Peer{{Address: netip.MustParseAddr(u.peer), AS: u.as}},
		more:  fmt.Sprintf("svis: {first: {gateway: %[1]s}, second: {gateway: %[1]s}}\n", kind),
	}.String())
	if err != nil {
		return nil, err
	}
	return c, c.createObjects(ctx)
}

// startLeaf starts a leaf whose bridges have no address: to it they are layer 2.
func (c *Centralised) startLeaf(ctx context.Context, gw *Namespace) error {
	n, err := c.lab.Namespace("leaf")
	if err != nil {
		return err
	}
	u := routedUplinks[0]
	if err := c.lab.Cable(End{NS: n, Dev: "gw", MTU: underlayMTU}, End{NS: gw, Dev: u.name, Switch: true}); err != nil {
		return err
	}
	if err := c.lab.hostPort(gw, u); err != nil {
		return err
	}
	if err := n.farEnd("gw", u, gatewayVTEP); err != nil {
		return err
	}
	peers := []Peer{{Address: netip.MustParseAddr(u.address), AS: gatewayAS, Passive: true}}
	if c.leaf, err = c.lab.NewLeaf(n, "leaf", u.as, u.vtep, peers, routedMTU); err != nil {
		return err
	}
	for _, b := range centralBridges {
		if err := c.leaf.AddVNI(b.vni()); err != nil {
			return err
		}
	}
	return c.leaf.Start(ctx)
}

// startHosts makes nearN at a port and farN at the leaf of each bridge.
func (c *Centralised) startHosts(gw *Namespace) error {
	for i, b := range centralBridges {
		gw4, gw6 := b.gateways()
		address, address6 := hostOf(gw4), hostOf(gw6)
		for _, name := range []string{"near", "far"} {
			h := &Host{
				Name: fmt.Sprintf("%s%d", name, i+1), Dev: "eth0", MAC: ether.MAC{2, 0, 0, name[0], 0, byte(i + 1)},
				Address: netip.PrefixFrom(address, gw4.Bits()), Address6: netip.PrefixFrom(address6, gw6.Bits()),
				Gateway: gw4.Addr(), Gateway6: gw6.Addr(),
			}
			address, address6 = address.Next(), address6.Next()
			c.hosts[h.Name] = h
			var err error
			if h.NS, err = c.lab.Namespace(h.Name); err != nil {
				return err
			}
			if name == "near" {
				port := SwitchPort{i + 1, fmt.Sprintf("port%d", i+1)}
				c.ports = append(c.ports, port)
				err = c.lab.Cable(End{NS: h.NS, Dev: h.Dev}, End{NS: gw, Dev: port.Dev, Switch: true})
			} else if err = c.lab.Cable(End{NS: h.NS, Dev: h.Dev}, End{NS: c.leaf.NS, Dev: h.Name}); err == nil {
				err = c.leaf.Join(h.Name, b.vni())
			}
			if err != nil {
				return err
			}
			if err := h.Configure(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Centralised) createObjects(ctx context.Context) error {
	g := c.gateway
	if err := g.CreateVRF(ctx, "tenant", tenantVNI, tenantLoopback); err != nil {
		return err
	}
	for i, b := range centralBridges {
		gw4, gw6 := b.gateways()
		if err := g.CreateBridge(ctx, b.name, b.vlan, b.vni()); err != nil {
			return err
		}
		if err := g.CreateSVI(ctx, b.name, "tenant", b.mac, gw4, gw6); err != nil {
			return err
		}
		err := g.CreatePort(ctx, fmt.Sprintf("port%d", i+1), ether.MAC{2, 0, 0, 0, 2, byte(i + 1)},
			opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, b.name)
		if err != nil {
			return err
		}
	}
	if err := g.AwaitPortsUp(ctx); err != nil {
		return err
	}
	return g.AwaitRoutingUp(ctx)
}

// reach sends echo requests of both versions of IP between hosts until each is answered.
func (c *Centralised) reach(ctx context.Context, from, to string) error {
	h, o := c.hosts[from], c.hosts[to]
	for _, a := range []netip.Addr{o.Address.Addr(), o.Address6.Addr()} {
		if _, err := h.Reach(ctx, a, patience); err != nil {
			return err
		}
	}
	return nil
}

// advertises reports whether the leaf says where an address is.
func (c *Centralised) advertises(ctx context.Context, a netip.Addr) (bool, error) {
	routes, err := c.gateway.Show(ctx, "routes")
	for line := range strings.Lines(routes) {
		if strings.Contains(line, leaf1VTEP.String()) && strings.Contains(line, "["+a.String()+"]") {
			return true, nil
		}
	}
	return false, err
}

// tell has the leaf know a host's address and say so, or neither, and waits until the gateway
// heard of it.
func (c *Centralised) tell(ctx context.Context, h *Host, known bool) error {
	a := h.Address.Addr()
	does, err := c.advertises(ctx, a)
	if err != nil || does == known {
		return err
	}
	args := []string{"ip", "neighbor", "delete", a.String(), "dev", bridgeOf(centralBridges[1].vni())}
	if known {
		args[2] = "replace"
		args = append(args, "lladdr", h.MAC.String(), "nud", "reachable")
	}
	if _, err := c.leaf.NS.Output(ctx, args...); err != nil {
		return err
	}
	return Eventually(ctx, patience, "the leaf's word", func(ctx context.Context) error {
		if does, err := c.advertises(ctx, a); err != nil || does != known {
			return fmt.Errorf("it advertises %v of %s: %v, %w", a, h.Name, does, err)
		}
		return nil
	})
}

// MeasureFound gives the frames/s that arrive when as many are sent as can be, to a host that
// the gateway found by itself, and to the same one when its leaf says its address: the best
// of some turns of each.
func (c *Centralised) MeasureFound(ctx context.Context, turns int) (found, known float64, err error) {
	from, to := c.hosts["near1"], c.hosts["far2"]
	for range turns {
		for _, way := range []struct {
			known bool
			best  *float64
		}{{false, &found}, {true, &known}} {
			if err := c.tell(ctx, to, way.known); err != nil {
				return 0, 0, err
			}
			if err := c.reach(ctx, from.Name, to.Name); err != nil {
				return 0, 0, err
			}
			rate, err := carried(ctx, Flow{From: from, To: to})
			if err != nil {
				return 0, 0, err
			}
			*way.best = max(*way.best, rate)
		}
	}
	return found, known, nil
}
