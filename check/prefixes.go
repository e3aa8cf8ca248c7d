package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// decision is what becomes of packets to a prefix.
type decision struct {
	kind   decisionKind
	bridge *bridge // toHost: the host's
	mac    ether.MAC
	routes []*bgp.Route // toVTEP: any of them, they are equal
	rule   string
}

type decisionKind uint8

const (
	noRoute decisionKind = iota
	toGateway
	toHost
	toUnknownHost // of an attached subnet
	toVTEP
)

// unrouted are the prefixes to which no packets are routed, nor to any inside them (RFC 6890).
var unrouted = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// routed reports whether packets may be routed to a prefix. The default route is one.
func routed(p netip.Prefix) bool {
	return p.IsValid() && !p.Addr().Is4In6() && !slices.ContainsFunc(unrouted, func(n netip.Prefix) bool {
		return n.Bits() <= p.Bits() && n.Contains(p.Addr())
	})
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// findPrefixes finds all prefixes of a VRF, and what becomes of packets to them.
func (o *oracle) findPrefixes(v *vrf) {
	v.prefixes = map[netip.Prefix]decision{}
	add := func(p netip.Prefix) {
		if _, done := v.prefixes[p]; done {
			return
		}
		if d := o.decide(v, p); d.kind != noRoute {
			v.prefixes[p] = d
		}
	}
	if v.Loopback.IsValid() {
		add(single(v.Loopback.Addr()))
	}
	for _, s := range v.svis {
		for _, g := range s.Gateways {
			add(g.Masked())
			add(single(g.Addr()))
		}
		for ip := range s.bridge.hosts {
			if s.covers(ip) {
				add(single(ip))
			}
		}
	}
	for _, st := range o.StaticRoutes[v.ID] {
		add(st.Prefix.Masked())
	}
	for p := range v.imported {
		add(p)
	}
}

// decide says what becomes of packets to a prefix: this gateway's own come before what peers
// advertise.
func (o *oracle) decide(v *vrf, p netip.Prefix) decision {
	ip := p.Addr()
	if p.IsSingleIP() {
		s := v.sviOf(ip)
		switch {
		case v.Loopback.IsValid() && ip == v.Loopback.Addr():
			return decision{kind: toGateway, rule: "it is the loopback of the VRF"}
		case s.given(ip):
			return decision{kind: toGateway, rule: "it is an address of SVI " + s.ID}
		case s != nil:
			w := o.owner(s.bridge, ip)
			if !w.known() {
				break
			}
			d := decision{kind: toHost, bridge: s.bridge, mac: w.mac, rule: "it is a host of an attached subnet: " + w.rule}
			if w.port == 0 && (w.from == nil || len(o.hops[tunnelOf(w.from)]) == 0) {
				if other := o.byRoutes(v, p); other.kind != noRoute {
					return other // to a router that leads to it
				}
			}
			return d
		}
	}
	for _, s := range v.svis {
		if slices.ContainsFunc(s.Gateways, func(g netip.Prefix) bool { return g.Masked() == p }) {
			return decision{kind: toUnknownHost, rule: "it is the subnet of SVI " + s.ID}
		}
	}
	for _, st := range o.StaticRoutes[v.ID] {
		if s := v.sviOf(st.NextHop); st.Prefix.Masked() == p && s != nil {
			if w := o.owner(s.bridge, st.NextHop); w.known() {
				return decision{kind: toHost, bridge: s.bridge, mac: w.mac,
					rule: fmt.Sprintf("the configuration routes it to %v", st.NextHop)}
			}
		}
	}
	return o.byRoutes(v, p)
}

// sviOf is the SVI whose subnet has an address, nil if there is none.
func (v *vrf) sviOf(ip netip.Addr) *svi {
	for _, s := range v.svis {
		if s.covers(ip) {
			return s
		}
	}
	return nil
}

// byRoutes is what peers advertise of a prefix: hosts by RFC 7432 section 15 first (RFC 9135
// section 5.2), then prefixes by RFC 4271 section 9.1.2.
func (o *oracle) byRoutes(v *vrf, p netip.Prefix) decision {
	var hosts, prefixes []*bgp.Route
	for _, r := range v.imported[p] {
		switch {
		case len(o.hops[tunnelOf(r)]) == 0:
		case r.Type == bgp.TypeMACIP:
			hosts = append(hosts, r)
		default:
			prefixes = append(prefixes, r)
		}
	}
	if p.IsSingleIP() && slices.ContainsFunc(v.svis, func(s *svi) bool {
		return s.forbids(p.Addr()) && !s.guards(p.Addr())
	}) {
		return decision{}
	}
	if r := best(hosts, betterHost); r != nil {
		return decision{kind: toVTEP, routes: []*bgp.Route{r},
			rule: "the best type-2 route with an L3 VNI (RFC 9135 section 5.2)"}
	}
	if all := preferred(prefixes); len(all) > 0 {
		return decision{kind: toVTEP, routes: all, rule: "the best type-5 route (RFC 9136, RFC 4271 section 9.1.2.2)"}
	}
	return decision{}
}

// preferred are the routes that the steps a to d of RFC 4271 section 9.1.2.2 leave.
func preferred(routes []*bgp.Route) []*bgp.Route {
	keep := func(count func(*bgp.Route) int64) {
		if len(routes) < 2 {
			return
		}
		least := count(slices.MinFunc(routes, func(a, b *bgp.Route) int { return cmp.Compare(count(a), count(b)) }))
		routes = slices.DeleteFunc(routes, func(r *bgp.Route) bool { return count(r) != least })
	}
	keep(func(r *bgp.Route) int64 { return -int64(r.Preference.LocalPref) })
	keep(func(r *bgp.Route) int64 { return int64(r.Preference.PathLength) })
	keep(func(r *bgp.Route) int64 { return int64(r.Preference.Origin) })
	lowest := map[uint32]uint32{} // MED, by neighbouring AS
	for _, r := range routes {
		if med, there := lowest[r.Preference.NeighborAS]; !there || r.Preference.MED < med {
			lowest[r.Preference.NeighborAS] = r.Preference.MED
		}
	}
	routes = slices.DeleteFunc(routes, func(r *bgp.Route) bool {
		return r.Preference.MED != lowest[r.Preference.NeighborAS]
	})
	keep(func(r *bgp.Route) int64 {
		if r.Preference.Internal {
			return 1
		}
		return 0
	})
	return routes
}

// lookup is the longest match for an address.
func (v *vrf) lookup(ip netip.Addr) (netip.Prefix, decision) {
	for bits := ip.BitLen(); bits >= 0; bits-- {
		p, _ := ip.Prefix(bits)
		if d, there := v.prefixes[p]; there {
			return p, d
		}
	}
	return netip.Prefix{}, decision{rule: "the VRF has no route"}
}
