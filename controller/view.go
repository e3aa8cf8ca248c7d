package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/reconcile"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

var (
	_ view.View       = (*Controller)(nil)
	_ view.Auditor    = (*Controller)(nil)
	_ view.Duplicates = (*Controller)(nil)
)

// Changed is another number after anything changed that the rows show, but for counters,
// times, and what BGP has not told yet.
func (c *Controller) Changed() uint64 { return c.turns.Load() }

// viewState is how a summary shows in a row.
func (s summary) viewState() (view.State, string) {
	switch {
	case s.unmet != "" || s.refused != "" || s.link != "":
		return view.Down, s.reason()
	case s.pending != "":
		return view.Pending, s.reason()
	}
	return view.Up, s.reason()
}

// Bridges gives a row for each logical bridge.
func (c *Controller) Bridges(ctx context.Context) (rows []view.Bridge, err error) {
	err = c.ask(ctx, func(l *loop) {
		refusals := l.refusals()
		for _, b := range l.bridges {
			row := view.Bridge{Name: b.ID, VLAN: b.VLAN, VNI: b.VNI, VTEP: b.VTEP, MACs: uint32(len(b.macs))}
			if !row.VTEP.IsValid() && b.localVTEP.IsValid() { // the configured one
				row.VTEP = netip.PrefixFrom(b.localVTEP, b.localVTEP.BitLen())
			}
			row.State, row.Reason = l.bridgeSummary(b, refusals).viewState()
			for why, r := range b.refusals {
				if r.count > 0 {
					row.Refusals = append(row.Refusals,
						view.Refusal{Reason: noHostNames[why], Count: r.count, Address: r.ip, MAC: r.mac})
				}
			}
			ports := map[string]bool{}
			for n := range b.ports {
				for _, a := range l.ports[n].attached {
					if a.bridge == b.Index {
						ports[a.by.ID] = true
					}
				}
			}
			row.Ports = slices.Sorted(maps.Keys(ports))
			for instance, rep := range b.replicas {
				if rep.routes.size() > 0 && l.held(p4.Replica{Bridge: b.Index, Instance: instance}) {
					row.RemoteVTEPs++
				}
			}
			rows = append(rows, row)
		}
	})
	return rows, err
}

// FDB gives a row for each MAC of a bridge, of all bridges if none is named.
func (c *Controller) FDB(ctx context.Context, name string) (rows []view.FDBEntry, err error) {
	err = c.ask(ctx, func(l *loop) {
		for _, b := range l.bridges {
			if name != "" && name != b.ID {
				continue
			}
			for mac, s := range b.macs {
				rows = append(rows, l.fdbRow(b, mac, s))
			}
		}
	})
	return rows, err
}

func (l *loop) fdbRow(b *bridge, mac ether.MAC, s *station) view.FDBEntry {
	row := view.FDBEntry{Bridge: b.ID, MAC: mac, State: view.Up}
	var sum summary
	c, here := b.selected(mac, s)
	switch {
	case here && s.static != 0:
		row.Kind, row.Port, row.Sticky = view.Static, l.portName(b, s.static), true
	case here:
		row.Kind, row.Port, row.Sequence = view.Local, l.portName(b, s.local.port), s.local.sequence
		if !s.local.since.IsZero() {
			row.Age = l.now().Sub(s.local.since)
		}
	case c == nil: // it was frozen, and its VTEP has withdrawn it
		row.Kind, sum.pending = view.Remote, "it is held behind a VTEP that does not have it any more"
	default:
		row.Kind, row.VTEP, row.VNI = view.Remote, c.route.vtep, c.route.vni
		row.Sequence, row.Sticky = c.route.sequence, c.route.sticky
		if why := c.via.unresolved(); why != "" {
			sum.pending = fmt.Sprintf("VTEP %v: %s", c.route.vtep, why)
		}
	}
	sum.check(l, p4.FDB{Bridge: b.Index, MAC: mac})
	sum.checkTarget(l)
	row.State, row.Reason = sum.viewState()
	if row.Reason == "" && b.frozen(mac) {
		row.Reason = "frozen: it moved too often"
	}
	return row
}

