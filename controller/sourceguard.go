package controller

import (
	"github.com/p4evpn/p4evpn/p4"
)

// This file is from which addresses stations behind guarded ports may send (RFC 7039): those
// of static MACs, and those that DHCP gave them.

// guards reports whether a port of the bridge is guarded.
func (l *loop) guards(b *bridge, number uint16) bool {
	_, in := b.ports[number]
	return in && l.ports[number].SourceGuard
}

// desiredBoundSource lets a station behind a guarded port send from an address of its own.
func (l *loop) desiredBoundSource(k p4.BoundSource) entry {
	b := l.bridges[k.Bridge]
	if b == nil || !l.guards(b, k.Port) {
		return nil
	}
	le, leased := b.leases[k.Address]
	if l.boundStatic(b, k) || leased && le.mac == k.MAC && le.port == k.Port {
		return k
	}
	return nil
}

// boundStatic reports whether a static MAC has the address.
func (l *loop) boundStatic(b *bridge, k p4.BoundSource) bool {
	return b != nil && b.staticIPs[k.Address] == k.MAC && b.staticMACs[k.MAC] == k.Port
}

// markBound marks all addresses that are bound in a bridge.
func (l *loop) markBound(b *bridge) {
	l.markBoundStatics(b)
	for ip, le := range b.leases {
		l.markLease(b, ip, le)
	}
}

// markBoundStatics marks the addresses of static MACs behind guarded ports.
func (l *loop) markBoundStatics(b *bridge) {
	for ip, mac := range b.staticIPs {
		if n := b.staticMACs[mac]; n != 0 && l.ports[n].SourceGuard {
			l.mark(p4.BoundSource{Bridge: b.Index, Port: n, MAC: mac, Address: ip})
		}
	}
}

// desiredSnooped has answers of DHCP servers copied where a port is guarded.
func (l *loop) desiredSnooped(index uint16) entry {
	if b := l.bridges[index]; b != nil {
		for number := range b.ports {
			if l.ports[number].SourceGuard {
				return p4.Snooped{Bridge: index}
			}
		}
	}
	return nil
}
