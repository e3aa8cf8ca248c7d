package controller

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// addHost makes a route one of its address's in the bridge.
func (l *loop) addHost(b *bridge, c *candidate) {
	ip := c.route.IP
	a, was := l.address(b, ip), b.locate(ip)
	a.routes.add(c, slotAddress)
	l.addressChanged(b, ip)
	if !was.claimed || was.mac == c.route.MAC || a.routes.best() != c {
		return
	}
	if a.claimant(byStatic) == was.mac {
		l.alarmStatic(b, ip, a, c.route.MAC)
	}
	l.rivalled(b, ip, was)
}

// removeHost is the opposite of addHost. A bridge that goes has no hosts any more.
func (l *loop) removeHost(b *bridge, c *candidate) {
	ip := c.route.IP
	if a := b.addresses[ip]; a != nil {
		a.routes.remove(c)
		if a.routes.size() == 0 && a.claims != nil {
			a.claims.alarmed = false
		}
		l.addressChanged(b, ip)
	}
}

// addressesChanged has every address of a bridge looked at again.
func (l *loop) addressesChanged(b *bridge) {
	for ip := range b.addresses {
		l.addressChanged(b, ip)
	}
}

// addressChanged is called after the claims or the candidates of an address changed: it
// marks what follows, and drops one that nobody knows.
func (l *loop) addressChanged(b *bridge, ip netip.Addr) {
	l.comesAlong(b, ip)
	l.addressFollows(b, ip)
}

// addressFollows is addressChanged for an address that nobody has come along with.
func (l *loop) addressFollows(b *bridge, ip netip.Addr) {
	a := b.addresses[ip]
	if a == nil {
		return
	}
	at := b.locate(ip)
	l.returned(b, ip, a, at)
	l.markAnswer(b, ip)
	if at.here() || a.here {
		l.dirtyAdverts[advertKey{bridge: b.Index, prefix: single(ip)}] = struct{}{}
	}
	if at.here() != a.here {
		a.here = at.here()
		if a.here {
			l.stats.hostsLocal.Add(1)
		} else {
			l.stats.hostsLocal.Add(-1)
		}
	}
	if b.svi != nil {
		l.markRouted(b.svi, ip)
	}
	if a.unclaimed() {
		b.addresses = without(b.addresses, ip, &b.most.addresses)
		l.stats.hosts.Add(-1)
	}
}

// markRouted marks what follows from an address in the SVI's VRF.
func (l *loop) markRouted(s *svi, ip netip.Addr) {
	if l.slow != nil {
		l.dirtyNeighbors[neighborKey{s.bridge.Index, ip}] = struct{}{}
	}
	if s.covers(ip) {
		l.mark(p4.Route{VRF: s.vrf.Index, Prefix: single(ip)})
	}
	for _, st := range l.cfg.VRFs[s.vrf.ID].StaticRoutes {
		if st.NextHop == ip {
			l.markPrefix(s.vrf, st.Prefix.Masked())
			l.probedAt = time.Time{} // it may be lost
		}
	}
}

// forgetHosts drops all addresses of a bridge that goes.
func (l *loop) forgetHosts(b *bridge) {
	for ip, a := range b.addresses {
		a.claims, a.routes = nil, candidates{}
		l.addressChanged(b, ip)
	}
	for _, of := range b.claimed {
		l.rounds.leave(&of.turn)
		b.count(of, -len(of.of))
	}
	clear(b.claimed)
	clear(b.away)
	clear(b.staticIPs)
	clear(b.early)
	clear(b.sought)
}

// markAnswer marks the entry that answers for an address of a bridge.
func (l *loop) markAnswer(b *bridge, ip netip.Addr) {
	if ip.Is4() {
		l.mark(p4.ARPHost{Bridge: b.Index, Address: ip})
	} else {
		l.mark(p4.NDHost{Bridge: b.Index, Address: ip})
	}
}

// localHost is the metadata of an answer for a host behind a port of ours, so
// that a restarted controller knows it.
const localHost = "local"

func (l *loop) desiredAnswer(index uint16, ip netip.Addr) entry {
	b := l.bridges[index]
	if b == nil {
		return nil
	}
	if b.svi.has(ip) {
		if ip.Is4() {
			return p4.ARPHost{Bridge: index, Address: ip, MAC: b.svi.mac, VXLAN: l.answersVXLAN(b.svi)}
		}
		return p4.NDHost{
			Bridge: index, Address: ip, MAC: b.svi.mac, VXLAN: l.answersVXLAN(b.svi), Router: true, Override: true,
		}
	}
	at := b.locate(ip)
	if !at.known() || !b.holder(ip).IsZero() {
		return nil
	}
	metadata, port := "", uint16(0)
	if at.here() {
		port = b.portOf(at.mac)
		if at.mac != b.addresses[ip].claimant(byStatic) {
			metadata = localHost
		}
	}
	switch {
	case ip.Is4():
		return p4.ARPHost{Bridge: index, Address: ip, MAC: at.mac, Port: port, Metadata: metadata}
	case !at.flags.Known(): // an answer that says it is no router would have hosts drop theirs
		return p4.NDHost{Bridge: index, Address: ip, MAC: at.mac, Unanswered: true, Metadata: metadata}
	}
	return p4.NDHost{
		Bridge: index, Address: ip, MAC: at.mac, Port: port,
		Router: at.flags.Router(), Override: at.flags.Override(), Metadata: metadata,
	}
}

// adoptHost takes over a host that was seen before we started, if its MAC was.
func (l *loop) adoptHost(index uint16, ip netip.Addr, mac ether.MAC, flags packet.Flags, metadata string) {
	if b := l.bridges[index]; b != nil && metadata == localHost {
		l.claimed(b, sighting{ip: ip, mac: mac, by: byTarget, flags: flags})
	}
}

// heldFlags are those that an answer on the target gives for a host here. Without a port
// it is of a version that knew no flags.
func heldFlags(k p4.NDHost) packet.Flags {
	if k.Unanswered || k.Port == 0 {
		return 0
	}
	flags := packet.FlagsKnown
	if k.Router {
		flags |= packet.FlagRouter
	}
	if k.Override {
		return flags | packet.FlagOverride
	}
	return flags | packet.FlagOverrideKnown
}
