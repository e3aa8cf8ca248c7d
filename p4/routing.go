package p4

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// RouterMAC makes frames of a bridge for MAC packets to be routed in VRF
// (router.mac).
type RouterMAC struct {
	Bridge uint16
	MAC    ether.MAC
	VRF    uint16
}

// Entry packs the entry.
func (r RouterMAC) Entry() Entry {
	return Entry{r.Key(), pack(actionEnter).u16(r.VRF).value()}
}

// Key packs the key alone.
func (r RouterMAC) Key() Key { return pack(tableRouterMAC).u16(r.Bridge).mac(r.MAC).key() }

// L3VNI says which VRF a VNI at one of our VTEP addresses is, and the router
// MAC that its frames are for (vxlan.vni).
type L3VNI struct {
	Local     netip.Addr
	VNI       uint32
	VRF       uint16
	RouterMAC ether.MAC
}

// Entry packs the entry.
func (v L3VNI) Entry() Entry {
	return Entry{v.Key(), pack(actionToVRF).u16(v.VRF).mac(v.RouterMAC).value()}
}

// Key packs the key alone.
func (v L3VNI) Key() Key { return pack(tableVNI).ipv4(v.Local).vni(v.VNI).key() }

// RouteKind says what a route does with packets.
type RouteKind uint8

// Kinds of routes.
const (
	RouteHost  RouteKind = iota // to a host of an attached subnet: Bridge and MAC
	RouteVTEP                   // to the router behind VTEP, by an L3 VNI
	RouteVTEPs                  // to the routers of Group, to each some flows
	RouteGlean                  // to an attached subnet: the host is to be found
	RouteLocal                  // to the gateway itself
	RouteDrop
)

// Route is a route of a VRF, IPv4 or IPv6 (router.ipv4, router.ipv6).
type Route struct {
	VRF    uint16
	Prefix netip.Prefix
	Kind   RouteKind
	// RouteHost: the next hop, local or behind a VTEP of the bridge.
	Bridge uint16
	MAC    ether.MAC
	// RouteVTEP: our router MAC is Source, that of the VTEP Destination.
	VTEP                uint16
	VNI                 uint32
	Source, Destination ether.MAC
	// RouteVTEPs: that of a Multipath.
	Group uint16
}

// Key packs the key alone.
func (r Route) Key() Key {
	p := r.Prefix.Masked()
	if p.Addr().Is4() {
		return pack(tableIPv4).u16(r.VRF).ipv4(p.Addr()).u8(uint8(p.Bits())).key()
	}
	return pack(tableIPv6).u16(r.VRF).ipv6(p.Addr()).u8(uint8(p.Bits())).key()
}

// Entry packs the entry.
func (r Route) Entry() Entry {
	k := r.Key()
	switch r.Kind {
	case RouteHost:
		return Entry{k, pack(actionRouteHost).u16(r.Bridge).mac(r.MAC).value()}
	case RouteVTEP:
		return Entry{k, pack(actionRouteVTEP).u16(r.VTEP).vni(r.VNI).mac(r.Source).mac(r.Destination).value()}
	case RouteVTEPs:
		return Entry{k, pack(actionRouteVTEPs).u16(r.Group).value()}
	case RouteGlean:
		return Entry{k, pack(actionGlean).value()}
	case RouteLocal:
		return Entry{k, pack(actionLocal).value()}
	default:
		return Entry{k, pack(actionRouteDrop).value()}
	}
}

// Multipath says by which group of next hops the routes go that lead to Group
// (router.multipath): by the one of that number.
type Multipath struct{ Group uint16 }

// Entry packs the entry.
func (m Multipath) Entry() Entry {
	return Entry{m.Key(), pack(refersToGroup).u32(uint32(m.Group)).value()}
}

// Key packs the key alone.
func (m Multipath) Key() Key { return pack(tableMultipath).u16(m.Group).key() }

// RouterInterface is the source MAC of what is routed into a bridge
// (router.interface).
type RouterInterface struct {
	Bridge uint16
	MAC    ether.MAC
}

// Entry packs the entry.
func (r RouterInterface) Entry() Entry {
	return Entry{r.Key(), pack(actionSource).mac(r.MAC).value()}
}

// Key packs the key alone.
func (r RouterInterface) Key() Key { return pack(tableInterface).u16(r.Bridge).key() }

