package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	opi "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/ether"
)

// ovnSecond is a gateway that shares the logical switch with the first one, beside a chassis
// of its own. Each has an uplink to the other and one to the leaf.
type ovnSecond struct {
	ns      *Namespace
	chassis *Chassis
	gateway *Gateway
	config  gatewayFile
}

const secondChassis = "edge2"

// cableSecond lays the cables of the second gateway, which starts later.
func (o *ovnNet) cableSecond(leaf *Namespace) (err error) {
	if o.second.ns, err = o.lab.Namespace("second"); err != nil {
		return err
	}
	n, up := o.second.ns, fabricSecondUplinks
	for _, c := range [][2]End{
		{{NS: o.gw, Dev: fabricUplinks[1].name, Switch: true, MTU: underlayMTU},
			{NS: n, Dev: up[0].name, Switch: true, MTU: underlayMTU}},
		{{NS: n, Dev: up[1].name, Switch: true, MTU: underlayMTU}, {NS: leaf, Dev: toSecond}},
		{{NS: n, Dev: ovnTrunk}, {NS: n, Dev: trunkPort, Switch: true}},
		{{NS: o.central.NS, Dev: "up1"}, {NS: n, Dev: "up0"}},
	} {
		if err := o.lab.Cable(c[0], c[1]); err != nil {
			return err
		}
	}
	return errors.Join(o.lab.hostPort(o.gw, fabricUplinks[1]), o.lab.hostPort(n, up[0]), o.lab.hostPort(n, up[1]),
		leaf.farEnd(toSecond, up[1], secondVTEP))
}

// ovnPorts are a gateway's ports, of its configuration and all.
func ovnPorts(uplinks []demoUplink) (ports, all []SwitchPort) {
	ports = []SwitchPort{{9, trunkPort}}
	all = slices.Clone(ports)
	for _, u := range uplinks {
		all = append(all, SwitchPort{u.number, u.name}, SwitchPort{u.hostPort, u.hostPortDevice})
	}
	return ports, all
}

// sharing is the configuration of a gateway that shares the logical switch.
func (o *ovnNet) sharing(g *Gateway, as uint32, uplinks []demoUplink, at *Chassis) gatewayFile {
	c := gatewayFile{gateway: g, as: as, uplinks: uplinks, deferral: "2s", restartTime: "3s", more: fmt.Sprintf(
		"bridges: {%s: {logical_switch: %s}}\novn: {shared: true, owner: %v, nb: [%q], ovs: %q, interface: %s, port: %s}\n",
		blue, logicalSwitch, gatewayVTEP, o.central.Northbound(), at.OpenVSwitch(), ovnTrunk, trunkPort)}
	c.ports, _ = ovnPorts(nil)
	for _, u := range uplinks {
		c.peers = append(c.peers, Peer{Address: netip.MustParseAddr(u.peer), AS: u.as})
	}
	return c
}

// startSecond starts the second gateway, with a chassis.
func (o *ovnNet) startSecond(ctx context.Context) (err error) {
	s := &o.second
	if _, err := o.central.Do(ctx, "ovs-vsctl --timeout=60 add-port "+ovnInterface+" up1"); err != nil {
		return err
	}
	s.chassis, err = o.lab.Chassis(ctx, s.ns, secondChassis, o.central, netip.MustParsePrefix("10.9.0.3/24"))
	if err != nil {
		return err
	}
	_, all := ovnPorts(fabricSecondUplinks)
	if s.gateway, err = o.lab.SecondGateway(s.ns, "second", o.gateway.binary, Embedded, secondVTEP, all); err != nil {
		return err
	}
	s.config = o.sharing(s.gateway, secondAS, fabricSecondUplinks, s.chassis)
	if err := s.gateway.StartSwitch(ctx); err != nil {
		return err
	}
	if err := s.gateway.StartController(ctx, s.config.String()); err != nil {
		return err
	}
	if err := s.gateway.CreateBridge(ctx, blue, tagBlue, ovnVNI); err != nil {
		return err
	}
	return s.gateway.CreatePort(ctx, trunkPort, ether.MAC{2, 0, 0, 1, 2, 9},
		opi.BridgePortType_BRIDGE_PORT_TYPE_TRUNK, blue)
}

// joinedAt waits until the logical switch is joined at a chassis, by the gateway there alone.
func (o *ovnNet) joinedAt(ctx context.Context, chassis string, at *Gateway, not ...*Gateway) error {
	return Eventually(ctx, patience, "the logical switch is joined at "+chassis, func(ctx context.Context) error {
		options, err := o.row(ctx, "options")
		if err == nil && !strings.Contains(options, "l2gateway-chassis="+chassis) {
			err = fmt.Errorf("the port has %q", options)
		}
		for _, g := range append([]*Gateway{at}, not...) {
			m, err2 := g.Metrics(ctx)
			want := 0.0
			if g == at {
				want = 1
			}
			if n, wrong := m["p4evpn_ovn_joined"], m["p4evpn_ovn_problems"]; err2 == nil && (n != want || wrong != 0) {
				err2 = fmt.Errorf("%v has %v joined and %v problems, want %v and none", g.VTEP, n, wrong, want)
			}
			err = errors.Join(err, err2)
		}
		return err
	})
}

