package config

import (
	"encoding"
	"net/netip"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// Addr, Prefix, MAC, RouteTarget and Family read as the types that they hold
// do; they are types of their own because the YAML library forgets the line of
// what an encoding.TextUnmarshaler refuses.
type (
	Addr        struct{ netip.Addr }
	Prefix      struct{ netip.Prefix }
	MAC         struct{ ether.MAC }
	RouteTarget struct{ bgp.RouteTarget }
	Family      struct{ bgp.Family }
)

// UnmarshalYAML reads an IP address.
func (a *Addr) UnmarshalYAML(n ast.Node) error { return readText(n, &a.Addr) }

// UnmarshalYAML reads an IP prefix such as 10.0.0.0/24.
func (p *Prefix) UnmarshalYAML(n ast.Node) error { return readText(n, &p.Prefix) }

// UnmarshalYAML reads a MAC address in the colon form.
func (m *MAC) UnmarshalYAML(n ast.Node) error { return readText(n, &m.MAC) }

// UnmarshalYAML reads a route target such as "65000:100".
func (r *RouteTarget) UnmarshalYAML(n ast.Node) error { return readText(n, &r.RouteTarget) }

// UnmarshalYAML reads evpn, ipv4 or ipv6.
func (f *Family) UnmarshalYAML(n ast.Node) error { return readText(n, &f.Family) }

func readText(n ast.Node, dst encoding.TextUnmarshaler) error {
	scalar, ok := n.(ast.ScalarNode)
	if !ok {
		return &yaml.SyntaxError{Message: "want a single value", Token: n.GetToken()}
	}
	if err := dst.UnmarshalText([]byte(scalar.GetToken().Value)); err != nil {
		return &yaml.SyntaxError{Message: err.Error(), Token: n.GetToken()}
	}
	return nil
}
