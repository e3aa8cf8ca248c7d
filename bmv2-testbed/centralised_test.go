package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

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
type centralised struct {
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

// eachCentralised runs steps of a test one after the other, with a gateway that is unique and
// with one that is centralised.
func eachCentralised(t *testing.T, steps ...centralisedStep) {
	t.Parallel()
	for _, c := range [][2]string{{Embedded, "unique"}, {Embedded, "centralised"}, {BMv2, "unique"}} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			t.Parallel()
			needDemo(t, c[0])
			binary, l := must(builtBinary())(t), needLab(t)
			t.Cleanup(func() { logsOf(t, l) })
			c := must(buildCentralised(t.Context(), l, c[0], binary, c[1]))(t)
			t.Cleanup(func() { viewOf(t, c.gateway, c.leaf) })
			for _, s := range steps {
				t.Run(s.claim, func(t *testing.T) { s.test(t, c) })
			}
		})
	}
}

// centralisedStep leaves the network as the next one may have it.
type centralisedStep struct {
	claim string
	test  func(t *testing.T, c *centralised)
}

func buildCentralised(ctx context.Context, l *Lab, target, binary, kind string) (*centralised, error) {
	c := &centralised{lab: l, hosts: map[string]*Host{}}
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
func (c *centralised) startLeaf(ctx context.Context, gw *Namespace) error {
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
func (c *centralised) startHosts(gw *Namespace) error {
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

func (c *centralised) createObjects(ctx context.Context) error {
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
func (c *centralised) reach(ctx context.Context, from, to string) error {
	h, o := c.hosts[from], c.hosts[to]
	for _, a := range []netip.Addr{o.Address.Addr(), o.Address6.Addr()} {
		if _, err := h.Reach(ctx, a, patience); err != nil {
			return err
		}
	}
	return nil
}

func TestHostsBehindALeafThatOnlyBridgesHaveTheirGatewayHere(t *testing.T) {
	eachCentralised(t,
		centralisedStep{"a silent one is found and gets a route", silentHostGetsARoute},
		centralisedStep{"who was found is sent to as fast as who is known", foundHostIsAsGoodAsAKnownOne},
		centralisedStep{"they are routed", hostsAreRouted},
		centralisedStep{"they configure themselves by it", hostConfiguresItself})
}

// A host that was silent is found by whoever sends to it (RFC 9135 section 4), and then
// reached without the CPU.
func silentHostGetsARoute(t *testing.T, c *centralised) {
	ctx, from, to := t.Context(), c.hosts["near1"], c.hosts["far2"]
	check(t, c.reach(ctx, "near1", "far2"))
	for _, p := range []netip.Prefix{to.Address, to.Address6} {
		check(t, Eventually(ctx, patience, "a route to the host itself", func(ctx context.Context) error {
			out, err := c.gateway.Show(ctx, "route", "tenant", p.Addr().String())
			if err == nil && !strings.Contains(out, "to the host") {
				err = fmt.Errorf("%s", out)
			}
			return err
		}))
	}
	before := c.gleaned(t)
	const pings = 50
	for _, p := range []netip.Prefix{to.Address, to.Address6} {
		must(from.NS.Output(ctx, "ping", "-n", "-q", "-i", "0.01", "-c", fmt.Sprint(pings), p.Addr().String()))(t)
	}
	if n := c.gleaned(t) - before; n > 0 {
		t.Errorf("%v of %d packets to a host that is known went through the controller", n, 2*pings)
	}
	c.knowsNoAddresses(t)
}

// gleaned is how many packets for hosts that are not known went to the controller.
func (c *centralised) gleaned(t *testing.T) float64 {
	t.Helper()
	return must(c.gateway.Metrics(t.Context()))(t)[`p4evpn_controller_punts_total{reason="glean"}`]
}

// knowsNoAddresses checks that the leaf said nothing of its hosts' addresses: what is routed
// to them is so by what the gateway found out.
func (c *centralised) knowsNoAddresses(t *testing.T) {
	t.Helper()
	for _, h := range c.hosts {
		if must(c.advertises(t.Context(), h))(t) {
			t.Errorf("the leaf advertises %s", h.Address)
		}
	}
}

// advertises reports whether the leaf says where a host is.
func (c *centralised) advertises(ctx context.Context, h *Host) (bool, error) {
	routes, err := c.gateway.Show(ctx, "routes")
	for line := range strings.Lines(routes) {
		if strings.Contains(line, leaf1VTEP.String()) && strings.Contains(line, "["+h.Address.Addr().String()+"]") {
			return true, nil
		}
	}
	return false, err
}

// A host that was found gets nine tenths of what it gets when its leaf says its address, at
// least: both at the rate that the target carries, the best of some turns.
func foundHostIsAsGoodAsAKnownOne(t *testing.T, c *centralised) {
	ctx, from, to := t.Context(), c.hosts["near1"], c.hosts["far2"]
	bridge := bridgeOf(centralBridges[1].vni())
	var best [2]float64
	for turn := 0; turn < 20 && (turn == 0 || best[0] < 0.9*best[1]); turn++ {
		for i, change := range []string{"delete", "replace"} {
			args := []string{"ip", "neighbor", change, to.Address.Addr().String(), "dev", bridge}
			if known := i == 1; known || turn > 0 {
				if known {
					args = append(args, "lladdr", to.MAC.String(), "nud", "reachable")
				}
				must(c.leaf.NS.Output(ctx, args...))(t)
				check(t, Eventually(ctx, patience, "the leaf's word", func(ctx context.Context) error {
					if does, err := c.advertises(ctx, to); err != nil || does != known {
						return fmt.Errorf("it advertises %s: %v, %w", to.Name, does, err)
					}
					return nil
				}))
			}
			check(t, c.reach(ctx, from.Name, to.Name))
			best[i] = max(best[i], must(carried(ctx, Flow{From: from, To: to}))(t))
		}
	}
	t.Logf("%.0f frames/s to a host that was found, %.0f where its leaf says its address", best[0], best[1])
	if best[0] < 0.9*best[1] {
		t.Errorf("%.0f frames/s to a host that was found, want nine tenths of %.0f", best[0], best[1])
	}
}

// RFC 7432 section 10.1, RFC 9135 section 4: hosts behind a leaf that only bridges find
// their gateway, and whoever is behind it, and are found.
func hostsAreRouted(t *testing.T, c *centralised) {
	ctx := t.Context()
	for i, b := range centralBridges {
		h := c.hosts[fmt.Sprintf("far%d", i+1)]
		for _, a := range []netip.Addr{h.Gateway, h.Gateway6} {
			must(h.Reach(ctx, a, patience))(t)
			if out := must(h.NS.Output(ctx, "ip", "neigh", "show", a.String()))(t); !strings.Contains(out, b.mac.String()) {
				t.Errorf("%s has for its gateway %s %q, want %s", h.Name, a, out, b.mac)
			}
		}
	}
	for _, way := range [][2]string{{"far1", "near2"}, {"far1", "far2"}, {"near1", "far2"}, {"near2", "far1"}} {
		check(t, c.reach(ctx, way[0], way[1]))
	}
}

// RFC 4861 section 6.2.6: it asks when it comes up, by VXLAN.
func hostConfiguresItself(t *testing.T, c *centralised) {
	ctx, h := t.Context(), c.hosts["far1"]
	must(h.NS.Output(ctx, "ip", "-6", "route", "delete", "default"))(t)
	check(t, h.NS.DeleteAddress(h.Dev, h.Address6))
	check(t, h.NS.Sysctl("net.ipv6.conf.eth0.accept_ra", "1"))
	check(t, h.NS.Down(h.Dev))
	check(t, h.NS.Up(h.Dev))
	check(t, Eventually(ctx, 2*patience, "an address and a default route", func(ctx context.Context) error {
		out, err := h.NS.Output(ctx, "sh", "-c", "ip -6 address show dev eth0 scope global; ip -6 route show default")
		if err == nil && (!strings.Contains(out, "inet6 2001:db8:41:") || !strings.Contains(out, "default via fe80:")) {
			err = fmt.Errorf("it has %q", out)
		}
		return err
	}))
	must(h.Reach(ctx, c.hosts["near2"].Address6.Addr(), patience))(t)
}
