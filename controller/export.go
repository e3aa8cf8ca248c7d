package controller

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// hostAdvert is our type-2 route of an address of a bridge: a host that is
// here, or the gateway's own where hosts behind VTEPs ask it (RFC 7432 section 10.1):
// leaves then need not flood what is for it. An anycast gateway is never advertised:
// every node would win its MAC.
func (l *loop) hostAdvert(b *bridge, ip netip.Addr, r bgp.Route, rd bgp.RD) (bgp.Route, bool) {
	mac := b.locate(ip).mac
	switch s := b.macs[mac]; {
	case b.svi.gateway(ip):
		if !l.answersVXLAN(b.svi) {
			return bgp.Route{}, false
		}
		mac, r.Sticky, r.DefaultGateway = b.svi.mac, true, true
	case !b.locate(ip).here():
		return bgp.Route{}, false
	case s.static != 0:
		r.Sticky = true
	default:
		r.Sequence = s.local.sequence
	}
	r.Key = bgp.MACKey(rd, mac, ip)
	r.ARPND = l.arpND(b, ip, mac)
	if v := b.routedBy(ip); v != nil {
		r.Label2, r.RouterMAC = v.VNI, l.routerMAC
		r.RouteTargets = union(r.RouteTargets, l.vrfExports(v))
	}
	return r, true
}

// arpND is what our route says of an address (RFC 9047 section 3.1): that it is configured, at
// a static MAC or as the gateway's own, and of an IPv6 address what its owner said.
func (l *loop) arpND(b *bridge, ip netip.Addr, mac ether.MAC) (said bgp.ARPND) {
	set := func(flag uint8, is bool) {
		if is {
			said.Flags |= flag
		}
	}
	at := b.locate(ip)
	flags, known := at.flags, at.flags.Known()
	if b.svi.has(ip) {
		flags, known = packet.FlagsKnown|packet.FlagRouter|packet.FlagOverride, true
	}
	configured := b.svi.has(ip) || at.here() && b.addresses[ip].claimant(byStatic) == mac
	set(bgp.ARPNDImmutable, configured)
	if ip.Is6() && known {
		set(bgp.ARPNDRouter, flags.Router())
		set(bgp.ARPNDOverride, flags.Override())
	}
	said.Said = configured || ip.Is6() && known
	return said
}

// routedBy is the VRF that routes to a host of the bridge by its L3 VNI, which
// ends at the bridge's VTEP too; nil if none does.
func (b *bridge) routedBy(ip netip.Addr) *vrf {
	if !b.svi.covers(ip) || !b.svi.vrf.localVTEP.IsValid() {
		return nil
	}
	return b.svi.vrf
}

func union(a, b bgp.RouteTargets) bgp.RouteTargets {
	var all []bgp.RouteTarget
	for rt := range a.All() {
		all = append(all, rt)
	}
	for rt := range b.All() {
		all = append(all, rt)
	}
	return bgp.MakeRouteTargets(all...)
}

// prefixAdvert is our type-5 route of a prefix (RFC 9136 section 4.4.1): the
// VRF's loopback, the subnet of an SVI, or a static that works.
func (l *loop) prefixAdvert(v *vrf, p netip.Prefix) (bgp.Route, bool) {
	if v == nil || !v.localVTEP.IsValid() {
		return bgp.Route{}, false
	}
	switch _, kind, _ := l.own(v, p); kind {
	case ownSubnet, ownStatic:
	case ownAddress:
		if p.Addr() != v.Loopback.Addr() && !l.isSubnet(v, p) {
			return bgp.Route{}, false
		}
	default:
		return bgp.Route{}, false
	}
	return bgp.Route{
		Key: bgp.PrefixKey(l.vrfRD(v), p), NextHop: v.localVTEP, Label: v.VNI,
		RouteTargets: l.vrfExports(v), RouterMAC: l.routerMAC,
	}, true
}

// isSubnet reports whether a prefix is the whole subnet of an SVI, such as a /32.
func (l *loop) isSubnet(v *vrf, p netip.Prefix) bool {
	for _, s := range v.svis {
		for _, g := range s.Gateways {
			if g.Masked() == p {
				return true
			}
		}
	}
	return false
}
