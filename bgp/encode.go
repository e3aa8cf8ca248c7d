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

const maxVNI = 1<<24 - 1

// check says what keeps a route of ours from being advertised.
func (r *Route) check() error {
	if !r.NextHop.IsValid() || r.NextHop.IsUnspecified() || r.NextHop.IsMulticast() || r.NextHop.Is4In6() {
		return fmt.Errorf("next hop %v: want the address of our VTEP", r.NextHop)
	}
	if r.Label == 0 || r.Label > maxVNI {
		return fmt.Errorf("VNI %d: want 1 to %d", r.Label, maxVNI)
	}
	if r.Label2 > maxVNI {
		return fmt.Errorf("L3 VNI %d: want at most %d", r.Label2, maxVNI)
	}
	if r.RouterMAC.IsMulticast() {
		return fmt.Errorf("router MAC %v is multicast", r.RouterMAC)
	}
	return r.Key.check()
}

func (k *Key) check() error {
	if _, ok := k.RD.decode(); !ok {
		return fmt.Errorf("route distinguisher %v: want type 0, 1 or 2", k.RD)
	}
	switch k.Type {
	case TypeMACIP:
		if k.MAC.IsZero() || k.MAC.IsMulticast() {
			return fmt.Errorf("MAC %v: want a unicast address", k.MAC)
		}
		if k.IP.IsValid() && !isHost(k.IP) {
			return fmt.Errorf("IP %v: want the address of a host", k.IP)
		}
	case TypeMulticast:
		if !isHost(k.IP) {
			return fmt.Errorf("originator %v: want the address of our VTEP", k.IP)
		}
	case TypePrefix:
		if p := k.Prefix(); !p.IsValid() || p.Masked() != p || k.IP.Is4In6() {
			return fmt.Errorf("prefix %v/%d: want no host bits", k.IP, k.PrefixLength)
		}
	default:
		return fmt.Errorf("route type %d: want 2, 3 or 5", k.Type)
	}
	return nil
}

func (r RD) decode() (bgp.RouteDistinguisherInterface, bool) {
	if r[0] != 0 || r[1] > adminAS4 {
		return nil, false
	}
	return bgp.GetRouteDistinguisher(r[:]), true
}

// ownMACIP hides a type-2 route of ours from GoBGP's own MAC mobility, which
// looks for the bare type: it adds a sequence to routes of the same MAC that
// have none and refuses one that falls. Selection and mobility are ours.
type ownMACIP struct {
	*bgp.EVPNMacIPAdvertisementRoute
}

// nlri encodes the key, with what the NLRI holds besides.
func (r *Route) nlri() (*bgp.EVPNNLRI, error) {
	rd, ok := r.RD.decode()
	if !ok {
		return nil, fmt.Errorf("route distinguisher %v: want type 0, 1 or 2", r.RD)
	}
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

// path encodes a route of ours. It must have passed check.
func (r Route) path() (*apiutil.Path, error) {
	nlri, err := r.nlri()
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
		bgp.NewPathAttributeExtendedCommunities(r.communities()),
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

// withdrawal encodes the withdrawal of a route of ours.
func (k Key) withdrawal() (*apiutil.Path, error) {
	r := Route{Key: k}
	nlri, err := r.nlri()
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Withdrawal: true}, nil
}

func (r *Route) communities() []bgp.ExtendedCommunityInterface {
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
