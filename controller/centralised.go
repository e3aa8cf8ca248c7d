package controller

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/ether"
)

// This file is what a gateway does for hosts behind leaves that only bridge (centralised
// IRB: RFC 7432 section 10.1, RFC 9135 section 4).

// answersVXLAN reports whether hosts behind VTEPs ask this gateway for the SVI's
// addresses, and for a router: no leaf of the bridge has them, so that they come by
// VXLAN. A nil SVI is asked by nobody.
func (l *loop) answersVXLAN(s *svi) bool {
	if s == nil {
		return false
	}
	c := l.cfg.SVIs[s.ID]
	return c.Unique || c.Centralised
}

// routesFor reports whether the gateway of a bridge is the router of hosts behind a VTEP;
// of those on our ports, where it is invalid, it always is. A leaf that is a gateway in the
// bridge, with whatever address, is the router of its hosts itself.
func (l *loop) routesFor(b *bridge, vtep netip.Addr) bool {
	return !vtep.IsValid() || l.answersVXLAN(b.svi) && !b.gatewayElsewhere(vtep)
}

// settleAsker has a host behind a VTEP get router advertisements or not. Those do whose
// link-local address the kernel has: it knows, also after a restart, who has asked.
func (l *loop) settleAsker(k neighborKey) {
	if !k.ip.Is6() || !k.ip.IsLinkLocalUnicast() {
		return
	}
	mac := l.advertisedTo(k)
	old, had := l.askers[k]
	switch {
	case mac.IsZero() && had:
		delete(l.askers, k)
		l.slow.RemoveAsker(k.bridge, k.ip)
	case !mac.IsZero() && mac != old:
		l.askers[k] = mac
		l.slow.SetAsker(k.bridge, slowpath.Asker{IP: k.ip, MAC: mac})
	}
}

// advertisedTo is the MAC of a host behind a VTEP whose router we are, zero if it is none.
func (l *loop) advertisedTo(k neighborKey) ether.MAC {
	b := l.bridges[k.bridge]
	if b == nil || b.svi == nil {
		return ether.MAC{}
	}
	at := b.locate(k.ip)
	if at.from != nil && l.routesFor(b, at.from.route.vtep) && b.addresses[k.ip].claimant(bySlowPath) == at.mac {
		return at.mac
	}
	return ether.MAC{}
}

// settleAskers has hosts of bridges looked at again where a leaf became a gateway, or is none
// any more: once, however many did.
func (l *loop) settleAskers() {
	for index := range l.dirtyAskers {
		b := l.bridges[index]
		if b == nil {
			continue
		}
		for ip := range b.addresses {
			if ip.Is6() && ip.IsLinkLocalUnicast() {
				l.dirtyNeighbors[neighborKey{index, ip}] = struct{}{}
			}
		}
	}
	clear(l.dirtyAskers)
}
