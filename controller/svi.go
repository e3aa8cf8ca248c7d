package controller

import (
	"cmp"
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// svi is the gateway of a bridge in a VRF. A nil one has no addresses.
type svi struct {
	intent.SVI
	mac ether.MAC // in use
	// otherSubnets has hosts have addresses of subnets that are not the SVI's.
	otherSubnets bool
	// vrf and bridge are both nil until the SVI is in place.
	vrf    *vrf
	bridge *bridge
}

// has reports whether an address is the gateway's own in the bridge.
func (s *svi) has(ip netip.Addr) bool {
	return s != nil && (s.gateway(ip) || ip == packet.LinkLocal(s.mac))
}

// guards reports whether no tenant of the bridge may speak for an address: those
// that the gateway has there, and the loopback of its VRF.
func (s *svi) guards(ip netip.Addr) bool {
	return s.has(ip) || s != nil && s.vrf != nil && s.vrf.Loopback.IsValid() && s.vrf.Loopback.Addr() == ip
}

// unassignable reports whether an address is that of one of the subnets, or its broadcast
// address, which no host can have (RFC 1122 section 3.2.1.3). A subnet of two addresses has
// neither (RFC 3021).
func (s *svi) unassignable(ip netip.Addr) bool {
	if s == nil || !outermost(ip, 30) {
		return false
	}
	return slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool {
		return g.Bits() <= 30 && g.Contains(ip) && outermost(ip, g.Bits())
	})
}

// markUnassignable marks what a VRF may have of the two addresses of a subnet that are no
// host's.
func (l *loop) markUnassignable(v *vrf, subnet netip.Prefix) {
	if !subnet.Addr().Is4() || subnet.Bits() > 30 {
		return
	}
	first := subnet.Masked().Addr().As4()
	last := binary.BigEndian.Uint32(first[:]) | ^uint32(0)>>subnet.Bits()
	l.mark(p4.Route{VRF: v.Index, Prefix: single(netip.AddrFrom4(first))})
	l.mark(p4.Route{VRF: v.Index, Prefix: single(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, last))))})
}

// outermost reports whether an IPv4 address is the first or the last of a prefix of so
// many bits.
func outermost(ip netip.Addr, bits int) bool {
	if !ip.Is4() {
		return false
	}
	a, mask := ip.As4(), ^uint32(0)>>bits
	host := binary.BigEndian.Uint32(a[:]) & mask
	return host == 0 || host == mask
}

// addresses are those that the SVI was given.
func (s *svi) addresses() []netip.Addr {
	all := make([]netip.Addr, 0, len(s.Gateways)+2)
	for _, g := range s.Gateways {
		all = append(all, g.Addr())
	}
	return all
}

// prefixes yields those that an SVI in place has an entry for in its VRF: subnets,
// their addresses, and hosts of them.
func (s *svi) prefixes() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for _, g := range s.Gateways {
			if !yield(g.Masked()) || !yield(single(g.Addr())) {
				return
			}
		}
		for ip := range s.bridge.addresses {
			if s.covers(ip) && !yield(single(ip)) {
				return
			}
		}
	}
}

// guarded are the addresses that guards reports of an SVI in place.
func (s *svi) guarded() []netip.Addr {
	all := append(s.addresses(), packet.LinkLocal(s.mac))
	if lo := s.vrf.Loopback; lo.IsValid() {
		all = append(all, lo.Addr())
	}
	return all
}

// gateways yields the SVIs in place.
func (l *loop) gateways() iter.Seq[*svi] {
	return func(yield func(*svi) bool) {
		for _, v := range l.vrfs {
			for _, s := range v.svis {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// markL3VNI marks the L3 VNI of an SVI in place at its bridge's VTEP address.
func (l *loop) markL3VNI(s *svi) {
	if s.bridge.localVTEP.IsValid() && s.vrf.VNI != 0 {
		l.mark(p4.L3VNI{Local: s.bridge.localVTEP, VNI: s.vrf.VNI})
	}
}

// gateway reports whether an address is one of those that the SVI was given.
func (s *svi) gateway(ip netip.Addr) bool {
	return s != nil && slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Addr() == ip })
}

// covers reports whether an address is of one of the subnets.
func (s *svi) covers(ip netip.Addr) bool {
	return s != nil && !ip.IsLinkLocalUnicast() &&
		slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Contains(ip) })
}

// unique reports whether the SVI's MAC and addresses are this gateway's alone.
func (l *loop) unique(s *svi) bool { return l.cfg.SVIs[s.ID].Unique }

// sviMAC is the MAC that the SVI was given, else the gateway's own.
func (l *loop) sviMAC(s *svi) ether.MAC { return cmp.Or(s.MAC, l.routerMAC) }

func (l *loop) sviChanged(o intent.SVI, deleted bool) {
	s := l.svis[o.ID]
	if s != nil {
		l.removeSVI(s)
	}
	if deleted {
		delete(l.svis, o.ID)
		return
	}
	if s == nil {
		s = &svi{}
		l.svis[o.ID] = s
	}
	s.SVI = o
	l.dirtySVIs[o.ID] = struct{}{}
}

