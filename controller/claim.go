package controller

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// maxFollowing bounds the routes that are looked at for the addresses of a MAC that came
// here.
const maxFollowing = 256

// sighting is that a MAC was heard to have an address.
type sighting struct {
	ip     netip.Addr
	mac    ether.MAC
	port   uint16 // where it was heard; 0 = by VXLAN, or not by a frame
	by     evidence
	flags  packet.Flags // of ip, as far as it said them
	answer bool         // it was asked and answered
}

// heard takes any sighting of an address by a frame, from a bridge port or by VXLAN.
func (l *loop) heard(b *bridge, s sighting) {
	if s.port != 0 {
		l.claimed(b, s)
		return
	}
	at := b.locate(s.ip)
	if at.mac != s.mac { // it may come here before a route says that it has the address
		l.remember(b, sighting{ip: s.ip, mac: s.mac, by: byPeer, flags: s.flags})
	}
	switch {
	case !at.known():
		l.found(b, s)
	case at.mac == s.mac:
		l.confirmed(b, s.ip, s.mac)
		if at.claimed && at.from != nil {
			l.found(b, s)
		}
	case at.claimed: // what is elsewhere is for its own gateway to judge
		l.rivalled(b, s.ip, at)
	}
}

// claimed takes that a MAC which is here has an address.
func (l *loop) claimed(b *bridge, s sighting) {
	mine, here := b.rankHere(s.mac)
	if !here {
		return
	}
	at, a := b.locate(s.ip), b.addresses[s.ip]
	made := a.claim(s.mac) == nil
	if made && !l.admits(b, s) {
		return
	}
	a = l.address(b, s.ip)
	taken := at.known() && at.mac != s.mac
	switch {
	case taken && s.by == byPeer: // what it said elsewhere takes nothing, and waits for an age
		c := b.addClaim(s.ip, a, s.mac, s.by)
		c.flags, c.confirmed = s.flags, l.now()
		a.claims.rearmost(s.mac)
		return
	case taken:
		taken = l.takes(b, s, mine, at)
	case !at.known():
		b.holdAddressAt(s.ip, s.mac)
	}
	c := b.addClaim(s.ip, a, s.mac, s.by)
	c.flags = c.flags.With(s.flags)
	if s.by == byHost {
		c.by = c.by&^(byTarget|byPeer) | byHost
		l.confirmed(b, s.ip, s.mac)
		if made && s.ip.Is6() && !c.flags.Known() {
			l.prober.askIdly(probed{b.Index, s.ip, s.mac}) // an answer says them
		}
	}
	now := b.locate(s.ip)
	if s.by&(byHost|byTarget) != 0 && now.here() && now.mac == s.mac {
		a.claims.owner = s.mac // it need not be asked
	}
	if now != at || a.here != now.here() {
		l.addressChanged(b, s.ip)
	}
	if taken && at.here() {
		l.probe(b, s.ip, at.mac)
	}
}

// takes has a MAC that is here and speaks for an address take it from another MAC, and
// reports whether it may: its sequence number is raised above the other's.
func (l *loop) takes(b *bridge, s sighting, mine rank, at location) bool {
	rival := rank{}
	if at.from != nil {
		rival = at.from.route.rank()
	} else if r, here := b.rankHere(at.mac); here {
		rival = r
	}
	a := b.addresses[s.ip]
	switch {
	case a.claimant(byStatic) == at.mac:
		l.alarmStatic(b, s.ip, a, s.mac)
		return false
	case !b.holder(s.ip).IsZero():
		return false
	case !at.here() && (rival.sticky && !mine.sticky || at.from.route.immutable && !at.claimed):
		return false // a peer has it for ever
	case s.by == byHost && l.addressMoved(b, s.ip, at.mac, s.mac):
		return false
	}
	if s.by == byHost {
		l.raise(b, s.mac, rival)
	}
	return true
}

// raise gives a MAC that is here a sequence number above a rival's (RFC 9721 section 6.1).
// One that is frozen says nothing new (RFC 7432 section 15.1), and one that is static has
// none.
func (l *loop) raise(b *bridge, mac ether.MAC, rival rank) {
	s := b.macs[mac]
	if s.static != 0 || s.local == nil || b.frozen(mac) || rival.sticky || rival.sequence < s.local.sequence {
		return
	}
	s.local.sequence = l.nextSequence(b, mac, rival.sequence)
	l.changed(b, mac)
}

// returned has a MAC asked that has an address again, or has it since others do not, and did
// not just say so itself.
func (l *loop) returned(b *bridge, ip netip.Addr, a *address, at location) {
	if a.claims == nil {
		return
	}
	was := a.claims.owner
	a.claims.owner = ether.MAC{}
	if !at.here() {
		return
	}
	a.claims.owner = at.mac
	if c := a.claim(at.mac); was != at.mac && c.by&spoken != 0 && c.by&byStatic == 0 {
		l.probe(b, ip, at.mac)
	}
}

