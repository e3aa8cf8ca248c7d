package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/p4evpn/p4evpn/ether"
)

// Chassis is a node of OVN in a namespace: Open vSwitch with the userspace datapath and
// ovn-controller, and on one of them OVN's databases and northd, all of Debian's packages.
type Chassis struct {
	Name string // its system-id
	NS   *Namespace

	lab      *Lab
	dir      string     // of its databases, sockets and logs
	central  *Chassis   // the one with the databases
	encap    netip.Addr // of its tunnels
	running  map[string]*Process
	commands map[string][]string // that started them
}

const (
	ovnSchemas   = "/usr/share/ovn/"
	ovsSchema    = "/usr/share/openvswitch/vswitch.ovsschema"
	southbound   = "6642"
	ovnInterface = "br-phy" // has the encapsulation address: native tunnels route by it
)

// errNoOVN says that OVN is not installed.
var errNoOVN = errors.New("SKIP: OVN is not installed: ovn-central, ovn-host and openvswitch-switch")

// HasOVN reports whether OVN's programs are there.
func HasOVN() error {
	for _, program := range []string{"ovn-northd", "ovn-controller", "ovs-vswitchd", "ovsdb-server"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w", errNoOVN, err)
		}
	}
	return nil
}

// Chassis starts a node with the encapsulation address encap behind the device up0.
// Without central it is that itself.
func (l *Lab) Chassis(ctx context.Context, n *Namespace, name string, central *Chassis,
	encap netip.Prefix) (*Chassis, error) {
	c := &Chassis{Name: name, NS: n, lab: l, dir: filepath.Join(l.Dir, "ovn-"+name), central: central, encap: encap.Addr(),
		running: map[string]*Process{}, commands: map[string][]string{}}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("start OVN on %s: %w", name, err)
	}
	if central == nil {
		c.central = c
		if err := c.startCentral(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.startOVS(ctx); err != nil {
		return nil, err
	}
	// Native tunnels want the address on the bridge's own device.
	if err := n.AddAddress(ovnInterface, encap); err != nil {
		return nil, err
	}
	if err := n.Up(ovnInterface); err != nil {
		return nil, err
	}
	if err := n.offloadsOff(ovnInterface); err != nil {
		return nil, err
	}
	return c, c.start("controller", "ovn-controller", c.OpenVSwitch())
}

func (c *Chassis) path(name string) string { return filepath.Join(c.dir, name) }

// environment has all programs of OVN keep to the node's folder.
func (c *Chassis) environment() []string {
	env := []string{"env"}
	for _, key := range []string{"OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR", "OVN_DBDIR",
		"OVS_SYSCONFDIR"} {
		env = append(env, key+"="+c.dir)
	}
	return append(env, "OVN_NB_DB="+c.central.Northbound(), "OVN_SB_DB=unix:"+c.central.path("sb.sock"))
}

// Northbound and OpenVSwitch are how the databases are reached on the machine.
func (c *Chassis) Northbound() string  { return "unix:" + c.path("nb.sock") }
func (c *Chassis) OpenVSwitch() string { return "unix:" + c.path("db.sock") }

// start runs a program of the node by a name of its own.
func (c *Chassis) start(name, program string, args ...string) error {
	args = append(args, "--no-chdir", "--pidfile="+c.path(name+".pid"))
	if program != "ovn-controller" { // it knows no such option
		args = append(args, "--unixctl="+c.path(name+".ctl"))
	}
	c.commands[name] = append(c.environment(), append([]string{program}, args...)...)
	return c.run(name)
}

func (c *Chassis) run(name string) (err error) {
	c.running[name], err = c.lab.Start(c.NS, name+"-"+c.Name, c.commands[name]...)
	return err
}

// Restart kills a program of the node and starts it again: nb, sb, northd, db, vswitchd
// or controller.
func (c *Chassis) Restart(name string) error {
	if err := c.running[name].Kill(); err != nil {
		return err
	}
	return c.run(name)
}

// Do runs a command of the node, such as ovs-vsctl, with its words in one text.
func (c *Chassis) Do(ctx context.Context, command string) (string, error) {
	return c.do(ctx, strings.Fields(command)...)
}

func (c *Chassis) do(ctx context.Context, command ...string) (string, error) {
	return c.NS.Output(ctx, append(c.environment(), command...)...)
}

// database makes a database and starts its server.
func (c *Chassis) database(ctx context.Context, name, schema string, remotes ...string) error {
	if _, err := c.Do(ctx, "ovsdb-tool create "+c.path(name+".db")+" "+schema); err != nil {
		return err
	}
	socket := c.path(name + ".sock")
	args := []string{c.path(name + ".db"), "--remote=punix:" + socket}
	for _, r := range remotes {
		args = append(args, "--remote="+r)
	}
	if err := c.start(name, "ovsdb-server", args...); err != nil {
		return err
	}
	return Eventually(ctx, patience, name+" serves", func(ctx context.Context) error {
		if err := c.running[name].Running(); err != nil {
			return err
		}
		_, err := c.Do(ctx, "ovsdb-client list-dbs unix:"+socket)
		return err
	})
}

func (c *Chassis) startCentral(ctx context.Context) error {
	if err := c.database(ctx, "nb", ovnSchemas+"ovn-nb.ovsschema"); err != nil {
		return err
	}
	if err := c.database(ctx, "sb", ovnSchemas+"ovn-sb.ovsschema", "ptcp:"+southbound+":0.0.0.0"); err != nil {
		return err
	}
	for _, command := range []string{"ovn-nbctl init", "ovn-sbctl init"} {
		if _, err := c.Do(ctx, command); err != nil {
			return err
		}
	}
	return c.start("northd", "ovn-northd", "--ovnnb-db="+c.Northbound(), "--ovnsb-db=unix:"+c.path("sb.sock"))
}

// startOVS starts the datapath with the bridge of the tunnels and OVN's own. An
// ovn-controller that starts again gathers what it knows before it takes the flows of the
// one before away.
func (c *Chassis) startOVS(ctx context.Context) error {
	if err := c.database(ctx, "db", ovsSchema); err != nil {
		return err
	}
	for _, command := range []string{
		"ovs-vsctl --no-wait init",
		fmt.Sprintf("ovs-vsctl --no-wait set Open_vSwitch . external-ids:system-id=%s external-ids:hostname=%[1]s "+
			"external-ids:ovn-remote=tcp:%s:%s external-ids:ovn-encap-type=geneve external-ids:ovn-encap-ip=%s "+
			"external-ids:ovn-bridge-datapath-type=netdev external-ids:ovn-ofctrl-wait-before-clear=2000",
			c.Name, c.central.encap, southbound, c.encap),
	} {
		if _, err := c.Do(ctx, command); err != nil {
			return err
		}
	}
	if err := c.start("vswitchd", "ovs-vswitchd", c.OpenVSwitch(), "--disable-system"); err != nil {
		return err
	}
	for _, command := range []string{
		"ovs-vsctl --timeout=60 add-br " + ovnInterface + " -- set bridge " + ovnInterface +
			" datapath_type=netdev fail-mode=standalone -- add-port " + ovnInterface + " up0",
		"ovs-vsctl --timeout=60 add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure",
	} {
		if _, err := c.Do(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// AddVM makes a station of a logical switch behind the node: a host whose other end is a
// port of br-int, and OVN's port for it.
func (c *Chassis) AddVM(ctx context.Context, name, logicalSwitch string, mac ether.MAC,
	address netip.Prefix) (*Host, error) {
	n, err := c.lab.Namespace(name)
	if err != nil {
		return nil, err
	}
	// Frames grow by Geneve on their way to other nodes.
	if err := c.lab.Cable(End{NS: n, Dev: "eth0", MTU: 1400}, End{NS: c.NS, Dev: name, MTU: 1400}); err != nil {
		return nil, err
	}
	h := &Host{Name: name, NS: n, Dev: "eth0", MAC: mac, Address: address}
	if err := h.Configure(); err != nil {
		return nil, err
	}
	if err := c.AddPort(ctx, name, logicalSwitch, mac, address.Addr()); err != nil {
		return nil, err
	}
	return h, c.Bind(ctx, name)
}

// AddPort makes OVN's port of a station.
func (c *Chassis) AddPort(ctx context.Context, name, logicalSwitch string, mac ether.MAC, address netip.Addr) error {
	_, err := c.do(ctx, "ovn-nbctl", "--timeout=60", "lsp-add", logicalSwitch, name, "--", "lsp-set-addresses", name,
		fmt.Sprintf("%v %v", mac, address))
	return err
}

// Bind has OVN's port of a name be behind the node, at the device of that name; words are
// more of the device's row.
func (c *Chassis) Bind(ctx context.Context, name string, words ...string) error {
	_, err := c.do(ctx, append([]string{"ovs-vsctl", "--timeout=60", "add-port", "br-int", name, "--", "set", "Interface",
		name, "external_ids:iface-id=" + name}, words...)...)
	return err
}

// Release undoes Bind.
func (c *Chassis) Release(ctx context.Context, name string) error {
	_, err := c.Do(ctx, "ovs-vsctl --timeout=60 del-port br-int "+name)
	return err
}

// Bound reports whether OVN's port of a name is behind the node.
func (c *Chassis) Bound(ctx context.Context, name string) error {
	at, err := c.Do(ctx, "ovn-sbctl --bare --columns=chassis find Port_Binding logical_port="+name)
	if err != nil {
		return err
	}
	here, err := c.Do(ctx, "ovn-sbctl get Chassis "+c.Name+" _uuid")
	if err == nil && (at == "" || at != here) {
		err = fmt.Errorf("port %s is at chassis %q, want %s", name, at, here)
	}
	return err
}
