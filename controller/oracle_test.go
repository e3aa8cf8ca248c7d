package controller

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/underlay"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// oracle says from the routes of all peers what the entries are, by going through the text
// of the RFCs step by step. It knows nothing of candidates.
type oracle struct {
	routes []bgp.Route
	down   map[netip.Addr]bool // VTEPs that cannot be reached
	tag    uint32              // of bridge 2's instance
}

// keep is what a step leaves: those for which what counts is the least.
func keep[T cmp.Ordered](routes []bgp.Route, count func(bgp.Route) T) []bgp.Route {
	if len(routes) == 0 {
		return nil
	}
	least := count(slices.MinFunc(routes, func(a, b bgp.Route) int { return cmp.Compare(count(a), count(b)) }))
	return where(routes, func(r bgp.Route) bool { return count(r) == least })
}

func where(routes []bgp.Route, is func(bgp.Route) bool) (out []bgp.Route) {
	for _, r := range routes {
		if is(r) {
			out = append(out, r)
		}
	}
	return out
}

func no(b bool) int {
	if b {
		return 0
	}
	return 1
}

// configured goes by RFC 9047 section 3.2: a binding of an address that is configured comes
// before one that is not.
func configured(routes []bgp.Route) []bgp.Route {
	return keep(routes, func(r bgp.Route) int { return no(r.ARPND.Flags&bgp.ARPNDImmutable != 0) })
}

// moved goes by RFC 7432 section 15: sticky MACs do not move (15.2), the highest sequence
// number, then the lowest VTEP; then by what the routes say.
func moved(routes []bgp.Route) []bgp.Route {
	routes = keep(routes, func(r bgp.Route) int { return no(r.Sticky || r.DefaultGateway) })
	routes = keep(routes, func(r bgp.Route) int64 { return -int64(r.Sequence) })
	routes = keep(routes, func(r bgp.Route) string { return fmt.Sprintf("%x", r.NextHop.AsSlice()) })
	routes = keep(routes, func(r bgp.Route) uint32 { return r.Label })
	routes = keep(routes, func(r bgp.Route) uint32 { return r.Label2 })
	routes = keep(routes, func(r bgp.Route) string { return r.RouterMAC.String() })
	return keep(routes, func(r bgp.Route) string { return r.MAC.String() })
}

// decided goes by RFC 4271 section 9.1.2.2, a to d.
func decided(routes []bgp.Route) []bgp.Route {
	routes = keep(routes, func(r bgp.Route) int64 { return -int64(r.Preference.LocalPref) })
	routes = keep(routes, func(r bgp.Route) uint16 { return r.Preference.PathLength })
	routes = keep(routes, func(r bgp.Route) uint8 { return r.Preference.Origin })
	left := routes
	for _, m := range routes { // c: for m = all routes ..., for n = all routes ...
		for _, n := range routes {
			if n.Preference.NeighborAS == m.Preference.NeighborAS && n.Preference.MED < m.Preference.MED {
				left = where(left, func(r bgp.Route) bool { return r != m })
			}
		}
	}
	return keep(left, func(r bgp.Route) int { return no(!r.Preference.Internal) })
}

// reachable are those whose VTEP can be reached, or all where that is none and all is true.
func (o *oracle) reachable(routes []bgp.Route, all bool) []bgp.Route {
	up := where(routes, func(r bgp.Route) bool { return !o.down[r.NextHop] })
	if len(up) == 0 && all {
		return routes
	}
	return up
}

// of are the routes of a type that are for a bridge or VRF by their route targets.
func (o *oracle) of(typ bgp.RouteType, vni uint32, also ...bgp.RouteTarget) []bgp.Route {
	return where(o.routes, func(r bgp.Route) bool {
		return r.Type == typ && r.NextHop != vtep1 && r.MAC != routerMAC && (r.RouteTargets.MatchesVNI(vni) ||
			slices.ContainsFunc(also, r.RouteTargets.Contains))
	})
}

// ofBridge are those that its Ethernet tag allows too (RFC 7432 section 6.3).
func (o *oracle) ofBridge(typ bgp.RouteType, index uint16) []bgp.Route {
	vni, tag := uint32(index)*100, uint32(0)
	if index == 2 {
		tag = o.tag
	}
	var also []bgp.RouteTarget
	if index == 2 {
		also = bundle
	}
	return where(o.of(typ, vni, also...), func(r bgp.Route) bool {
		return r.EthernetTag == 0 || r.EthernetTag == vni || r.EthernetTag == tag
	})
}

