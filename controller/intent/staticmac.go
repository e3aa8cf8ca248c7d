package intent

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// StaticMAC is a station that is on its bridge port for ever: it is never
// learned elsewhere, does not age, and is advertised as sticky (RFC 7432 section
// 15.2), with each of its addresses.
type StaticMAC struct {
	ID string `json:"id"`
	// Bridge and Port are ids; the port carries the bridge.
	Bridge string `json:"bridge"`
	Port   string `json:"port"`
	// MAC belongs to one station of the bridge, and so does each of IPs, of which
	// there are at most maxStaticIPs.
	MAC ether.MAC    `json:"mac"`
	IPs []netip.Addr `json:"ips,omitempty"`
	// PortGiven is how who made it called the port, as CheckPortGiven wants it: it is given
	// back and means nothing more. "" = not at all.
	PortGiven string `json:"port_given,omitempty"`
}

// Ref names the static MAC.
func (s StaticMAC) Ref() Ref { return Ref{KindStaticMAC, s.ID} }

// Equal reports whether two ask for the same; the order of addresses means nothing.
func (s StaticMAC) Equal(o StaticMAC) bool {
	return s.ID == o.ID && s.Bridge == o.Bridge && s.Port == o.Port && s.MAC == o.MAC &&
		s.PortGiven == o.PortGiven &&
		slices.Equal(slices.SortedFunc(slices.Values(s.IPs), netip.Addr.Compare),
			slices.SortedFunc(slices.Values(o.IPs), netip.Addr.Compare))
}

// CheckStation checks the address of a host on a bridge.
func CheckStation(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return fmt.Errorf("not an IP address")
	case a.Is4In6():
		return fmt.Errorf("%v is an IPv4-mapped IPv6 address: give it as IPv4", a)
	case a.Zone() != "":
		return fmt.Errorf("%v has a zone: leave it out", a)
	case !packet.IsHost(a):
		return fmt.Errorf("%v is no station's address", a)
	}
	return nil
}

func (s StaticMAC) Check() error {
	var v violations
	v.check("id", CheckID(s.ID))
	v.check("logical_bridge", CheckID(s.Bridge))
	v.check("bridge_port", CheckID(s.Port))
	v.check("mac_address", CheckMAC(s.MAC))
	v.check("port_given", CheckPortGiven(s.PortGiven))
	if n := len(s.IPs); n > maxStaticIPs {
		v.add("ip_addresses", fmt.Sprintf("%d given: want at most %d", n, maxStaticIPs))
		return v.invalid(s.Ref())
	}
	for i, ip := range s.IPs {
		field := fmt.Sprintf("ip_addresses[%d]", i)
		v.check(field, CheckStation(ip))
		if slices.Contains(s.IPs[:i], ip) {
			v.add(field, fmt.Sprintf("%v is there twice", ip))
		}
	}
	return v.invalid(s.Ref())
}

// admit checks that bridge and port are there and belong together, and that the
// station's addresses are nobody else's in the bridge.
func (s StaticMAC) admit(tx *Tx, _ *StaticMAC) (StaticMAC, error) {
	var v violations
	if _, ok := tx.bridges.find(s.Bridge); !ok {
		v.missing("logical_bridge", Ref{KindLogicalBridge, s.Bridge})
	}
	port, ok := tx.ports.find(s.Port)
	if !ok {
		v.missing("bridge_port", Ref{KindBridgePort, s.Port})
	}
	if v != nil {
		return s, v.notFound(s.Ref())
	}
	if p := tx.ports.rows[port]; !p.carries(s.Bridge) {
		v = append(v, Violation{"bridge_port",
			fmt.Sprintf("%v does not carry %v: want a port that does", p.Ref(), Ref{KindLogicalBridge, s.Bridge}), p.Ref()})
	}
	for _, o := range tx.statics.rows {
		if o.ID == s.ID || o.Bridge != s.Bridge {
			continue
		}
		if o.MAC == s.MAC {
			v.taken("mac_address", s.MAC, o.Ref())
		}
		for i, ip := range s.IPs {
			if slices.Contains(o.IPs, ip) {
				v.taken(fmt.Sprintf("ip_addresses[%d]", i), ip, o.Ref())
			}
		}
	}
	for _, o := range tx.svis.rows {
		if o.Bridge == s.Bridge {
			v.gatewayOf(s, o)
		}
	}
	return s, v.conflict(s.Ref())
}

// gatewayOf checks a station against the gateway of its bridge.
func (v *violations) gatewayOf(s StaticMAC, o SVI) {
	if o.MAC == s.MAC {
		v.taken("mac_address", s.MAC, o.Ref())
	}
	for i, ip := range s.IPs {
		if o.has(ip) {
			v.taken(fmt.Sprintf("ip_addresses[%d]", i), ip, o.Ref())
		}
	}
}

// carries reports whether frames of a bridge may leave by the port.
func (p BridgePort) carries(bridge string) bool {
	return p.Transparent() || slices.Contains(p.Bridges, bridge)
}

// release: nothing refers to a static MAC.
func (s StaticMAC) release(*Tx) error { return nil }

func (s StaticMAC) clone() StaticMAC {
	s.IPs = slices.Clone(s.IPs)
	return s
}
