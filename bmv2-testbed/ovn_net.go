package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/ether"
)

/*
A logical switch of OVN that a gateway stretches:

	vm1, vm2 ─ hv1 (OVN, its databases) ─ Geneve ┬ gw (OVN, p4evpn) ─ VXLAN ─────┬ leaf (FRR) ─ host
	                                             └ second (the same, for a while) ┘
*/

// ovnNet is that network when it is up.
type ovnNet struct {
	central *Chassis // hv1
	edge    *Chassis // in the gateway's namespace
	gateway *Gateway
	vms     [2]*Host
	host    *Host // behind the leaf
	leaf    *Leaf
	second  ovnSecond // shares the logical switch, once it runs

	lab     *Lab
	out     io.Writer
	gw      *Namespace
	config  gatewayFile
	foreign string // all rows of others, before anything was done
}

const (
	logicalSwitch = "ls1" // as evpn-for-ovn's README has it, and its VNI
	ovnVNI        = twoDCVNI
	ovnTrunk      = "ovn-trunk" // Open vSwitch's end
	trunkPort     = "trunk9"    // the target's

	// vm2's devices; one is in use.
	vmAtHV1, vmAtEdge, vmAtLeaf = "eth0", "eth1", "eth2"
)

// RunOVN builds the network, runs its checks and removes it.
func RunOVN(ctx context.Context, o DemoOptions) error {
	o, err := o.prepare()
	if err != nil {
		return err
	}
	if err := errors.Join(needs(o.Target), HasOVN(), needsPython(ctx, "os_ken")); err != nil {
		return err
	}
	tunnels := ovnTunnelChecks
	if o.Target != Embedded {
		tunnels = nil // the target has no part in it
	}
	return o.narrate(ctx, "OVN", len(selected(ovnChecks, o.Only))+len(selected(tunnels, o.Only)), func(s *score) error {
		if err := runChecks(ctx, o, s, "OVN", ovnChecks, buildOVN); err != nil {
			return err
		}
		return runChecks(ctx, o, s, "tunnels", tunnels, buildOVNTunnels)
	})
}

func buildOVN(ctx context.Context, l *Lab, options DemoOptions) (*ovnNet, error) {
	options.say("Building OVN with two chassis, a gateway (%s switch) and a leaf (FRR).", options.Target)
	o := &ovnNet{lab: l, out: options.Out}
	if err := o.startOVN(ctx); err != nil {
		return nil, err
	}
	if err := o.startLeaf(ctx); err != nil {
		return nil, err
	}
	return o, o.startGateway(ctx, options)
}

// end shows what a user sees.
func (o *ovnNet) end(ctx context.Context) {
	for _, command := range []string{"ovn-nbctl show", "ovs-vsctl show"} {
		if out, err := o.edge.Do(ctx, command); err == nil {
			fmt.Fprintf(o.out, "\n$ %s\n%s\n", command, out)
		}
	}
}

func (o *ovnNet) startOVN(ctx context.Context) (err error) {
	hv1, err := o.lab.Namespace("hv1")
	if err != nil {
		return err
	}
	if o.gw, err = o.lab.Namespace("gw"); err != nil {
		return err
	}
	if err := o.lab.Cable(End{NS: hv1, Dev: "up0"}, End{NS: o.gw, Dev: "up0"}); err != nil {
		return err
	}
	if o.central, err = o.lab.Chassis(ctx, hv1, "hv1", nil, netip.MustParsePrefix("10.9.0.1/24")); err != nil {
		return err
	}
	if o.edge, err = o.lab.Chassis(ctx, o.gw, "edge", o.central, netip.MustParsePrefix("10.9.0.2/24")); err != nil {
		return err
	}
	if _, err := o.central.Do(ctx, "ovn-nbctl --timeout=60 ls-add "+logicalSwitch); err != nil {
		return err
	}
	for i := range o.vms {
		n := byte(11 + i)
		if o.vms[i], err = o.central.AddVM(ctx, fmt.Sprintf("vm%d", i+1), logicalSwitch, ether.MAC{2, 0, 0, 9, 0, n},
			numbered(n)); err != nil {
			return err
		}
	}
	// vm2 may come to the other chassis.
	if err := o.lab.Cable(End{NS: o.vms[1].NS, Dev: vmAtEdge, MTU: 1400},
		End{NS: o.gw, Dev: "vm2", MTU: 1400}); err != nil {
		return err
	}
	return o.lab.Cable(End{NS: o.gw, Dev: ovnTrunk}, End{NS: o.gw, Dev: trunkPort, Switch: true})
}

