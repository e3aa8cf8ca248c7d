package controller

import (
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// This file is what is known of an IP address of a bridge, and who has it.
//
// Who has an address is the first of these that there is:
//
//	nobody                     of the gateway's own addresses, and those that no host can have
//	a static MAC               that was given it              RFC 9161 section 3.7, RFC 7432 section 15.2
//	the MAC that holds it      of one that moved too often    RFC 9161 section 3.7 (see duplicates.go)
//	the better one of
//	  the local claim          that was made last, by a MAC that is here
//	  the best route           a local claim of the same MAC stands before it: where a MAC is, its
//	                           addresses are                  RFC 9721 section 5.1
//	                           else immutable (RFC 9047 section 2), sticky, the higher sequence
//	                           number of the MAC, the lower VTEP
//	                                                          RFC 7432 section 15, RFC 9721 section 5.1
//	what was looked for and    where its MAC is, here or behind a VTEP; against a route of another
//	answered                   MAC as a local claim           RFC 9135 section 4
//	what another system says   while its MAC is here; against a route as a local claim
//
// What happens changes that:
//
//	a host here speaks for an address that another MAC has: its MAC's sequence number is raised to
//	one above the other's, unless it is above; the MAC and all its addresses are advertised anew;
//	the other MAC is asked, if it is here          RFC 9721 sections 5.1, 6.1; RFC 9161 section 3.7 b
//	a route of another MAC comes for an address that is here, or such a MAC speaks for it by
//	VXLAN: the MAC here is asked; a better route has the address meanwhile
//	                                               RFC 9721 section 6.3, RFC 9135 section 7.1
//	the MAC answers: it spoke, as above            RFC 9161 section 3.7 b
//	it does not: its claim ends                    RFC 9161 section 3.5
//	a rival goes: the claim that lost to it has the address again, and is asked
//	                                               RFC 9721 section 6.3
//	a MAC comes here that has addresses elsewhere, or said so there just before, or a route that
//	is older than that says so: they come with it, and it is asked for them; one that another
//	MAC has waits until it goes                    RFC 9135 section 7.2
//	a MAC goes elsewhere: its claims wait for it   RFC 9135 section 7.1
//	a MAC falls silent: its claims end with it     RFC 7432 section 10.3

// address is the record of one IP address of a bridge: who claims it here, and who
// advertises it. One that nobody claims any more is dropped. There are many of which only
// peers speak: those are small.
type address struct {
	claims *claims    // local ones; nil = none
	routes candidates // imported type-2 routes with the address, but those of gateways
	here   bool       // it was here when it was last looked at
}

// claims are the local claims of an address, the one that was made last at the end.
type claims struct {
	all     []claim
	owner   ether.MAC // that had the address here when it was last looked at; zero = none
	alarmed bool      // the operator was told that somebody else claims what a static MAC has
}

// claim is that a MAC has an address, as far as it is known here and not from a route.
// Where the address is follows from where the MAC is.
type claim struct {
	mac       ether.MAC
	by        evidence
	flags     packet.Flags
	confirmed time.Time // when its owner was heard last; zero if it never was since we started
}

// maxClaims bounds the claims of one address.
const maxClaims = 8

// evidence is how a claim is known. One may be known in several ways.
type evidence uint8

const (
	byStatic      evidence = 1 << iota // a static MAC was given the address
	byHost                             // the host said so itself, by ARP or ND
	byTarget                           // the host had said so before we started
	byPeer                             // a peer said so of the MAC before it came here
	bySlowPath                         // the host answered the slow path
	byAnswer                           // the host answered us, from behind a VTEP
	byExpectation                      // another system says so (see expected.go)
)

// answered is what a host said that was looked for.
const answered = bySlowPath | byAnswer

// spoken is what the host itself said, to whomever.
const spoken = byHost | byTarget | byPeer

// location is where an address of a bridge is; without a MAC it is nowhere.
type location struct {
	mac     ether.MAC
	from    *candidate // where the MAC is behind a VTEP; nil if it is here
	claimed bool       // a claim says so, no route
	flags   packet.Flags
}

func (at location) known() bool { return !at.mac.IsZero() }
func (at location) here() bool  { return at.claimed && at.from == nil }

// locate selects where an address is: see above.
func (b *bridge) locate(ip netip.Addr) location {
	a := b.addresses[ip]
	if a == nil {
		return location{}
	}
	if no := b.noHost(ip); no != isHost {
		return b.locateNoHost(a, no)
	}
	if at := b.locateStatic(a); at.known() {
		return at
	}
	if mac := b.holder(ip); !mac.IsZero() {
		return b.locateHeld(a, mac)
	}
	best := a.routes.best()
	if c, mine := b.foremost(a); c.by != 0 &&
		(best == nil || best.route.MAC == c.mac || mine.beats(best.route.rank()) && !best.route.immutable) {
		return location{mac: c.mac, claimed: true, flags: c.flags}
	}
	if best != nil {
		if c := a.routes.reached(); c != nil {
			best = c
		}
		return location{mac: best.route.MAC, from: best, flags: best.route.flags}
	}
	if mac := a.claimant(answered); !mac.IsZero() {
		if c, known := b.place(mac); known {
			return location{mac: mac, from: c, claimed: true, flags: a.claim(mac).flags}
		}
	}
	return location{}
}

// locateStatic is where an address is by a static MAC that was given it and is here.
func (b *bridge) locateStatic(a *address) location {
	mac := a.claimant(byStatic)
	if mac.IsZero() || b.stationHere(mac) == nil {
		return location{}
	}
	return location{mac: mac, claimed: true, flags: a.claim(mac).flags}
}

// foremost is the claim of an address by a MAC that is here which stands for all of them, and
// the MAC's rank; its evidence is none if there is no such claim. Which it is does not depend
// on routes: two gateways would never agree if one had several to choose from.
func (b *bridge) foremost(a *address) (claim, rank) {
	for _, by := range [...]evidence{spoken, answered, byExpectation} {
		for _, c := range slices.Backward(a.allClaims()) {
			if c.by&by == 0 {
				continue
			}
			if mine, here := b.rankHere(c.mac); here {
				return c, mine
			}
		}
	}
	return claim{}, rank{}
}

// locateHeld is where an address is that a MAC holds: wherever that is.
func (b *bridge) locateHeld(a *address, mac ether.MAC) location {
	c, known := b.place(mac)
	mine := a.claim(mac)
	switch {
	case !known, c == nil && mine == nil:
		return location{}
	case mine == nil:
		return location{mac: mac, from: c, flags: c.route.flags}
	}
	return location{mac: mac, from: c, claimed: true, flags: mine.flags}
}

// place is where a MAC is: behind a candidate, or here if that is nil; false if it is
// nowhere.
func (b *bridge) place(mac ether.MAC) (*candidate, bool) {
	s := b.macs[mac]
	if s == nil {
		return nil, false
	}
	c, here := b.selected(mac, s)
	return c, here || c != nil
}

// claim is that of a MAC, nil if it makes none. It is good until claims change.
func (a *address) claim(mac ether.MAC) *claim {
	if a == nil || a.claims == nil {
		return nil
	}
	for i := range a.claims.all {
		if c := &a.claims.all[i]; c.mac == mac {
			return c
		}
	}
	return nil
}

// claimant is the MAC of the last claim that is known in one of some ways, zero if none is.
func (a *address) claimant(by evidence) ether.MAC {
	for _, c := range slices.Backward(a.allClaims()) {
		if c.by&by != 0 {
			return c.mac
		}
	}
	return ether.MAC{}
}

// allClaims are the claims, the one that was made last behind the others. Nearly no address
// behind a VTEP has any.
func (a *address) allClaims() []claim {
	if a == nil || a.claims == nil {
		return nil
	}
	return a.claims.all
}

// unclaimed reports whether nobody knows the address.
func (a *address) unclaimed() bool { return a.claims == nil && a.routes.size() == 0 }

// address gives the bridge's record of an address, made if there is none.
func (l *loop) address(b *bridge, ip netip.Addr) *address {
	a := b.addresses[ip]
	if a == nil {
		a = &address{}
		b.addresses[ip] = a
		l.stats.hosts.Add(1)
	}
	return a
}

// addressesOf are those that one MAC claims here, and how it stood when they were looked
// at: most changes of a MAC's routes do not concern them.
type addressesOf struct {
	of      map[netip.Addr]struct{}
	seen    standing
	turn    turn // when it is asked for some of them
	crowded bool // the operator was told that it has too many
	silent  bool // it is forgotten if it answers for none of them
}

// standing is what of a MAC matters to its addresses here.
type standing struct {
	rank rank
	from *candidate
	here bool
	port uint16
}

func (b *bridge) standing(mac ether.MAC) standing {
	s := b.macs[mac]
	if s == nil {
		return standing{}
	}
	from, here := b.selected(mac, s)
	if !here {
		return standing{from: from}
	}
	return standing{rank: b.rankOf(s), here: true, port: s.port()}
}

// stationHere is the record of a MAC that is on one of the bridge's ports, nil if it is not.
func (b *bridge) stationHere(mac ether.MAC) *station {
	s := b.macs[mac]
	if s == nil {
		return nil
	}
	if _, here := b.selected(mac, s); !here {
		return nil
	}
	return s
}

// portOf is the port where a MAC is, 0 if it is on none.
func (b *bridge) portOf(mac ether.MAC) uint16 {
	if s := b.stationHere(mac); s != nil {
		return s.port()
	}
	return 0
}

// rankHere is the rank of a MAC that is on one of the bridge's ports.
func (b *bridge) rankHere(mac ether.MAC) (rank, bool) {
	if s := b.stationHere(mac); s != nil {
		return b.rankOf(s), true
	}
	return rank{}, false
}

// rankOf is the rank of a MAC that is here.
func (b *bridge) rankOf(s *station) rank {
	if s.static != 0 {
		return rank{sticky: true, vtep: b.localVTEP}
	}
	return rank{sequence: s.local.sequence, vtep: b.localVTEP}
}

// port is where a MAC is that is here.
func (s *station) port() uint16 {
	if s.static != 0 {
		return s.static
	}
	return s.local.port
}

// addClaim takes one more way in which a MAC's claim of an address is known, and has the
// claim be the last one made. One that is too many replaces the oldest.
func (b *bridge) addClaim(ip netip.Addr, a *address, mac ether.MAC, by evidence) *claim {
	if a.claims == nil {
		a.claims = &claims{}
	}
	made := claim{mac: mac}
	if i := slices.IndexFunc(a.claims.all, func(c claim) bool { return c.mac == mac }); i >= 0 {
		made = a.claims.all[i]
		a.claims.all = slices.Delete(a.claims.all, i, i+1)
	} else if len(a.claims.all) >= maxClaims {
		owner := b.locate(ip).mac
		i := slices.IndexFunc(a.claims.all, func(c claim) bool { return c.by&byStatic == 0 && c.mac != owner })
		b.removeClaim(ip, a, a.claims.all[i].mac, ^evidence(0))
	}
	made.by |= by
	a.claims.all = append(a.claims.all, made)
	of := b.claimed[mac]
	if of == nil {
		of = &addressesOf{of: map[netip.Addr]struct{}{}, seen: b.standing(mac), turn: turn{bridge: b.Index, mac: mac}}
		b.claimed[mac] = of
		b.rounds.enter(&of.turn)
	}
	if _, known := of.of[ip]; !known {
		of.of[ip] = struct{}{}
		b.count(of, 1)
	}
	return &a.claims.all[len(a.claims.all)-1]
}

// rearmost has a MAC's claim stand behind all others, as if it was made first.
func (c *claims) rearmost(mac ether.MAC) {
	i := slices.IndexFunc(c.all, func(c claim) bool { return c.mac == mac })
	copied := c.all[i]
	copy(c.all[1:], c.all[:i])
	c.all[0] = copied
}

// removeClaim takes back some of the ways in which a MAC's claim of an address is known,
// and with the last one the claim.
func (b *bridge) removeClaim(ip netip.Addr, a *address, mac ether.MAC, by evidence) {
	c := a.claim(mac)
	if c == nil {
		return
	}
	if c.by &^= by; c.by != 0 {
		return
	}
	a.claims.all = slices.DeleteFunc(a.claims.all, func(c claim) bool { return c.mac == mac })
	if len(a.claims.all) == 0 {
		a.claims = nil
	}
	of := b.claimed[mac]
	b.count(of, -1)
	if delete(of.of, ip); len(of.of) == 0 {
		b.rounds.leave(&of.turn)
		delete(b.claimed, mac)
		delete(b.away, mac)
	}
}

// soleClaim gives an address to one MAC by some evidence, and takes that of others back. The
// zero MAC is none.
func (b *bridge) soleClaim(ip netip.Addr, a *address, mac ether.MAC, by evidence) {
	if a.claims != nil {
		for _, c := range slices.Clone(a.claims.all) {
			if c.mac != mac {
				b.removeClaim(ip, a, c.mac, by)
			}
		}
	}
	if c := a.claim(mac); c != nil {
		c.by |= by
	} else if !mac.IsZero() {
		b.addClaim(ip, a, mac, by)
	}
}

// addressCount is how many addresses a MAC claims here.
func (b *bridge) addressCount(mac ether.MAC) int {
	if of := b.claimed[mac]; of != nil {
		return len(of.of)
	}
	return 0
}
