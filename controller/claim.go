package controller

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// maxAddresses bounds the addresses of a local MAC, whatever a tenant sends.
const maxAddresses = 1024

// sighting is that a MAC was heard to have an address.
type sighting struct {
	ip     netip.Addr
	mac    ether.MAC
	port   uint16 // where it was heard; 0 = by VXLAN, or not by a frame
	by     evidence
	answer bool // it was asked and answered
}

// heard takes any sighting of an address, from a bridge port or by VXLAN. One of a port
// counts for as long as its MAC is here.
func (l *loop) heard(b *bridge, s sighting) {
	if s.port == 0 && s.by != byTarget {
		return
	}
	if _, here := b.rankHere(s.mac); !here {
		return
	}
	a := b.addresses[s.ip]
	if a.claimant(spoken) == s.mac {
		l.confirmed(b, s.ip, s.mac)
		return
	}
	if b.addressCount(s.mac) >= maxAddresses {
		l.stats.hostsRefused.Add(1)
		return
	}
	a = l.address(b, s.ip)
	b.soleClaim(s.ip, a, s.mac, spoken)
	if s.by == byHost {
		l.confirmed(b, s.ip, s.mac)
	}
	l.addressChanged(b, s.ip)
}

// confirmed takes that the MAC which claims an address has it, as it said itself: the
// claim's age begins anew.
func (l *loop) confirmed(b *bridge, ip netip.Addr, mac ether.MAC) {
	c := b.addresses[ip].claim(mac)
	if c == nil {
		return
	}
	c.confirmed = l.now()
	if c.state == claimProbed {
		c.state = claimActive
	}
}

// probeFailed takes that a MAC was asked for an address and did not answer: it has it no
// more.
func (l *loop) probeFailed(b *bridge, ip netip.Addr, mac ether.MAC) {
	a := b.addresses[ip]
	if a.claim(mac) == nil {
		return
	}
	b.removeClaim(ip, a, mac, spoken|bySlowPath)
	l.addressChanged(b, ip)
}
