package controller

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// VRFs gives a row for each VRF.
func (c *Controller) VRFs(ctx context.Context) (rows []view.VRF, err error) {
	err = c.ask(ctx, func(l *loop) {
		refusals := l.refusals()
		for _, v := range l.vrfs {
			row := view.VRF{Name: v.ID, VNI: v.VNI, Loopback: v.Loopback, VTEP: v.VTEP,
				SVIs: slices.Sorted(maps.Keys(v.svis))}
			if v.localVTEP.IsValid() {
				row.RouterMAC = l.routerMAC
			}
			row.State, row.Reason = l.vrfSummary(v, refusals).viewState()
			for _, s := range v.svis {
				for ip := range s.bridge.addresses {
					if s.covers(ip) && s.bridge.locate(ip).known() {
						row.Hosts++
					}
				}
			}
			for p := range distinct(l.prefixesOf(v)) {
				if l.desiredRoute(v.Index, p) != nil {
					row.Prefixes++
				}
			}
			rows = append(rows, row)
		}
	})
	return rows, err
}

// SVIs gives a row for each SVI.
func (c *Controller) SVIs(ctx context.Context) (rows []view.SVI, err error) {
	err = c.ask(ctx, func(l *loop) {
		refusals := l.refusals()
		for _, s := range l.svis {
			row := view.SVI{Name: s.ID, VRF: s.VRF, Bridge: s.Bridge, MAC: l.sviMAC(s),
				Gateways: slices.Clone(s.Gateways), Anycast: !l.unique(s), Aliases: s.bridge.aliases()}
			row.State, row.Reason = l.sviSummary(s, refusals).viewState()
			rows = append(rows, row)
		}
	})
	return rows, err
}

// Hosts gives a row for each address of a bridge, of all bridges if none is
// named.
func (c *Controller) Hosts(ctx context.Context, name string) (rows []view.Host, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, b := range l.bridges {
			if name != "" && name != b.ID {
				continue
			}
			if b.svi != nil {
				for _, g := range b.svi.Gateways {
					rows = append(rows, l.hostRow(b, g.Addr()))
				}
			}
			for ip := range b.addresses {
				if b.svi.has(ip) || !b.locate(ip).known() {
					continue
				}
				rows = append(rows, l.hostRow(b, ip))
			}
		}
	})
	return rows, err
}

func (l *loop) hostRow(b *bridge, ip netip.Addr) view.Host {
	row := view.Host{Bridge: b.ID, IP: ip, Kind: view.HostGateway}
	if b.svi.has(ip) {
		row.MAC = b.svi.mac
	} else {
		at := b.locate(ip)
		if !at.known() {
			row.Kind, row.State, row.Reason, row.Claims = "", view.Down, "nobody has it", l.hostClaims(b, ip)
			return row
		}
		row.MAC, row.Kind, row.Claims = at.mac, view.HostLocal, l.hostClaims(b, ip)
		switch {
		case at.from != nil:
			row.Kind, row.VTEP = view.HostRemote, at.from.route.vtep
		case at.here():
			row.Port = l.portName(b, b.portOf(at.mac))
		}
	}
	var sum summary
	if ip.Is4() {
		sum.check(l, p4.ARPHost{Bridge: b.Index, Address: ip})
	} else {
		sum.check(l, p4.NDHost{Bridge: b.Index, Address: ip})
	}
	if b.svi.covers(ip) {
		sum.check(l, p4.Route{VRF: b.svi.vrf.Index, Prefix: single(ip)})
	}
	sum.checkTarget(l)
	row.State, row.Reason = sum.viewState()
	return row
}

// Prefixes gives a row for each prefix of a VRF, of all VRFs if none is named.
func (c *Controller) Prefixes(ctx context.Context, name string) (rows []view.Prefix, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, v := range l.vrfs {
			if name != "" && name != v.ID {
				continue
			}
			for p := range distinct(l.prefixesOf(v)) {
				rows = append(rows, l.choices(v, p)...)
			}
		}
	})
	return rows, err
}

func distinct(prefixes iter.Seq[netip.Prefix]) map[netip.Prefix]struct{} {
	out := map[netip.Prefix]struct{}{}
	for p := range prefixes {
		out[p] = struct{}{}
	}
	return out
}

