package web

import (
	"fmt"
	"strings"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func (q *query) allVRFs() ([]*p4evpnv1.VRF, error) {
	return rows(q, q.pages.view.ListVRFs, &p4evpnv1.ListVRFsRequest{}, (*p4evpnv1.ListVRFsResponse).GetVrfs)
}

func vrfs(q *query) (*page, error) {
	all, err := q.allVRFs()
	if err != nil {
		return nil, err
	}
	t := &table{Caption: "VRFs", Empty: "There is no such VRF.",
		Columns: []string{"VRF", "State", "VNI", "Loopback", "VTEP", "Router MAC", "Hosts", "Prefixes", "SVIs", "Reason"}}
	found := where(all, func(v *p4evpnv1.VRF) bool { return matches(q.get("q"), v.GetName(), fmt.Sprint(v.GetVni())) })
	found, t.Pager = cut(q, found)
	for _, v := range found {
		t.add(ref("vrfs", v.GetName()), v.GetState(), number(v.GetVni()), mono(v.GetLoopback()), mono(v.GetVtep()),
			mono(v.GetRouterMac()), v.GetHosts(), v.GetPrefixes(), refs("svis", v.GetSvis()), why(v.GetReason()))
	}
	svis, err := q.allSVIs()
	if err != nil {
		return nil, err
	}
	return &page{Title: "VRFs", Forms: q.search("Search for a VRF", "name or VNI"),
		Sections: []section{{Table: t}, {Table: sviTable(svis)}}}, nil
}

func sviTable(rows []*p4evpnv1.SVI) *table {
	t := &table{Caption: "SVIs", Empty: "There are no SVIs.",
		Columns: []string{"SVI", "State", "VRF", "Bridge", "MAC", "Gateways", "Anycast", "Aliases", "Reason"}}
	for _, s := range rows {
		t.add(ref("svis", s.GetName()), s.GetState(), ref("vrfs", s.GetVrf()), ref("bridges", s.GetBridge()),
			mono(s.GetMac()), mono(strings.Join(s.GetGateways(), " ")), yes(s.GetAnycast()),
			mono(strings.Join(s.GetAliases(), " ")), why(s.GetReason()))
	}
	return t
}

func svis(q *query) (*page, error) {
	all, err := q.allSVIs()
	if err != nil {
		return nil, err
	}
	return &page{Title: "SVIs", Sections: []section{{Table: sviTable(all)}}}, nil
}

func oneSVI(q *query) (*page, error) {
	all, err := q.allSVIs()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.GetName() == q.id {
			return &page{Title: q.id, Up: []span{{Text: "SVIs", Href: "/svis"}}, Sections: []section{
				{Table: sviTable([]*p4evpnv1.SVI{s})},
				q.made(s.GetMac()),
				q.object(q.pages.svi.GetSvi(q.ctx, &pb.GetSviRequest{Name: "svis/" + q.id})),
			}}, nil
		}
	}
	return nil, missing("SVI", q.id)
}

func oneVRF(q *query) (*page, error) {
	all, err := q.allVRFs()
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.GetName() == q.id {
			return q.showVRF(v)
		}
	}
	return nil, missing("VRF", q.id)
}

