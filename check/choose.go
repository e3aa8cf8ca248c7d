package check

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// rank is what decides where a MAC is (RFC 7432 section 15): one that does not move (15.2, and
// 10.1 for gateways), the higher sequence number, the lower VTEP.
type rank struct {
	sticky   bool
	sequence uint32
	vtep     netip.Addr
}

func rankOf(r *bgp.Route) rank {
	return rank{r.Sticky || r.DefaultGateway, r.Sequence, r.NextHop.Unmap()}
}

func (a rank) compare(b rank) int {
	if a.sticky != b.sticky {
		return first(a.sticky)
	}
	return cmp.Or(cmp.Compare(b.sequence, a.sequence), a.vtep.Compare(b.vtep))
}

func first(is bool) int {
	if is {
		return -1
	}
	return 1
}

// better orders type-2 routes; what RFC 7432 leaves open is decided by what they say.
func better(a, b *bgp.Route) int {
	aVNI, _ := l3(a)
	bVNI, _ := l3(b)
	return cmp.Or(rankOf(a).compare(rankOf(b)), cmp.Compare(a.Label, b.Label), cmp.Compare(aVNI, bVNI),
		bytes.Compare(a.RouterMAC[:], b.RouterMAC[:]), bytes.Compare(a.MAC[:], b.MAC[:]),
		cmp.Compare(flagsOf(b), flagsOf(a)))
}

// betterHost orders those of one address: a binding that is configured comes first (RFC 9047
// section 3.2).
func betterHost(a, b *bgp.Route) int {
	if immutable(a) != immutable(b) {
		return first(immutable(a))
	}
	return better(a, b)
}

func immutable(r *bgp.Route) bool { return r.ARPND.Flags&bgp.ARPNDImmutable != 0 }

func flagsOf(r *bgp.Route) uint8 {
	if !r.ARPND.Said || !r.IP.Is6() {
		return 0
	}
	return 4 | r.ARPND.Flags&(bgp.ARPNDRouter|bgp.ARPNDOverride)
}

// best is the first of some routes by an order, nil if there are none; reached is the first
// of those whose VTEP can be reached.
func best(routes []*bgp.Route, order func(a, b *bgp.Route) int) *bgp.Route {
	if len(routes) == 0 {
		return nil
	}
	return slices.MinFunc(routes, order)
}

func (o *oracle) reached(routes []*bgp.Route, order func(a, b *bgp.Route) int) (r *bgp.Route) {
	for _, c := range routes {
		if len(o.hops[tunnelOf(c)]) > 0 && (r == nil || order(c, r) < 0) {
			r = c
		}
	}
	return r
}

// place is where a MAC is: at a port, or behind the VTEP of a route; nowhere if neither.
type place struct {
	port  uint16
	route *bgp.Route
	rule  string
}

func (p place) known() bool { return p.port != 0 || p.route != nil }

// where says where a MAC of a bridge is.
func (o *oracle) where(b *bridge, mac ether.MAC) place {
	s := b.macs[mac]
	switch {
	case s == nil:
		return place{}
	case s.static != 0:
		return place{port: s.static, rule: "a static MAC is where it was configured (RFC 7432 section 15.2)"}
	case s.held && s.learned != 0:
		return place{port: s.learned, rule: "a MAC that moved too often stays where it is (RFC 7432 section 15.1)"}
	case s.held:
		var there []*bgp.Route
		for _, r := range s.routes {
			if s.heldAt.IsValid() && r.NextHop.Unmap() == s.heldAt {
				there = append(there, r)
			}
		}
		return place{route: best(there, better), rule: "a MAC that moved too often stays where it is (RFC 7432 section 15.1)"}
	}
	r := best(s.routes, better)
	if s.learned != 0 && (r == nil || (rank{false, s.sequence, b.local}).compare(rankOf(r)) < 0) {
		return place{port: s.learned, rule: "it was learned at the port, and no route is better (RFC 7432 section 15)"}
	}
	if up := o.reached(s.routes, better); up != nil {
		r = up
	}
	return place{route: r, rule: "the best type-2 route says so (RFC 7432 section 15)"}
}

// here is the rank of a MAC that is on a port, false if it is on none.
func (o *oracle) here(b *bridge, mac ether.MAC) (rank, bool) {
	s := b.macs[mac]
	switch at := o.where(b, mac); {
	case at.port == 0:
		return rank{}, false
	case s.static != 0:
		return rank{sticky: true, vtep: b.local}, true
	}
	return rank{sequence: s.sequence, vtep: b.local}, true
}

// owner is who has an address of a bridge.
type owner struct {
	mac              ether.MAC
	port             uint16     // 0 = behind a VTEP
	from             *bgp.Route // by which the VTEP is known
	flagged          bool       // whether it is a router is known
	router, override bool
	held             bool // it moved too often: nobody is answered
	rule             string
}

func (w owner) known() bool { return !w.mac.IsZero() }

func (o *oracle) byClaim(b *bridge, c view.KnownClaim, rule string) owner {
	at := o.where(b, c.MAC)
	return owner{mac: c.MAC, port: at.port, from: at.route, flagged: c.FlagsKnown && c.Address.Is6(), router: c.Router,
		override: c.Override, rule: rule}
}

func byRoute(r *bgp.Route, rule string) owner {
	f := flagsOf(r)
	return owner{mac: r.MAC, from: r, flagged: f != 0, router: f&bgp.ARPNDRouter != 0,
		override: f&bgp.ARPNDOverride != 0, rule: rule}
}

