package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/ether"
)

// watched is all that changes in a table of a database.
type watched struct {
	*Process
	before string // what was there at first
}

// watch begins when it has seen what is there, a row of a name among others.
func (c *Chassis) watch(t *testing.T, server, database, table, columns, name string) watched {
	t.Helper()
	w := watched{Process: must(c.lab.Start(c.NS, "watch-"+table,
		append(c.environment(), "ovsdb-client", "monitor", server, database, table, columns)...))(t)}
	check(t, Eventually(t.Context(), patience, "ovsdb-client has "+name, func(context.Context) error {
		was := w.before
		if w.before = w.Tail(1 << 20); !strings.Contains(w.before, name) || w.before != was { // it goes on
			return errors.Join(errors.New(w.before), w.Running())
		}
		return nil
	}))
	return w
}

// unchanged checks that nothing has changed since.
func (w watched) unchanged(t *testing.T) {
	t.Helper()
	if after := w.Tail(1 << 20); after != w.before {
		t.Errorf("there was\n%s\nand then there came\n%s", w.before, strings.TrimPrefix(after, w.before))
	}
}

// A leaf that keeps routes over a graceful restart, as FRR 8.4 does not, sends all the time; and
// Open vSwitch forwards by rows of which none is touched, while the gateway is away and before
// and after BGP has converged.
func TestNothingIsLostWhenTheGatewayOfTunnelsRestarts(t *testing.T) {
	t.Parallel()
	needDemo(t, Embedded)
	if err := HasOVN(); err != nil {
		t.Skip(err)
	}
	ctx, lab := t.Context(), needLab(t)
	t.Cleanup(func() { logsOf(t, lab) })
	address := netip.AddrFrom4([4]byte{10, 9, 0, 11})
	o := must(lab.BuildOVNTunnels(ctx, must(builtBinary())(t), Peer{Address: address, AS: leaf1AS}))(t)
	space := must(lab.Namespace("leaf1"))(t)
	check(t, errors.Join(o.underlay(ctx, space, "leaf1", address),
		o.edge.NS.AddRoute(netip.PrefixFrom(leaf1VTEP, 32), address)))
	host := &Host{Name: "host1", NS: must(lab.Namespace("host1"))(t), Dev: "eth0", MAC: ether.MAC{2, 0, 0, 1, 0, 21},
		Address: numbered(21)}
	check(t, lab.Cable(End{NS: host.NS, Dev: "eth0", MTU: 1400}, End{NS: space, Dev: "host", MTU: 1400}))
	check(t, host.Configure())
	leaf := must(lab.NewGoBGPLeaf(space, "leaf1", must(gobgpleaf())(t), GoBGPConfig{AS: leaf1AS, VTEP: leaf1VTEP,
		Peers:       []Peer{{Address: edgeVTEP.Addr(), AS: gatewayAS, Passive: true}},
		RestartTime: restartTime, MACs: []LeafMACs{{VNI: ovnVNI, MACs: []ether.MAC{host.MAC}}}}))(t)
	check(t, errors.Join(leaf.Join("host", ovnVNI), leaf.Start(ctx)))
	o.hosts[0] = host
	reach := func() {
		t.Helper()
		for _, vm := range o.vms {
			for _, way := range [][2]*Host{{vm, host}, {host, vm}} {
				must(way[0].Reach(ctx, way[1].Address.Addr(), 2*patience))(t)
			}
		}
	}
	reach()
	tunnel := fmt.Sprintf("vxlan_%v_%d", leaf1VTEP, ovnVNI)
	nb, vs := o.central.Northbound(), o.edge.OpenVSwitch()
	tables := []watched{
		o.central.watch(t, nb, "OVN_Northbound", "Logical_Switch_Port", "name,type,options,addresses,external_ids", tunnel),
		o.central.watch(t, nb, "OVN_Northbound", "Logical_Switch", "name,ports", logicalSwitch),
		o.central.watch(t, nb, "OVN_Northbound", "Port_Group", "name,ports,acls", fmt.Sprintf("p4evpn_%d", ovnVNI)),
		o.edge.watch(t, vs, "Open_vSwitch", "Port", "name,interfaces,external_ids", tunnel),
		o.edge.watch(t, vs, "Open_vSwitch", "Interface", "name,type,options,external_ids", tunnel),
	}
	meter := must(StartMeter(Flow{Name: "to the leaf", From: o.vms[0], To: host, Rate: 200},
		Flow{Name: "from the leaf", From: host, To: o.vms[1], Rate: 200}))(t)
	t.Cleanup(func() { meter.Stop() })
	converged := func() int { return strings.Count(o.gateway.control.Tail(1<<20), "BGP has converged") }
	before := converged()
	check(t, errors.Join(o.gateway.KillController(), o.gateway.StartController(ctx, o.config())))
	check(t, Eventually(ctx, patience, "BGP has converged, and all is well", func(ctx context.Context) error {
		if n := converged(); n != before+1 {
			return fmt.Errorf("it has converged %d times", n)
		}
		m, err := o.gateway.Metrics(ctx)
		if n, wrong := m["p4evpn_ovn_logical_switches"], m["p4evpn_ovn_problems"]; err == nil && (n != 1 || wrong != 0) {
			err = fmt.Errorf("%v logical switches, %v problems", n, wrong)
		}
		return err
	}))
	reach()
	for _, r := range meter.Stop() {
		if t.Log(r); r.Lost+r.Duplicated > 0 || r.Sent == 0 {
			t.Error("want nothing lost or duplicated")
		}
	}
	for _, w := range tables {
		w.unchanged(t)
	}
}
