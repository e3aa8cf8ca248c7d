package bgp

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// NLRI is one EVPN NLRI of the route types 1 to 5, with what it holds beside its key.
type NLRI struct {
	Key
	ESI       ESI        // types 2 and 5; that of types 1 and 4 is Key.Segment
	Label     uint32     // types 1, 2 and 5, raw 24 bits: a VNI
	Label2    uint32     // type 2, 0 if it has none
	GatewayIP netip.Addr // type 5, invalid if it is zero
}

// Attributes are what the path attributes of an UPDATE say of all its EVPN routes. It is
// a comparable value that nothing changes once it is decoded, so that routes share it.
type Attributes struct {
	// Preference has LocalPref 0 where GracefulShutdown is set (RFC 8326 section 4).
	Preference
	// NextHop is the first of MP_REACH_NLRI's, IPv4 or a global IPv6 one.
	NextHop netip.Addr
	// OriginatorID and ClusterLength are of a route reflector (RFC 4456).
	OriginatorID  netip.Addr
	ClusterLength uint16
	RouteTargets  RouteTargets
	// Mobility is RFC 7432 section 7.7; of several the highest sequence (RFC 7432
	// leaves it open; it is the one that nobody can be behind).
	Sequence       uint32
	Sticky         bool
	DefaultGateway bool
	RouterMAC      ether.MAC
	// Tunnel, TunnelLabel and TunnelType are of the PMSI tunnel attribute (RFC 6514
	// section 5); HasTunnel is that there is one. Tunnel is the identifier of ingress
	// replication, invalid if it is none.
	Tunnel      netip.Addr
	TunnelLabel uint32
	TunnelType  uint8
	HasTunnel   bool
	// Encapsulation is what the encapsulation communities say.
	Encapsulation Encapsulation
	ARPND         ARPND
	// SplitHorizonLabel and SingleActive are of the ESI label community, HasESILabel that
	// there is one (RFC 7432 section 7.5); ESImport is section 7.6; the rest RFC 8584
	// section 2.2 and RFC 8214 section 3.1, raw.
	SplitHorizonLabel uint32
	SingleActive      bool
	HasESILabel       bool
	ESImport          ether.MAC
	DFElection        [6]byte
	HasDFElection     bool
	Layer2            [6]byte
	HasLayer2         bool
	// OwnAS is how often our own AS is in the AS path.
	OwnAS uint8
	// Of the well-known communities: RFC 8326, RFC 9494 section 3.
	GracefulShutdown bool
	LLGRStale        bool
	NoLLGR           bool
}

// Encapsulation is what the encapsulation extended communities (RFC 9012 section 4.1) of a
// route say together.
type Encapsulation uint8

// Without a community it is for the receiver's configuration to say (RFC 8365 section 5.1.3).
const (
	EncapsulationUnsaid Encapsulation = iota
	EncapsulationVXLAN                // one of them is VXLAN
	EncapsulationOther                // there are some, and none is VXLAN
)

// Route is the route of an NLRI with these attributes.
func (a *Attributes) Route(n *NLRI) Route {
	r := Route{
		Key: n.Key, ESI: n.ESI, Label: n.Label, Label2: n.Label2, GatewayIP: n.GatewayIP,
		NextHop: a.NextHop, RouteTargets: a.RouteTargets, RouterMAC: a.RouterMAC, Preference: a.Preference,
	}
	switch n.Type {
	case TypeMACIP:
		r.Sequence, r.Sticky, r.DefaultGateway = a.Sequence, a.Sticky, a.DefaultGateway
		if n.IP.IsValid() {
			r.ARPND = a.ARPND
		}
	case TypeMulticast:
		r.Label, r.Tunnel = a.TunnelLabel, a.Tunnel
	}
	return r
}
