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
	internal   bool                            // the peer is of our AS
	last       []packet.PathAttributeInterface // MP_REACH_NLRI aside
	attrs      *bgp.Attributes                 // what they say; what changes is another one
	reason     bgp.Reason                      // why no route with them is taken
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

// path decodes one path: an NLRI with its attributes, which are nil if it is
// withdrawn. ok is false if it says nothing: its key cannot be read. A path whose
// key can be read and that is not taken for another reason is a withdrawal, since
// the peer no longer has what it may have had before.
func (d *decoder) path(p *apiutil.Path) (n bgp.NLRI, attrs *bgp.Attributes, reason bgp.Reason, ok bool) {
	key, reason := decodeKey(p.Nlri)
	n.Key = key
	if reason != bgp.Accepted {
		return bgp.NLRI{}, nil, reason, false
	}
	if p.Withdrawal {
		return n, nil, bgp.Accepted, true
	}
	d.decode(p.Attrs)
	if reason := d.nlri(&n, p.Nlri.(*packet.EVPNNLRI)); reason != bgp.Accepted {
		return bgp.NLRI{Key: key}, nil, reason, true
	}
	return n, d.attrs, bgp.Accepted, true
}

// nlri reads what an NLRI holds beside its key, and says why it cannot be taken
// with the attributes that were decoded.
func (d *decoder) nlri(out *bgp.NLRI, nlri *packet.EVPNNLRI) bgp.Reason {
	if d.reason != bgp.Accepted {
		return d.reason
	}
	if hop := d.attrs.NextHop; !hop.IsValid() || hop.IsUnspecified() || hop.IsMulticast() {
		return bgp.BadNextHop
	}
	switch n := nlri.RouteTypeData.(type) {
	case *packet.EVPNMacIPAdvertisementRoute:
		out.ESI = decodeESI(&n.ESI)
		if len(n.Labels) > 0 {
			out.Label = n.Labels[0]
		}
		if len(n.Labels) > 1 {
			out.Label2 = n.Labels[1]
		}
		if out.Label == 0 {
			return bgp.BadLabel
		}
	case *packet.EVPNMulticastEthernetTagRoute:
		if d.attrs.HasTunnel && d.attrs.TunnelType != uint8(packet.PMSI_TUNNEL_TYPE_INGRESS_REPL) &&
			d.attrs.TunnelType != uint8(packet.PMSI_TUNNEL_TYPE_NO_TUNNEL) {
			return bgp.BadTunnel
		}
	case *packet.EVPNIPPrefixRoute:
		out.Label, out.ESI = n.Label, decodeESI(&n.ESI)
		if n.GWIPAddress.IsValid() && !n.GWIPAddress.IsUnspecified() {
			out.GatewayIP = n.GWIPAddress
		}
		if out.Label == 0 && !out.GatewayIP.IsValid() && out.ESI.IsZero() {
			return bgp.BadLabel
		}
	}
	return bgp.Accepted
}

func decodeESI(e *packet.EthernetSegmentIdentifier) bgp.ESI {
	esi := bgp.ESI{byte(e.Type)}
	copy(esi[1:], e.Value)
	return esi
}

// decode leaves in d.attrs what the attributes say. The next hop is in one that each
// path has a copy of.
func (d *decoder) decode(list []packet.PathAttributeInterface) {
	same := d.attrs != nil
	n := 0
	var nextHop netip.Addr
	for _, a := range list {
		if reach, ok := a.(*packet.PathAttributeMpReachNLRI); ok {
			nextHop = reach.Nexthop.Unmap()
			continue
		}
		same = same && n < len(d.last) && d.last[n] == a
		n++
	}
	if same && n == len(d.last) && d.attrs.NextHop == nextHop {
		return
	}
	d.last = slices.DeleteFunc(append(d.last[:0], list...), func(a packet.PathAttributeInterface) bool {
		return a.GetType() == packet.BGP_ATTR_TYPE_MP_REACH_NLRI
	})
	d.reason = bgp.Accepted
	d.attrs = &bgp.Attributes{NextHop: nextHop}
	d.attrs.LocalPref, d.attrs.Internal = bgp.DefaultLocalPref, d.internal
	for _, a := range d.last {
		switch a := a.(type) {
		case *packet.PathAttributeExtendedCommunities:
			d.communities(a.Value)
		case *packet.PathAttributeCommunities:
			d.wellKnown(a.Value)
		case *packet.PathAttributePmsiTunnel:
			d.pmsi(a)
		case *packet.PathAttributeAsPath:
			d.asPath(a)
		case *packet.PathAttributeOrigin:
			d.attrs.Origin = a.Value
		case *packet.PathAttributeMultiExitDisc:
			d.attrs.MED = a.Value
		case *packet.PathAttributeLocalPref:
			if d.internal {
				d.attrs.LocalPref = a.Value
			}
		case *packet.PathAttributeOriginatorId:
			d.attrs.OriginatorID = a.Value
		case *packet.PathAttributeClusterList:
			d.attrs.ClusterLength = uint16(len(a.Value))
		}
	}
}

