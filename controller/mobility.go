package controller

import (
	"time"

	"github.com/p4evpn/p4evpn/ether"
)

// station is one MAC of a bridge: where it was seen here and who advertises it.
// A station that nobody knows any more is dropped.
type station struct {
	static uint16     // configured port, 0 = none
	local  *local     // learned here, nil = not
	routes candidates // imported type-2 routes
}

// local is a MAC learned on a port. It has its sequence from when it is learned.
type local struct {
	port     uint16
	sequence uint32
	since    time.Time // zero if it was taken over from the target
}

// history is the recent moves of a MAC, for duplicate detection.
type history struct {
	moves  []time.Time
	frozen time.Time // since when; zero = not
}

// station gives the bridge's record of a MAC, made if there is none.
func (b *bridge) station(mac ether.MAC) *station {
	s := b.macs[mac]
	if s == nil {
		s = &station{}
		b.macs[mac] = s
	}
	return s
}

// best is the best imported candidate, nil if there is none. What a MAC's several
// addresses say of it is the same.
func (s *station) best() *candidate { return s.routes.best() }

// reached is the best candidate whose VTEP can be reached. Where there is none it
// is the best one, so that frames for the MAC are dropped and not flooded.
func (s *station) reached() *candidate {
	if c := s.routes.reached(); c != nil {
		return c
	}
	return s.best()
}

// selected says where the MAC is: on a local port if the second result is true,
// else behind the candidate, which is nil if it is nowhere. That the best VTEP
// cannot be reached does not bring a MAC back here.
func (b *bridge) selected(mac ether.MAC, s *station) (*candidate, bool) {
	c := s.best()
	mine := rank{vtep: b.localVTEP}
	switch {
	case s.static != 0:
		mine.sticky = true
	case s.local == nil:
		return s.reached(), false
	case b.frozen(mac):
		return nil, true
	default:
		mine.sequence = s.local.sequence
	}
	if c == nil || mine.beats(c.route.rank()) {
		return nil, true
	}
	return s.reached(), false
}

// changed is called after the candidates of a MAC changed: it marks what
// follows from that, forgets a local MAC that is elsewhere now, and drops a
// station that nobody knows.
func (l *loop) changed(b *bridge, mac ether.MAC) {
	s := b.macs[mac]
	if s.local != nil {
		if c, here := b.selected(mac, s); !here || s.static != 0 {
			if c != nil {
				l.stats.moves[localToRemote].Add(1)
			}
			l.forgetLocal(b, mac, s)
		}
	}
	l.reconsider(b, mac, s)
	l.markStation(b, mac)
	if s.static == 0 && s.local == nil && s.routes.size() == 0 {
		b.macs = without(b.macs, mac, &b.most.macs)
	}
	l.addressesFollow(b, mac)
}

// forgetLocal takes back that a MAC was learned; the caller drops the station.
func (l *loop) forgetLocal(b *bridge, mac ether.MAC, s *station) {
	if s.local == nil {
		return
	}
	p := l.ports[s.local.port]
	p.learned--
	b.learned--
	l.stats.learned.Add(-1)
	l.markStation(b, mac)
	s.local = nil
	l.vacancy(b, p)
}

// moved records a move that we saw and reports whether the MAC is a duplicate
// from now on (RFC 7432 section 15.1).
func (l *loop) moved(b *bridge, mac ether.MAC) bool {
	d := l.cfg.Duplicates
	if d.Moves < 0 {
		return false
	}
	h := b.moves[mac]
	if h == nil {
		h = &history{}
		b.moves[mac] = h
	}
	now := l.now()
	for len(h.moves) > 0 && now.Sub(h.moves[0]) >= d.Window {
		h.moves = h.moves[1:]
	}
	h.moves = append(h.moves, now)
	if len(h.moves) < d.Moves {
		return false
	}
	h.moves, h.frozen = nil, now
	l.stats.frozen.Add(1)
	l.log.Warn("MAC moves too often and stays where it is now until that is cleared: look for a loop or a duplicate "+
		"address",
		"bridge", b.ID, "mac", mac, "moves", d.Moves, "window", d.Window)
	return true
}

// frozen reports whether a MAC is held where it is as a duplicate.
func (b *bridge) frozen(mac ether.MAC) bool {
	h := b.moves[mac]
	return h != nil && !h.frozen.IsZero()
}

// thaw forgets moves that are past and ends freezes that have lasted.
func (l *loop) thaw() {
	now, d := l.now(), l.cfg.Duplicates
	if now.Sub(l.thawedAt) < idleTick/2 {
		return
	}
	l.thawedAt = now
	for _, b := range l.bridges {
		for mac, h := range b.moves {
			switch {
			case h.frozen.IsZero():
				if now.Sub(h.moves[len(h.moves)-1]) >= d.Window {
					delete(b.moves, mac)
				}
			case d.Freeze > 0 && now.Sub(h.frozen) >= d.Freeze:
				l.clearDuplicate(b, mac)
			}
		}
	}
}

// clearDuplicate lets a frozen MAC move again; false if it is not frozen.
func (l *loop) clearDuplicate(b *bridge, mac ether.MAC) bool {
	if !b.frozen(mac) {
		return false
	}
	delete(b.moves, mac)
	l.stats.frozen.Add(-1)
	for port, reason := range b.declined[mac] {
		if reason == declineFrozen {
			l.undecline(b, mac, port)
		}
	}
	if b.macs[mac] != nil {
		l.changed(b, mac)
	}
	return true
}