func (o *ovnNet) startLeaf(ctx context.Context) error {
	leaf, err := o.lab.Namespace("leaf")
	if err != nil {
		return err
	}
	u := fabricUplinks[0]
	if err := o.lab.Cable(End{NS: o.gw, Dev: u.name, Switch: true, MTU: underlayMTU},
		End{NS: leaf, Dev: toLeaf}); err != nil {
		return err
	}
	if err := o.lab.hostPort(o.gw, u); err != nil {
		return err
	}
	if err := leaf.farEnd(toLeaf, u, gatewayVTEP); err != nil {
		return err
	}
	if err := o.cableSecond(leaf); err != nil {
		return err
	}
	n, err := o.lab.Namespace("host")
	if err != nil {
		return err
	}
	if err := o.lab.Cable(End{NS: n, Dev: "eth0"}, End{NS: leaf, Dev: "host"}); err != nil {
		return err
	}
	o.host = &Host{Name: "host", NS: n, Dev: "eth0", MAC: ether.MAC{2, 0, 0, 1, 0, 21}, Address: numbered(21)}
	if err := o.host.Configure(); err != nil {
		return err
	}
	peers := []Peer{{Address: netip.MustParseAddr(u.address), AS: gatewayAS, Passive: true},
		{Address: netip.MustParseAddr(fabricSecondUplinks[1].address), AS: secondAS, Passive: true}}
	// vm2 may come here too.
	if err := o.lab.Cable(End{NS: o.vms[1].NS, Dev: vmAtLeaf}, End{NS: leaf, Dev: "vm2"}); err != nil {
		return err
	}
	l, err := o.lab.NewLeaf(leaf, "leaf", leaf1AS, leaf1VTEP, peers, 1500)
	if err != nil {
		return err
	}
	o.leaf = l
	if err := l.AddVNI(ovnVNI); err != nil {
		return err
	}
	if err := errors.Join(l.Join("host", ovnVNI), l.Join("vm2", ovnVNI)); err != nil {
		return err
	}
	return l.Start(ctx)
}

func (o *ovnNet) startGateway(ctx context.Context, options DemoOptions) (err error) {
	u := fabricUplinks[0]
	ports, all := ovnPorts(fabricUplinks)
	if o.gateway, err = o.lab.Gateway(o.gw, options.Binary, options.Target, gatewayVTEP, all); err != nil {
		return err
	}
	o.config = gatewayFile{gateway: o.gateway, as: gatewayAS, ports: ports, uplinks: fabricUplinks[:1],
		peers: []Peer{{Address: netip.MustParseAddr(u.peer), AS: u.as}},
		more: fmt.Sprintf("bridges: {%s: {logical_switch: %s}}\novn: {nb: [%q], ovs: %q, interface: %s, port: %s}\n",
			blue, logicalSwitch, o.central.Northbound(), o.edge.OpenVSwitch(), ovnTrunk, trunkPort)}
	if err := o.gateway.StartSwitch(ctx); err != nil {
		return err
	}
	if err := o.gateway.StartController(ctx, o.config.String()); err != nil {
		return err
	}
	if err := o.gateway.CreateBridge(ctx, blue, tagBlue, ovnVNI); err != nil {
		return err
	}
	if err := o.gateway.CreatePort(ctx, trunkPort, ether.MAC{2, 0, 0, 1, 1, 9}, opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK,
		blue); err != nil {
		return err
	}
	return o.gateway.AwaitPortsUp(ctx)
}