// asPath reads what the decision process compares of a path, and looks for a loop.
func (d *decoder) asPath(path *packet.PathAttributeAsPath) {
	if d.loops(path) {
		d.reason = bgp.ASLoop
	}
	for _, segment := range path.Value {
		if d.attrs.PathLength == 0 && segment.GetType() == packet.BGP_ASPATH_ATTR_TYPE_SEQ && segment.ASLen() > 0 {
			d.attrs.NeighborAS = segment.GetAS()[0]
		}
		d.attrs.PathLength += uint16(segment.ASLen())
	}
}

// wellKnown reads RFC 8326 and RFC 9494, sections 3.2 and 3.3.
func (d *decoder) wellKnown(list []uint32) {
	for _, c := range list {
		switch packet.WellKnownCommunity(c) {
		case packet.COMMUNITY_PLANNED_SHUT:
			d.attrs.GracefulShutdown = true
		case packet.COMMUNITY_LLGR_STALE:
			d.attrs.LLGRStale = true
		case packet.COMMUNITY_NO_LLGR:
			d.attrs.NoLLGR = true
		}
	}
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
func (d *decoder) communities(list []packet.ExtendedCommunityInterface) {
	var buf [16]bgp.RouteTarget
	targets := buf[:0]
	for _, c := range list {
		switch c := c.(type) {
		case *packet.TwoOctetAsSpecificExtended, *packet.IPv4AddressSpecificExtended,
			*packet.FourOctetAsSpecificExtended:
			if rt, ok := decodeRouteTarget(c); ok {
				targets = append(targets, rt)
			}
		case *packet.EncapExtended:
			if c.TunnelType == packet.TUNNEL_TYPE_VXLAN {
				d.attrs.Encapsulation = bgp.EncapsulationVXLAN
			} else if d.attrs.Encapsulation == bgp.EncapsulationUnsaid {
				d.attrs.Encapsulation = bgp.EncapsulationOther
			}
		case *packet.MacMobilityExtended:
			d.attrs.Sequence = max(d.attrs.Sequence, c.Sequence)
			d.attrs.Sticky = d.attrs.Sticky || c.IsSticky
		case *packet.DefaultGatewayExtended:
			d.attrs.DefaultGateway = true
		case *packet.RouterMacExtended:
			if len(c.Mac) != 6 || c.Mac[0]&1 != 0 || ether.MAC(c.Mac).IsZero() {
				d.reason = bgp.BadRouterMAC
			} else if d.attrs.RouterMAC.IsZero() {
				d.attrs.RouterMAC = ether.MAC(c.Mac)
			}
		}
	}
	d.attrs.RouteTargets = bgp.MakeRouteTargets(targets...)
	if d.attrs.Encapsulation == bgp.EncapsulationOther {
		d.reason = bgp.BadEncapsulation
	}
}

func decodeRouteTarget(c packet.ExtendedCommunityInterface) (bgp.RouteTarget, bool) {
	b, err := c.Serialize()
	if err != nil || len(b) != 8 || !isRouteTarget([8]byte(b)) {
		return bgp.RouteTarget{}, false
	}
	return bgp.RouteTarget(b), true
}

func (d *decoder) pmsi(p *packet.PathAttributePmsiTunnel) {
	a := d.attrs
	a.HasTunnel, a.TunnelType, a.TunnelLabel = true, uint8(p.TunnelType), p.Label
	if id, ok := p.TunnelID.(*packet.IngressReplTunnelID); ok {
		if v := id.Value.Unmap(); v.IsValid() && !v.IsUnspecified() && !v.IsMulticast() {
			a.Tunnel = v
		}
	}
}

// isRouteTarget reports whether an extended community is a route target of a type
// that RouteTarget reads.
func isRouteTarget(c [8]byte) bool {
	return c[0] <= byte(packet.EC_TYPE_TRANSITIVE_FOUR_OCTET_AS_SPECIFIC) &&
		c[1] == byte(packet.EC_SUBTYPE_ROUTE_TARGET)
}
