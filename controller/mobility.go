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
	// alarmed: the operator was told that a peer advertises it though it is static.
	alarmed bool
}

// local is a MAC learned on a port. It has its sequence from when it is learned.
type local struct {
	port     uint16
	sequence uint32
	since    time.Time // zero if it was taken over from the target
	expected bool      // it is said to be there (see expected.go), and does not age
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
// else behind the candidate, which is nil if it is nowhere. A static MAC is here whatever
// peers say (RFC 7432 section 15.2), and one that is frozen where it was. That the best VTEP
// cannot be reached does not bring a MAC back here.
func (b *bridge) selected(mac ether.MAC, s *station) (*candidate, bool) {
	h := b.held(mac)
	switch {
	case s.static != 0, h != nil && s.local != nil:
		return nil, true
	case h != nil:
		return h.at, false
	case s.local == nil:
		return s.reached(), false
	}
	c, mine := s.best(), rank{sequence: s.local.sequence, vtep: b.localVTEP}
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
				l.macMovedBy(localToRemote, b, mac, l.portAttr("from", b, s.local.port), vtepAttr("to", c))
			}
			l.forgetLocal(b, mac, s)
		}
	}
	l.reconsider(b, mac, s)
	l.alarmMAC(b, mac, s)
	l.markStation(b, mac)
	if s.static == 0 && s.local == nil && s.routes.size() == 0 {
		b.macs = without(b.macs, mac, &b.most.macs)
	}
	if s.local == nil || !s.local.expected {
		l.missExpected(b, mac)
	}
	l.settleAlias(b, mac)
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
	l.vacated(b, p)
}
