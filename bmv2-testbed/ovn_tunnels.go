package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

/*
A logical switch of OVN whose integration bridge is the VTEP; the gateway's target has
neither ports nor uplinks:

	vm1 ─ hv1 (OVN, its databases) ─ Geneve ─ gw (OVN, p4evpn) ─ VXLAN ┬ leaf1 (FRR) ─ host1
	                                          │                        ├ leaf2 (FRR) ─ host2
	                                         vm2                       └ ryu (rest_vtep) ─ s1h1
*/

// OVNTunnels is that network when it is up.
type OVNTunnels struct {
	central, edge *Chassis
	gateway       *Gateway
	vms           [2]*Host
	hosts         [2]*Host // behind the leaves
	ryu           site     // README's other data centre, with one client

	lab     *Lab
	out     io.Writer
	peers   []Peer // of the configuration
	rest    string // address of the REST API as of rest_vtep; empty: none
	foreign string // all rows of others, before anything was done
}

// edgeVTEP is on the bridge of the tunnels: Open vSwitch's native ones end nowhere else.
var (
	edgeVTEP = netip.MustParsePrefix("10.9.0.2/24")
	ryuVTEP  = netip.MustParseAddr("10.9.0.10")
)

var ovnTunnelChecks = []claim[*OVNTunnels]{
	{"tunnels: stations of a logical switch and hosts behind two leaves reach each other", tunnelPings},
	{"tunnels: a broadcast of each arrives at each other once", tunnelBroadcasts},
	{"tunnels: a gateway that restarts leaves all as it is", tunnelRestarts},
	{"tunnels: nothing of the gateway's stays of a bridge that is stretched no more, and all else does",
		tunnelsUndone},
	{"tunnels: the calls of evpn-for-ovn's README have vm1, hosts behind FRR and one behind rest_vtep reach each other",
		tunnelREADME},
}

func buildOVNTunnels(ctx context.Context, l *Lab, options DemoOptions) (*OVNTunnels, error) {
	options.say("Building OVN with two chassis, a gateway without ports and two leaves (FRR).")
	o := &OVNTunnels{lab: l, out: options.Out}
	if err := o.startChassis(ctx); err != nil {
		return nil, err
	}
	if err := o.startRyu(ctx); err != nil {
		return nil, err
	}
	for i := range o.hosts {
		if err := o.startLeaf(ctx, i); err != nil {
			return nil, err
		}
		o.peers = append(o.peers, Peer{Address: netip.AddrFrom4([4]byte{10, 9, 0, byte(11 + i)}), AS: uint32(leaf1AS + i)})
	}
	return o, o.startGateway(ctx, options.Target, options.Binary)
}

// startChassis starts OVN on both, each with a station.
func (o *OVNTunnels) startChassis(ctx context.Context) error {
	hv1, err := o.lab.Namespace("hv1")
	if err != nil {
		return err
	}
	gw, err := o.lab.Namespace("gw")
	if err != nil {
		return err
	}
	if err := o.lab.Cable(End{NS: hv1, Dev: "up0"}, End{NS: gw, Dev: "up0"}); err != nil {
		return err
	}
	if o.central, err = o.lab.Chassis(ctx, hv1, "hv1", nil, netip.MustParsePrefix("10.9.0.1/24")); err != nil {
		return err
	}
	if o.edge, err = o.lab.Chassis(ctx, gw, "edge", o.central, edgeVTEP); err != nil {
		return err
	}
	if _, err := o.central.Do(ctx, "ovn-nbctl --timeout=60 ls-add "+logicalSwitch); err != nil {
		return err
	}
	for i, at := range []*Chassis{o.central, o.edge} {
		n := byte(11 + i)
		if o.vms[i], err = at.AddVM(ctx, fmt.Sprintf("vm%d", i+1), logicalSwitch, ether.MAC{2, 0, 0, 9, 0, n},
			numbered(n)); err != nil {
			return err
		}
	}
	return nil
}

func (o *OVNTunnels) end(ctx context.Context) {
	if out, err := o.edge.Do(ctx, "ovn-nbctl show"); err == nil {
		fmt.Fprintf(o.out, "\n$ ovn-nbctl show\n%s\n", out)
	}
}

