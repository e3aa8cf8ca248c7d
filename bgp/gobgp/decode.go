package gobgp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// decoder turns GoBGP's paths into routes. The paths of one UPDATE share their
// attributes, so it keeps those that it decoded last. It is not safe for
// concurrent use.
type decoder struct {
	as         uint32 // ours
	allowOwnAS uint8
	last       []packet.PathAttributeInterface // MP_REACH_NLRI aside
	attrs      attributes
}

// attributes is what the path attributes say, for all routes of an UPDATE.
type attributes struct {
	reason         bgp.Reason // why no route with them is taken
	routeTargets   bgp.RouteTargets
	sequence       uint32
	sticky         bool
	defaultGateway bool
	routerMAC      ether.MAC
	hasPMSI        bool
	pmsiType       packet.PmsiTunnelType
	label          uint32
	tunnel         netip.Addr
}

// key decodes what names the route; a withdrawal has no more than that.
func decodeKey(nlri packet.NLRI) (bgp.Key, bgp.Reason) {
	n, ok := nlri.(*packet.EVPNNLRI)
	if !ok {
		return bgp.Key{}, bgp.BadRouteType
	}
	switch r := n.RouteTypeData.(type) {
	case *packet.EVPNMacIPAdvertisementRoute:
		return decodeMACKey(r)
	case *packet.EVPNMulticastEthernetTagRoute:
		rd, ok := decodeRD(r.RD)
		if !ok {
			return bgp.Key{}, bgp.BadRD
		}
		if !bgp.IsHost(r.IPAddress) {
			return bgp.Key{}, bgp.BadIP
		}
		return bgp.Key{Type: bgp.TypeMulticast, RD: rd, EthernetTag: r.ETag, IP: r.IPAddress}, bgp.Accepted
	case *packet.EVPNIPPrefixRoute:
		rd, ok := decodeRD(r.RD)
		if !ok {
			return bgp.Key{}, bgp.BadRD
		}
		p := netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength))
		if !p.IsValid() || p.Masked() != p || r.IPPrefix.Is4In6() {
			return bgp.Key{}, bgp.BadPrefix
		}
		return bgp.Key{
			Type: bgp.TypePrefix, RD: rd, EthernetTag: r.ETag, IP: r.IPPrefix, PrefixLength: r.IPPrefixLength,
		}, bgp.Accepted
	}
	return bgp.Key{}, bgp.BadRouteType
}

func decodeMACKey(r *packet.EVPNMacIPAdvertisementRoute) (bgp.Key, bgp.Reason) {
	rd, ok := decodeRD(r.RD)
	if !ok {
		return bgp.Key{}, bgp.BadRD
	}
	if r.MacAddressLength != 48 || len(r.MacAddress) != 6 {
		return bgp.Key{}, bgp.BadMAC
	}
	k := bgp.Key{Type: bgp.TypeMACIP, RD: rd, EthernetTag: r.ETag, MAC: ether.MAC(r.MacAddress)}
	if k.MAC.IsZero() || k.MAC.IsMulticast() {
		return bgp.Key{}, bgp.BadMAC
	}
	if r.IPAddressLength != 0 {
		if !bgp.IsHost(r.IPAddress) {
			return bgp.Key{}, bgp.BadIP
		}
		k.IP = r.IPAddress
	}
	return k, bgp.Accepted
}

func decodeRD(rd packet.RouteDistinguisherInterface) (bgp.RD, bool) {
	var out bgp.RD
	switch r := rd.(type) {
	case *packet.RouteDistinguisherTwoOctetAS:
		out[1] = packet.BGP_RD_TWO_OCTET_AS
		binary.BigEndian.PutUint16(out[2:], r.Admin)
		binary.BigEndian.PutUint32(out[4:], r.Assigned)
	case *packet.RouteDistinguisherIPAddressAS:
		if !r.Admin.Is4() {
			return out, false
		}
		out[1] = packet.BGP_RD_IPV4_ADDRESS
		a := r.Admin.As4()
		copy(out[2:], a[:])
		binary.BigEndian.PutUint16(out[6:], r.Assigned)
	case *packet.RouteDistinguisherFourOctetAS:
		out[1] = packet.BGP_RD_FOUR_OCTET_AS
		binary.BigEndian.PutUint32(out[2:], r.Admin)
		binary.BigEndian.PutUint16(out[6:], r.Assigned)
	default:
		return out, false
	}
	return out, true
}

