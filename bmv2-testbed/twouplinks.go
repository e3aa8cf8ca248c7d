package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

/*
TwoUplinks is one leaf at both uplinks; nobody has a static route.

	h1 ─ gateway ═ uplink1, uplink2 ═ leaf1 (FRR) ─ l1a
*/
type TwoUplinks struct {
	gateway *Gateway
	leaf    *Leaf
	h1, l1a *Host
	config  string

	// elsewhere is h1's device at the leaf, which has no address.
	elsewhere string
}

// leafUnderlay are the leaf's BGP lines: EVPN and its connected prefixes, which
// are its VTEP and the subnets of the uplinks.
const leafUnderlay = `router bgp 65101
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp router-id 10.0.0.11
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 timers bgp 3 9
 neighbor 10.1.1.1 remote-as 65000
 neighbor 10.1.1.1 timers connect 1
 neighbor 10.1.2.1 remote-as 65000
 neighbor 10.1.2.1 timers connect 1
 address-family ipv4 unicast
  redistribute connected
  neighbor 10.1.1.1 activate
  neighbor 10.1.2.1 activate
 exit-address-family
 address-family l2vpn evpn
  neighbor 10.1.1.1 activate
  neighbor 10.1.2.1 activate
  advertise-all-vni
 exit-address-family
`

// leafBFD is BFD of the leaf, three packets of 50 ms. Without an update-source bgpd makes its
// BFD sessions anew, and ends its own, when BGP is established.
const leafBFD = ` neighbor 10.1.1.1 bfd 3 50 50
 neighbor 10.1.1.1 update-source 10.1.1.2
 neighbor 10.1.2.1 bfd 3 50 50
 neighbor 10.1.2.1 update-source 10.1.2.2
`

// BuildTwoUplinks makes the network, with BFD or without. Paths and routes come with BGP: see
// AwaitBothWays.
func (l *Lab) BuildTwoUplinks(ctx context.Context, target, binary string, bfd bool) (*TwoUplinks, error) {
	spaces := map[string]*Namespace{}
	for _, name := range []string{"gw", "leaf1", "h1", "l1a"} {
		ns, err := l.Namespace(name)
		if err != nil {
			return nil, err
		}
		spaces[name] = ns
	}
	gw, leaf := spaces["gw"], spaces["leaf1"]
	ports, config, err := l.cableTwoUplinks(spaces)
	if err != nil {
		return nil, err
	}
	leafConfig, neighborBFD := leafUnderlay, ""
	if bfd {
		leafConfig = strings.Replace(leafConfig, " address-family ipv4", leafBFD+" address-family ipv4", 1)
		neighborBFD = ", bfd: {interval: 50ms}"
	}
	frr, err := l.StartFRR(ctx, leaf, "leaf1", leafConfig)
	if err != nil {
		return nil, err
	}
	n := &TwoUplinks{leaf: &Leaf{FRR: frr, Name: "leaf1", AS: leaf1AS, VTEP: leaf1VTEP}, elsewhere: "eth1"}
	if err := errors.Join(n.leaf.AddVNI(blueVNI), n.leaf.Join("l1a", blueVNI), n.leaf.Join("h1", blueVNI)); err != nil {
		return nil, err
	}
	host := func(name string, number byte) *Host {
		h := &Host{Name: name, NS: spaces[name], Dev: "eth0", MAC: ether.MAC{2, 0, 0, 0, 0, number},
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 10, number}), 24)}
		err = errors.Join(err, h.Configure())
		return h
	}
	if n.h1, n.l1a = host("h1", 1), host("l1a", 0x31); err != nil {
		return nil, err
	}
	if n.gateway, err = l.Gateway(gw, binary, target, gatewayVTEP, ports); err != nil {
		return nil, err
	}
	n.gateway.BFD = bfd
	if err := n.gateway.StartSwitch(ctx); err != nil {
		return nil, err
	}
	n.config = fmt.Sprintf("as: %d\nrouter_id: %[2]s\nvteps: [%[2]s]\nstore: %s/p4evpn.db\n", gatewayAS, gatewayVTEP,
		l.Dir) +
		fmt.Sprintf("target: {address: %q, embedded: false}\napi: {listen: %q}\n", targetAddress, n.gateway.socket) +
		"ports:\n  - {name: port1, number: 1, interface: port1}\nuplinks:\n" + config + "bgp:\n  neighbors:\n"
	for _, u := range demoUplinks {
		n.config += fmt.Sprintf("    - {address: %s, as: %d, families: [evpn, ipv4], hold_time: 9s, connect_retry: 1s%s}\n",
			u.peer, leaf1AS, neighborBFD)
	}
	n.config += fmt.Sprintf("liveness: {address: %q}\n", n.gateway.livenessAddress())
	if err := n.gateway.StartController(ctx, n.config); err != nil {
		return nil, err
	}
	if err := n.gateway.CreateBridge(ctx, blue, tagBlue, blueVNI); err != nil {
		return nil, err
	}
	return n, n.gateway.CreatePort(ctx, "port1", ether.MAC{2, 0, 0, 0, 1, 1}, opi.BridgePortType_BRIDGE_PORT_TYPE_ACCESS,
		blue)
}

