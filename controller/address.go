package controller

import (
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// address is the record of one IP address of a bridge: who claims it here, and who
// advertises it. One that nobody claims any more is dropped. There are many of which only
// peers speak: those are small.
type address struct {
	claims *claims    // local ones; nil = none
	routes candidates // imported type-2 routes with the address, but those of gateways
	here   bool       // it was here when it was last looked at
}

// claims are the local claims of an address, the one that was made last at the end.
type claims struct{ all []claim }

// claim is that a MAC has an address, as far as it is known here and not from a route.
// Where the address is follows from where the MAC is.
type claim struct {
	mac       ether.MAC
	by        evidence
	state     claimState
	confirmed time.Time // when its owner was heard last; zero if it was taken over from the target
}

// evidence is how a claim is known. One may be known in several ways.
type evidence uint8

const (
	byStatic   evidence = 1 << iota // a static MAC was given the address
	byHost                          // the host said so itself, by ARP or ND
	byTarget                        // the host had said so before we started
	bySlowPath                      // the host answered the slow path
)

// spoken is what the host itself said.
const spoken = byHost | byTarget

// claimState is what became of a claim.
type claimState uint8

const (
	claimInactive  claimState = iota // another one has the address, or the MAC is nowhere
	claimActive                      // it has the address
	claimProbed                      // its MAC is asked whether it still has the address
	claimDuplicate                   // it may not have the address, which moved too often
)

var claimStateNames = [...]string{"inactive", "active", "probed", "duplicate"}

func (s claimState) String() string { return claimStateNames[s] }

// location is where an address of a bridge is; without a MAC it is nowhere.
type location struct {
	mac  ether.MAC
	from *candidate // nil if it is here
}

func (at location) known() bool { return !at.mac.IsZero() }
func (at location) here() bool  { return at.known() && at.from == nil }

// locate selects where an address is, by the rules of its MAC (RFC 9135 section
// 7). Our own addresses and those of other gateways are nobody's here: leaves
// may share a gateway's address with another MAC.
func (b *bridge) locate(ip netip.Addr) location {
	a := b.addresses[ip]
	if a == nil || b.svi.guards(ip) || b.svi.unassignable(ip) {
		return location{}
	}
	best := a.routes.best()
	for _, by := range [...]evidence{byStatic, spoken, bySlowPath} {
		mac := a.claimant(by)
		if mine, here := b.rankHere(mac); here && (best == nil || b.frozen(mac) || mine.beats(best.route.rank())) {
			return location{mac: mac}
		}
	}
	if best == nil {
		return location{}
	}
	if c := a.routes.reached(); c != nil {
		best = c
	}
	return location{best.route.MAC, best}
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
	if a == nil || a.claims == nil {
		return ether.MAC{}
	}
	for _, c := range slices.Backward(a.claims.all) {
		if c.by&by != 0 {
			return c.mac
		}
	}
	return ether.MAC{}
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
	of   map[netip.Addr]struct{}
	seen standing
}

// addClaim takes one more way in which a MAC's claim of an address is known, and has the
// claim be the last one made.
func (b *bridge) addClaim(ip netip.Addr, a *address, mac ether.MAC, by evidence) *claim {
	if a.claims == nil {
		a.claims = &claims{}
	}
	all := a.claims.all
	made := claim{mac: mac}
	if i := slices.IndexFunc(all, func(c claim) bool { return c.mac == mac }); i >= 0 {
		made = all[i]
		all = slices.Delete(all, i, i+1)
	}
	made.by |= by
	a.claims.all = append(all, made)
	of := b.claimed[mac]
	if of == nil {
		of = &addressesOf{map[netip.Addr]struct{}{}, b.standing(mac)}
		b.claimed[mac] = of
	}
	of.of[ip] = struct{}{}
	return &a.claims.all[len(a.claims.all)-1]
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
	if delete(of.of, ip); len(of.of) == 0 {
		delete(b.claimed, mac)
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
	if !mac.IsZero() {
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