// event decodes one path. ok is false if it says nothing: its key cannot be
// read. A path whose key can be read and that is not taken for another reason
// is a withdrawal, since the peer no longer has what it may have had before.
func (d *decoder) event(p *apiutil.Path) (e bgp.Event, reason bgp.Reason, ok bool) {
	key, reason := decodeKey(p.Nlri)
	if reason != bgp.Accepted {
		return bgp.Event{}, reason, false
	}
	if p.Withdrawal {
		return bgp.Event{Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: key}}, bgp.Accepted, true
	}
	route, reason := d.route(key, p.Nlri.(*packet.EVPNNLRI), p.Attrs)
	if reason != bgp.Accepted {
		return bgp.Event{Kind: bgp.RouteWithdraw, Route: bgp.Route{Key: key}}, reason, true
	}
	return bgp.Event{Kind: bgp.RouteUpdate, Route: route}, bgp.Accepted, true
}

func (d *decoder) route(
	key bgp.Key, nlri *packet.EVPNNLRI, list []packet.PathAttributeInterface,
) (bgp.Route, bgp.Reason) {
	nextHop := d.decode(list)
	a := &d.attrs
	if a.reason != bgp.Accepted {
		return bgp.Route{}, a.reason
	}
	if !nextHop.IsValid() || nextHop.IsUnspecified() || nextHop.IsMulticast() {
		return bgp.Route{}, bgp.BadNextHop
	}
	r := bgp.Route{Key: key, NextHop: nextHop, RouteTargets: a.routeTargets, RouterMAC: a.routerMAC}
	switch n := nlri.RouteTypeData.(type) {
	case *packet.EVPNMacIPAdvertisementRoute:
		r.Sequence, r.Sticky, r.DefaultGateway = a.sequence, a.sticky, a.defaultGateway
		r.ESI = decodeESI(&n.ESI)
		if len(n.Labels) > 0 {
			r.Label = n.Labels[0]
		}
		if len(n.Labels) > 1 {
			r.Label2 = n.Labels[1]
		}
		if r.Label == 0 {
			return bgp.Route{}, bgp.BadLabel
		}
	case *packet.EVPNMulticastEthernetTagRoute:
		if a.hasPMSI &&
			a.pmsiType != packet.PMSI_TUNNEL_TYPE_INGRESS_REPL && a.pmsiType != packet.PMSI_TUNNEL_TYPE_NO_TUNNEL {
			return bgp.Route{}, bgp.BadTunnel
		}
		r.Label, r.Tunnel = a.label, a.tunnel
	case *packet.EVPNIPPrefixRoute:
		r.Label, r.ESI = n.Label, decodeESI(&n.ESI)
		if n.GWIPAddress.IsValid() && !n.GWIPAddress.IsUnspecified() {
			r.GatewayIP = n.GWIPAddress
		}
		if r.Label == 0 && !r.GatewayIP.IsValid() && r.ESI.IsZero() {
			return bgp.Route{}, bgp.BadLabel
		}
	}
	return r, bgp.Accepted
}

func decodeESI(e *packet.EthernetSegmentIdentifier) bgp.ESI {
	esi := bgp.ESI{byte(e.Type)}
	copy(esi[1:], e.Value)
	return esi
}

