package controller

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// probe asks a MAC whether it still has an address.
func (l *loop) probe(b *bridge, ip netip.Addr, mac ether.MAC) {
	if l.asked != nil {
		l.asked(b, ip, mac)
	}
}
