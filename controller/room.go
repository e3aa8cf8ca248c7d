package controller

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// Given is of reconcile.Model.
func (l *loop) Given(want entry) bool { return l.tables[want.Type()].given(l, want) }

// Most is of reconcile.Model.
func (l *loop) Most(k entry) int { return l.tables[k.Type()].most(l, k) }

// Declined is of reconcile.Model.
func (l *loop) Declined(k entry, why string) {
	l.log.Warn("a table has no room for more of a bridge, a VRF or the underlay: what is new waits",
		events.Key, events.Limit, "of", l.ownerName(k), "first", k.Key(), "why", why)
}

// ownerName names the bridge or VRF that an entry is of, "" if it is of none.
func (l *loop) ownerName(k entry) string {
	owner, owned := k.Key().Owner()
	switch {
	case !owned:
	case k.Type() == p4.TypeRoute && l.vrfs[uint16(owner)] != nil:
		return "VRF " + l.vrfs[uint16(owner)].ID
	case l.bridges[uint16(owner)] != nil:
		return "bridge " + l.bridges[uint16(owner)].ID
	}
	return ""
}

// maxRoutes is how many routes of a family a VRF may have.
func (l *loop) maxRoutes(id uint16) int {
	if v := l.vrfs[id]; v != nil {
		return cmp.Or(l.vrfInstance(v).maxRoutes, l.cfg.MaxRoutes)
	}
	return l.cfg.MaxRoutes
}

// givenFDB reports whether an entry is that of a static MAC.
func (l *loop) givenFDB(e p4.FDB) bool {
	b := l.bridges[e.Bridge]
	if b == nil {
		return false
	}
	s := b.macs[e.MAC]
	return s != nil && s.static != 0
}

// givenAnswer reports whether an address is the gateway's, or one that a static MAC was given.
func (l *loop) givenAnswer(bridge uint16, ip netip.Addr) bool {
	b := l.bridges[bridge]
	return b != nil && (b.svi.has(ip) || b.locate(ip).mac == b.addresses[ip].claimant(byStatic))
}

// givenRoute reports whether a prefix is of an SVI, a loopback or the configuration.
func (l *loop) givenRoute(e p4.Route) bool {
	v := l.vrfs[e.VRF]
	if v == nil {
		return false
	}
	_, kind, _ := l.own(v, e.Prefix)
	return kind != notOwn && kind != ownHost
}

// givenMAC reports whether a MAC is that of an SVI.
func (l *loop) givenMAC(bridge uint16, mac ether.MAC) bool {
	b := l.bridges[bridge]
	return b != nil && b.svi != nil && b.svi.mac == mac
}

// roomWanted says of each bridge and VRF which of its entries wait for room.
func (l *loop) roomWanted() map[subject]string {
	out := map[subject]string{}
	for w := range l.target.Waiting() {
		text := fmt.Sprintf("%d entries of %s wait for room: %d are there", w.Entries, w.Table, w.Taken)
		for _, s := range l.concerned(w.Example) {
			out[s] = together(out[s], text)
		}
	}
	return out
}

// together joins two reasons, each of which may be "".
func together(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

var _ reconcile.Model = (*loop)(nil)
