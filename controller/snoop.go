package controller

import (
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// snoop learns from a copy of ARP or neighbour discovery who has which address.
func (l *loop) snoop(p p4.PacketIn) {
	b := l.bridges[p.Bridge]
	if b == nil || !l.target.Ready() {
		return // before the read-back what is known of the MAC may be missing
	}
	s, ok := packet.ReadSighting(p.Frame)
	if !ok {
		l.stats.badInput.Add(1)
		return
	}
	if s.AsksRouters && l.routesFor(b, p.VTEP) {
		l.deliver(p)
	}
	l.solicited(b, s)
	if !s.IP.IsValid() {
		return
	}
	if p.VTEP.IsValid() {
		l.heardFar(b, p, s)
		return
	}
	why := l.noHostAt(b, s.IP, s.MAC)
	if why != isHost && (b.svi == nil || s.MAC != b.svi.mac) {
		l.refused(b, why, s.IP, s.MAC, p.Port)
	}
	// The digest of a new MAC comes on its own, and may come later. That a MAC
	// moved here is for the digest alone to say: a copy may be older than the
	// move that took the MAC away.
	if b.macs[s.MAC] == nil && (why == isHost || why == noHostMAC) {
		l.learn(p4.Learn{Bridge: p.Bridge, MAC: s.MAC, Port: p.Port})
	}
	if why != isHost {
		return
	}
	said := sighting{ip: s.IP, mac: s.MAC, port: p.Port, by: byHost, flags: s.Flags}
	if b.stationHere(s.MAC) != nil {
		l.heard(b, said)
	} else {
		l.remember(b, said)
	}
}

// early is what a MAC said that is elsewhere, as far as we know.
type early struct {
	sighting
	at time.Time
}

const (
	// maxEarly bounds the MACs of a bridge of which such is remembered.
	maxEarly = 1024
	// earlyLasts is how long a digest may be later than the copy.
	earlyLasts = 5 * time.Second
)

// remember keeps what a MAC said that may be about to move here.
func (l *loop) remember(b *bridge, s sighting) {
	if _, again := b.early[s.mac]; !again && len(b.early) >= maxEarly {
		for mac := range b.early { // any: what is worth it is said again
			delete(b.early, mac)
			break
		}
	}
	b.early[s.mac] = early{s, l.now()}
}

// recallEarly takes what a MAC said before its digest did.
func (l *loop) recallEarly(b *bridge, mac ether.MAC, port uint16) {
	e, ok := b.early[mac]
	delete(b.early, mac)
	if ok && l.now().Sub(e.at) < earlyLasts {
		e.port = port
		l.heard(b, e.sighting)
		if at := b.locate(e.ip); at.here() && at.mac == mac {
			l.probe(b, e.ip, mac) // somebody else may have spoken since
		}
	}
}