// portName is the id of the bridge port that attaches a port to a bridge.
func (l *loop) portName(b *bridge, number uint16) string {
	for _, a := range l.ports[number].attached {
		if a.bridge == b.Index {
			return a.by.ID
		}
	}
	return l.ports[number].Name
}

// VTEPs gives a row for each remote VTEP in use.
func (c *Controller) VTEPs(ctx context.Context) (rows []view.VTEP, err error) {
	err = c.ask(ctx, func(l *loop) {
		bridges := l.bridgesByVTEP()
		for _, r := range l.remoteVTEPs {
			if r.users > 0 {
				row := l.vtepRow(r)
				row.Bridges = slices.Sorted(maps.Keys(bridges[r.addr]))
				rows = append(rows, row)
			}
		}
	})
	return rows, err
}

func (l *loop) vtepRow(r *remoteVTEP) view.VTEP {
	row := view.VTEP{Address: r.addr}
	for _, p := range r.paths {
		row.Paths = append(row.Paths, view.Path{Uplink: p.Uplink, Port: l.uplinks[p.Uplink], NextHopMAC: p.Destination})
	}
	var sum summary
	for _, t := range r.tunnels {
		if t.users == 0 {
			continue
		}
		if why := t.unresolved(); why != "" {
			sum.unmet = why
		}
		sum.check(l, p4.Tunnel{VTEP: t.id})
		sum.check(l, p4.Path{VTEP: t.id})
		sum.check(l, p4.Flows{VTEP: t.id})
	}
	sum.checkTarget(l)
	row.State, row.Reason = sum.viewState()
	return row
}

// bridgesByVTEP gives the ids of the bridges that import a route of each VTEP.
func (l *loop) bridgesByVTEP() map[netip.Addr]map[string]bool {
	out := map[netip.Addr]map[string]bool{}
	for key, t := range l.tunnels {
		for _, c := range t.candidates {
			if c.inVRF {
				continue
			}
			if out[key.remote] == nil {
				out[key.remote] = map[string]bool{}
			}
			out[key.remote][l.bridges[c.owner].ID] = true
		}
	}
	return out
}

