package ovn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// tunnelled is a gateway whose VTEP is the integration bridge.
type tunnelled struct {
	*testing.T
	nb, vs *server
	store  *intent.Store
	fabric *fabric
	g      *gateway
}

func startTunnels(t *testing.T, setUp string) *tunnelled {
	t.Helper()
	n := &tunnelled{T: t, nb: serve(t, northboundSchema), vs: serve(t, openVSwitchSchema), store: intent.NewMemory(),
		fabric: newFabric()}
	n.nb.nb("ls-add ls1 -- ls-add ls2 -- lsp-add ls1 vm1 -- lsp-set-addresses vm1 02:00:00:00:00:01")
	n.vs.vs(chassisRows)
	if setUp != "" {
		n.nb.nb(setUp)
	}
	stretch(t, n.store, 10, "ls1")
	n.start()
	return n
}

func (n *tunnelled) start() {
	n.Helper()
	n.g = start(n.T, n.store, n.nb, n.vs, func(c *Config) {
		c.Fabric, c.Port, c.Tunnels, c.Interface = n.fabric, "trunk9", true, ""
	})
}

// has waits until there are these tunnels of VNI 10, each a VTEP's last byte and its stations.
func (n *tunnelled) has(want ...string) {
	n.Helper()
	for i, w := range want {
		vtep, addresses, _ := strings.Cut(w, " ")
		want[i] = strings.TrimSpace(fmt.Sprintf("vxlan_10.9.0.%s_10 %s", vtep, addresses))
	}
	slices.Sort(want)
	got := ""
	await(n.T, fmt.Sprintf("OVN has the tunnels %q", want), func() bool {
		got = n.tunnels()
		return got == strings.Join(want, "\n")
	})
	for _, w := range want {
		name, _, _ := strings.Cut(w, " ")
		vtep := strings.Split(name, "_")[1]
		row := fmt.Sprintf("vxlan\ndst_port=4789 key=10 local_ip=10.9.0.1 remote_ip=%s\n"+
			"iface-id=%s p4evpn-owner=here p4evpn-vni=10", vtep, name)
		if got := n.vs.vs("--bare --columns=type,options,external_ids find Interface name=" + name); got != row {
			n.Errorf("interface %s is\n%s\nwant\n%s", name, got, row)
		}
	}
	await(n.T, "Open vSwitch has no others", func() bool {
		return strings.Count(n.vs.vs("list-ports br-int"), "vxlan_") == len(want)
	})
}