// decode leaves in d.attrs what the attributes say and gives the next hop,
// which is in an attribute that each path has a copy of.
func (d *decoder) decode(list []packet.PathAttributeInterface) (nextHop netip.Addr) {
	same := len(d.last) > 0
	n := 0
	for _, a := range list {
		if reach, ok := a.(*packet.PathAttributeMpReachNLRI); ok {
			nextHop = reach.Nexthop.Unmap()
			continue
		}
		same = same && n < len(d.last) && d.last[n] == a
		n++
	}
	if same && n == len(d.last) {
		return nextHop
	}
	d.last = slices.DeleteFunc(append(d.last[:0], list...), func(a packet.PathAttributeInterface) bool {
		return a.GetType() == packet.BGP_ATTR_TYPE_MP_REACH_NLRI
	})
	d.attrs = attributes{}
	for _, a := range d.last {
		switch a := a.(type) {
		case *packet.PathAttributeExtendedCommunities:
			d.attrs.communities(a.Value)
		case *packet.PathAttributePmsiTunnel:
			d.attrs.pmsi(a)
		case *packet.PathAttributeAsPath:
			if d.loops(a) {
				d.attrs.reason = bgp.ASLoop
			}
		}
	}
	return nextHop
}

func (d *decoder) loops(path *packet.PathAttributeAsPath) bool {
	n := 0
	for _, segment := range path.Value {
		for _, as := range segment.GetAS() {
			if as == d.as {
				n++
			}
		}
	}
	return n > int(d.allowOwnAS)
}

// communities reads route targets, encapsulation (RFC 9012 section 4.1), MAC
// mobility, default gateway and router MAC; others mean nothing to us.
func (a *attributes) communities(list []packet.ExtendedCommunityInterface) {
	var buf [16]bgp.RouteTarget
	targets := buf[:0]
	encapsulations, vxlan := 0, false
	for _, c := range list {
		switch c := c.(type) {
		case *packet.TwoOctetAsSpecificExtended, *packet.IPv4AddressSpecificExtended,
			*packet.FourOctetAsSpecificExtended:
			if rt, ok := decodeRouteTarget(c); ok {
				targets = append(targets, rt)
			}
		case *packet.EncapExtended:
			encapsulations++
			vxlan = vxlan || c.TunnelType == packet.TUNNEL_TYPE_VXLAN
		case *packet.MacMobilityExtended:
			a.sequence = max(a.sequence, c.Sequence)
			a.sticky = a.sticky || c.IsSticky
		case *packet.DefaultGatewayExtended:
			a.defaultGateway = true
		case *packet.RouterMacExtended:
			if len(c.Mac) != 6 || c.Mac[0]&1 != 0 || ether.MAC(c.Mac).IsZero() {
				a.reason = bgp.BadRouterMAC
			} else if a.routerMAC.IsZero() {
				a.routerMAC = ether.MAC(c.Mac)
			}
		}
	}
	a.routeTargets = bgp.MakeRouteTargets(targets...)
	if encapsulations > 0 && !vxlan {
		a.reason = bgp.BadEncapsulation
	}
}

func decodeRouteTarget(c packet.ExtendedCommunityInterface) (bgp.RouteTarget, bool) {
	b, err := c.Serialize()
	if err != nil || len(b) != 8 || !isRouteTarget([8]byte(b)) {
		return bgp.RouteTarget{}, false
	}
	return bgp.RouteTarget(b), true
}

func (a *attributes) pmsi(p *packet.PathAttributePmsiTunnel) {
	a.hasPMSI, a.pmsiType, a.label = true, p.TunnelType, p.Label
	if id, ok := p.TunnelID.(*packet.IngressReplTunnelID); ok {
		if v := id.Value.Unmap(); v.IsValid() && !v.IsUnspecified() && !v.IsMulticast() {
			a.tunnel = v
		}
	}
}

// isRouteTarget reports whether an extended community is a route target of a type
// that RouteTarget reads.
func isRouteTarget(c [8]byte) bool {
	return c[0] <= byte(packet.EC_TYPE_TRANSITIVE_FOUR_OCTET_AS_SPECIFIC) &&
		c[1] == byte(packet.EC_SUBTYPE_ROUTE_TARGET)
}