// awaitSVIs has SVIs looked at again whose VRF or bridge came.
func (l *loop) awaitSVIs(concerned func(*svi) bool) {
	for id, s := range l.svis {
		if concerned(s) {
			l.dirtySVIs[id] = struct{}{}
		}
	}
}

// settleSVIs puts SVIs in place whose VRF and bridge are there.
func (l *loop) settleSVIs() {
	for id := range l.dirtySVIs {
		s := l.svis[id]
		if s == nil || s.bridge != nil {
			continue
		}
		v, b := l.vrfByID[s.VRF], l.byID[s.Bridge]
		if v != nil && b != nil && b.svi == nil {
			l.placeSVI(s, v, b)
		}
	}
	clear(l.dirtySVIs)
}

func (l *loop) placeSVI(s *svi, v *vrf, b *bridge) {
	s.vrf, s.bridge, s.mac, s.otherSubnets = v, b, l.sviMAC(s), l.cfg.SVIs[s.ID].OtherSubnets
	b.svi, v.svis[s.ID] = s, s
	if st := b.macs[s.mac]; st != nil && st.local != nil { // a tenant had it
		l.forgetLocal(b, s.mac, st)
		l.changed(b, s.mac)
	}
	l.markSVI(s)
	l.settleAliases(b)
	l.addressesChanged(b)
}

// removeSVI takes an SVI out of its place, if it has one.
func (l *loop) removeSVI(s *svi) {
	v, b := s.vrf, s.bridge
	if b == nil {
		return
	}
	l.markSVI(s)
	l.addressesChanged(b) // marks what they had in the VRF
	b.svi, s.vrf, s.bridge = nil, nil, nil
	delete(v.svis, s.ID)
	l.settleAliases(b)
	for ip, a := range b.addresses {
		b.soleClaim(ip, a, ether.MAC{}, answered)
	}
	l.addressesChanged(b)
	for port, reason := range b.declined[s.mac] {
		if st := b.macs[s.mac]; reason == declineGateway && !l.ours(b, s.mac) && (st == nil || st.movable()) {
			l.undecline(b, s.mac, port)
		}
	}
}

// markSVI marks all that an SVI in place asks for.
func (l *loop) markSVI(s *svi) {
	v, b := s.vrf, s.bridge
	l.markGatewayMACs(b)
	l.mark(p4.RouterInterface{Bridge: b.Index})
	l.markL3VNI(s)
	l.markAnswer(b, packet.LinkLocal(s.mac))
	for _, ip := range s.guarded() {
		l.markGuard(b, ip)
	}
	for port, vlan := range b.ports {
		l.mark(p4.Member{Port: port, VLAN: vlan}) // says whether the bridge has a gateway
	}
	for _, g := range s.Gateways {
		l.markPrefix(v, g.Masked())
		l.mark(p4.Route{VRF: v.Index, Prefix: single(g.Addr())})
		l.markUnassignable(v, g)
		l.markAnswer(b, g.Addr())
		l.dirtyAdverts[advertKey{bridge: b.Index, prefix: single(g.Addr())}] = struct{}{}
	}
	for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
		l.markPrefix(v, st.Prefix.Masked()) // its next hop may be here
	}
	l.dirtyAdverts[advertKey{bridge: b.Index, mac: l.asker}] = struct{}{}
	l.dirtyKernel = true
}

func (l *loop) desiredRouterMAC(index uint16, mac ether.MAC) entry {
	b := l.bridges[index]
	if !l.gatewayMAC(b, mac) {
		return nil
	}
	return p4.RouterMAC{Bridge: index, MAC: mac, VRF: b.svi.vrf.Index}
}

// markGuard marks what keeps tenants from speaking for an address.
func (l *loop) markGuard(b *bridge, ip netip.Addr) {
	l.mark(p4.Gateway{Bridge: b.Index, Address: ip})
	if ip.Is6() {
		l.mark(p4.GatewayTarget{Bridge: b.Index, Address: ip})
	}
}

// desiredGateway keeps tenants from speaking for our addresses.
func (l *loop) desiredGateway(index uint16, ip netip.Addr) entry {
	if b := l.bridges[index]; b != nil && b.svi.guards(ip) {
		return p4.Gateway{Bridge: index, Address: ip}
	}
	return nil
}

func (l *loop) desiredGatewayTarget(index uint16, ip netip.Addr) entry {
	if b := l.bridges[index]; b != nil && ip.Is6() && b.svi.guards(ip) {
		return p4.GatewayTarget{Bridge: index, Address: ip}
	}
	return nil
}

// desiredGatewayMAC keeps tenants from sending as the gateway.
func (l *loop) desiredGatewayMAC(index uint16, mac ether.MAC) entry {
	if l.gatewayMAC(l.bridges[index], mac) {
		return p4.GatewayMAC{Bridge: index, MAC: mac}
	}
	return nil
}

func (l *loop) desiredRouterInterface(index uint16) entry {
	b := l.bridges[index]
	if b == nil || b.svi == nil {
		return nil
	}
	return p4.RouterInterface{Bridge: index, MAC: b.svi.mac}
}
