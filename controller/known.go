package controller

import (
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/view"
)

// Known is what the gateway knows of its own, as values: nothing of them is what it wants the
// target to have.
func (i Inspection) Known() view.Known {
	l := i.l
	k := view.Known{
		Version: l.version, Busy: l.busy(), RouterMAC: l.routerMAC, AskerMAC: l.asker,
		NoCarrier: map[uint16]bool{}, Paths: make(map[netip.Addr][]view.KnownPath, len(l.remoteVTEPs)),
	}
	for n, at := range l.links {
		if !at.up {
			k.NoCarrier[n] = true
		}
	}
	for a, r := range l.remoteVTEPs {
		for _, p := range r.paths {
			k.Paths[a] = append(k.Paths[a], view.KnownPath{Device: p.Uplink, Source: p.Source, Destination: p.Destination})
		}
	}
	for _, b := range l.bridges {
		b.known(&k)
	}
	return k
}

// busy says what is under way.
func (l *loop) busy() string {
	switch {
	case !l.target.Ready():
		return "the target is not used: " + l.target.Reason()
	case l.target.Deferring():
		return "BGP has not converged since the gateway started"
	case !l.target.Idle():
		return fmt.Sprintf("%d entries are on their way", max(1, l.target.Depth()))
	case len(l.dirtyPorts)+len(l.dirtySVIs)+len(l.dirtyStaticMACs)+len(l.dirtyExpected)+len(l.dirtyRemoteVTEPs) > 0:
		return "objects are on their way"
	case len(l.nextHops.dirty) > 0:
		return "prefixes are looked at, since VTEPs came or went"
	}
	for _, r := range l.remoteVTEPs {
		if r.tracked && !r.answered {
			return fmt.Sprintf("how VTEP %v is reached is not known yet", r.addr)
		}
	}
	return ""
}

// known adds what is known in a bridge.
func (b *bridge) known(k *view.Known) {
	for mac, s := range b.macs {
		if s.local != nil {
			k.Stations = append(k.Stations, view.KnownStation{Bridge: b.Index, MAC: mac, Port: s.local.port,
				Sequence: s.local.sequence})
		}
	}
	for mac, at := range b.declined {
		for port, reason := range at {
			k.Declined = append(k.Declined, view.KnownStation{Bridge: b.Index, MAC: mac, Port: port,
				Passes: reason == declineFrozen})
		}
	}
	for mac, h := range b.moves {
		if h.isFrozen() {
			hold := view.KnownHold{Bridge: b.Index, MAC: mac}
			if h.at != nil {
				hold.VTEP = h.at.route.vtep
			}
			k.HeldMACs = append(k.HeldMACs, hold)
		}
	}
	for ip, h := range b.addressMoves {
		if h.isFrozen() {
			k.HeldAddresses = append(k.HeldAddresses, view.KnownHold{Bridge: b.Index, MAC: h.mac, Address: ip})
		}
	}
	for ip, a := range b.addresses {
		for _, c := range a.allClaims() {
			k.Claims = append(k.Claims, view.KnownClaim{
				Bridge: b.Index, Address: ip, MAC: c.mac, Spoke: c.by&spoken != 0, Answered: c.by&answered != 0,
				Expected:   c.by&byExpectation != 0,
				FlagsKnown: c.flags.Known(), Router: c.flags.Router(), Override: c.flags.Override(),
			})
		}
	}
	for ip, le := range b.leases {
		k.Leases = append(k.Leases, view.KnownLease{Bridge: b.Index, Port: le.port, MAC: le.mac, Address: ip})
	}
}
