package web

import (
	"fmt"
	"strings"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// allPorts gives the ports of the target, all pages of them.
func (q *query) allPorts() (all []*p4evpnv1.Port, err error) {
	for r := (&p4evpnv1.ListPortsRequest{PageSize: 250}); ; {
		part, err := q.pages.ports.ListPorts(q.ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, part.GetPorts()...)
		if r.PageToken = part.GetNextPageToken(); r.PageToken == "" {
			return all, nil
		}
	}
}

// portName is a port's name without its collection.
func portName(p *p4evpnv1.Port) string { return strings.TrimPrefix(p.GetName(), "ports/") }

// boundTo are the ids of the bridge ports that are bound to a port.
func boundTo(p *p4evpnv1.Port) (ids []string) {
	for _, name := range p.GetBridgePorts() {
		ids = append(ids, strings.TrimPrefix(name, "bridgePorts/"))
	}
	return ids
}

// sight is all that the overview shows.
type sight struct {
	ports    []*p4evpnv1.Port
	flows    map[string]flow
	bridges  []*p4evpnv1.Bridge
	vrfs     []*p4evpnv1.VRF
	vteps    []*p4evpnv1.VTEP
	sessions []*p4evpnv1.Session
}

func (q *query) look() (s sight, err error) {
	v := q.pages.view
	if s.ports, err = q.allPorts(); err != nil {
		return s, err
	}
	s.flows = q.flows(s.ports)
	if s.bridges, err = rows(q, v.ListBridges, &p4evpnv1.ListBridgesRequest{},
		(*p4evpnv1.ListBridgesResponse).GetBridges); err != nil {
		return s, err
	}
	if s.vrfs, err = rows(q, v.ListVRFs, &p4evpnv1.ListVRFsRequest{},
		(*p4evpnv1.ListVRFsResponse).GetVrfs); err != nil {
		return s, err
	}
	if s.vteps, err = q.allVTEPs(); err != nil {
		return s, err
	}
	s.sessions, err = q.sessions("")
	return s, err
}

func (q *query) allVTEPs() ([]*p4evpnv1.VTEP, error) {
	return rows(q, q.pages.view.ListVTEPs, &p4evpnv1.ListVTEPsRequest{}, (*p4evpnv1.ListVTEPsResponse).GetVteps)
}

func (q *query) sessions(neighbor string) ([]*p4evpnv1.Session, error) {
	return rows(q, q.pages.view.ListSessions, &p4evpnv1.ListSessionsRequest{Neighbor: neighbor},
		(*p4evpnv1.ListSessionsResponse).GetSessions)
}

func overview(q *query) (*page, error) {
	s, err := q.look()
	if err != nil {
		return nil, err
	}
	p := &page{Title: "Overview", Every: counting,
		Sections: []section{{Facts: s.facts()}, {Drawing: s.draw()}, s.troubles()}}
	latest, err := q.latest(8)
	if err == nil && latest != nil {
		p.Sections = append(p.Sections, section{Table: latest})
	}
	return p, nil
}

// tally says how many of all are up, and how many are not in a colour.
func tally(up, all int, href string) cell {
	c := cell{{Text: fmt.Sprintf("%d of %d up", up, all), Href: href}}
	if up < all {
		c = c.and(cell{{Text: fmt.Sprintf("%d not up", all-up), Class: "st down"}})
	}
	return c
}

func up[T interface{ GetState() p4evpnv1.State }](rows []T) (n int) {
	for _, r := range rows {
		if r.GetState() == p4evpnv1.State_STATE_UP {
			n++
		}
	}
	return n
}

func (s sight) facts() []fact {
	var macs, hosts, prefixes uint64
	established, wanted := 0, 0
	for _, b := range s.bridges {
		macs += uint64(b.GetMacs())
	}
	for _, v := range s.vrfs {
		hosts += uint64(v.GetHosts())
		prefixes += uint64(v.GetPrefixes())
	}
	for _, n := range s.sessions {
		if n.GetShutdown() {
			continue
		}
		wanted++
		if n.GetState() == p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED {
			established++
		}
	}
	return []fact{
		{"BGP sessions", tally(established, wanted, "/neighbors")},
		{"Ports", tally(up(s.ports), len(s.ports), "/ports")},
		{"VTEPs", tally(up(s.vteps), len(s.vteps), "/vteps")},
		{"Bridges", tally(up(s.bridges), len(s.bridges), "/bridges")},
		{"VRFs", tally(up(s.vrfs), len(s.vrfs), "/vrfs")},
		{"MACs", cell{{Text: count(macs), Href: "/macs"}}},
		{"Hosts in VRFs", cell{{Text: count(hosts), Href: "/hosts"}}},
		{"Prefixes", cell{{Text: count(prefixes), Href: "/vrfs"}}},
	}
}

// troubles are what is not up, with the reasons.
func (s sight) troubles() section {
	t := &table{Caption: "Not up", Columns: []string{"What", "State", "Reason"}, Empty: "All is up."}
	add := func(kind, path, name string, st p4evpnv1.State, reason string) {
		if st != p4evpnv1.State_STATE_UP && len(t.Rows) < 50 {
			t.add(cell{{Text: kind + " "}}.and(ref(path, name)), st, why(reason))
		}
	}
	for _, n := range s.sessions {
		if n.GetState() != p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED && !n.GetShutdown() {
			t.add(cell{{Text: "neighbour "}}.and(ref("neighbors", n.GetAddress())),
				cell{{Text: client.Word(n.GetState()), Class: "st down"}}, why(n.GetReason()))
		}
	}
	for _, p := range s.ports {
		add("port", "ports", portName(p), p.GetState(), p.GetReason())
	}
	for _, v := range s.vteps {
		add("VTEP", "vteps", v.GetAddress(), v.GetState(), v.GetReason())
	}
	for _, b := range s.bridges {
		add("bridge", "bridges", b.GetName(), b.GetState(), b.GetReason())
	}
	for _, v := range s.vrfs {
		add("VRF", "vrfs", v.GetName(), v.GetState(), v.GetReason())
	}
	return section{Table: t}
}
