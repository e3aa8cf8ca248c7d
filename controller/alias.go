package controller

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// maxAliases bounds the MACs of other gateways that one bridge routes for, whatever peers
// advertise.
const maxAliases = 64

// otherGateway is what a type-2 route with the Default Gateway community says (RFC 7432
// section 10.1): at a VTEP a gateway has this MAC and address.
type otherGateway struct {
	mac  ether.MAC
	ip   netip.Addr
	vtep netip.Addr
}

// otherGateways are the gateways of a bridge elsewhere.
type otherGateways struct {
	routes map[otherGateway]int
	macs   map[ether.MAC]int  // routes that have it
	vteps  map[netip.Addr]int // the same
	ips    map[netip.Addr]int // the same; they are no host's meanwhile
	// aliases are the MACs for which this gateway routes, since they are of gateways
	// with an address of its own: hosts that have one of them in their tables may be
	// here now (gateway MAC aliasing).
	aliases map[ether.MAC]struct{}
	full    bool // it was said that there are too many
}

// countOtherGateway takes that a bridge imports a route of a gateway, by 1, or by -1 that it
// does no more.
func (l *loop) countOtherGateway(b *bridge, r *route, by int) {
	o := b.others
	if o == nil {
		o = &otherGateways{routes: map[otherGateway]int{}, macs: map[ether.MAC]int{}, vteps: map[netip.Addr]int{},
			ips: map[netip.Addr]int{}, aliases: map[ether.MAC]struct{}{}}
		b.others = o
	}
	had := o.vteps[r.vtep] > 0
	count(o.vteps, r.vtep, by)
	if had != (o.vteps[r.vtep] > 0) {
		l.dirtyAskers[b.Index] = struct{}{}
	}
	count(o.macs, r.MAC, by)
	count(o.routes, otherGateway{r.MAC, r.IP, r.vtep}, by)
	l.settleAlias(b, r.MAC)
	if len(o.routes) == 0 {
		b.others = nil
	}
}

// count adds to the number of a key, which is not there while it has none.
func count[K comparable](of map[K]int, key K, by int) {
	if of[key] += by; of[key] == 0 {
		delete(of, key)
	}
}

// aliasWanted reports whether a MAC is that of another gateway with an address of ours: by
// the route that says where it is, and of no station on a port of ours.
func (l *loop) aliasWanted(b *bridge, mac ether.MAC) bool {
	if b.svi == nil || b.others == nil || b.others.macs[mac] == 0 || l.ours(b, mac) {
		return false
	}
	s := b.macs[mac]
	if s == nil || s.static != 0 {
		return false
	}
	best := s.best()
	if _, here := b.selected(mac, s); here || best == nil {
		return false
	}
	for _, g := range b.svi.Gateways {
		if b.others.routes[otherGateway{mac, g.Addr(), best.route.vtep}] > 0 {
			return true
		}
	}
	return false
}

// settleAlias has a MAC be an alias of the bridge's gateway, or not. It is called whenever
// what aliasWanted looks at changed.
func (l *loop) settleAlias(b *bridge, mac ether.MAC) {
	o := b.others
	if o == nil {
		return
	}
	_, is := o.aliases[mac]
	switch wanted := l.aliasWanted(b, mac); {
	case wanted == is:
	case !wanted:
		delete(o.aliases, mac)
		l.markGatewayMAC(b, mac)
		l.takeWaitingAlias(b)
	case len(o.aliases) < maxAliases:
		o.aliases[mac] = struct{}{}
		l.markGatewayMAC(b, mac)
	case !o.full:
		o.full = true
		l.log.Warn("peers advertise the bridge's gateway with too many MACs: frames to the others are bridged, not routed",
			events.Key, events.Limit, "bridge", b.ID, "limit", maxAliases)
	}
}

// takeWaitingAlias makes one of the MACs that were too many an alias.
func (l *loop) takeWaitingAlias(b *bridge) {
	o := b.others
	if !o.full {
		return
	}
	for mac := range o.macs {
		if _, is := o.aliases[mac]; !is && l.aliasWanted(b, mac) {
			l.settleAlias(b, mac)
			return
		}
	}
	o.full = false
}

// settleAliases is settleAlias for all, after the bridge's gateway changed.
func (l *loop) settleAliases(b *bridge) {
	if b.others == nil {
		return
	}
	for mac := range b.others.macs {
		l.settleAlias(b, mac)
	}
}

// aliases are the MACs that are aliases of the bridge's gateway, in order.
func (b *bridge) aliases() []ether.MAC {
	if b == nil || b.others == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(b.others.aliases), func(x, y ether.MAC) int { return bytes.Compare(x[:], y[:]) })
}

// aliased reports whether frames of a bridge for a MAC are routed though it is that of
// another gateway.
func (b *bridge) aliased(mac ether.MAC) bool {
	if b.others == nil {
		return false
	}
	_, is := b.others.aliases[mac]
	return is
}

// gatewayElsewhere reports whether a gateway of the bridge is behind a VTEP, as far as its
// routes say.
func (b *bridge) gatewayElsewhere(vtep netip.Addr) bool {
	return b.others != nil && b.others.vteps[vtep] > 0
}

// gatewayAt reports whether an address is that of a gateway of the bridge elsewhere.
func (b *bridge) gatewayAt(ip netip.Addr) bool { return b.others != nil && b.others.ips[ip] > 0 }

// markGatewayMAC marks what makes a MAC of a bridge the gateway's.
func (l *loop) markGatewayMAC(b *bridge, mac ether.MAC) {
	l.mark(p4.RouterMAC{Bridge: b.Index, MAC: mac})
	l.mark(p4.GatewayMAC{Bridge: b.Index, MAC: mac})
}

// gatewayMAC reports whether frames of a bridge for a MAC are for its gateway, and no
// tenant may send by it.
func (l *loop) gatewayMAC(b *bridge, mac ether.MAC) bool {
	return b != nil && b.svi != nil && (mac == b.svi.mac || b.aliased(mac))
}

// markGatewayMACs marks what there may be for all MACs of a bridge's gateway.
func (l *loop) markGatewayMACs(b *bridge) {
	l.markGatewayMAC(b, b.svi.mac)
	if b.others != nil {
		for mac := range b.others.aliases {
			l.markGatewayMAC(b, mac)
		}
	}
}
