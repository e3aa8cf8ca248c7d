package controller

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
)

// This file is what becomes of MACs and addresses that move too often. Moves that we see
// ourselves count: a MAC that is learned here and was elsewhere (RFC 7432 section 15.1), an
// address that a host here takes from another MAC (RFC 9161 section 3.7 a, RFC 9721 section
// 8). After so many of them within the window
//
//	the operator is told, once                       RFC 7432 section 15.1, RFC 9161 section 3.7 c
//	it stays where it is: routes and hosts that say otherwise are passed over, and what was
//	advertised of it stays                           RFC 7432 section 15.1, RFC 9161 section 3.7 c
//	nobody is answered for such an address           RFC 9161 section 3.7 c
//	until the operator clears it, or a time is over  RFC 7432 section 15.1, RFC 9161 section 3.7 d
//
// One that is nowhere any more, since its host fell silent or its VTEP withdrew it, is held
// where a host here speaks next.

// history is the recent moves of a MAC or an address, for duplicate detection.
type history struct {
	moves  []time.Time
	frozen time.Time // since when; zero = not

	// at and vtep are where a MAC was frozen that was not here; vtep is invalid if it was.
	at   *candidate // nil if the VTEP has withdrawn it
	vtep netip.Addr
	mac  ether.MAC // that holds a frozen address
	told bool      // that no sequence number is above a peer's
}

// historyOf is the history of a MAC or an address, made if there is none.
func historyOf[K comparable](all map[K]*history, of K) *history {
	h := all[of]
	if h == nil {
		h = &history{}
		all[of] = h
	}
	return h
}

// isFrozen reports whether what the history is of is held where it is. None is not.
func (h *history) isFrozen() bool { return h != nil && !h.frozen.IsZero() }

// held is where a MAC was frozen, nil if it is not.
func (b *bridge) held(mac ether.MAC) *history {
	if h := b.moves[mac]; h.isFrozen() {
		return h
	}
	return nil
}

// frozen reports whether a MAC is held where it is as a duplicate.
func (b *bridge) frozen(mac ether.MAC) bool { return b.held(mac) != nil }

// holder is the MAC that holds an address which is a duplicate, zero if it is none.
func (b *bridge) holder(ip netip.Addr) ether.MAC {
	if h := b.addressMoves[ip]; h.isFrozen() {
		return h.mac
	}
	return ether.MAC{}
}

// moved records one more move in a history, and reports whether it is one too many.
func (l *loop) moved(h *history) bool {
	d, now := l.cfg.Duplicates, l.now()
	for len(h.moves) > 0 && now.Sub(h.moves[0]) >= d.Window {
		h.moves = h.moves[1:]
	}
	h.moves = append(h.moves, now)
	if len(h.moves) < d.Moves {
		return false
	}
	h.moves, h.frozen = nil, now
	return true
}

// macMoved records a move of a MAC that we saw and reports whether it is a duplicate from
// now on.
func (l *loop) macMoved(b *bridge, mac ether.MAC) bool {
	d := l.cfg.Duplicates
	if d.Moves < 0 {
		return false
	}
	h := historyOf(b.moves, mac)
	if !l.moved(h) {
		return false
	}
	if s := b.macs[mac]; s != nil && s.local == nil {
		if h.at = s.reached(); h.at != nil {
			h.vtep = h.at.route.vtep
		}
	}
	l.stats.frozen.Add(1)
	l.log.Warn("MAC moves too often and stays where it is now until that is cleared: look for a loop or a duplicate "+
		"address",
		events.Key, events.Duplicate, "bridge", b.ID, "mac", mac, "moves", d.Moves, "window", d.Window)
	return true
}

// addressMoved records that a host here takes an address from a MAC, and reports whether the
// address is a duplicate from now on, which that MAC holds.
func (l *loop) addressMoved(b *bridge, ip netip.Addr, from, to ether.MAC) bool {
	l.stats.addressMoves.Add(1)
	d := l.cfg.Duplicates
	if d.Moves < 0 {
		return false
	}
	h := historyOf(b.addressMoves, ip)
	if !l.moved(h) {
		return false
	}
	h.mac = from
	l.stats.frozenAddresses.Add(1)
	l.log.Warn("address moves too often between MACs, stays with one and is answered for no more until that is cleared: "+
		"look for two hosts with one address",
		events.Key, events.Duplicate, "bridge", b.ID, "address", ip, "mac", from, "other", to, "moves", d.Moves, "window",
		d.Window)
	l.addressChanged(b, ip)
	return true
}

// holdOn has a frozen MAC that was nowhere be where it is heard now.
func (l *loop) holdOn(b *bridge, mac ether.MAC) {
	if h := b.held(mac); h != nil {
		h.at, h.vtep = nil, netip.Addr{}
	}
}

// holdAddressAt is holdOn for an address.
func (b *bridge) holdAddressAt(ip netip.Addr, mac ether.MAC) {
	if h := b.addressMoves[ip]; h.isFrozen() {
		h.mac = mac
	}
}

// pin has a frozen MAC stay at the VTEP where it was, by whichever of its routes.
func (b *bridge) pin(mac ether.MAC, s *station) {
	h := b.held(mac)
	if h == nil || !h.vtep.IsValid() || h.at != nil {
		return
	}
	if c := s.best(); c != nil && c.route.vtep == h.vtep {
		h.at = c
		return
	}
	for c := range s.routes.some(maxFollowing) {
		if c.route.vtep == h.vtep {
			h.at = c
			return
		}
	}
}