// choices gives what a prefix could lead to, the one in use first, and says of
// the others why they are not.
func (l *loop) choices(v *vrf, p netip.Prefix) (rows []view.Prefix) {
	r, kind, s, best := l.choose(v, p)
	if kind != notOwn {
		row := view.Prefix{VRF: v.ID, Prefix: p, Selected: true}
		if s != nil {
			row.Bridge = s.bridge.ID
		}
		switch kind {
		case ownAddress:
			row.Kind = view.PrefixGateway
		case ownHost:
			row.Kind, row.MAC = view.PrefixHost, r.MAC
			if at := s.bridge.locate(p.Addr()); at.from != nil {
				row.VTEP = at.from.route.vtep
			}
		case ownSubnet:
			row.Kind = view.PrefixConnected
		case ownStatic:
			row.Kind, row.MAC, row.NextHop = view.PrefixStatic, r.MAC, l.staticNextHop(v, p)
		}
		row.State, row.Reason = l.routeState(v, p)
		rows = append(rows, row)
	} else if hop := l.staticNextHop(v, p); hop.IsValid() {
		rows = append(rows, view.Prefix{VRF: v.ID, Prefix: p, Kind: view.PrefixStatic, NextHop: hop, State: view.Down,
			Reason: "nobody has heard of the next hop"})
	}
	routes := v.prefixes[p]
	for _, c := range slices.SortedFunc(routes.all(), (*candidate).compareShown) {
		rows = append(rows, l.remoteChoice(v, &routes, c, kind, best))
	}
	slices.SortStableFunc(rows, func(a, b view.Prefix) int {
		return cmp.Compare(boolRank(b.Selected), boolRank(a.Selected))
	})
	return rows
}