// owner says who has an address of a bridge (RFC 9161 section 3.7, RFC 7432 section 15, RFC
// 9721 section 5.1).
func (o *oracle) owner(b *bridge, ip netip.Addr) owner {
	h := b.hosts[ip]
	if h == nil || !packet.IsHost(ip) || b.svi.forbids(ip) {
		return owner{}
	}
	static := func() owner {
		if _, is := o.here(b, h.static); is && !h.static.IsZero() {
			return owner{mac: h.static, port: o.where(b, h.static).port,
				rule: "the address was given to a static MAC (RFC 9161 section 3.7)"}
		}
		return owner{}
	}
	answered := func() owner {
		for _, c := range slices.Backward(h.claims) {
			if c.Answered {
				if o.where(b, c.MAC).known() {
					return o.byClaim(b, c, "it was looked for, and answered (RFC 9135 section 4)")
				}
				break
			}
		}
		return owner{}
	}
	if others := o.gatewayElsewhere(b, ip); others || o.outside(b, ip) {
		if w := static(); w.known() || !others {
			return w
		}
		if w := answered(); w.known() && w.port == 0 {
			return w
		}
		return owner{}
	}
	if w := static(); w.known() {
		return w
	}
	if !h.holder.IsZero() {
		return o.heldBy(b, h)
	}
	r := best(h.routes, betterHost)
	if c, mine, is := o.foremost(b, h); is &&
		(r == nil || r.MAC == c.MAC || mine.compare(rankOf(r)) < 0 && !immutable(r)) {
		return o.byClaim(b, c, "a host here has it (RFC 9721 section 5.1)")
	}
	if r != nil {
		if up := o.reached(h.routes, betterHost); up != nil {
			r = up
		}
		return byRoute(r, "the best type-2 route says so (RFC 9721 section 5.1)")
	}
	return answered()
}

// heldBy is where an address is that moved too often.
func (o *oracle) heldBy(b *bridge, h *host) owner {
	if !o.where(b, h.holder).known() {
		return owner{}
	}
	w := owner{mac: h.holder, rule: "it moved too often and stays where it is (RFC 9161 section 3.7)"}
	for _, c := range h.claims {
		if c.MAC == h.holder {
			w = o.byClaim(b, c, w.rule)
		}
	}
	at := o.where(b, h.holder)
	if at.port != w.port {
		return owner{} // the MAC is here and does not claim it
	}
	w.from, w.held = at.route, true
	return w
}

// foremost is the claim by a MAC that is here which stands for all: of hosts that spoke the
// last, then of those that answered, then of those that are said to be there.
func (o *oracle) foremost(b *bridge, h *host) (view.KnownClaim, rank, bool) {
	for _, how := range []func(view.KnownClaim) bool{
		func(c view.KnownClaim) bool { return c.Spoke }, func(c view.KnownClaim) bool { return c.Answered },
		func(c view.KnownClaim) bool { return c.Expected },
	} {
		for _, c := range slices.Backward(h.claims) {
			if mine, is := o.here(b, c.MAC); is && how(c) {
				return c, mine, true
			}
		}
	}
	return view.KnownClaim{}, rank{}, false
}

// has reports whether an address is the gateway's own: one that it was given, or the
// link-local one of its MAC.
func (s *svi) has(ip netip.Addr) bool {
	return s != nil && (ip == packet.LinkLocal(s.mac) || s.given(ip))
}

func (s *svi) given(ip netip.Addr) bool {
	return s != nil && slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Addr() == ip })
}

// guards reports whether no tenant may speak for an address.
func (s *svi) guards(ip netip.Addr) bool {
	return s.has(ip) || s != nil && s.vrf.Loopback.IsValid() && s.vrf.Loopback.Addr() == ip
}

// forbids reports whether an address can be nobody's but the gateway's: its own, and the
// first and last ones of its subnets (RFC 1122 section 3.2.1.3, RFC 3021).
func (s *svi) forbids(ip netip.Addr) bool {
	if s == nil {
		return false
	}
	return s.guards(ip) || slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool {
		return ip.Is4() && g.Bits() <= 30 && g.Contains(ip) && (ip == g.Masked().Addr() || ip == lastOf(g))
	})
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (s *svi) covers(ip netip.Addr) bool {
	return s != nil && !ip.IsLinkLocalUnicast() &&
		slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Contains(ip) })
}

// outside reports whether an address is of no subnet of the bridge's gateway, which routes
// its family.
func (o *oracle) outside(b *bridge, ip netip.Addr) bool {
	s := b.svi
	if s == nil || o.OtherSubnets[s.ID] || ip.Is6() && ip.IsLinkLocalUnicast() {
		return false
	}
	family := slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Addr().Is4() == ip.Is4() })
	return family && !s.covers(ip)
}

func (o *oracle) gatewayElsewhere(b *bridge, ip netip.Addr) bool {
	for g := range b.gateways {
		if g.ip == ip {
			return true
		}
	}
	return false
}

// findAliases finds the MACs of other gateways that have an address of the bridge's own, and
// are where the best route says: hosts that know them are routed here too.
func (o *oracle) findAliases(b *bridge) {
	if b.svi == nil {
		return
	}
	for g := range b.gateways {
		s := b.macs[g.mac]
		if !b.svi.given(g.ip) || g.mac == b.svi.mac || s == nil || s.static != 0 {
			continue
		}
		r := best(s.routes, better)
		if at := o.where(b, g.mac); at.port == 0 && r != nil && r.NextHop.Unmap() == g.vtep {
			b.aliases[g.mac] = true
		}
	}
}
