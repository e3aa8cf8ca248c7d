package bgp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/ether"
)

// decoder turns GoBGP's paths into routes. The paths of one UPDATE share their
// attributes, so it keeps those that it decoded last. It is not safe for
// concurrent use.
type decoder struct {
	as         uint32 // ours
	allowOwnAS uint8
	last       []bgp.PathAttributeInterface // MP_REACH_NLRI aside
	attrs      attributes
}

// attributes is what the path attributes say, for all routes of an UPDATE.
type attributes struct {
	reason         Reason // why no route with them is taken
	routeTargets   RouteTargets
	sequence       uint32
	sticky         bool
	defaultGateway bool
	routerMAC      ether.MAC
	hasPMSI        bool
	pmsiType       bgp.PmsiTunnelType
	label          uint32
	tunnel         netip.Addr
}

// key decodes what names the route; a withdrawal has no more than that.
func decodeKey(nlri bgp.NLRI) (Key, Reason) {
	n, ok := nlri.(*bgp.EVPNNLRI)
	if !ok {
		return Key{}, BadRouteType
	}
	switch r := n.RouteTypeData.(type) {
	case *bgp.EVPNMacIPAdvertisementRoute:
		return decodeMACKey(r)
	case *bgp.EVPNMulticastEthernetTagRoute:
		rd, ok := decodeRD(r.RD)
		if !ok {
			return Key{}, BadRD
		}
		if !IsHost(r.IPAddress) {
			return Key{}, BadIP
		}
		return Key{Type: TypeMulticast, RD: rd, EthernetTag: r.ETag, IP: r.IPAddress}, Accepted
	case *bgp.EVPNIPPrefixRoute:
		rd, ok := decodeRD(r.RD)
		if !ok {
			return Key{}, BadRD
		}
		p := netip.PrefixFrom(r.IPPrefix, int(r.IPPrefixLength))
		if !p.IsValid() || p.Masked() != p || r.IPPrefix.Is4In6() {
			return Key{}, BadPrefix
		}
		return Key{Type: TypePrefix, RD: rd, EthernetTag: r.ETag, IP: r.IPPrefix, PrefixLength: r.IPPrefixLength}, Accepted
	}
	return Key{}, BadRouteType
}

func decodeMACKey(r *bgp.EVPNMacIPAdvertisementRoute) (Key, Reason) {
	rd, ok := decodeRD(r.RD)
	if !ok {
		return Key{}, BadRD
	}
	if r.MacAddressLength != 48 || len(r.MacAddress) != 6 {
		return Key{}, BadMAC
	}
	k := Key{Type: TypeMACIP, RD: rd, EthernetTag: r.ETag, MAC: ether.MAC(r.MacAddress)}
	if k.MAC.IsZero() || k.MAC.IsMulticast() {
		return Key{}, BadMAC
	}
	if r.IPAddressLength != 0 {
		if !IsHost(r.IPAddress) {
			return Key{}, BadIP
		}
		k.IP = r.IPAddress
	}
	return k, Accepted
}