func (q *query) showVRF(v *p4evpnv1.VRF) (*page, error) {
	prefixes, err := rows(q, q.pages.view.ListPrefixes, &p4evpnv1.ListPrefixesRequest{Vrf: v.GetName()},
		(*p4evpnv1.ListPrefixesResponse).GetPrefixes)
	if err != nil {
		return nil, err
	}
	found := where(prefixes, func(p *p4evpnv1.Prefix) bool {
		return matches(q.get("q"), p.GetPrefix(), p.GetVtep(), p.GetMac(), p.GetBridge(), client.Word(p.GetKind()),
			p.GetReason())
	})
	shown, pager := cut(q, found)
	p := &page{Title: v.GetName(), Up: []span{{Text: "VRFs", Href: "/vrfs"}}, Forms: q.search(
		"Search for a prefix", "part of a prefix, VTEP, MAC", field{Name: "address", Label: "Look up an address",
			Value: q.get("address"), Hint: "10.0.0.1"})}
	p.Sections = []section{{Facts: []fact{
		{"State", cell{state(v.GetState())}}, {"Reason", toCell(v.GetReason())}, {"VNI", number(v.GetVni())},
		{"Loopback", mono(v.GetLoopback())}, {"VTEP", mono(v.GetVtep())}, {"Router MAC", mono(v.GetRouterMac())},
		{"Hosts", toCell(v.GetHosts())}, {"Prefixes", toCell(v.GetPrefixes())}, {"SVIs", refs("svis", v.GetSvis())},
	}}}
	if q.get("address") != "" {
		p.Sections = append(p.Sections, q.lookup(v.GetName()))
	}
	p.Sections = append(p.Sections, section{Table: prefixTable("Prefixes", shown, pager)},
		q.object(q.pages.vrf.GetVrf(q.ctx, &pb.GetVrfRequest{Name: "vrfs/" + v.GetName()})))
	return p, nil
}

// lookup says what becomes of a packet to an address.
func (q *query) lookup(vrf string) section {
	s := section{Title: "To " + q.get("address")}
	l, err := q.pages.view.LookupRoute(q.ctx, &p4evpnv1.LookupRouteRequest{Vrf: vrf, Address: q.get("address")})
	if err != nil {
		s.Text = status.Convert(err).Message() + "."
		return s
	}
	entry := l.GetEntry()
	if entry == "" {
		entry = "none matches"
	}
	s.Text = l.GetResult()
	s.Facts = []fact{{"Entry", mono(entry)}}
	s.Table = prefixTable("Candidates, best first", l.GetCandidates(), nil)
	return s
}

func prefixTable(caption string, rows []*p4evpnv1.Prefix, pager *pager) *table {
	t := &table{Caption: caption, Empty: "There is no such prefix.", Pager: pager,
		Columns: []string{"Prefix", "State", "Kind", "Selected", "Next hop", "Share of flows", "Uplinks", "VNI", "Router MAC",
			"Bridge", "Reason"}}
	for _, p := range rows {
		address, _, _ := strings.Cut(p.GetPrefix(), "/")
		from := with("/routes", "q", address)
		if p.GetKind() == p4evpnv1.PrefixKind_PREFIX_KIND_HOST {
			from = one("hosts", address)
		}
		next := ref("vteps", p.GetVtep()).and(mono(p.GetNextHop()))
		if len(next) == 0 {
			next = ref("macs", p.GetMac())
		}
		t.add(refTo(p.GetPrefix(), from), p.GetState(), p.GetKind(), yes(p.GetSelected()), next, portion(p.GetSlots()),
			refs("ports", p.GetUplinks()), number(p.GetVni()),
			mono(p.GetRouterMac()), ref("bridges", p.GetBridge()), why(p.GetReason()))
	}
	return t
}

// portion is the part of the flows that a member of a group gets, of whose slots it has some.
func portion(slots uint32) string {
	if slots == 0 {
		return ""
	}
	return fmt.Sprintf("%d of 64", slots)
}