// underlay gives a namespace an address in the network of the chassis.
func (o *OVNTunnels) underlay(ctx context.Context, n *Namespace, name string, address netip.Addr) error {
	if err := o.lab.Cable(End{NS: n, Dev: toLeaf}, End{NS: o.edge.NS, Dev: name}); err != nil {
		return err
	}
	if _, err := o.edge.Do(ctx, "ovs-vsctl --timeout=60 add-port "+ovnInterface+" "+name); err != nil {
		return err
	}
	return n.AddAddress(toLeaf, netip.PrefixFrom(address, 24))
}

// startRyu starts the data centre of rest_vtep, with a host, and no call made.
func (o *OVNTunnels) startRyu(ctx context.Context) error {
	n, err := o.lab.Namespace("ryu")
	if err != nil {
		return err
	}
	if err := o.underlay(ctx, n, "ryu", ryuVTEP); err != nil {
		return err
	}
	host, err := o.lab.Namespace("s1h1")
	if err != nil {
		return err
	}
	if err := o.lab.Cable(End{NS: host, Dev: "eth0", MTU: 1400}, End{NS: n, Dev: ryuPort, MTU: 1400}); err != nil {
		return err
	}
	h := &Host{Name: "s1h1", NS: host, Dev: "eth0", MAC: ether.MAC{0x02, 0xac, 0x10, 0xff, 0x00, 0x11},
		Address: numbered(31)}
	o.ryu = site{name: "ryu", address: ryuVTEP.String(), other: edgeVTEP.Addr().String(), ns: n, clients: []*Host{h},
		options: DemoOptions{Out: o.out}}
	if err := h.Configure(); err != nil {
		return err
	}
	_, err = o.lab.startRESTVTEP(ctx, o.ryu)
	return err
}

// startLeaf starts a leaf on the network of the chassis, with a host.
func (o *OVNTunnels) startLeaf(ctx context.Context, i int) error {
	name, vtep := fmt.Sprintf("leaf%d", i+1), []netip.Addr{leaf1VTEP, leaf2VTEP}[i]
	leaf, err := o.lab.Namespace(name)
	if err != nil {
		return err
	}
	address := netip.AddrFrom4([4]byte{10, 9, 0, byte(11 + i)})
	if err := o.underlay(ctx, leaf, name, address); err != nil {
		return err
	}
	if err := o.edge.NS.AddRoute(netip.PrefixFrom(vtep, 32), address); err != nil {
		return err
	}
	host, err := o.lab.Namespace(fmt.Sprintf("host%d", i+1))
	if err != nil {
		return err
	}
	if err := o.lab.Cable(End{NS: host, Dev: "eth0", MTU: 1400}, End{NS: leaf, Dev: "host", MTU: 1400}); err != nil {
		return err
	}
	n := byte(21 + i)
	o.hosts[i] = &Host{Name: fmt.Sprintf("host%d", i+1), NS: host, Dev: "eth0", MAC: ether.MAC{2, 0, 0, 1, 0, n},
		Address: numbered(n)}
	if err := o.hosts[i].Configure(); err != nil {
		return err
	}
	peer := Peer{Address: edgeVTEP.Addr(), AS: gatewayAS, Passive: true}
	l, err := o.lab.NewLeaf(leaf, name, uint32(leaf1AS+i), vtep, []Peer{peer}, 1400)
	if err != nil {
		return err
	}
	if err := errors.Join(l.AddVNI(ovnVNI), l.Join("host", ovnVNI)); err != nil {
		return err
	}
	return l.Start(ctx)
}

func (o *OVNTunnels) config() string {
	return gatewayFile{gateway: o.gateway, as: gatewayAS, peers: o.peers, vtepAPI: o.rest, more: fmt.Sprintf(
		"ovn: {mode: tunnels, nb: [%q], ovs: %q}\n", o.central.Northbound(), o.edge.OpenVSwitch())}.String()
}

func (o *OVNTunnels) startGateway(ctx context.Context, target, binary string) (err error) {
	for _, vm := range o.vms { // which OVN notes in the port's row
		up := "ovn-nbctl --timeout=60 wait-until Logical_Switch_Port " + vm.Name + " up=true"
		if _, err := o.central.Do(ctx, up); err != nil {
			return err
		}
	}
	if o.foreign, err = o.others(ctx); err != nil {
		return err
	}
	o.gateway, err = o.lab.Gateway(o.edge.NS, binary, target, edgeVTEP.Addr(), nil)
	if err != nil {
		return err
	}
	// It has it already, where tunnels want it.
	if err := o.edge.NS.DeleteAddress("lo", netip.PrefixFrom(edgeVTEP.Addr(), 32)); err != nil {
		return err
	}
	if err := o.gateway.StartSwitch(ctx); err != nil {
		return err
	}
	if err := o.gateway.StartController(ctx, o.config()); err != nil {
		return err
	}
	if err := o.gateway.CreateBridge(ctx, blue, tagBlue, ovnVNI); err != nil {
		return err
	}
	_, err = o.gateway.command(ctx, "create", "instance", "bridge."+blue, "--logical-switch", logicalSwitch)
	return err
}