func decodeRD(rd bgp.RouteDistinguisherInterface) (RD, bool) {
	var out RD
	switch r := rd.(type) {
	case *bgp.RouteDistinguisherTwoOctetAS:
		out[1] = bgp.BGP_RD_TWO_OCTET_AS
		binary.BigEndian.PutUint16(out[2:], r.Admin)
		binary.BigEndian.PutUint32(out[4:], r.Assigned)
	case *bgp.RouteDistinguisherIPAddressAS:
		if !r.Admin.Is4() {
			return out, false
		}
		out[1] = bgp.BGP_RD_IPV4_ADDRESS
		a := r.Admin.As4()
		copy(out[2:], a[:])
		binary.BigEndian.PutUint16(out[6:], r.Assigned)
	case *bgp.RouteDistinguisherFourOctetAS:
		out[1] = bgp.BGP_RD_FOUR_OCTET_AS
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
func (d *decoder) event(p *apiutil.Path) (e Event, reason Reason, ok bool) {
	key, reason := decodeKey(p.Nlri)
	if reason != Accepted {
		return Event{}, reason, false
	}
	if p.Withdrawal {
		return Event{Kind: RouteWithdraw, Route: Route{Key: key}}, Accepted, true
	}
	route, reason := d.route(key, p.Nlri.(*bgp.EVPNNLRI), p.Attrs)
	if reason != Accepted {
		return Event{Kind: RouteWithdraw, Route: Route{Key: key}}, reason, true
	}
	return Event{Kind: RouteUpdate, Route: route}, Accepted, true
}

func (d *decoder) route(key Key, nlri *bgp.EVPNNLRI, list []bgp.PathAttributeInterface) (Route, Reason) {
	nextHop := d.decode(list)
	a := &d.attrs
	if a.reason != Accepted {
		return Route{}, a.reason
	}
	if !nextHop.IsValid() || nextHop.IsUnspecified() || nextHop.IsMulticast() {
		return Route{}, BadNextHop
	}
	r := Route{Key: key, NextHop: nextHop, RouteTargets: a.routeTargets, RouterMAC: a.routerMAC}
	switch n := nlri.RouteTypeData.(type) {
	case *bgp.EVPNMacIPAdvertisementRoute:
		r.Sequence, r.Sticky, r.DefaultGateway = a.sequence, a.sticky, a.defaultGateway
		r.ESI = decodeESI(&n.ESI)
		if len(n.Labels) > 0 {
			r.Label = n.Labels[0]
		}
		if len(n.Labels) > 1 {
			r.Label2 = n.Labels[1]
		}
		if r.Label == 0 {
			return Route{}, BadLabel
		}
	case *bgp.EVPNMulticastEthernetTagRoute:
		if a.hasPMSI && a.pmsiType != bgp.PMSI_TUNNEL_TYPE_INGRESS_REPL && a.pmsiType != bgp.PMSI_TUNNEL_TYPE_NO_TUNNEL {
			return Route{}, BadTunnel
		}
		r.Label, r.Tunnel = a.label, a.tunnel
	case *bgp.EVPNIPPrefixRoute:
		r.Label, r.ESI = n.Label, decodeESI(&n.ESI)
		if n.GWIPAddress.IsValid() && !n.GWIPAddress.IsUnspecified() {
			r.GatewayIP = n.GWIPAddress
		}
		if r.Label == 0 && !r.GatewayIP.IsValid() && r.ESI.IsZero() {
			return Route{}, BadLabel
		}
	}
	return r, Accepted
}

func decodeESI(e *bgp.EthernetSegmentIdentifier) ESI {
	esi := ESI{byte(e.Type)}
	copy(esi[1:], e.Value)
	return esi
}

// decode leaves in d.attrs what the attributes say and gives the next hop,
// which is in an attribute that each path has a copy of.
func (d *decoder) decode(list []bgp.PathAttributeInterface) (nextHop netip.Addr) {
	same := len(d.last) > 0
	n := 0
	for _, a := range list {
		if reach, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
			nextHop = reach.Nexthop.Unmap()
			continue
		}
		same = same && n < len(d.last) && d.last[n] == a
		n++
	}
	if same && n == len(d.last) {
		return nextHop
	}
	d.last = slices.DeleteFunc(append(d.last[:0], list...), func(a bgp.PathAttributeInterface) bool {
		return a.GetType() == bgp.BGP_ATTR_TYPE_MP_REACH_NLRI
	})
	d.attrs = attributes{}
	for _, a := range d.last {
		switch a := a.(type) {
		case *bgp.PathAttributeExtendedCommunities:
			d.attrs.communities(a.Value)
		case *bgp.PathAttributePmsiTunnel:
			d.attrs.pmsi(a)
		case *bgp.PathAttributeAsPath:
			if d.loops(a) {
				d.attrs.reason = ASLoop
			}
		}
	}
	return nextHop
}

func (d *decoder) loops(path *bgp.PathAttributeAsPath) bool {
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
func (a *attributes) communities(list []bgp.ExtendedCommunityInterface) {
	var buf [16]RouteTarget
	targets := buf[:0]
	encapsulations, vxlan := 0, false
	for _, c := range list {
		switch c := c.(type) {
		case *bgp.TwoOctetAsSpecificExtended, *bgp.IPv4AddressSpecificExtended, *bgp.FourOctetAsSpecificExtended:
			if rt, ok := decodeRouteTarget(c); ok {
				targets = append(targets, rt)
			}
		case *bgp.EncapExtended:
			encapsulations++
			vxlan = vxlan || c.TunnelType == bgp.TUNNEL_TYPE_VXLAN
		case *bgp.MacMobilityExtended:
			a.sequence = max(a.sequence, c.Sequence)
			a.sticky = a.sticky || c.IsSticky
		case *bgp.DefaultGatewayExtended:
			a.defaultGateway = true
		case *bgp.RouterMacExtended:
			if len(c.Mac) != 6 || c.Mac[0]&1 != 0 || ether.MAC(c.Mac).IsZero() {
				a.reason = BadRouterMAC
			} else if a.routerMAC.IsZero() {
				a.routerMAC = ether.MAC(c.Mac)
			}
		}
	}
	a.routeTargets = MakeRouteTargets(targets...)
	if encapsulations > 0 && !vxlan {
		a.reason = BadEncapsulation
	}
}

func decodeRouteTarget(c bgp.ExtendedCommunityInterface) (RouteTarget, bool) {
	b, err := c.Serialize()
	if err != nil || len(b) != 8 || !isRouteTarget([8]byte(b)) {
		return RouteTarget{}, false
	}
	return RouteTarget(b), true
}

func (a *attributes) pmsi(p *bgp.PathAttributePmsiTunnel) {
	a.hasPMSI, a.pmsiType, a.label = true, p.TunnelType, p.Label
	if id, ok := p.TunnelID.(*bgp.IngressReplTunnelID); ok {
		if v := id.Value.Unmap(); v.IsValid() && !v.IsUnspecified() && !v.IsMulticast() {
			a.tunnel = v
		}
	}
}

// isRouteTarget reports whether an extended community is a route target of a type
// that RouteTarget reads.
func isRouteTarget(c [8]byte) bool {
	return c[0] <= byte(bgp.EC_TYPE_TRANSITIVE_FOUR_OCTET_AS_SPECIFIC) && c[1] == byte(bgp.EC_SUBTYPE_ROUTE_TARGET)
}
