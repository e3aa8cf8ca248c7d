package controller

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// host is one IP address of a bridge: who has it here, and who advertises it.
// One that nobody knows any more is dropped.
type host struct {
	static ether.MAC  // a static MAC was given the address; zero = none
	seen   ether.MAC  // a local host said so itself, by ARP or ND; zero = none
	kernel ether.MAC  // the slow path resolved it; zero = not
	local  bool       // it was here when it was last looked at
	routes candidates // imported type-2 routes with the address, but those of gateways
}

// location is where an address of a bridge is; without a MAC it is nowhere.
type location struct {
	mac  ether.MAC
	from *candidate // nil if it is here
}

func (at location) known() bool { return !at.mac.IsZero() }
func (at location) here() bool  { return at.known() && at.from == nil }

// maxAddresses bounds the addresses of a local MAC, whatever a tenant sends.
const maxAddresses = 1024

// locate selects where an address is, by the rules of its MAC (RFC 9135 section
// 7). Our own addresses and those of other gateways are nobody's here: leaves
// may share a gateway's address with another MAC.
func (b *bridge) locate(ip netip.Addr) location {
	h := b.hosts[ip]
	if h == nil || b.svi.guards(ip) || b.svi.unassignable(ip) {
		return location{}
	}
	best := h.routes.best()
	for _, mac := range [...]ether.MAC{h.static, h.seen, h.kernel} {
		if mine, here := b.rankHere(mac); here && (best == nil || b.frozen(mac) || mine.beats(best.route.rank())) {
			return location{mac: mac}
		}
	}
	if best == nil {
		return location{}
	}
	if c := h.routes.reached(); c != nil {
		best = c
	}
	return location{best.route.MAC, best}
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

// standing is what of a MAC matters to its addresses here.
type standing struct {
	rank         rank
	here, frozen bool
}

func (b *bridge) standing(mac ether.MAC) standing {
	mine, here := b.rankHere(mac)
	return standing{mine, here, b.frozen(mac)}
}

// addresses are those that hosts here have by one MAC, and how it stood when they were
// looked at: most changes of a MAC's routes do not concern them.
type addresses struct {
	of   map[netip.Addr]struct{}
	seen standing
}

// setMAC sets one of the MACs that a host has here, and keeps the addresses
// by MAC.
func (b *bridge) setMAC(ip netip.Addr, h *host, which *ether.MAC, mac ether.MAC) {
	old := *which
	*which = mac
	if a := b.addressesOf[old]; a != nil && old != h.static && old != h.seen && old != h.kernel {
		if delete(a.of, ip); len(a.of) == 0 {
			delete(b.addressesOf, old)
		}
	}
	if mac.IsZero() {
		return
	}
	a := b.addressesOf[mac]
	if a == nil {
		a = &addresses{map[netip.Addr]struct{}{}, b.standing(mac)}
		b.addressesOf[mac] = a
	}
	a.of[ip] = struct{}{}
}

// addressCount is how many addresses hosts here have by a MAC.
func (b *bridge) addressCount(mac ether.MAC) int {
	if a := b.addressesOf[mac]; a != nil {
		return len(a.of)
	}
	return 0
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
	if b.addressCount(mac) >= maxAddresses {
		l.stats.hostsRefused.Add(1)
		return
	}
	h := l.host(b, ip)
	b.setMAC(ip, h, &h.seen, mac)
	l.hostChanged(b, ip)
}

// addHost makes a route one of its address's in the bridge.
func (l *loop) addHost(b *bridge, c *candidate) {
	ip := c.route.IP
	l.host(b, ip).routes.add(c, slotAddress)
	l.hostChanged(b, ip)
}

// removeHost is the opposite of addHost. A bridge that goes has no hosts any more.
func (l *loop) removeHost(b *bridge, c *candidate) {
	ip := c.route.IP
	if h := b.hosts[ip]; h != nil {
		h.routes.remove(c)
		l.hostChanged(b, ip)
	}
}

// hostsFollow is called after a MAC changed: its addresses here go with it.
func (l *loop) hostsFollow(b *bridge, mac ether.MAC) {
	a := b.addressesOf[mac]
	if a == nil {
		return
	}
	now := b.standing(mac)
	if a.seen == now {
		return
	}
	a.seen = now
	for ip := range a.of {
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
	if h.static.IsZero() && h.seen.IsZero() && h.kernel.IsZero() && h.routes.size() == 0 {
		b.hosts = without(b.hosts, ip, &b.most.hosts)
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
		h.static, h.seen, h.kernel, h.routes = ether.MAC{}, ether.MAC{}, ether.MAC{}, candidates{}
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
