package config

import (
	"encoding"
	"net/netip"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// Addr, MAC and RouteTarget read as the types that they hold do; they are types
// of their own because the YAML library forgets the line of what an
// encoding.TextUnmarshaler refuses.
type (
	Addr        struct{ netip.Addr }
	MAC         struct{ ether.MAC }
	RouteTarget struct{ bgp.RouteTarget }
)

// UnmarshalYAML reads an IP address.
func (a *Addr) UnmarshalYAML(n ast.Node) error { return readText(n, &a.Addr) }

// UnmarshalYAML reads a MAC address in the colon form.
func (m *MAC) UnmarshalYAML(n ast.Node) error { return readText(n, &m.MAC) }

// UnmarshalYAML reads a route target such as "65000:100".
func (r *RouteTarget) UnmarshalYAML(n ast.Node) error { return readText(n, &r.RouteTarget) }

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