// entries are those that follow from routes, as text.
func (o *oracle) entries() []string {
	out := map[string]bool{}
	for index := uint16(1); index <= 2; index++ {
		macs := o.ofBridge(bgp.TypeMACIP, index)
		for _, r := range macs {
			w := moved(o.reachable(where(macs, func(x bgp.Route) bool { return x.MAC == r.MAC }), true))[0]
			out[fmt.Sprintf("fdb %d %v: %v vni %d", index, r.MAC, w.NextHop, w.Label)] = true
			if at, known := o.host(index, r.IP); known {
				out[fmt.Sprintf("answer %d %v: %v", index, r.IP, at.MAC)] = true
			}
		}
		floods := o.ofBridge(bgp.TypeMulticast, index)
		for _, r := range floods {
			same := where(floods, func(x bgp.Route) bool { return x.NextHop == r.NextHop && floodVNI(x) != 0 })
			vni := uint32(index) * 100
			if len(same) > 0 {
				vni = floodVNI(keep(same, floodVNI)[0])
			}
			out[fmt.Sprintf("flood %d: %v vni %d, %v", index, r.NextHop, vni, !o.down[r.NextHop])] = true
		}
	}
	for _, r := range slices.Concat(o.of(bgp.TypeMACIP, 5000), o.of(bgp.TypePrefix, 5000), o.ofBridge(bgp.TypeMACIP, 1)) {
		p := r.Prefix()
		if r.Type == bgp.TypeMACIP {
			if !r.IP.IsValid() {
				continue
			}
			p = single(r.IP)
		}
		if where := o.prefix(p); where != "" {
			out[fmt.Sprintf("route %v: %s", p, where)] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// floodVNI is what a type-3 route says, 0 if nothing: RYU says it by its tag.
func floodVNI(r bgp.Route) uint32 { return cmp.Or(r.Label, r.EthernetTag) }

var subnet = prefix("10.10.0.1/24")

// host is the route by which a bridge has an address.
func (o *oracle) host(index uint16, ip netip.Addr) (bgp.Route, bool) {
	routes := where(o.ofBridge(bgp.TypeMACIP, index), func(r bgp.Route) bool { return r.IP == ip })
	gateways := where(routes, func(r bgp.Route) bool { return r.DefaultGateway })
	if !ip.IsValid() || len(routes) == 0 || len(gateways) > 0 || index == 1 && (ofNoHost(ip) || !subnet.Contains(ip)) {
		return bgp.Route{}, false
	}
	return moved(configured(o.reachable(routes, true)))[0], true
}

// ofNoHost are the gateway's address, the subnet's and its broadcast address.
func ofNoHost(ip netip.Addr) bool {
	return ip == subnet.Addr() || ip == addr("10.10.0.0") || ip == addr("10.10.0.255")
}

// prefix says where a prefix of VRF blue leads, "" if nowhere.
func (o *oracle) prefix(p netip.Prefix) string {
	switch {
	case p == subnet.Masked() || p == single(subnet.Addr()):
		return "" // of the SVI
	case p.IsSingleIP() && ofNoHost(p.Addr()):
		return ""
	}
	hosts := o.reachable(where(o.of(bgp.TypeMACIP, 5000), func(r bgp.Route) bool {
		return r.IP.IsValid() && single(r.IP) == p && r.Label2 != 0 && !r.DefaultGateway
	}), false)
	prefixes := o.reachable(where(o.of(bgp.TypePrefix, 5000), func(r bgp.Route) bool { return r.Prefix() == p }), false)
	if at, known := o.host(1, p.Addr()); known && p.IsSingleIP() && subnet.Contains(p.Addr()) &&
		(!o.down[at.NextHop] || len(hosts)+len(prefixes) == 0) {
		return fmt.Sprintf("host %v", at.MAC)
	}
	switch {
	case len(hosts) > 0:
		w := moved(configured(hosts))[0]
		return fmt.Sprintf("%v vni %d %v", w.NextHop, w.Label2, w.RouterMAC)
	case len(prefixes) > 0:
		ways := map[string]bool{}
		for _, w := range decided(prefixes) {
			ways[fmt.Sprintf("%v vni %d %v", w.NextHop, w.Label, w.RouterMAC)] = true
		}
		return strings.Join(slices.Sorted(maps.Keys(ways)), " + ")
	}
	return ""
}

// entriesOfRoutes are those on the target that the oracle speaks of.
func (l *loop) entriesOfRoutes() (out []string) {
	to := func(id uint16) netip.Addr { return l.tunnelByID[id].remote }
	groups := map[[2]uint16]bool{}
	var replicas []p4.Replica
	ways := map[uint16]map[string]bool{} // by group of next hops
	routes := map[netip.Prefix]uint16{}  // by such a group
	for e := range l.target.Entries() {
		d, err := p4.Decode(e)
		if err != nil {
			panic(err)
		}
		switch d := d.(type) {
		case p4.FDB:
			out = append(out, fmt.Sprintf("fdb %d %v: %v vni %d", d.Bridge, d.MAC, to(d.VTEP), d.VNI))
		case p4.ARPHost:
			if d.Bridge != 1 || d.Address != subnet.Addr() {
				out = append(out, fmt.Sprintf("answer %d %v: %v", d.Bridge, d.Address, d.MAC))
			}
		case p4.Route:
			switch d.Kind {
			case p4.RouteHost:
				out = append(out, fmt.Sprintf("route %v: host %v", d.Prefix, d.MAC))
			case p4.RouteVTEP:
				out = append(out, fmt.Sprintf("route %v: %v vni %d %v", d.Prefix, to(d.VTEP), d.VNI, d.Destination))
			case p4.RouteVTEPs:
				routes[d.Prefix] = d.Group
			}
		case p4.NextHopSlot:
			if ways[d.Group] == nil {
				ways[d.Group] = map[string]bool{}
			}
			ways[d.Group][fmt.Sprintf("%v vni %d %v", to(d.VTEP), d.VNI, d.Destination)] = true
		case p4.Replica:
			replicas = append(replicas, d)
		case p4.Group:
			for _, m := range d.Members {
				groups[[2]uint16{d.ID, m.Instance}] = true
			}
		}
	}
	for p, group := range routes {
		out = append(out, fmt.Sprintf("route %v: %s", p, strings.Join(slices.Sorted(maps.Keys(ways[group])), " + ")))
	}
	for _, d := range replicas {
		out = append(out, fmt.Sprintf("flood %d: %v vni %d, %v", d.Bridge, to(d.VTEP), d.VNI,
			groups[[2]uint16{d.Bridge, d.Instance}]))
	}
	slices.Sort(out)
	return out
}

var bundle = mustRTs("9:9")

// fabric is a gateway's loop and what leaves say, of few keys and many RDs, so that crowds
// come and go.
type fabric struct {
	*loop
	rand  *rand.Rand
	known map[bgp.Key]bgp.Route
	keys  []bgp.Key // of those known
	down  map[netip.Addr]bool
	rds   int
}

func newFabric(t *testing.T, seed uint64) *fabric {
	f := &fabric{loop: newHastyLoop(t), rand: rand.New(rand.NewPCG(seed, 1)), known: map[bgp.Key]bgp.Route{},
		down: map[netip.Addr]bool{}, rds: []int{2, 5, 40}[seed%3]}
	f.instanceChanged(intent.Instance{ID: "bridge.bridge-20", Import: append(mustRTs("65001:200"), bundle...)}, false)
	f.bridgeChanged(intent.LogicalBridge{ID: "bridge-10", VLAN: 10, VNI: 100, Index: 1}, false)
	f.bridgeChanged(intent.LogicalBridge{ID: "bridge-20", VLAN: 20, VNI: 200, Index: 2}, false)
	f.vrfChanged(intent.VRF{ID: "blue", VNI: 5000, Index: 1}, false)
	f.sviChanged(intent.SVI{ID: "svi-10", VRF: "blue", Bridge: "bridge-10", Gateways: []netip.Prefix{subnet}}, false)
	f.bgpChanged([]bgp.Event{{Kind: bgp.Converged}})
	f.finish()
	return f
}

func (f *fabric) vtep() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(f.rand.IntN(6))}) } // .1 is ours