// tunnels are OVN's ports of VTEPs that are on ls1 and in the group, each with its addresses.
func (n *tunnelled) tunnels() string {
	n.Helper()
	on, group := n.nb.nb("get Logical_Switch ls1 ports"), n.nb.nb("--bare --columns=ports find Port_Group name=p4evpn_10")
	var all []string
	for row := range strings.SplitSeq(n.nb.nb("--format=csv --no-headings --columns=_uuid,name,addresses "+
		"find Logical_Switch_Port external_ids:p4evpn-owner=here"), "\n") {
		words := strings.SplitN(row, ",", 3)
		if len(words) < 3 || !strings.Contains(on, words[0]) || !strings.Contains(group, words[0]) {
			continue
		}
		text := strings.NewReplacer("[", "", "]", "", "\"", "").Replace(words[2])
		all = append(all, strings.TrimSpace(words[1]+" "+strings.ReplaceAll(text, "02:00:00:00:00:", "")))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

const wantRule = "to-lport 32767 (inport == @p4evpn_10 && outport == @p4evpn_10 && !flags.loopback) drop"

func (n *tunnelled) hasRule() {
	n.Helper()
	await(n.T, "tunnels do not reach each other", func() bool {
		return strings.Join(strings.Fields(n.nb.nb("acl-list p4evpn_10")), " ") == wantRule
	})
}

func TestEachVTEPIsATunnelWithItsStations(t *testing.T) {
	n := startTunnels(t, "")
	foreign := n.nb.foreign()
	n.fabric.set(true, "vni-10", "0a@11 10.0.0.10 2001:db8::a", "0b@11", "0c@12", "@13")
	n.has("11 0a 10.0.0.10 2001:db8::a, 0b", "12 0c", "13")
	n.hasRule()
	n.fabric.set(true, "vni-10", "0a@12 10.0.0.10", "0b@11", "@13") // one moved, one went
	n.has("11 0b", "12 0a 10.0.0.10", "13")
	n.fabric.set(true, "vni-10", "0a@12 10.0.0.10")
	n.has("12 0a 10.0.0.10")
	n.hasRule()
	n.fabric.set(true, "vni-10", "01@12", "0a@12") // a VM has the MAC, wherever it is
	n.has("12 0a")
	if err := n.store.Update(func(tx *intent.Tx) error { return tx.Instances().Delete("bridge.vni-10") }); err != nil {
		t.Fatal(err)
	}
	n.has()
	n.nb.shows("--bare --columns=name list Port_Group", "")
	n.nb.shows("--bare --columns=match list ACL", "")
	if after := n.nb.foreign(); after != foreign {
		t.Errorf("of others' rows there were\n%s\nand are\n%s", foreign, after)
	}
}

func TestWhateverIsDoneToTunnelsTheyComeBack(t *testing.T) {
	n := startTunnels(t, "")
	n.fabric.set(true, "vni-10", "0a@11", "0b@12")
	n.has("11 0a", "12 0b")
	for name, do := range map[string]func(){
		"a port deleted":        func() { n.nb.nb("lsp-del vxlan_10.9.0.11_10") },
		"another address":       func() { n.nb.nb("lsp-set-addresses vxlan_10.9.0.11_10 unknown") },
		"the group deleted":     func() { n.nb.nb("pg-del p4evpn_10") },
		"a port out of it":      func() { n.nb.nb("pg-set-ports p4evpn_10 vxlan_10.9.0.11_10") },
		"a stranger in it":      func() { n.nb.nb("pg-set-ports p4evpn_10 vxlan_10.9.0.11_10 vxlan_10.9.0.12_10 vm1") },
		"the rule deleted":      func() { n.nb.nb("acl-del p4evpn_10") },
		"another rule":          func() { n.nb.nb("acl-del p4evpn_10 -- acl-add p4evpn_10 to-lport 1 inport==@p4evpn_10 allow") },
		"the switch anew":       func() { n.nb.nb("ls-del ls1"); n.nb.nb("ls-add ls1 -- lsp-add ls1 vm1") },
		"the tunnel deleted":    func() { n.vs.vs("del-port vxlan_10.9.0.11_10") },
		"to another VTEP":       func() { n.vs.vs("set Interface vxlan_10.9.0.11_10 options:remote_ip=10.9.0.99") },
		"bound to another port": func() { n.vs.vs("set Interface vxlan_10.9.0.11_10 external_ids:iface-id=vm1") },
	} {
		t.Run(name, func(t *testing.T) {
			do()
			await(t, "all is as it was", func() bool {
				return n.tunnels() == "vxlan_10.9.0.11_10 0a\nvxlan_10.9.0.12_10 0b" &&
					strings.Contains(strings.Join(strings.Fields(n.nb.nb("acl-list p4evpn_10")), " "), wantRule) &&
					!strings.Contains(n.nb.nb("--bare --columns=ports find Port_Group name=p4evpn_10"),
						n.nb.nb("get Logical_Switch_Port vm1 _uuid"))
			})
			n.has("11 0a", "12 0b")
			n.nb.nb("--type=port-group acl-del p4evpn_10 to-lport 1 inport==@p4evpn_10")
		})
	}
}

// After a restart nothing goes that a peer may yet repeat, and nothing is made twice.
func TestTunnelsOutliveAGatewayUntilBGPHasConverged(t *testing.T) {
	n := startTunnels(t, "")
	n.fabric.set(true, "vni-10", "0a@11", "0b@12", "0c@13")
	n.has("11 0a", "12 0b", "13 0c")
	n.g.stop()
	n.fabric.set(false, "vni-10")
	n.start()
	n.fabric.set(false, "vni-10", "0a@12")
	n.has("11", "12 0a, 0b", "13 0c")
	n.fabric.set(true, "vni-10", "0a@12")
	n.has("12 0a")
	n.g.stop()
	n.start()
	n.fabric.expects(t, "vni-10", "")
	n.has("12 0a")
}

func TestATunnelWhoseNameIsTakenIsAProblemOfItsBridge(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(n *tunnelled)
		says string
	}{
		"of a port":       {func(n *tunnelled) { n.nb.nb("lsp-add ls2 vxlan_10.9.0.11_10") }, "port vxlan_10.9.0.11_10 is not ours"},
		"of the group":    {func(n *tunnelled) { n.nb.nb("pg-add p4evpn_10") }, "port group p4evpn_10 is not ours"},
		"of an interface": {func(n *tunnelled) { n.vs.vs("add-port br-phy vxlan_10.9.0.11_10") }, "interface vxlan_10.9.0.11_10 of Open vSwitch is not ours"},
		"no such bridge":  {func(n *tunnelled) { n.vs.vs("del-br br-int") }, "no bridge br-int"},
	} {
		t.Run(name, func(t *testing.T) {
			n := startTunnels(t, "")
			n.fabric.expects(t, "vni-10", "") // it is at rest
			c.do(n)
			n.fabric.set(true, "vni-10", "0a@11")
			n.g.complains(c.says)
		})
	}
}

func TestTunnelsOfOneBridgeAreNotThoseOfAnother(t *testing.T) {
	n := startTunnels(t, "")
	stretch(t, n.store, 20, "ls2")
	n.fabric.set(true, "vni-20", "0a@11")
	n.fabric.set(true, "vni-10", "0b@11")
	await(t, "each has its own", func() bool {
		return strings.Contains(n.nb.nb("lsp-list ls1"), "vxlan_10.9.0.11_10") &&
			strings.Contains(n.nb.nb("lsp-list ls2"), "vxlan_10.9.0.11_20")
	})
	if err := n.store.Update(func(tx *intent.Tx) error {
		return errors.Join(tx.Instances().Delete("bridge.vni-20"))
	}); err != nil {
		t.Fatal(err)
	}
	n.has("11 0b")
	n.hasRule()
}