// others is all of OVN's northbound database but for the row that says which northd is at
// work.
func (o *OVNTunnels) others(ctx context.Context) (string, error) {
	dump, err := o.central.Do(ctx, "ovsdb-client dump "+o.central.Northbound()+" -f csv")
	var rows []string
	for line := range strings.Lines(dump) {
		if !strings.Contains(line, "northd_internal_version") {
			rows = append(rows, line)
		}
	}
	return strings.Join(rows, ""), err
}

func (o *OVNTunnels) all() []*Host { return []*Host{o.vms[0], o.vms[1], o.hosts[0], o.hosts[1]} }

// reach checks that each reaches each, but for the hosts: leaves have no way to each other.
func (o *OVNTunnels) reach(ctx context.Context) error { return o.reachAlso(ctx) }

func (o *OVNTunnels) reachAlso(ctx context.Context, more ...*Host) error {
	pairs := [][2]*Host{{o.vms[0], o.vms[1]}}
	for _, vm := range o.vms {
		for _, h := range append(o.hosts[:], more...) {
			pairs = append(pairs, [2]*Host{vm, h}, [2]*Host{h, vm})
		}
	}
	for _, p := range pairs {
		err := Eventually(ctx, 2*patience, p[0].Name+" reaches "+p[1].Name, func(ctx context.Context) error {
			if err := p[1].Announce(); err != nil { // OVN has to know it
				return err
			}
			_, err := p[0].Reach(ctx, p[1].Address.Addr(), patience/4)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func tunnelPings(ctx context.Context, o *OVNTunnels) (string, error) {
	return "two stations behind OVN, two behind FRR", o.reach(ctx)
}

func tunnelBroadcasts(ctx context.Context, o *OVNTunnels) (string, error) {
	for i, from := range o.all() {
		want := map[string]int{}
		for j, h := range o.all() {
			if h != from && (i < 2 || j < 2) {
				want[h.Name] = 1
			}
		}
		p, err := newProbe(o.all()...)
		if err != nil {
			return "", err
		}
		if err = p.Send(from, from.MAC, ether.Broadcast); err == nil {
			err = p.Expect(ctx, want, o.reach)
		}
		if err := errors.Join(err, p.Close()); err != nil {
			return "", fmt.Errorf("broadcast of %s: %w", from.Name, err)
		}
	}
	return "", nil
}

// tunnelRestarts has VMs speak to each other meanwhile: FRR 8.4 forgets what it had of the gateway.
func tunnelRestarts(ctx context.Context, o *OVNTunnels) (string, error) {
	before, err := o.others(ctx)
	if err != nil {
		return "", err
	}
	if err := o.gateway.KillController(); err != nil {
		return "", err
	}
	if err := o.gateway.StartController(ctx, o.config()); err != nil {
		return "", err
	}
	if err := o.reach(ctx); err != nil {
		return "", err
	}
	return "", Eventually(ctx, patience, "the database is as it was", func(ctx context.Context) error {
		now, err := o.others(ctx)
		if err == nil && now != before {
			err = fmt.Errorf("it was\n%s\nand is\n%s", before, now)
		}
		return err
	})
}

func tunnelsUndone(ctx context.Context, o *OVNTunnels) (string, error) {
	if _, err := o.gateway.command(ctx, "delete", "instance", "bridge."+blue); err != nil {
		return "", err
	}
	return "", Eventually(ctx, patience, "nothing is left", func(ctx context.Context) error {
		ports, err := o.edge.Do(ctx, "ovs-vsctl list-ports br-int")
		if err == nil && strings.Contains(ports, "vxlan_") {
			err = fmt.Errorf("br-int has %q", ports)
		}
		now, err2 := o.others(ctx)
		if err2 == nil && now != o.foreign {
			err2 = fmt.Errorf("the database was\n%s\nand is\n%s", o.foreign, now)
		}
		return errors.Join(err, err2)
	})
}
