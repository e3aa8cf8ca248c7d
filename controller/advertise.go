package controller

import (
	"math"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// advertKey names one route of ours: a type-5 route of a VRF; the type-2 route of
// an address in a bridge, whatever MAC has it, or of a MAC; or with neither the
// bridge's type-3 route.
type advertKey struct {
	bridge, vrf uint16
	mac         ether.MAC
	prefix      netip.Prefix
}

func (l *loop) markAdvert(b *bridge, mac ether.MAC) {
	if s := b.macs[mac]; s.local != nil || s.static != 0 {
		l.dirtyAdverts[advertKey{bridge: b.Index, mac: mac}] = struct{}{}
	}
}

// markAdverts marks all of a bridge's routes.
func (l *loop) markAdverts(b *bridge) {
	l.dirtyAdverts[advertKey{bridge: b.Index}] = struct{}{}
	for mac := range b.macs {
		l.markAdvert(b, mac)
	}
	for ip, a := range b.addresses {
		if a.here {
			l.dirtyAdverts[advertKey{bridge: b.Index, prefix: single(ip)}] = struct{}{}
		}
	}
	if b.svi != nil {
		l.markSVI(b.svi)
	}
}

// desiredAdvert is the route that k names, if we have it.
func (l *loop) desiredAdvert(k advertKey) (bgp.Route, bool) {
	if l.as == 0 {
		return bgp.Route{}, false // there is no speaker
	}
	if k.vrf != 0 {
		return l.prefixAdvert(l.vrfs[k.vrf], k.prefix)
	}
	b := l.bridges[k.bridge]
	if b == nil || !b.localVTEP.IsValid() {
		return bgp.Route{}, false
	}
	r, ok := l.bridgeAdvert(b, k)
	if !ok || l.bridgeInstance(b).macIPOnly && !r.MACIPOnly() {
		return bgp.Route{}, false
	}
	return r, true
}

// bridgeAdvert is the route of a bridge that k names.
func (l *loop) bridgeAdvert(b *bridge, k advertKey) (bgp.Route, bool) {
	r := bgp.Route{NextHop: b.localVTEP, Label: b.VNI, RouteTargets: l.exportRouteTargets(b)}
	rd := l.bridgeRD(b)
	if k.prefix.IsValid() {
		return l.hostAdvert(b, k.prefix.Addr(), r, rd)
	}
	if k.mac.IsZero() {
		r.Key = bgp.MulticastKey(rd, b.localVTEP)
		if l.bridgeInstance(b).taggedMulticast {
			r.Key.EthernetTag = b.VNI
		}
		r.Tunnel = b.localVTEP
		return r, true
	}
	if k.mac == l.asker {
		// Hosts behind VTEPs are asked from it where there is a gateway: leaves have to know
		// where it is, and that it is nowhere else.
		r.Key, r.Sticky = bgp.MACKey(rd, k.mac, netip.Addr{}), true
		return r, b.svi != nil
	}
	s := b.stationHere(k.mac)
	if s == nil {
		return bgp.Route{}, false
	}
	r.Key = bgp.MACKey(rd, k.mac, netip.Addr{})
	if s.static != 0 {
		r.Sticky = true
	} else {
		r.Sequence = s.local.sequence
	}
	return r, true
}

// markDisplacedRDs marks the routes of bridges whose RD gives way to a VNI that
// came, or may return since one went.
func (l *loop) markDisplacedRDs(vnis ...uint32) {
	for _, vni := range vnis {
		if b := l.bridges[uint16(vni%4096)]; vni != 0 && vni <= math.MaxUint16 && b != nil && b.VNI > math.MaxUint16 {
			l.markAdverts(b)
		}
	}
}

// advertCounts are how many routes of ours each bridge and each VRF has.
type advertCounts map[advertKey]int // keys without MAC and prefix

func (c advertCounts) count(k advertKey, n int) {
	of := advertKey{bridge: k.bridge, vrf: k.vrf}
	if c[of] += n; c[of] == 0 {
		delete(c, of)
	}
}

// flushAdverts gives BGP what changed of our own routes.
func (l *loop) flushAdverts() {
	if len(l.dirtyAdverts) == 0 {
		return
	}
	var add []bgp.Route
	var withdraw []bgp.Key
	forgotten := map[advertKey]struct{}{}
	for k := range l.dirtyAdverts {
		r, ok := l.desiredAdvert(k)
		old, had := l.adverts[k]
		if had && (!ok || old != r.Key) {
			withdraw = append(withdraw, old)
			if b := l.bridges[k.bridge]; b != nil && k.prefix.IsValid() && l.bridgeInstance(b).macIPOnly {
				forgotten[k], forgotten[advertKey{bridge: k.bridge, mac: old.MAC}] = struct{}{}, struct{}{}
			}
			delete(l.adverts, k)
			l.advertised.count(k, -1)
		}
		if ok {
			add = append(add, r)
			if _, had := l.adverts[k]; !had {
				l.advertised.count(k, 1)
			}
			l.adverts[k] = r.Key
		}
	}
	clear(l.dirtyAdverts)
	l.stats.originated.Store(int64(len(l.adverts)))
	if len(withdraw) > 0 && len(add) > 0 { // a key may have gone from one bridge to another
		added := map[bgp.Key]bool{}
		for _, r := range add {
			added[r.Key] = true
		}
		withdraw = slices.DeleteFunc(withdraw, func(k bgp.Key) bool { return added[k] })
	}
	l.originate(add, withdraw)
	l.tellAgain(forgotten)
}

// tellAgain withdraws and advertises anew what is left of MACs and addresses of which a route
// was withdrawn, each with its bridge: rest_vtep, for which an instance has macIPOnly, then
// forgets the MAC and the address, whatever else it was told of them.
func (l *loop) tellAgain(forgotten map[advertKey]struct{}) {
	hosts := map[advertKey]struct{}{}
	for k := range forgotten {
		if k.prefix.IsValid() {
			hosts[k] = struct{}{}
		} else if b := l.bridges[k.bridge]; b.claimed[k.mac] != nil {
			for ip := range b.claimed[k.mac].of {
				hosts[advertKey{bridge: k.bridge, prefix: single(ip)}] = struct{}{}
			}
		}
	}
	var left []bgp.Route
	var keys []bgp.Key
	for k := range hosts {
		r, ok := l.desiredAdvert(k)
		if key, told := l.adverts[k]; ok && told && r.Key == key {
			left, keys = append(left, r), append(keys, key)
		}
	}
	if len(left) > 0 {
		l.originate(nil, keys)
		l.originate(left, nil)
	}
}

// originate hands routes to the speaker. If it refuses them together they are
// given one by one, so that a bad one is alone.
func (l *loop) originate(add []bgp.Route, withdraw []bgp.Key) {
	if l.speaker.Originate(add, withdraw) == nil {
		return
	}
	if err := l.speaker.Originate(nil, withdraw); err != nil {
		l.log.Error("BGP did not take withdrawals", "err", err)
	}
	for _, r := range add {
		if err := l.speaker.Originate([]bgp.Route{r}, nil); err != nil {
			l.stats.refusedRoutes.Add(1)
			l.log.Error("BGP did not take a route of ours", "route", r.Key, "err", err)
		}
	}
}