// metered runs traffic between OVN and the leaf while something is done, and says what was lost.
func (o *ovnNet) metered(ctx context.Context, lossless bool, do func() error) (string, error) {
	m, err := StartMeter(Flow{Name: "to the leaf", From: o.vms[0], To: o.host, Rate: 100},
		Flow{Name: "from the leaf", From: o.host, To: o.vms[1], Rate: 100})
	if err != nil {
		return "", err
	}
	err = do()
	var notes []string
	for _, r := range m.Stop() {
		if notes = append(notes, r.String()); r.Duplicated > 0 || r.Sent == 0 || lossless && r.Lost > 0 {
			err = errors.Join(err, errors.New(r.String()))
		}
	}
	return strings.Join(notes, "; "), err
}

// ovnFailsOver kills the gateway where the logical switch is joined, with its ovn-controller.
func ovnFailsOver(ctx context.Context, o *ovnNet) (string, error) {
	for _, vm := range o.vms { // so that nobody has to speak
		address := fmt.Sprintf("%v %v", vm.MAC, vm.Address.Addr())
		if _, err := o.central.do(ctx, "ovn-nbctl", "lsp-set-addresses", vm.Name, address); err != nil {
			return "", err
		}
	}
	config := o.sharing(o.gateway, gatewayAS, fabricUplinks, o.edge)
	if err := o.gateway.KillController(); err != nil {
		return "", err
	}
	if err := o.gateway.StartController(ctx, config.String()); err != nil {
		return "", err
	}
	if err := o.joinedAt(ctx, o.edge.Name, o.gateway); err != nil {
		return "", err
	}
	if err := o.startSecond(ctx); err != nil {
		return "", err
	}
	second := o.second.gateway
	err := errors.Join(o.joinedAt(ctx, o.edge.Name, o.gateway, second), o.reach(ctx), o.sees(ctx, second, gatewayVTEP))
	if err != nil {
		return "", err
	}
	if _, err := ovnBroadcasts(ctx, o); err != nil {
		return "", fmt.Errorf("with two gateways: %w", err)
	}
	before, err := o.others(ctx)
	if err != nil {
		return "", err
	}
	notes, err := o.metered(ctx, false, func() error {
		err := errors.Join(o.edge.running["controller"].Kill(), o.gateway.KillController(), o.leafLost(ctx, gatewayVTEP),
			o.gateway.KillSwitch())
		return errors.Join(err, o.joinedAt(ctx, secondChassis, second), o.reach(ctx))
	})
	if err != nil {
		return "", err
	}
	row, err := o.row(ctx, "_uuid,options,external_ids")
	if err != nil {
		return "", err
	}
	_, err = o.metered(ctx, true, func() error {
		err := errors.Join(o.edge.run("controller"), o.gateway.StartSwitch(ctx))
		if err = errors.Join(err, o.gateway.StartController(ctx, config.String())); err != nil {
			return err
		}
		return errors.Join(o.sees(ctx, o.gateway, secondVTEP), o.joinedAt(ctx, secondChassis, second, o.gateway))
	})
	if err != nil {
		return "", fmt.Errorf("when the first one is back: %w", err)
	}
	now, err := o.row(ctx, "_uuid,options,external_ids")
	if err == nil && now != row {
		err = fmt.Errorf("the port was\n%s\nand is\n%s", row, now)
	}
	m, err2 := o.gateway.Metrics(ctx)
	if n := m["p4evpn_ovn_transactions_total"]; err2 == nil && n != 1 { // it was the one that had it
		err2 = fmt.Errorf("the gateway that came back has made %v transactions, want that of its own Open vSwitch alone", n)
	}
	after, err3 := o.others(ctx)
	if err3 == nil && after != before {
		err3 = fmt.Errorf("of others there was\n%s\nand is\n%s", before, after)
	}
	if err := errors.Join(err, err2, err3); err != nil {
		return "", err
	}
	if _, err := ovnBroadcasts(ctx, o); err != nil {
		return "", fmt.Errorf("with two gateways: %w", err)
	}
	return notes, errors.Join(second.KillController(), second.KillSwitch())
}

// leafLost waits until the leaf's session with a gateway is gone: what the gateway's machine says
// at its end leaves by the switch.
func (o *ovnNet) leafLost(ctx context.Context, vtep netip.Addr) error {
	return Eventually(ctx, patience, fmt.Sprintf("the leaf has lost %v", vtep), func(ctx context.Context) error {
		macs, err := o.leaf.MACs(ctx, ovnVNI)
		for mac, m := range macs {
			if m.VTEP == vtep.String() {
				err = fmt.Errorf("it has %s there", mac)
			}
		}
		return err
	})
}

// sees waits until a gateway knows the VMs to be behind a VTEP, and the host behind the leaf.
func (o *ovnNet) sees(ctx context.Context, g *Gateway, vtep netip.Addr) error {
	what := fmt.Sprintf("the gateway of %v has the VMs behind %v", g.VTEP, vtep)
	return Eventually(ctx, patience, what, func(ctx context.Context) error {
		fdb, err := g.FDB(ctx, blue)
		at := map[*Host]netip.Addr{o.vms[0]: vtep, o.vms[1]: vtep, o.host: leaf1VTEP}
		for h, vtep := range at {
			e := fdb[h.MAC.String()]
			if err == nil && (e.GetKind() != p4evpnv1.FDBKind_FDB_KIND_REMOTE || e.GetVtep() != vtep.String()) {
				err = fmt.Errorf("it has %v of %s", e, h.Name)
			}
		}
		return err
	})
}
