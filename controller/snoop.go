package controller

import (
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
	if !s.IP.IsValid() {
		return
	}
	if b.svi.guards(s.IP) || b.svi.unassignable(s.IP) {
		if s.MAC != b.svi.mac {
			l.stats.forged.Add(1)
			l.log.Debug("a tenant claims an address that is the gateway's or no host's", "bridge", b.ID, "address", s.IP,
				"mac", s.MAC, "port", p.Port)
		}
		return
	}
	// The digest of a new MAC comes on its own, and may come later. That a MAC
	// moved here is for the digest alone to say: a copy may be older than the
	// move that took the MAC away.
	if b.macs[s.MAC] == nil {
		l.learn(p4.Learn{Bridge: p.Bridge, MAC: s.MAC, Port: p.Port})
	}
	if _, here := b.rankHere(s.MAC); here {
		l.heard(b, sighting{ip: s.IP, mac: s.MAC, port: p.Port, by: byHost})
	} else if len(b.early) < maxAddresses {
		b.early[s.MAC] = s.IP
	}
}

// recallEarly takes what a MAC said before its digest did.
func (l *loop) recallEarly(b *bridge, mac ether.MAC, port uint16) {
	if ip, ok := b.early[mac]; ok {
		delete(b.early, mac)
		l.heard(b, sighting{ip: ip, mac: mac, port: port, by: byHost})
	}
}
