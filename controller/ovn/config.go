package ovn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/file"
)

// Intent is where bridges and their logical switches come from; *intent.Store is one.
type Intent interface {
	Watch(context.Context) <-chan intent.Batch
}

// Config of a Keeper.
type Config struct {
	Intent Intent
	// Fabric says who is behind VTEPs, for Addresses, Tunnels and Shared, and is told who is behind
	// OVN, for Port; *controller.Controller is one. It may be nil without all.
	Fabric view.Fabric
	// Addresses has OVN know who is behind VTEPs, with the addresses: it answers ARP for
	// them itself, and its routers reach them. Else its ports take whatever is unknown.
	Addresses bool
	// Tunnels has the integration bridge be the VTEP: it gets a tunnel for each remote one, and
	// OVN a port, which knows who is behind it. Else a trunk of the target is joined to OVN.
	Tunnels bool
	// Shared has gateways with one Owner share the logical switches that each of them wants: each
	// is joined at one of them, and at another when EVPN tells of that one no more. They differ
	// in their VTEPs.
	Shared bool
	// Northbound are the addresses of OVN_Northbound, as checkAddress wants them: one, or
	// all members of a cluster, of which the leader is used.
	Northbound []string
	// OpenVSwitch is the address of the Open vSwitch database of the chassis that the ports
	// are bound to. It may be "": then the provider bridge and its mapping are the
	// operator's, and Chassis must be set.
	OpenVSwitch string
	// Chassis is the system-id that ports are bound to; "" = that of OpenVSwitch.
	Chassis string
	// Owner marks our rows; no other gateway of this OVN has the same, unless Shared.
	Owner string
	// Bridge is the provider bridge; "" = br-evpn. It is made in OpenVSwitch. With Tunnels it
	// is the integration bridge, which is there; "" = br-int.
	Bridge string
	// Interface is the netdev of the provider bridge whose peer is a trunk of the target;
	// "" only without OpenVSwitch.
	Interface string
	// Port is the target's port, by its name, behind which the logical switches are: Fabric
	// is told which stations are there. "" = it is not told.
	Port string
	// Linger is how long a station is told of that is on no chassis, as one that moves is for
	// a while; 0 = 30 s.
	Linger time.Duration
	// Network is the name of the provider network in the bridge mapping; "" = evpn.
	Network string
	TLS     TLS // for addresses that begin with ssl
	// Gather is how long changes gather after the last ones were looked at, and at most those
	// that come one after the other; 0 = 200 ms.
	Gather time.Duration
	// Retry is the pause before a database that does not answer, or refused something, is
	// tried again; 0 = 5 s.
	Retry time.Duration
	// Patience is how long an answer of a database is waited for; 0 = 5 s.
	Patience time.Duration
	Logger   *slog.Logger // nil = slog.Default
}

// TLS names PEM files: our certificate, its key, and the authority of the databases. They
// are read for each connection.
type TLS struct{ Certificate, Key, CA string }

func (t TLS) load() (*tls.Config, error) {
	pair, err := file.KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s and key %s: %w", t.Certificate, t.Key, err)
	}
	roots, err := file.Authorities(t.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the databases' authority: %w", err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func (c Config) withDefaults() Config {
	if c.Tunnels {
		c.Bridge = cmp.Or(c.Bridge, "br-int")
	}
	c.Bridge = cmp.Or(c.Bridge, "br-evpn")
	c.Network = cmp.Or(c.Network, "evpn")
	c.Gather = cmp.Or(c.Gather, 200*time.Millisecond)
	c.Linger = cmp.Or(c.Linger, 30*time.Second)
	c.Retry = cmp.Or(c.Retry, 5*time.Second)
	c.Patience = cmp.Or(c.Patience, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// followsBehind reports whether it matters who is behind VTEPs.
func (c Config) followsBehind() bool { return c.Addresses || c.Tunnels || c.Shared }

func (c Config) check() error {
	switch {
	case c.Intent == nil:
		return errors.New("no intent to follow")
	case c.Addresses && c.Fabric == nil:
		return errors.New("addresses: no fabric to have them from")
	case c.Tunnels && (c.Fabric == nil || c.OpenVSwitch == ""):
		return errors.New("tunnels: want a fabric to have VTEPs from, and ovs to make tunnels in")
	case c.Shared && (c.Fabric == nil || c.Tunnels):
		return errors.New("shared: wants a fabric to have VTEPs from, and no tunnels")
	case c.Port != "" && c.Fabric == nil:
		return errors.New("port: no fabric to tell of it")
	case len(c.Northbound) == 0:
		return errors.New("nb: no address of OVN's northbound database")
	case c.Owner == "":
		return errors.New("owner: none: want a name that no other gateway of this OVN has")
	case c.OpenVSwitch == "" && c.Chassis == "":
		return errors.New("chassis: none: want the system-id of the chassis, or ovs to read it from")
	case c.OpenVSwitch != "" && c.Interface == "" && !c.Tunnels:
		return errors.New("interface: none: want the netdev whose peer is a trunk of the target")
	case c.Gather < 0 || c.Retry < 0 || c.Linger < 0 || c.Patience < 0:
		return fmt.Errorf("gather %v, retry %v, linger %v, patience %v: want times that are not negative", c.Gather,
			c.Retry, c.Linger, c.Patience)
	}
	if err := checkNetwork(c.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	addresses := c.Northbound
	if c.OpenVSwitch != "" {
		addresses = append(addresses[:len(addresses):len(addresses)], c.OpenVSwitch)
	}
	for _, a := range addresses {
		if err := checkAddress(a); err != nil {
			return err
		}
		if isSSL(a) && c.TLS == (TLS{}) {
			return fmt.Errorf("%s: want tls", a)
		}
	}
	return nil
}

// checkAddress checks how a database is reached (ovsdb(7), Active): tcp:HOST:PORT,
// ssl:HOST:PORT or unix:FILE.
func checkAddress(a string) error {
	scheme, rest, _ := strings.Cut(a, ":")
	switch scheme {
	case "unix":
		if strings.HasPrefix(rest, "/") {
			return nil
		}
	case "tcp", "ssl":
		if host, port, err := net.SplitHostPort(rest); err == nil && host != "" && port != "" {
			return nil
		}
	}
	return fmt.Errorf("%q: want tcp:HOST:PORT, ssl:HOST:PORT or unix:/FILE", a)
}

func isSSL(address string) bool { return strings.HasPrefix(address, "ssl:") }

// checkNetwork checks the name of a provider network, which stands in a list of
// name:bridge.
func checkNetwork(name string) error {
	if strings.ContainsAny(name, ":, ") || strings.HasPrefix(name, "provnet-") {
		return fmt.Errorf("%q: want a name without colon, comma or space that does not begin with provnet-", name)
	}
	return nil
}