// unpin is called when a route of a MAC goes.
func (b *bridge) unpin(mac ether.MAC, c *candidate, s *station) {
	if h := b.held(mac); h != nil && h.at == c {
		h.at = nil
		b.pin(mac, s)
	}
}

// thaw forgets moves that are past and ends freezes that have lasted.
func (l *loop) thaw() {
	now := l.now()
	if now.Sub(l.thawedAt) < idleTick/2 {
		return
	}
	l.thawedAt = now
	for _, b := range l.bridges {
		for mac, h := range b.moves {
			if l.over(h, now) {
				delete(b.moves, mac)
			} else if l.thaws(h, now) {
				l.clearDuplicate(b, mac)
			}
		}
		for ip, h := range b.addressMoves {
			if l.over(h, now) {
				delete(b.addressMoves, ip)
			} else if l.thaws(h, now) {
				l.clearDuplicateAddress(b, ip)
			}
		}
	}
	l.forgetAway(now)
	l.reviewDeclined()
	l.endLeases()
}

// over reports whether a history says nothing any more.
func (l *loop) over(h *history, now time.Time) bool {
	last := len(h.moves) - 1
	return !h.isFrozen() && !h.told && (last < 0 || now.Sub(h.moves[last]) >= l.cfg.Duplicates.Window)
}

// thaws reports whether a freeze has lasted.
func (l *loop) thaws(h *history, now time.Time) bool {
	freeze := l.cfg.Duplicates.Freeze
	return h.isFrozen() && freeze > 0 && now.Sub(h.frozen) >= freeze
}

// clearDuplicate lets a frozen MAC move again, and one whose sequence number could grow no
// more begin anew; false if it is neither.
func (l *loop) clearDuplicate(b *bridge, mac ether.MAC) bool {
	h := b.moves[mac]
	if h == nil || !h.isFrozen() && !h.told {
		return false
	}
	delete(b.moves, mac)
	s := b.macs[mac]
	if h.told && s != nil && s.local != nil && s.local.sequence == maxSequence {
		s.local.sequence = 0
		if c := s.best(); c != nil {
			s.local.sequence = l.nextSequence(b, mac, c.route.sequence)
		}
	}
	if h.isFrozen() {
		l.stats.frozen.Add(-1)
	}
	for port, reason := range b.declined[mac] {
		if reason == declineFrozen {
			l.undecline(b, mac, port)
		}
	}
	if s != nil {
		l.changed(b, mac)
	}
	return true
}

// clearDuplicateAddress lets a frozen address move again; false if it is not frozen.
func (l *loop) clearDuplicateAddress(b *bridge, ip netip.Addr) bool {
	if b.holder(ip).IsZero() {
		return false
	}
	delete(b.addressMoves, ip)
	l.stats.frozenAddresses.Add(-1)
	l.addressChanged(b, ip)
	return true
}

// forgetMoves drops the histories of a bridge that goes.
func (l *loop) forgetMoves(b *bridge) {
	for mac := range b.moves {
		if b.frozen(mac) {
			l.stats.frozen.Add(-1)
		}
	}
	for ip := range b.addressMoves {
		if !b.holder(ip).IsZero() {
			l.stats.frozenAddresses.Add(-1)
		}
	}
	clear(b.moves)
	clear(b.addressMoves)
}

// maxSequence is the last sequence number.
const maxSequence = ^uint32(0)

// nextSequence is the sequence of a MAC that moved, RFC 7432 section 15. It does not wrap:
// of a MAC that a peer advertises with the last one the operator is told, once.
func (l *loop) nextSequence(b *bridge, mac ether.MAC, n uint32) uint32 {
	if n < maxSequence {
		return n + 1
	}
	h := historyOf(b.moves, mac)
	if !h.told {
		h.told = true
		l.log.Warn("a peer advertises the highest sequence number that there is, which a MAC that is here cannot exceed: "+
			"have the peer withdraw its route, then clear the MAC", events.Key, events.Conflict, "bridge", b.ID, "mac", mac)
	}
	return n
}

// alarmMAC tells the operator, once, that a peer advertises a MAC that is static here (RFC
// 7432 section 15.2).
func (l *loop) alarmMAC(b *bridge, mac ether.MAC, s *station) {
	switch {
	case s.static == 0 || s.routes.size() == 0:
		s.alarmed = false
	case !s.alarmed:
		s.alarmed = true
		l.stats.staticConflicts.Add(1)
		l.log.Warn("a peer advertises a MAC that is static here, which stays here: look for a duplicate",
			events.Key, events.Conflict, "bridge", b.ID, "mac", mac, "port", l.portName(b, s.static), "vtep",
			s.best().route.vtep)
	}
}

// alarmStatic tells the operator, once, that a MAC claims the address of a static one (RFC
// 9161 section 3.7).
func (l *loop) alarmStatic(b *bridge, ip netip.Addr, a *address, other ether.MAC) {
	if a.claims.alarmed {
		return
	}
	a.claims.alarmed = true
	l.stats.staticConflicts.Add(1)
	l.log.Warn("another MAC claims the address of a static one, which keeps it: look for a duplicate",
		events.Key, events.Conflict, "bridge", b.ID, "address", ip, "mac", a.claimant(byStatic), "other", other)
}
