package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// ownMACIP hides a type-2 route of ours from GoBGP's own MAC mobility, which
// looks for the bare type: it adds a sequence to routes of the same MAC that
// have none and refuses one that falls. Selection and mobility are ours.
type ownMACIP struct {
	*bgp.EVPNMacIPAdvertisementRoute
}

// encodeNLRI encodes the key, with what the NLRI holds besides.
func encodeNLRI(r *Route) (*bgp.EVPNNLRI, error) {
	if !r.RD.Known() {
		return nil, fmt.Errorf("route distinguisher %v: want type 0, 1 or 2", r.RD)
	}
	rd := bgp.GetRouteDistinguisher(r.RD[:])
	esi := bgp.EthernetSegmentIdentifier{Type: bgp.ESIType(r.ESI[0]), Value: r.ESI[1:]}
	bits := uint8(0)
	if r.IP.IsValid() {
		bits = uint8(r.IP.BitLen())
	}
	switch r.Type {
	case TypeMACIP:
		labels := []uint32{r.Label}
		if r.Label2 != 0 {
			labels = append(labels, r.Label2)
		}
		return bgp.NewEVPNNLRI(uint8(r.Type), ownMACIP{&bgp.EVPNMacIPAdvertisementRoute{
			RD: rd, ESI: esi, ETag: r.EthernetTag, MacAddressLength: 48, MacAddress: slices.Clone(net.HardwareAddr(r.MAC[:])),
			IPAddressLength: bits, IPAddress: r.IP, Labels: labels,
		}}), nil
	case TypeMulticast:
		return bgp.NewEVPNNLRI(uint8(r.Type), &bgp.EVPNMulticastEthernetTagRoute{
			RD: rd, ETag: r.EthernetTag, IPAddressLength: bits, IPAddress: r.IP,
		}), nil
	case TypePrefix:
		gateway := r.GatewayIP
		if !gateway.IsValid() {
			// GoBGP would fill it in when it encodes, at several places at once.
			gateway = netip.IPv4Unspecified()
			if r.IP.Is6() {
				gateway = netip.IPv6Unspecified()
			}
		}
		return bgp.NewEVPNNLRI(uint8(r.Type), &bgp.EVPNIPPrefixRoute{
			RD: rd, ESI: esi, ETag: r.EthernetTag, IPPrefixLength: r.PrefixLength, IPPrefix: r.IP,
			GWIPAddress: gateway, Label: r.Label,
		}), nil
	}
	return nil, fmt.Errorf("route type %d: want 2, 3 or 5", r.Type)
}

// encode gives the path of a route of ours, which must have passed Check.
func encode(r Route) (*apiutil.Path, error) {
	nlri, err := encodeNLRI(&r)
	if err != nil {
		return nil, err
	}
	reach, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_EVPN, []bgp.PathNLRI{{NLRI: nlri}}, r.NextHop)
	if err != nil {
		return nil, fmt.Errorf("next hop %v: %w", r.NextHop, err)
	}
	attrs := []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP),
		reach,
		bgp.NewPathAttributeExtendedCommunities(encodeCommunities(&r)),
	}
	if r.Type == TypeMulticast && r.Tunnel.IsValid() {
		attrs = append(attrs, bgp.NewPathAttributePmsiTunnel(bgp.PMSI_TUNNEL_TYPE_INGRESS_REPL, false, r.Label,
			&bgp.IngressReplTunnelID{Value: r.Tunnel}))
	}
	if !r.MACIPOnly() {
		attrs = append(attrs, bgp.NewPathAttributeCommunities([]uint32{notForAll}))
	}
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Attrs: attrs, Age: time.Now().Unix()}, nil
}

// encodeWithdrawal gives the path that withdraws a route of ours.
func encodeWithdrawal(k Key) (*apiutil.Path, error) {
	r := Route{Key: k}
	nlri, err := encodeNLRI(&r)
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Withdrawal: true}, nil
}

func encodeCommunities(r *Route) []bgp.ExtendedCommunityInterface {
	var list []bgp.ExtendedCommunityInterface
	for rt := range r.RouteTargets.All() {
		if c, err := bgp.ParseExtended(rt[:]); err == nil {
			list = append(list, c)
		}
	}
	list = append(list, bgp.NewEncapExtended(bgp.TUNNEL_TYPE_VXLAN))
	if r.Type == TypeMACIP && (r.Sequence > 0 || r.Sticky) {
		list = append(list, bgp.NewMacMobilityExtended(r.Sequence, r.Sticky))
	}
	if r.DefaultGateway {
		list = append(list, bgp.NewDefaultGatewayExtended())
	}
	if !r.RouterMAC.IsZero() {
		list = append(list, &bgp.RouterMacExtended{Mac: slices.Clone(net.HardwareAddr(r.RouterMAC[:]))})
	}
	return list
}
