package controller

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// This file is stations of which another system says that they are behind a port, as OVN
// does of its logical switches. Such a station is at the port
//
//	from when that is said, though it never spoke
//	while nobody else says where it is: a route of a VTEP stands before it, and a frame at
//	another port does; when they go it is at the port again
//	until it is said no more
//
// It moves to the port by a frame, like any other, and counts for the limits of MACs.

// expectation is what is said of one bridge.
type expectation struct {
	port string                     // by its name
	of   map[ether.MAC][]netip.Addr // none is not nil
}

// macKey names a MAC of a bridge.
type macKey struct {
	bridge uint16
	mac    ether.MAC
}

// Expect is of view.Fabric.
func (c *Controller) Expect(ctx context.Context, bridge, port string, stations []view.Station) error {
	e := &expectation{port: port, of: make(map[ether.MAC][]netip.Addr, len(stations))}
	for _, s := range stations {
		e.of[s.MAC] = append([]netip.Addr{}, s.IPs...)
	}
	return c.ask(ctx, func(l *loop) { l.expect(bridge, e) })
}

// expect replaces what is said of a bridge, which need not be there yet.
func (l *loop) expect(id string, e *expectation) {
	b := l.byID[id]
	l.markExpected(b)
	l.expected[id] = e
	l.markExpected(b)
	if b == nil {
		return
	}
	for mac, s := range b.macs { // what was taken over from the target
		if s.local != nil && s.local.expected {
			l.dirtyExpected[macKey{b.Index, mac}] = struct{}{}
		}
	}
}

// markExpected has all that is said of a bridge looked at.
func (l *loop) markExpected(b *bridge) {
	if b == nil || l.expected[b.ID] == nil {
		return
	}
	for mac := range l.expected[b.ID].of {
		l.dirtyExpected[macKey{b.Index, mac}] = struct{}{}
	}
}

// missExpected has a MAC looked at that is not where it is said to be.
func (l *loop) missExpected(b *bridge, mac ether.MAC) {
	if e := l.expected[b.ID]; e != nil && e.of[mac] != nil {
		l.dirtyExpected[macKey{b.Index, mac}] = struct{}{}
	}
}

// settleExpected puts stations in place. Before the target was read back their sequence
// numbers are not known.
func (l *loop) settleExpected() {
	if !l.target.Adopted() {
		return
	}
	for k := range l.dirtyExpected { // those that go make room
		if b := l.bridges[k.bridge]; b != nil {
			l.endExpected(b, k.mac)
		}
	}
	for k := range l.dirtyExpected {
		if b := l.bridges[k.bridge]; b != nil {
			l.placeExpected(b, k.mac)
		}
	}
	clear(l.dirtyExpected)
}

// endExpected forgets a MAC that was at a port since that was said, and is said no more.
func (l *loop) endExpected(b *bridge, mac ether.MAC) {
	s := b.macs[mac]
	if p, _ := l.expectedAt(b, mac); p != nil || s == nil || s.local == nil || !s.local.expected {
		return
	}
	l.forgetLocal(b, mac, s)
	l.changed(b, mac)
	l.forgetClaims(b, mac)
}

func (l *loop) placeExpected(b *bridge, mac ether.MAC) {
	p, ips := l.expectedAt(b, mac)
	s := b.macs[mac]
	switch {
	case p == nil:
	case s == nil, s.local == nil && s.static == 0 && s.routes.size() == 0:
		if reason, no := l.declines(b, p, mac, s); no {
			l.sayFull(b, p, reason)
			break
		}
		l.holdOn(b, mac)
		l.setLocal(b, p, mac, &local{port: p.Number, since: l.now(), expected: true})
	case s.local != nil && s.local.port == p.Number && !s.local.expected:
		s.local.expected = true
		l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: p.Number})
	}
	l.placeExpectedIPs(b, mac, ips)
}

// expectedAt is where a MAC is said to be, with its addresses; nil if that is at no port of
// the bridge.
func (l *loop) expectedAt(b *bridge, mac ether.MAC) (*port, []netip.Addr) {
	e := l.expected[b.ID]
	if e == nil || e.of[mac] == nil {
		return nil, nil
	}
	for n := range b.ports {
		if p := l.ports[n]; p.Name == e.port && l.linkUp(n) {
			return p, e.of[mac]
		}
	}
	return nil, nil
}

// placeExpectedIPs has a MAC have the addresses that it is said to have, and no others by
// that alone.
func (l *loop) placeExpectedIPs(b *bridge, mac ether.MAC, ips []netip.Addr) {
	if of := b.claimed[mac]; of != nil {
		for _, ip := range slices.Collect(maps.Keys(of.of)) {
			if c := b.addresses[ip].claim(mac); c.by&byExpectation != 0 && !slices.Contains(ips, ip) {
				b.removeClaim(ip, b.addresses[ip], mac, byExpectation)
				l.addressChanged(b, ip)
			}
		}
	}
	for _, ip := range ips {
		if c := b.addresses[ip].claim(mac); c != nil && c.by&byExpectation != 0 {
			continue
		}
		if l.noHostAt(b, ip, mac) == isHost {
			l.claimed(b, sighting{ip: ip, mac: mac, by: byExpectation})
		}
	}
}