// rivalled takes that somebody else was heard to have an address, which is where it is by a
// claim: its MAC is asked whether it still has it.
func (l *loop) rivalled(b *bridge, ip netip.Addr, at location) {
	switch {
	case b.addresses[ip].claimant(byStatic) == at.mac, !b.holder(ip).IsZero():
	case at.here():
		l.probe(b, ip, at.mac)
	case l.slow != nil: // it found the host
		l.slow.Probe(b.Index, ip)
	}
}

// confirmed takes that the MAC which claims an address has it, as it said itself: the
// claim's age begins anew.
func (l *loop) confirmed(b *bridge, ip netip.Addr, mac ether.MAC) {
	if c := b.addresses[ip].claim(mac); c != nil {
		c.confirmed = l.now()
		l.prober.end(probed{b.Index, ip, mac})
		b.claimed[mac].silent = false
	}
}

// probeFailed takes that a MAC was asked for an address and did not answer: it has it no
// more. One that was silent before is gone with the last one that it had.
func (l *loop) probeFailed(b *bridge, ip netip.Addr, mac ether.MAC) {
	silent := b.claimed[mac] != nil && b.claimed[mac].silent
	l.endClaim(b, ip, mac)
	if s := b.macs[mac]; silent && len(l.askable(b, mac)) == 0 && s != nil && s.local != nil {
		l.forgetSilent(b, mac, s)
	}
}

// endClaim ends a MAC's claim of an address, but for what the operator knows.
func (l *loop) endClaim(b *bridge, ip netip.Addr, mac ether.MAC) {
	a := b.addresses[ip]
	c := a.claim(mac)
	if c == nil {
		return
	}
	if c.by&bySlowPath != 0 {
		l.forgetNeighbor(neighborKey{b.Index, ip})
	}
	b.removeClaim(ip, a, mac, spoken|answered)
	l.addressFollows(b, ip) // it does not come along again
}

// following are the addresses that a MAC has elsewhere, as far as they are looked at.
func (b *bridge) following(mac ether.MAC, s *station) (out []netip.Addr) {
	if s == nil {
		return nil
	}
	for c := range s.routes.some(maxFollowing) {
		if r := c.route; r.isHost() && b.locate(r.IP).mac == mac {
			out = append(out, r.IP)
		}
	}
	return out
}

// bringAlong has addresses come here with their MAC, which is asked for them (RFC 9135 section
// 7.2).
func (l *loop) bringAlong(b *bridge, mac ether.MAC, addresses []netip.Addr) {
	for _, ip := range addresses {
		l.claimed(b, sighting{ip: ip, mac: mac, by: byPeer, flags: b.locate(ip).flags})
	}
}

// comesAlong is bringAlong for an address that a route says to be elsewhere with a MAC which
// is here: the route was made before the MAC came here, and is withdrawn when its VTEP hears
// of that. What is frozen follows no routes, and what is static did not come.
func (l *loop) comesAlong(b *bridge, ip netip.Addr) {
	a := b.addresses[ip]
	if a == nil || a.routes.size() == 0 {
		return
	}
	r := a.routes.best().route
	if a.claim(r.MAC) != nil || b.frozen(r.MAC) {
		return
	}
	if s := b.stationHere(r.MAC); s != nil && s.static == 0 && b.rankOf(s).beats(r.rank()) {
		l.claimed(b, sighting{ip: ip, mac: r.MAC, by: byPeer, flags: r.flags})
	}
}

// addressesFollow is called after a MAC changed: its addresses here go with it.
func (l *loop) addressesFollow(b *bridge, mac ether.MAC) {
	of := b.claimed[mac]
	if of == nil {
		return
	}
	now := b.standing(mac)
	if of.seen == now {
		return
	}
	b.count(of, -len(of.of))
	of.seen = now
	b.count(of, len(of.of))
	if !now.here {
		if _, gone := b.away[mac]; !gone {
			b.away[mac] = l.now()
		}
	} else {
		delete(b.away, mac)
	}
	for ip := range of.of {
		l.addressChanged(b, ip)
	}
}

// forgetClaims ends the claims of a MAC that fell silent, but for what the slow path and
// the operator know.
func (l *loop) forgetClaims(b *bridge, mac ether.MAC) {
	of := b.claimed[mac]
	if of == nil {
		return
	}
	for ip := range of.of {
		b.removeClaim(ip, b.addresses[ip], mac, spoken|byAnswer)
		l.addressChanged(b, ip)
	}
}

// forgetAway ends claims of MACs that went elsewhere and did not come back.
func (l *loop) forgetAway(now time.Time) {
	for _, b := range l.bridges {
		for mac, since := range b.away {
			if now.Sub(since) >= l.cfg.Ageing {
				delete(b.away, mac)
				l.forgetClaims(b, mac)
			}
		}
	}
}
