package controller

import (
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// host is one IP address of a bridge: who has it here, and who advertises it.
// One that nobody knows any more is dropped.
type host struct {
	static ether.MAC // a static MAC was given the address; zero = none
	seen   ether.MAC // a local host said so itself, by ARP or ND; zero = none
	kernel ether.MAC // the slow path resolved it; zero = not
	routes []*route  // imported type-2 routes with the address
	local  bool      // it was here when it was last looked at
}

// location is where an address of a bridge is; without a MAC it is nowhere.
type location struct {
	mac   ether.MAC
	route *route // nil if it is here
}

func (at location) known() bool { return !at.mac.IsZero() }
func (at location) here() bool  { return at.known() && at.route == nil }

// maxAddresses bounds the addresses of a local MAC, whatever a tenant sends.
const maxAddresses = 1024

// locate selects where an address is, by the rules of its MAC (RFC 9135 section
// 7). Our own addresses and those of other gateways are nobody's here: leaves
// may share a gateway's address with another MAC.
func (b *bridge) locate(ip netip.Addr) location {
	h := b.hosts[ip]
	if h == nil || b.svi.guards(ip) {
		return location{}
	}
	best := bestRoute(h.routes, func(*route) bool { return true })
	for _, mac := range [...]ether.MAC{h.static, h.seen, h.kernel} {
		if mine, here := b.rankHere(mac); here && (best == nil || b.frozen(mac) || mine.beats(best.rank())) {
			return location{mac: mac}
		}
	}
	if best == nil {
		return location{}
	}
	if len(h.routes) > 1 && !b.reaches(best) {
		if other := bestRoute(h.routes, b.reaches); other != nil {
			best = other
		}
	}
	return location{best.mac, best}
}

// bestRoute is the best of an address's routes that will do, nil if none does.
func bestRoute(routes []*route, do func(*route) bool) *route {
	var best *route
	for _, r := range routes {
		if r.gateway || !do(r) {
			continue
		}
		if best == nil || r.rank().beats(best.rank()) || !best.rank().beats(r.rank()) && r.mac.Compare(best.mac) < 0 {
			best = r
		}
	}
	return best
}

// reaches reports whether there is a path to the VTEP of an imported type-2 route.
func (b *bridge) reaches(r *route) bool {
	s := b.macs[r.mac]
	return s != nil && slices.ContainsFunc(s.routes, func(c candidate) bool { return c.route == r && c.usable() })
}

// rankHere is the rank of a MAC that is on one of the bridge's ports.
func (b *bridge) rankHere(mac ether.MAC) (rank, bool) {
	s := b.macs[mac]
	if s == nil {
		return rank{}, false
	}
	if _, here := b.selected(mac, s); !here {
		return rank{}, false
	}
	if s.static != 0 {
		return rank{sticky: true, vtep: b.localVTEP}, true
	}
	return rank{sequence: s.local.sequence, vtep: b.localVTEP}, true
}

// host gives the bridge's record of an address, made if there is none.
func (l *loop) host(b *bridge, ip netip.Addr) *host {
	h := b.hosts[ip]
	if h == nil {
		h = &host{}
		b.hosts[ip] = h
		l.stats.hosts.Add(1)
	}
	return h
}

// setMAC sets one of the MACs that a host has here, and keeps the addresses
// by MAC.
func (b *bridge) setMAC(ip netip.Addr, h *host, which *ether.MAC, mac ether.MAC) {
	old := *which
	*which = mac
	if !old.IsZero() && old != h.static && old != h.seen && old != h.kernel {
		if delete(b.addressesOf[old], ip); len(b.addressesOf[old]) == 0 {
			delete(b.addressesOf, old)
		}
	}
	if mac.IsZero() {
		return
	}
	if b.addressesOf[mac] == nil {
		b.addressesOf[mac] = map[netip.Addr]struct{}{}
	}
	b.addressesOf[mac][ip] = struct{}{}
}

// spoke takes that a host on a port of ours has an address. It has it for as
// long as its MAC stays.
func (l *loop) spoke(b *bridge, ip netip.Addr, mac ether.MAC) {
	if h := b.hosts[ip]; h != nil && h.seen == mac {
		return
	}
	if _, here := b.rankHere(mac); !here {
		return
	}
	if len(b.addressesOf[mac]) >= maxAddresses {
		l.stats.hostsRefused.Add(1)
		return
	}
	h := l.host(b, ip)
	b.setMAC(ip, h, &h.seen, mac)
	l.hostChanged(b, ip)
}

// addHost makes a type-2 route with an address a candidate for it.
func (l *loop) addHost(b *bridge, r *route) {
	h := l.host(b, r.prefix.Addr())
	h.routes = append(h.routes, r)
	l.hostChanged(b, r.prefix.Addr())
}

func (l *loop) removeHost(b *bridge, r *route) {
	h := b.hosts[r.prefix.Addr()]
	if h == nil {
		return
	}
	for i, o := range h.routes {
		if o != r {
			continue
		}
		last := len(h.routes) - 1
		h.routes[i], h.routes[last] = h.routes[last], nil
		if h.routes = h.routes[:last]; last == 0 {
			h.routes = nil
		}
		l.hostChanged(b, r.prefix.Addr())
		return
	}
}

// hostsFollow is called after a MAC changed: its addresses here go with it.
func (l *loop) hostsFollow(b *bridge, mac ether.MAC) {
	for ip := range b.addressesOf[mac] {
		l.hostChanged(b, ip)
	}
}

// hostsChanged has every address of a bridge looked at again.
func (l *loop) hostsChanged(b *bridge) {
	for ip := range b.hosts {
		l.hostChanged(b, ip)
	}
}

// hostChanged is called after the candidates of an address changed: it marks
// what follows, forgets a local host that is elsewhere now, and drops one that
// nobody knows.
func (l *loop) hostChanged(b *bridge, ip netip.Addr) {
	h := b.hosts[ip]
	if h == nil {
		return
	}
	at := b.locate(ip)
	if !h.seen.IsZero() && (!at.here() || at.mac != h.seen) {
		b.setMAC(ip, h, &h.seen, ether.MAC{})
		at = b.locate(ip)
	}
	l.markAnswer(b, ip)
	if at.here() || h.local {
		l.dirtyAdverts[advertKey{bridge: b.Index, prefix: single(ip)}] = struct{}{}
	}
	if at.here() != h.local {
		h.local = at.here()
		if h.local {
			l.stats.hostsLocal.Add(1)
		} else {
			l.stats.hostsLocal.Add(-1)
		}
	}
	if b.svi != nil {
		l.markRouted(b.svi, ip)
	}
	if h.static.IsZero() && h.seen.IsZero() && h.kernel.IsZero() && len(h.routes) == 0 {
		delete(b.hosts, ip)
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
	for ip, h := range b.hosts {
		h.static, h.seen, h.kernel, h.routes = ether.MAC{}, ether.MAC{}, ether.MAC{}, nil
		l.hostChanged(b, ip)
	}
	clear(b.addressesOf)
	clear(b.staticIPs)
	clear(b.heard)
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
			return p4.ARPHost{Bridge: index, Address: ip, MAC: b.svi.mac}
		}
		return p4.NDHost{Bridge: index, Address: ip, MAC: b.svi.mac, Router: true}
	}
	at := b.locate(ip)
	if !at.known() {
		return nil
	}
	metadata := ""
	if at.here() && at.mac != b.hosts[ip].static {
		metadata = localHost
	}
	if ip.Is4() {
		return p4.ARPHost{Bridge: index, Address: ip, MAC: at.mac, Metadata: metadata}
	}
	return p4.NDHost{Bridge: index, Address: ip, MAC: at.mac, Metadata: metadata}
}

// adoptHost takes over a host that was seen before we started, if its MAC was.
func (l *loop) adoptHost(index uint16, ip netip.Addr, mac ether.MAC, metadata string) {
	if b := l.bridges[index]; b != nil && metadata == localHost {
		l.spoke(b, ip, mac)
	}
}
