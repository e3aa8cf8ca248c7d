package controller

import (
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// noHost is why an address, or a MAC that claims one, is no host's on a bridge. It is the
// one rule for what tenants and peers say, and for what is advertised, answered and routed;
// only what keeps such frames from being forwarded is the pipeline's (docs/guard.md).
type noHost uint8

// Why an address is no host's.
const (
	isHost        noHost = iota
	noHostForm           // it is none of a host anywhere: packet.IsHost
	noHostMAC            // it is claimed by a MAC of ours, or by none of a station
	noHostGateway        // it is the gateway's own in the bridge, or the loopback of its VRF
	noHostSubnet         // it is that of a subnet here, or its broadcast address
	noHostPeer           // it is that of another gateway of the bridge
	noHostOutside        // it is of no subnet here
	noHostReasons
)

// noHostNames are the reasons as metrics have them.
var noHostNames = [noHostReasons]string{"", "form", "mac", "gateway", "subnet", "other_gateway", "outside"}

var noHostTexts = [noHostReasons]string{
	"", "no host can have it", "its MAC is no host's", "it is this gateway's", "it is no host's in a subnet here",
	"it is another gateway's", "it is of no subnet of the SVI",
}

func (n noHost) String() string { return noHostTexts[n] }

// unlessGiven reports whether a static MAC may have such an address all the same, since
// the operator said so.
func (n noHost) unlessGiven() bool { return n == isHost || n == noHostPeer || n == noHostOutside }

// noHostCount is how often a reason was met on a bridge.
type noHostCount struct {
	count uint64
	ip    netip.Addr // of the last
	mac   ether.MAC
}

// noHost says why an address is no host's on the bridge:
//
//	by its form                              RFC 1122 section 3.2.1.3, RFC 1112 section 4
//	since it is the gateway's own            RFC 7432 section 10.1
//	of a subnet: its first and last ones     RFC 1122 section 3.2.1.3, RFC 3021
//	since a peer has it as a gateway         RFC 7432 section 10.1, by the Default Gateway community
//	of no subnet of the SVI, in a family that it routes; link-local IPv6 addresses are of all
func (b *bridge) noHost(ip netip.Addr) noHost {
	switch {
	case !packet.IsHost(ip):
		return noHostForm
	case b.svi.guards(ip):
		return noHostGateway
	case b.svi.unassignable(ip):
		return noHostSubnet
	case b.gatewayAt(ip):
		return noHostPeer
	case b.svi.outside(ip):
		return noHostOutside
	}
	return isHost
}

// noHostAt is noHost, also for the MAC that claims the address.
func (l *loop) noHostAt(b *bridge, ip netip.Addr, mac ether.MAC) noHost {
	if why := b.noHost(ip); why != isHost {
		return why
	}
	if mac.IsZero() || mac.IsMulticast() || l.ours(b, mac) {
		return noHostMAC
	}
	return isHost
}

// locateNoHost is where an address is that is no host's: nowhere, unless the operator gave
// it to a static MAC, or it is another gateway's and the slow path found that.
func (b *bridge) locateNoHost(a *address, no noHost) location {
	if at := b.locateStatic(a); at.known() && no.unlessGiven() {
		return at
	}
	if mac := a.claimant(answered); !mac.IsZero() && no == noHostPeer {
		if c, _ := b.place(mac); c != nil {
			return location{mac: mac, from: c, claimed: true, flags: a.claim(mac).flags}
		}
	}
	return location{}
}

// outside reports whether an address is of none of the subnets and has to be of one.
func (s *svi) outside(ip netip.Addr) bool {
	if s == nil || s.otherSubnets || ip.Is6() && ip.IsLinkLocalUnicast() {
		return false
	}
	routed := false // the family
	for _, g := range s.Gateways {
		if g.Contains(ip) {
			return false
		}
		routed = routed || g.Addr().Is4() == ip.Is4()
	}
	return routed
}

// refused takes that somebody claimed an address which is no host's: it is counted, and
// told the first time on a bridge.
func (l *loop) refused(b *bridge, why noHost, ip netip.Addr, mac ether.MAC, port uint16) {
	l.stats.noHosts[why].Add(1)
	r := &b.refusals[why]
	say := l.log.Debug
	if r.count == 0 {
		say = l.log.Info
	}
	r.count, r.ip, r.mac = r.count+1, ip, mac
	say("an address is claimed that can be no host's", "bridge", b.ID, "address", ip, "mac", mac, "port", port, "why", why)
}

// countPeerGateway counts routes of gateways elsewhere that have an address, which is no
// host's here meanwhile: of one that countOtherGateway counts.
func (l *loop) countPeerGateway(b *bridge, r *route, by int) {
	if !r.host || !r.gateway {
		return
	}
	had := b.gatewayAt(r.IP)
	count(b.others.ips, r.IP, by)
	if had != b.gatewayAt(r.IP) {
		l.addressChanged(b, r.IP)
	}
}

// nobodys reports whether a subnet here says that a host's address is none.
func (l *loop) nobodys(r *route) bool {
	return slices.ContainsFunc(r.routeTargets.bridges, func(b *bridge) bool { return b.svi.unassignable(r.IP) }) ||
		slices.ContainsFunc(r.routeTargets.vrfs, func(v *vrf) bool { return v.unassignable(r.prefix()) })
}