// compareShown is an order of all candidates of a prefix: what MED says of some is no part
// of one.
func (c *candidate) compareShown(o *candidate) int {
	a, b := *c.route, *o.route
	a.preference.MED, b.preference.MED = 0, 0
	n, _ := a.compare(&b)
	return cmp.Or(n, cmp.Compare(c.route.preference.NeighborAS, o.route.preference.NeighborAS),
		cmp.Compare(c.route.preference.MED, o.route.preference.MED))
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (l *loop) remoteChoice(v *vrf, all *candidates, c *candidate, own ownKind, best *candidate) view.Prefix {
	p := c.route.prefix()
	row := view.Prefix{VRF: v.ID, Prefix: p, Kind: view.PrefixRemote, VTEP: c.route.vtep,
		VNI: c.route.encapsulation(), RouterMAC: c.route.routerMAC, State: view.Down}
	switch {
	case own == notOwn && (best == c || best != nil && all.shares(c, best)):
		row.Selected, row.Uplinks, row.Slots = true, c.via.uplinks(l), all.slotsOf(c)
		row.State, row.Reason = l.routeState(v, p)
	default:
		row.Reason = v.passedOver(all, c, own, best)
	}
	return row
}

// routeState reports whether the target has the entry of a prefix.
func (l *loop) routeState(v *vrf, p netip.Prefix) (view.State, string) {
	var sum summary
	sum.check(l, p4.Route{VRF: v.Index, Prefix: p})
	sum.checkTarget(l)
	return sum.viewState()
}

// staticNextHop is the next hop of the VRF's static route of a prefix, invalid
// if there is none.
func (l *loop) staticNextHop(v *vrf, p netip.Prefix) netip.Addr {
	for _, st := range l.cfg.VRFs[v.ID].StaticRoutes {
		if st.Prefix.Masked() == p {
			return st.NextHop
		}
	}
	return netip.Addr{}
}

// Lookup says what becomes of a packet to an address in a VRF: by the entries
// that the target holds, as the pipeline does.
func (c *Controller) Lookup(ctx context.Context, vrf string, address netip.Addr) (view.Lookup, error) {
	address = address.Unmap().WithZone("")
	out := view.Lookup{VRF: vrf, Address: address, Result: "unreachable: there is no such VRF"}
	err := c.ask(ctx, func(l *loop) {
		if v := l.vrfByID[vrf]; v != nil {
			l.lookup(v, &out)
		}
	})
	return out, err
}

func (l *loop) lookup(v *vrf, out *view.Lookup) {
	out.Result = "dropped: no route"
	if out.Address.Is6() && out.Address.IsLinkLocalUnicast() {
		out.Result = "to this gateway: a link-local address goes no further"
		return
	}
	found := false
	for bits := out.Address.BitLen(); bits >= 0; bits-- {
		p := netip.PrefixFrom(out.Address, bits).Masked()
		key := p4.Route{VRF: v.Index, Prefix: p}.Key()
		if value, held := l.target.Value(key); held && !found {
			found = true
			e := p4.Entry{Key: key, Value: value}
			out.Entry = e.String()
			if d, err := p4.Decode(e); err == nil {
				out.Result = l.outcome(d)
			}
		}
		out.Candidates = append(out.Candidates, l.choices(v, p)...)
	}
	if out.Address.Is4() && out.Address.IsLinkLocalUnicast() && out.Result != toGateway {
		out.Result = "dropped: a link-local address is not routed"
	}
}

const toGateway = "to this gateway"

// outcome puts what an entry of a route does into words.
func (l *loop) outcome(d entry) string {
	r, ok := d.(p4.Route)
	if !ok {
		return "an entry that makes no sense"
	}
	switch r.Kind {
	case p4.RouteHost:
		return fmt.Sprintf("to the host %v of bridge %s, %s", r.MAC, l.bridgeName(r.Bridge), l.whereabouts(r))
	case p4.RouteVTEP:
		to := "a VTEP that is gone"
		if t := l.tunnelByID[r.VTEP]; t != nil {
			to = "VTEP " + t.remote.String()
		}
		return fmt.Sprintf("to %s by L3 VNI %d, router MAC %v", to, r.VNI, r.Destination)
	case p4.RouteVTEPs:
		return "each flow to one of " + l.members(r.Group)
	case p4.RouteGlean:
		return "to an attached subnet whose host is not known: the gateway looks for it"
	case p4.RouteLocal:
		return toGateway
	}
	return "dropped"
}

// members puts into words among what next hops a group has flows choose, as the target holds
// it.
func (l *loop) members(group uint16) string {
	slots := map[nextHop]int{}
	for i := range uint8(p4.Slots) {
		e, _ := l.target.Held(p4.NextHopSlot{Group: group, Slot: i}.Key())
		if s, ok := e.(p4.NextHopSlot); ok && l.tunnelByID[s.VTEP] != nil {
			slots[nextHop{l.tunnelByID[s.VTEP].tunnelKey, s.VNI, s.Destination}]++
		}
	}
	var all []string
	for _, h := range slices.SortedFunc(maps.Keys(slots), nextHop.compare) {
		all = append(all, fmt.Sprintf("VTEP %v by L3 VNI %d, router MAC %v (%d of %d)", h.remote, h.vni, h.routerMAC,
			slots[h], p4.Slots))
	}
	return strings.Join(all, "; ")
}

// uplinks are the names of those by which flows to the VTEP leave.
func (t *tunnel) uplinks(l *loop) []string {
	if t.group == nil {
		return []string{l.uplinkName(t.port)}
	}
	names := map[string]struct{}{}
	for _, h := range t.group.slots {
		names[l.uplinkName(h.port)] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}

func (l *loop) bridgeName(index uint16) string {
	if b := l.bridges[index]; b != nil {
		return b.ID
	}
	return fmt.Sprint(index)
}

// whereabouts says where the bridge's FDB sends to the host.
func (l *loop) whereabouts(r p4.Route) string {
	index := r.Bridge
	e, _ := l.target.Held(p4.FDB{Bridge: index, MAC: r.MAC}.Key())
	f, ok := e.(p4.FDB)
	switch {
	case !ok:
		return "which is flooded for: its MAC is not known"
	case f.Kind == p4.ToPort:
		if b := l.bridges[index]; b != nil && l.ports[f.Port] != nil {
			return "port " + l.portName(b, f.Port)
		}
		return fmt.Sprintf("port %d", f.Port)
	case f.Kind == p4.ToVTEP:
		if t := l.tunnelByID[f.VTEP]; t != nil {
			return fmt.Sprintf("VTEP %v by VNI %d", t.remote, f.VNI)
		}
	}
	return "dropped"
}
