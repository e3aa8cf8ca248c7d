package gobgp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
)

// ownMACIP hides a type-2 route of ours from GoBGP's own MAC mobility, which
// looks for the bare type: it adds a sequence to routes of the same MAC that
// have none and refuses one that falls. Selection and mobility are ours.
type ownMACIP struct {
	*packet.EVPNMacIPAdvertisementRoute
}

// encodeNLRI encodes the key, with what the NLRI holds besides.
func encodeNLRI(r *bgp.Route) (*packet.EVPNNLRI, error) {
	if !r.RD.Known() {
		return nil, fmt.Errorf("route distinguisher %v: want type 0, 1 or 2", r.RD)
	}
	rd := packet.GetRouteDistinguisher(r.RD[:])
	esi := packet.EthernetSegmentIdentifier{Type: packet.ESIType(r.ESI[0]), Value: r.ESI[1:]}
	bits := uint8(0)
	if r.IP.IsValid() {
		bits = uint8(r.IP.BitLen())
	}
	switch r.Type {
	case bgp.TypeMACIP:
		labels := []uint32{r.Label}
		if r.Label2 != 0 {
			labels = append(labels, r.Label2)
		}
		return packet.NewEVPNNLRI(uint8(r.Type), ownMACIP{&packet.EVPNMacIPAdvertisementRoute{
			RD: rd, ESI: esi, ETag: r.EthernetTag, MacAddressLength: 48, MacAddress: slices.Clone(net.HardwareAddr(r.MAC[:])),
			IPAddressLength: bits, IPAddress: r.IP, Labels: labels,
		}}), nil
	case bgp.TypeMulticast:
		return packet.NewEVPNNLRI(uint8(r.Type), &packet.EVPNMulticastEthernetTagRoute{
			RD: rd, ETag: r.EthernetTag, IPAddressLength: bits, IPAddress: r.IP,
		}), nil
	case bgp.TypePrefix:
		gateway := r.GatewayIP
		if !gateway.IsValid() {
			// GoBGP would fill it in when it encodes, at several places at once.
			gateway = netip.IPv4Unspecified()
			if r.IP.Is6() {
				gateway = netip.IPv6Unspecified()
			}
		}
		return packet.NewEVPNNLRI(uint8(r.Type), &packet.EVPNIPPrefixRoute{
			RD: rd, ESI: esi, ETag: r.EthernetTag, IPPrefixLength: r.PrefixLength, IPPrefix: r.IP,
			GWIPAddress: gateway, Label: r.Label,
		}), nil
	}
	return nil, fmt.Errorf("route type %d: want 2, 3 or 5", r.Type)
}

// encode gives the path of a route of ours, which must have passed Check.
func encode(r bgp.Route) (*apiutil.Path, error) {
	nlri, err := encodeNLRI(&r)
	if err != nil {
		return nil, err
	}
	reach, err := packet.NewPathAttributeMpReachNLRI(packet.RF_EVPN, []packet.PathNLRI{{NLRI: nlri}}, r.NextHop)
	if err != nil {
		return nil, fmt.Errorf("next hop %v: %w", r.NextHop, err)
	}
	attrs := []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
		reach,
		packet.NewPathAttributeExtendedCommunities(encodeCommunities(&r)),
	}
	if r.Type == bgp.TypeMulticast && r.Tunnel.IsValid() {
		attrs = append(attrs, packet.NewPathAttributePmsiTunnel(packet.PMSI_TUNNEL_TYPE_INGRESS_REPL, false, r.Label,
			&packet.IngressReplTunnelID{Value: r.Tunnel}))
	}
	if !r.MACIPOnly() {
		attrs = append(attrs, packet.NewPathAttributeCommunities([]uint32{notForAll}))
	}
	return &apiutil.Path{Family: packet.RF_EVPN, Nlri: nlri, Attrs: attrs, Age: time.Now().Unix()}, nil
}

// encodeWithdrawal gives the path that withdraws a route of ours.
func encodeWithdrawal(k bgp.Key) (*apiutil.Path, error) {
	r := bgp.Route{Key: k}
	nlri, err := encodeNLRI(&r)
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{Family: packet.RF_EVPN, Nlri: nlri, Withdrawal: true}, nil
}

// subtypeARPND is that of an EVPN community that GoBGP does not know, RFC 9047 section 2.
const subtypeARPND = 8

func encodeCommunities(r *bgp.Route) []packet.ExtendedCommunityInterface {
	var list []packet.ExtendedCommunityInterface
	for rt := range r.RouteTargets.All() {
		if c, err := packet.ParseExtended(rt[:]); err == nil {
			list = append(list, c)
		}
	}
	list = append(list, packet.NewEncapExtended(packet.TUNNEL_TYPE_VXLAN))
	if r.Type == bgp.TypeMACIP && (r.Sequence > 0 || r.Sticky) {
		list = append(list, packet.NewMacMobilityExtended(r.Sequence, r.Sticky))
	}
	if r.DefaultGateway {
		list = append(list, packet.NewDefaultGatewayExtended())
	}
	if r.ARPND.Said {
		list = append(list, packet.NewUnknownExtended(packet.EC_TYPE_EVPN, []byte{subtypeARPND, r.ARPND.Flags}))
	}
	if !r.RouterMAC.IsZero() {
		list = append(list, &packet.RouterMacExtended{Mac: slices.Clone(net.HardwareAddr(r.RouterMAC[:]))})
	}
	return list
}