// cableTwoUplinks joins the namespaces, and gives the switch's ports and the lines of the
// configuration that name the uplinks.
func (l *Lab) cableTwoUplinks(spaces map[string]*Namespace) ([]SwitchPort, string, error) {
	gw, leaf, h1 := spaces["gw"], spaces["leaf1"], spaces["h1"]
	errs := []error{
		l.Cable(End{NS: h1, Dev: "eth0"}, End{NS: gw, Dev: "port1", Switch: true}),
		l.Cable(End{NS: spaces["l1a"], Dev: "eth0"}, End{NS: leaf, Dev: "l1a"}),
		l.Cable(End{NS: h1, Dev: "eth1"}, End{NS: leaf, Dev: "h1"}),
	}
	ports := []SwitchPort{{1, "port1"}}
	var config strings.Builder
	for i, u := range demoUplinks {
		up := farEnd(i)
		errs = append(errs,
			l.Cable(End{NS: leaf, Dev: up, MTU: underlayMTU}, End{NS: gw, Dev: u.name, Switch: true}),
			l.Cable(End{NS: gw, Dev: u.host, MTU: underlayMTU}, End{NS: gw, Dev: u.hostPortDevice, Switch: true}),
			gw.AddAddress(u.host, netip.PrefixFrom(netip.MustParseAddr(u.address), 24)),
			leaf.AddAddress(up, netip.PrefixFrom(netip.MustParseAddr(u.peer), 24)))
		ports = append(ports, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
		fmt.Fprintf(&config, "  - {name: %s, number: %d, interface: %[1]s, host: {number: %[3]d, interface: %[4]s, "+
			"device: %[5]s}}\n",
			u.name, u.number, u.hostPort, u.hostPortDevice, u.host)
	}
	errs = append(errs, leaf.AddAddress("lo", netip.PrefixFrom(leaf1VTEP, 32)), leaf.Sysctl("net.ipv4.ip_forward", "1"))
	return ports, config.String(), errors.Join(errs...)
}

// farEnd is the leaf's device at an uplink.
func farEnd(uplink int) string { return fmt.Sprintf("gw%d", uplink+1) }

// AwaitBothWays waits until gateway and leaf reach each other by both uplinks, and the hosts
// each other.
func (n *TwoUplinks) AwaitBothWays(ctx context.Context) error {
	err := Eventually(ctx, patience, "gateway and leaf reach each other by both uplinks", func(ctx context.Context) error {
		vteps, err := n.gateway.VTEPs(ctx)
		if err != nil {
			return err
		}
		if v := vteps[leaf1VTEP.String()]; len(v.GetPaths()) != 2 {
			return fmt.Errorf("the paths are %v (%s)", v.GetPaths(), v.GetReason())
		}
		out, err := n.leaf.NS.Output(ctx, "ip", "route", "show", gatewayVTEP.String())
		for _, u := range demoUplinks {
			if err == nil && !strings.Contains(out, "via "+u.address+" ") {
				err = errors.New(out)
			}
		}
		return err
	})
	if err == nil {
		_, err = n.h1.Reach(ctx, n.l1a.Address.Addr(), patience)
	}
	return err
}

// PullUplink takes the carrier of the uplink that the tunnel uses and says what a flow of so
// many packets a second lost by that, until meanwhile, which may be nil, and a ping are done.
// The cable is in its place again at the end.
func (n *TwoUplinks) PullUplink(ctx context.Context, rate int, meanwhile func(uplink int) error) (Reading, error) {
	return n.loseUplink(ctx, rate, meanwhile, n.leaf.NS.Down, n.leaf.NS.Up)
}

// SilenceUplink is PullUplink with a cable that carries nothing more, and keeps its carrier.
func (n *TwoUplinks) SilenceUplink(ctx context.Context, rate int, meanwhile func(uplink int) error) (Reading, error) {
	return n.loseUplink(ctx, rate, meanwhile,
		func(dev string) error { return n.leaf.NS.Silence(ctx, dev) },
		func(string) error { return n.leaf.NS.Speak(ctx) })
}

// AwaitBFD waits until BFD to the leaf is up by both uplinks.
func (n *TwoUplinks) AwaitBFD(ctx context.Context) error {
	for _, u := range demoUplinks {
		if err := n.gateway.AwaitBFD(ctx, u.peer, p4evpnv1.BfdState_BFD_STATE_UP); err != nil {
			return err
		}
	}
	return nil
}

// uplinkOfFlow finds the uplink by which the most frames come to the leaf: a flow's hash says
// by which it goes.
func (n *TwoUplinks) uplinkOfFlow(ctx context.Context) (uplink int, err error) {
	before, err := n.received(ctx)
	if err != nil {
		return 0, err
	}
	err = Eventually(ctx, patience, "one uplink carries the flow", func(ctx context.Context) error {
		now, err := n.received(ctx)
		if err != nil {
			return err
		}
		first, second := now[0]-before[0], now[1]-before[1]
		if uplink = 0; second > first {
			uplink = 1
		}
		if max(first, second) < 100 || max(first, second) < 4*min(first, second) {
			return fmt.Errorf("the leaf had %d and %d frames", first, second)
		}
		return nil
	})
	return uplink, err
}

// received counts the frames that came to the leaf by each uplink.
func (n *TwoUplinks) received(ctx context.Context) (frames [2]int, err error) {
	all, err := n.leaf.NS.received(ctx)
	for i := range frames {
		frames[i] = all[farEnd(i)]
	}
	return frames, err
}

// received counts the frames that came by each device of the namespace.
func (n *Namespace) received(ctx context.Context) (map[string]int, error) {
	frames := map[string]int{}
	out, err := n.Output(ctx, "cat", "/proc/net/dev")
	for line := range strings.Lines(out) {
		if dev, counts, is := strings.Cut(strings.TrimSpace(line), ":"); is && err == nil {
			frames[dev], err = strconv.Atoi(strings.Fields(counts)[1])
		}
	}
	return frames, err
}

func (n *TwoUplinks) loseUplink(ctx context.Context, rate int, meanwhile func(uplink int) error,
	take, back func(dev string) error) (Reading, error) {
	m, err := StartMeter(Flow{"by two uplinks", n.h1, n.l1a, rate})
	if err != nil {
		return Reading{}, err
	}
	i, err := n.uplinkOfFlow(ctx)
	if err != nil {
		m.Stop()
		return Reading{}, err
	}
	err = take(farEnd(i))
	if err == nil && meanwhile != nil {
		err = meanwhile(i)
	}
	if err == nil {
		_, err = n.h1.Reach(ctx, n.l1a.Address.Addr(), patience)
	}
	r := m.Stop()[0]
	return r, errors.Join(err, back(farEnd(i)))
}
