package controller

import (
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// This file is how a host is found that nobody has heard of, when somebody sends to it. The
// kernel asks for it as the gateway. It has no answer from behind a leaf that shares the
// gateway's MAC: the leaf takes that for its own. So this gateway asks too, from a MAC that
// is its alone; and what answers, the one or the other, is where its MAC is (RFC 9135
// section 4), for as long as it answers.

const (
	// maxSought bounds the addresses of a bridge that are looked for at a time.
	maxSought = 4096
	// soughtAgain is how long it takes until one is asked for again.
	soughtAgain = time.Second
	// soughtLasts is how long an answer is waited for.
	soughtLasts = 3 * time.Second
)

// gleaned takes a packet for a host of an attached subnet that is not known.
func (l *loop) gleaned(p p4.PacketIn) {
	v := l.vrfs[p.VRF]
	if b := l.bridges[p.Bridge]; b != nil && b.svi != nil {
		v = b.svi.vrf
	}
	if ip, ok := packet.Destination(p.Frame); ok && v != nil {
		if s := v.sviOf(ip); s != nil && s.bridge.noHost(ip) == isHost {
			l.seek(s.bridge, ip)
		}
	}
}

// seek looks for an address of a bridge.
func (l *loop) seek(b *bridge, ip netip.Addr) {
	now := l.now()
	if at, sought := b.sought[ip]; b.locate(ip).known() || sought && now.Sub(at) < soughtAgain {
		return
	}
	if len(b.sought) >= maxSought {
		b.forgetSought(now)
	}
	if len(b.sought) >= maxSought {
		l.stats.unsought.Add(1)
		return
	}
	b.sought[ip] = now
	if l.slow == nil || !l.answersVXLAN(b.svi) { // else the kernel's own question will do
		l.glean(b, ip)
	}
}

// forgetSought forgets what was asked for in vain.
func (b *bridge) forgetSought(now time.Time) {
	for ip, at := range b.sought {
		if now.Sub(at) >= soughtLasts {
			delete(b.sought, ip)
		}
	}
}

// heardFar takes what a host behind a VTEP said of itself.
func (l *loop) heardFar(b *bridge, p p4.PacketIn, s packet.Sighting) {
	if l.noHostAt(b, s.IP, s.MAC) != isHost {
		return // what is none is for the gateway there to refuse
	}
	toUs := l.ours(b, ether.MAC(p.Frame[:6]))
	l.heard(b, sighting{ip: s.IP, mac: s.MAC, by: byHost, flags: s.Flags, answer: s.Answer && toUs})
}

// found takes the answer of a host behind a VTEP that was looked for. What its gateway
// there says of the address, if it has one, comes before that.
func (l *loop) found(b *bridge, s sighting) {
	at, sought := b.sought[s.ip]
	if !s.answer || !sought || l.now().Sub(at) >= soughtLasts ||
		b.addresses[s.ip].claim(s.mac) == nil && b.addressCount(s.mac) >= l.cfg.MaxAddresses {
		return
	}
	if !b.elsewhere(s.mac) {
		if b.macs[s.mac] == nil {
			l.remember(b, s) // its leaf hears of it now, and its route comes later
		}
		return
	}
	delete(b.sought, s.ip)
	a := l.address(b, s.ip)
	b.soleClaim(s.ip, a, s.mac, byAnswer)
	c := a.claim(s.mac)
	c.flags = c.flags.With(s.flags)
	l.confirmed(b, s.ip, s.mac)
	l.addressChanged(b, s.ip)
}

// recallFound takes what a MAC answered before its route came.
func (l *loop) recallFound(b *bridge, mac ether.MAC) {
	if e, ok := b.early[mac]; ok && e.answer && b.elsewhere(mac) {
		delete(b.early, mac)
		l.found(b, e.sighting)
	}
}

// elsewhere reports whether a MAC is behind a VTEP.
func (b *bridge) elsewhere(mac ether.MAC) bool {
	c, known := b.place(mac)
	return known && c != nil
}

// foundElsewhere reports whether a MAC has an address behind a VTEP, since it answered.
func (b *bridge) foundElsewhere(ip netip.Addr, mac ether.MAC) bool {
	at := b.locate(ip)
	return at.claimed && at.from != nil && at.mac == mac
}