// ARPHost answers broadcast ARP requests for an IPv4 address of a bridge (arp.host).
type ARPHost struct {
	Bridge  uint16
	Address netip.Addr
	MAC     ether.MAC
	// Port is where the address is: no question from there is answered (RFC 9161 section
	// 3.3). 0 = behind a VTEP, or the gateway's own.
	Port uint16
	// VXLAN: who asks by VXLAN is answered too.
	VXLAN bool
	// Metadata is the controller's, kept by the target and answered on
	// read-back.
	Metadata string
}

// Entry packs the entry.
func (a ARPHost) Entry() Entry {
	v := pack(actionARPReply).mac(a.MAC)
	if a.Port != 0 || a.VXLAN {
		v = pack(actionARPReplyExcept).mac(a.MAC).u16(a.Port).bit(a.VXLAN)
	}
	return Entry{a.Key(), Value(append(v, a.Metadata...))}
}

// Key packs the key alone.
func (a ARPHost) Key() Key { return pack(tableARPHost).u16(a.Bridge).ipv4(a.Address).key() }

// NDHost answers multicast neighbour solicitations for an IPv6 address of a bridge
// (nd.host), also those of duplicate address detection where Port is 0.
type NDHost struct {
	Bridge  uint16
	Address netip.Addr
	MAC     ether.MAC
	// Port and VXLAN are as an ARPHost's.
	Port  uint16
	VXLAN bool
	// Router and Override are the flags of RFC 4861 section 4.4.
	Router, Override bool
	// Unanswered: the entry only says which MAC has the address, for a controller that
	// restarts; solicitations go to the host. Of the other fields it has the metadata.
	Unanswered bool
	// Metadata is as an ARPHost's.
	Metadata string
}

// Entry packs the entry.
func (n NDHost) Entry() Entry {
	var v packer
	switch {
	case n.Unanswered:
		v = pack(actionNDHold).mac(n.MAC)
	case n.Port == 0 && !n.VXLAN && n.Override:
		v = pack(actionNDReply).mac(n.MAC).bit(n.Router)
	default:
		v = pack(actionNDReplyExcept).mac(n.MAC).u16(n.Port).bit(n.VXLAN).bit(n.Router).bit(n.Override)
	}
	return Entry{n.Key(), Value(append(v, n.Metadata...))}
}

// Key packs the key alone.
func (n NDHost) Key() Key { return pack(tableNDHost).u16(n.Bridge).ipv6(n.Address).key() }

// Gateway is an address of the gateway in a bridge, from which no tenant may
// send ARP, ICMP or ICMPv6 (gateway.ipv4, gateway.ipv6).
type Gateway struct {
	Bridge  uint16
	Address netip.Addr
}

// Entry packs the entry.
func (g Gateway) Entry() Entry {
	return Entry{g.Key(), pack(actionForged).value()}
}

// Key packs the key alone.
func (g Gateway) Key() Key {
	if g.Address.Is4() {
		return pack(tableGateway4).u16(g.Bridge).ipv4(g.Address).key()
	}
	return pack(tableGateway6).u16(g.Bridge).ipv6(g.Address).key()
}

// GatewayTarget is an IPv6 address of the gateway in a bridge, of which no tenant
// may say where it is: the target of an advertisement, a redirect or duplicate
// address detection (gateway.ipv6_target).
type GatewayTarget struct {
	Bridge  uint16
	Address netip.Addr
}

// Entry packs the entry.
func (g GatewayTarget) Entry() Entry {
	return Entry{g.Key(), pack(actionForged).value()}
}

// Key packs the key alone.
func (g GatewayTarget) Key() Key { return pack(tableGatewayTarget).u16(g.Bridge).ipv6(g.Address).key() }

// GatewayMAC is a MAC of the gateway in a bridge, which no tenant may have
// (gateway.mac).
type GatewayMAC struct {
	Bridge uint16
	MAC    ether.MAC
}

// Entry packs the entry.
func (g GatewayMAC) Entry() Entry {
	return Entry{g.Key(), pack(actionForgedMAC).value()}
}

// Key packs the key alone.
func (g GatewayMAC) Key() Key { return pack(tableGatewayMAC).u16(g.Bridge).mac(g.MAC).key() }