// Routes gives a row for each EVPN route, received from each peer and ours.
func (c *Controller) Routes(ctx context.Context) (rows []view.Route, err error) {
	best := map[int]bgp.Key{} // of rows that the loop may say more of
	// flush asks it for some at a time, since it has other work.
	flush := func() error {
		err := c.ask(ctx, func(l *loop) {
			for i, key := range best {
				if r := l.routes.Find(key); r != nil {
					rows[i].Reason = l.unselected(r)
					rows[i].Selected = rows[i].Reason == ""
				}
			}
		})
		clear(best)
		return err
	}
	for p := range c.in.Speaker.Paths() {
		if p.Best {
			best[len(rows)] = p.Key
		}
		rows = append(rows, receivedRow(&p))
		if len(best) == 1000 {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	err = c.ask(ctx, func(l *loop) {
		for k := range l.adverts {
			if r, ok := l.desiredAdvert(k); ok {
				row := routeRow(r.Key, r.RouteTargets)
				row.Direction, row.Selected, row.NextHop, row.VNI = view.Out, true, r.NextHop, r.Label
				row.Sequence, row.Sticky, row.ARPND = r.Sequence, r.Sticky, r.ARPND.String()
				row.RouterMAC, row.L3VNI = r.RouterMAC, r.Label2
				rows = append(rows, row)
			}
		}
	})
	return rows, err
}

// origins are by their numbers (RFC 4271 section 4.3).
var origins = [...]string{"IGP", "EGP", "incomplete"}

// receivedRow is what a peer's route says, and why it is not used, as far as that is known
// from itself and its like.
func receivedRow(p *bgp.Path) view.Route {
	row := routeRow(p.Key, p.RouteTargets)
	r := readRoute(&p.Route)
	row.Direction, row.Peer, row.NextHop, row.VNI = view.In, p.Peer, r.vtep, r.vni
	row.Sequence, row.Sticky, row.ARPND = p.Sequence, p.Sticky, p.ARPND.String()
	pref := p.Preference
	row.LocalPref, row.MED, row.NeighborAS, row.PathLength = pref.LocalPref, pref.MED, pref.NeighborAS, pref.PathLength
	row.Internal, row.Stale, row.RouterMAC, row.L3VNI = pref.Internal, p.Stale, p.RouterMAC, p.Label2
	if row.Origin = "incomplete"; int(pref.Origin) < len(origins) {
		row.Origin = origins[pref.Origin]
	}
	if p.Step != bgp.Equal {
		row.Step = p.Step.String()
	}
	reason, bad := r.unusable()
	switch {
	case !p.Best:
		row.Reason = "another peer's path is better: " + p.Step.String()
	case bad:
		row.Reason = "it cannot be used: " + strings.ReplaceAll(reason.String(), "_", " ")
	default:
		row.Reason = "it is still to be taken"
	}
	return row
}

func routeRow(key bgp.Key, rts bgp.RouteTargets) view.Route {
	row := view.Route{Type: uint8(key.Type), RD: key.RD.String()}
	for rt := range rts.All() {
		row.RouteTargets = append(row.RouteTargets, rt.String())
	}
	switch {
	case key.Type != bgp.TypeMACIP && key.Type != bgp.TypeMulticast && key.Type != bgp.TypePrefix:
		row.Key, _, _ = strings.Cut(key.String(), " RD ")
	case key.Type == bgp.TypePrefix:
		row.Key = fmt.Sprintf("[5]:[%d]:[%d]:[%v]", key.EthernetTag, key.PrefixLength, key.IP)
	case key.Type == bgp.TypeMulticast:
		row.Key = fmt.Sprintf("[3]:[%d]:[%d]:[%v]", key.EthernetTag, key.IP.BitLen(), key.IP)
	case key.IP.IsValid():
		row.Key = fmt.Sprintf("[2]:[%d]:[48]:[%v]:[%d]:[%v]", key.EthernetTag, key.MAC, key.IP.BitLen(), key.IP)
	default:
		row.Key = fmt.Sprintf("[2]:[%d]:[48]:[%v]", key.EthernetTag, key.MAC)
	}
	return row
}

// Entries gives a row for each entry that the target holds or refused, of all
// tables if none is named.
func (c *Controller) Entries(ctx context.Context, table string) (rows []view.Entry, err error) {
	var entries []p4.Entry
	errs := map[p4.Key]string{}
	err = c.ask(ctx, func(l *loop) {
		for e := range l.target.Entries() {
			if table == "" || table == e.Key.Table() {
				entries = append(entries, e)
			}
		}
		missing := func(k p4.Key, f *reconcile.Failure) {
			rows = append(rows,
				view.Entry{Table: k.Table(), Text: k.String(), Level: uint8(f.What.Level()), Error: f.Err.Error()})
		}
		for k, f := range l.target.Failures() {
			if table != "" && table != k.Table() {
				continue
			}
			errs[k] = f.Err.Error()
			if _, held := l.target.Value(k); !held {
				missing(k, f)
			}
		}
		for k, f := range l.target.WaitingEntries() {
			if table == "" || table == k.Table() {
				missing(k, f)
			}
		}
	})
	for _, e := range entries { // outside the loop: rendering takes time
		row := view.Entry{Table: e.Key.Table(), Text: e.String(), Acked: true, Error: errs[e.Key]}
		if d, derr := p4.Decode(e); derr == nil {
			row.Level = uint8(d.Level())
		}
		rows = append(rows, row)
	}
	return rows, err
}

// ClearDuplicates lets MACs and addresses of a bridge that are frozen move again, and tells
// how many there were.
func (c *Controller) ClearDuplicates(ctx context.Context, bridge string, which view.Duplicate) (n int, err error) {
	err = c.ask(ctx, func(l *loop) {
		if b := l.byID[bridge]; b != nil {
			n = l.clearDuplicates(b, which)
		}
	})
	return n, err
}

func (l *loop) clearDuplicates(b *bridge, which view.Duplicate) (n int) {
	all := which == view.Duplicate{}
	for mac := range b.moves {
		if (all || mac == which.MAC) && l.clearDuplicate(b, mac) {
			n++
		}
	}
	for ip := range b.addressMoves {
		if (all || ip == which.Address) && l.clearDuplicateAddress(b, ip) {
			n++
		}
	}
	return n
}