func (f *fabric) oneIn(n int) bool { return f.rand.IntN(n) == 0 }

// route is any of few keys; its attributes are from few values, so that all steps decide.
func (f *fabric) route() bgp.Route {
	vtep, vni := f.vtep(), uint32(100*(1+f.rand.IntN(2)))
	var r bgp.Route
	switch f.rand.IntN(4) {
	case 0:
		r = macRoute(vtep, vni, mac(f.rand.IntN(3)))
	case 1:
		r = hostRoute(vtep, vni, mac(f.rand.IntN(3)), pick(f.rand,
			[]string{"10.10.0.5", "10.10.0.6", "10.10.0.255", "10.10.0.1", "10.77.0.5"}), 5000)
		if f.oneIn(3) {
			r.Label2, r.RouterMAC = 0, ether.MAC{}
		}
		if f.oneIn(4) {
			r.ARPND = bgp.ARPND{Said: true, Flags: bgp.ARPNDImmutable}
		}
	case 2:
		r = floodRoute(vtep, vni)
		if f.oneIn(3) {
			r.Label, r.Tunnel = 0, netip.Addr{}
		}
	case 3:
		r = prefixRoute(vtep, 5000, pick(f.rand, []string{"0.0.0.0/0", "10.10.0.5/32", "10.10.0.255/32", "10.77.0.5/32",
			"10.10.0.0/24"}))
	}
	if r.Type != bgp.TypePrefix {
		r.Sequence, r.Sticky, r.DefaultGateway = uint32(f.rand.IntN(3)), f.oneIn(9), f.oneIn(9)
		r.EthernetTag = pick(f.rand, []uint32{0, 0, 0, 100, 200, 300})
	}
	if r.Type != bgp.TypeMulticast && f.oneIn(20) {
		r.RouteTargets = bgp.MakeRouteTargets(bundle...)
	}
	if r.Type == bgp.TypeMulticast {
		r.Sequence, r.Sticky, r.DefaultGateway = 0, false, false
		if f.oneIn(4) {
			r.RouteTargets = union(r.RouteTargets, bgp.MakeRouteTargets(bundle...))
		}
	}
	if r.Label != 0 && f.oneIn(2) {
		r.Label++
	}
	if !r.RouterMAC.IsZero() {
		r.RouterMAC = pick(f.rand, []ether.MAC{leaf1Route, leaf2Route})
	}
	if r.MAC == mac(2) && f.oneIn(9) {
		r.MAC = routerMAC
	}
	r.Preference = bgp.Preference{LocalPref: 100 + uint32(f.rand.IntN(2)), NeighborAS: uint32(f.rand.IntN(3)),
		MED: uint32(f.rand.IntN(3)), PathLength: uint16(f.rand.IntN(2)), Origin: uint8(f.rand.IntN(2)),
		Internal: f.oneIn(2)}
	r.RD = bgp.RouterRD(leaf1, uint16(f.rand.IntN(f.rds)))
	return r
}

