package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// OVN is what joins bridges to logical switches of OVN (docs/ovn.md). Which bridge
// stretches which says logical_switch of the bridge.
type OVN struct {
	// NB are the addresses of OVN's northbound database, as tcp:HOST:PORT, ssl:HOST:PORT or
	// unix:/FILE: one, or all members of a cluster. Left out there is no OVN.
	NB []string `yaml:"nb"`
	// OVS is the address of the Open vSwitch database of the chassis beside the gateway, as
	// unix:/run/openvswitch/db.sock. Left out the provider bridge is made by hand.
	OVS string `yaml:"ovs"`
	// Mode is how: "attach", the default, by a trunk port of the target; or "tunnels": the
	// integration bridge has a tunnel to each VTEP, and the target needs no ports and uplinks.
	Mode      string `yaml:"mode"`
	Bridge    string `yaml:"bridge"`    // the provider bridge; left out: br-evpn; of tunnels br-int
	Interface string `yaml:"interface"` // its netdev, whose peer is a trunk port of ours; needed with ovs
	// Port is our trunk port at the other end. With it the stations that OVN's database has
	// are advertised before they speak; without it once they do.
	Port    string `yaml:"port"`
	Network string `yaml:"network"` // the provider network in ovn-bridge-mappings; left out: evpn
	Chassis string `yaml:"chassis"` // system-id of the chassis; left out: that of ovs
	// Owner marks our rows, and must differ between gateways of one OVN that do not share; left
	// out it is the router id.
	Owner string `yaml:"owner"`
	// Shared has gateways with one owner share their logical switches: each is joined at one of
	// them, and at another when EVPN tells of that one no more.
	Shared bool `yaml:"shared"`
	// Remote is how OVN knows who is behind VTEPs: "unknown", the default: its port takes
	// what no other has; or "addresses": each with MAC and addresses, for a thousand or so.
	Remote string `yaml:"remote"`
	TLS    OVNTLS `yaml:"tls"` // for addresses with ssl
}

// OVNTLS names PEM files: all of them, or none.
type OVNTLS struct {
	Certificate string `yaml:"certificate"` // PEM file, ours
	Key         string `yaml:"key"`         // PEM file
	CA          string `yaml:"ca"`          // PEM file of the authority that OVN's databases are of
}

// Values of OVN.Remote and OVN.Mode.
const (
	ovnUnknown   = "unknown"
	OVNAddresses = "addresses"
	ovnAttach    = "attach"
	OVNTunnels   = "tunnels"
)

// Enabled reports whether there is an OVN.
func (o OVN) Enabled() bool { return len(o.NB) > 0 }

func (c *checker) checkOVN() {
	o := c.file.OVN
	if !o.Enabled() {
		if o.OVS != "" || o.Interface != "" || o.Chassis != "" {
			c.fail("ovn.nb", "missing: want the addresses of OVN's northbound database")
		}
		return
	}
	if o.Mode == OVNTunnels {
		c.checkOVNTunnels()
	}
	secure := false
	for i, a := range o.NB {
		secure = c.checkDatabase(fmt.Sprintf("ovn.nb[%d]", i), a) || secure
	}
	switch {
	case o.OVS == "" && o.Chassis == "":
		c.fail("ovn.chassis", "missing: want the chassis' system-id, or ovn.ovs, which has it")
	case o.OVS != "" && o.Interface == "" && o.Mode != OVNTunnels:
		c.fail("ovn.interface", "missing: want the netdev whose peer is a trunk port of ours")
	case o.OVS != "":
		secure = c.checkDatabase("ovn.ovs", o.OVS) || secure
	}
	if o.Port != "" && !slices.ContainsFunc(c.file.Ports, func(p Port) bool { return p.Name == o.Port }) {
		c.fail("ovn.port", "%q: want the name of one of ports", o.Port)
	}
	if o.Mode != "" && o.Mode != ovnAttach && o.Mode != OVNTunnels {
		c.fail("ovn.mode", "%q: want %s or %s", o.Mode, ovnAttach, OVNTunnels)
	}
	if o.Remote != "" && o.Remote != ovnUnknown && o.Remote != OVNAddresses {
		c.fail("ovn.remote", "%q: want %s or %s", o.Remote, ovnUnknown, OVNAddresses)
	}
	if o.Owner == "" && !c.file.RouterID.IsValid() {
		c.fail("ovn.owner", "missing: without router_id want a name that no other gateway of this OVN has")
	}
	if o.Shared && o.Owner == "" {
		c.fail("ovn.owner", "missing: gateways that share logical switches want one name for them all")
	}
	if strings.ContainsAny(o.Network, ":, ") || strings.HasPrefix(o.Network, "provnet-") {
		c.fail("ovn.network", "%q: want a name without colon, comma or space that does not begin with provnet-", o.Network)
	}
	if secure || o.TLS != (OVNTLS{}) {
		for _, f := range []struct{ key, file string }{{"certificate", o.TLS.Certificate}, {"key", o.TLS.Key},
			{"ca", o.TLS.CA}} {
			if f.file == "" {
				c.fail("ovn.tls."+f.key, "missing: ssl wants a certificate of ours, its key and the authority of the databases")
			}
		}
	}
}

// checkOVNTunnels checks what of tunnels is other than of a trunk.
func (c *checker) checkOVNTunnels() {
	o := c.file.OVN
	if o.OVS == "" {
		c.fail("ovn.ovs", "missing: want the Open vSwitch database of the chassis where the tunnels are to be")
	}
	if o.Shared {
		c.fail("ovn.shared", "tunnels are not shared: leave it out")
	}
	for _, f := range []struct{ key, value string }{{"interface", o.Interface}, {"port", o.Port}, {"network", o.Network},
		{"remote", o.Remote}} {
		if f.value != "" {
			c.fail("ovn."+f.key, "%q: tunnels have none: leave it out", f.value)
		}
	}
}

// checkDatabase checks how a database is reached, and reports whether by TLS.
func (c *checker) checkDatabase(path, address string) bool {
	scheme, rest, _ := strings.Cut(address, ":")
	host, port, err := net.SplitHostPort(rest)
	switch {
	case scheme == "unix" && strings.HasPrefix(rest, "/"):
		return false
	case (scheme == "tcp" || scheme == "ssl") && err == nil && host != "" && port != "":
		return scheme == "ssl"
	}
	c.fail(path, "%q: want tcp:HOST:PORT, ssl:HOST:PORT or unix:/FILE", address)
	return false
}