func routes(q *query) (*page, error) {
	direction := map[string]p4evpnv1.Direction{
		"in": p4evpnv1.Direction_DIRECTION_IN, "out": p4evpnv1.Direction_DIRECTION_OUT}[q.get("direction")]
	all, err := rows(q, q.pages.view.ListRoutes, &p4evpnv1.ListRoutesRequest{Direction: direction},
		(*p4evpnv1.ListRoutesResponse).GetRoutes)
	if err != nil {
		return nil, err
	}
	kind := q.get("type")
	found := where(all, func(r *p4evpnv1.Route) bool {
		return (kind == "" || kind == "any" || kind == fmt.Sprint(r.GetType())) && matches(q.get("q"), r.GetKey(), r.GetRd(),
			r.GetNextHop(), r.GetPeer(), fmt.Sprint(r.GetVni()), strings.Join(r.GetRouteTargets(), " "), r.GetReason())
	})
	shown, pager := cut(q, found)
	t := &table{Caption: "EVPN routes", Empty: "There is no such route.", Pager: pager,
		Columns: []string{"Route", "Direction", "Used", "The step that decided, or why not", "Next hop", "VNI", "Peer",
			"Preference", "AS path", "Origin", "MED", "Sequence", "Flags", "Route targets", "RD", "L3 VNI", "Router MAC"}}
	for _, r := range shown {
		t.add(refTo(r.GetKey(), speaksOf(r)), r.GetDirection(), used(r), why(decided(r)), ref("vteps", r.GetNextHop()),
			number(r.GetVni()), ref("neighbors", r.GetPeer()), number(r.GetLocalPref()), asPath(r), r.GetOrigin(),
			number(r.GetMed()), r.GetSequence(), routeFlags(r), mono(strings.Join(r.GetRouteTargets(), " ")), mono(r.GetRd()),
			number(r.GetL3Vni()), mono(r.GetRouterMac()))
	}
	return &page{Title: "Routes", Forms: q.search("Search for a route", "part of key, RD, next hop, target",
		field{Name: "direction", Label: "Direction", Value: q.get("direction"), Options: []string{"both", "in", "out"}},
		field{Name: "type", Label: "Type", Value: q.get("type"), Options: []string{"any", "1", "2", "3", "4", "5"}}),
		Sections: []section{{Table: t}}}, nil
}

// decided says what a route won or lost by.
func decided(r *p4evpnv1.Route) string {
	if r.GetReason() == "" && r.GetStep() != "" {
		return "better than the next one: " + r.GetStep()
	}
	return r.GetReason()
}

// asPath says what is compared of an AS path.
func asPath(r *p4evpnv1.Route) string {
	switch {
	case r.GetDirection() == p4evpnv1.Direction_DIRECTION_OUT:
		return ""
	case r.GetNeighborAs() == 0:
		return "empty"
	case r.GetAsPathLength() == 1:
		return fmt.Sprint("AS ", r.GetNeighborAs())
	}
	return fmt.Sprintf("AS %d, %d long", r.GetNeighborAs(), r.GetAsPathLength())
}

func used(r *p4evpnv1.Route) cell {
	switch {
	case r.GetDirection() == p4evpnv1.Direction_DIRECTION_OUT:
		return cell{{Text: "advertised", Class: "st up"}}
	case r.GetSelected():
		return cell{{Text: "used", Class: "st up"}}
	}
	return cell{{Text: "not used", Class: "st pending"}}
}

func routeFlags(r *p4evpnv1.Route) string {
	flags := r.GetArpNdFlags()
	for _, f := range []struct {
		is   bool
		text string
	}{{r.GetSticky(), "sticky"}, {r.GetInternal(), "iBGP"}, {r.GetStale(), "stale"}} {
		if f.is {
			flags = strings.TrimPrefix(flags+", "+f.text, ", ")
		}
	}
	return flags
}

// speaksOf is the page of what a route makes: its host, its MAC, its VTEP; of a prefix the
// entries that have it.
func speaksOf(r *p4evpnv1.Route) string {
	parts := strings.Split(strings.Trim(r.GetKey(), "[]"), "]:[")
	last := parts[len(parts)-1]
	switch {
	case r.GetType() == 2 && len(parts) == 6:
		return one("hosts", last)
	case r.GetType() == 2 && len(parts) == 4:
		return one("macs", last)
	case r.GetType() == 3 && r.GetDirection() == p4evpnv1.Direction_DIRECTION_IN:
		return one("vteps", last)
	}
	return with("/entries", "q", last)
}