func (f *fabric) step() {
	switch n := f.rand.IntN(20); {
	case n < 12:
		r := f.route()
		if _, known := f.known[r.Key]; !known {
			f.keys = append(f.keys, r.Key)
		}
		f.known[r.Key] = r
		f.bgpChanged([]bgp.Event{update(peer1, r)})
	case n < 16:
		if len(f.keys) == 0 {
			return
		}
		i := f.rand.IntN(len(f.keys))
		f.bgpChanged([]bgp.Event{withdraw(peer1, f.known[f.keys[i]])})
		delete(f.known, f.keys[i])
		f.keys = slices.Delete(f.keys, i, i+1)
	case n < 18:
		a := f.vtep()
		f.down[a] = !f.down[a]
	case n < 19:
		const id = "bridge.bridge-20"
		old := f.instances[id]
		now := old
		now.ethernetTag = pick(f.rand, []uint32{0, 100, 300})
		f.instances[id] = now
		f.retag(f.bridges[2], old.ethernetTag)
	default:
		f.finish()
		return
	}
	if f.oneIn(3) {
		f.tell()
	}
}

// tell has the underlay say how every VTEP in use can be reached.
func (f *fabric) tell() {
	f.settle()
	for a := range f.remoteVTEPs {
		c := underlay.Change{VTEP: a, Paths: []underlay.Path{path1}}
		if f.down[a] {
			c.Paths, c.Reason = nil, "no route"
		}
		f.underlayChanged(c)
	}
}

// Whatever routes come and go in whatever order, under however many RDs, and whichever
// VTEPs are found and lost meanwhile, the entries are those that the RFCs' text gives for
// what there is in the end.
func TestEntriesAreThoseOfTheRFCsText(t *testing.T) {
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newFabric(t, seed)
			for range 10 {
				for range *length {
					f.step()
				}
				f.check(t)
			}
			for _, r := range f.known {
				f.bgpChanged([]bgp.Event{withdraw(peer1, r)})
			}
			clear(f.known)
			f.check(t)
			for _, g := range f.nextHops.byID {
				t.Errorf("a group of next hops is left with %d prefixes", g.users)
			}
			for _, tn := range f.tunnels {
				t.Errorf("a tunnel to %v is left with %d candidates", tn.remote, len(tn.candidates))
			}
		})
	}
}

func (f *fabric) check(t *testing.T) {
	t.Helper()
	f.finish()
	f.tell()
	f.finish()
	o := oracle{down: f.down, tag: f.instances["bridge.bridge-20"].ethernetTag}
	for _, r := range f.known {
		o.routes = append(o.routes, r)
	}
	if got, want := f.entriesOfRoutes(), o.entries(); !slices.Equal(got, want) {
		t.Fatalf("%d routes: %s", len(o.routes), difference(got, want))
	}
}
