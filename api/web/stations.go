package web

import (
	"strings"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// bridgeField is what narrows a page to a bridge.
func (q *query) bridgeField() field {
	return field{Name: "bridge", Label: "Bridge", Value: q.get("bridge"), Hint: "any"}
}

func macs(q *query) (*page, error) {
	all, err := rows(q, q.pages.view.ListFDB, &p4evpnv1.ListFDBRequest{Bridge: q.get("bridge")},
		(*p4evpnv1.ListFDBResponse).GetEntries)
	if err != nil {
		return nil, err
	}
	found := where(all, func(e *p4evpnv1.FDBEntry) bool {
		return matches(q.get("q"), e.GetMac(), e.GetPort(), e.GetVtep(), client.Word(e.GetKind()), e.GetReason())
	})
	shown, pager := cut(q, found)
	return &page{Title: "MACs", Forms: q.search("Search for a MAC", "part of a MAC, port, VTEP", q.bridgeField()),
		Sections: []section{{Table: macTable("MAC addresses", shown, pager)}}}, nil
}

func macTable(caption string, rows []*p4evpnv1.FDBEntry, pager *pager) *table {
	t := &table{Caption: caption, Empty: "There is no such MAC.", Pager: pager,
		Columns: []string{"MAC", "State", "Bridge", "Kind", "Behind", "VNI", "Sequence", "Sticky", "Age", "Reason"}}
	for _, e := range rows {
		t.add(ref("macs", e.GetMac()), e.GetState(), ref("bridges", e.GetBridge()), e.GetKind(),
			behind(e.GetPort(), e.GetVtep()), number(e.GetVni()), number(e.GetSequence()), yes(e.GetSticky()),
			age(e.GetAge()), why(e.GetReason()))
	}
	return t
}

// behind says where a station is.
func behind(port, vtep string) cell {
	if vtep != "" {
		return ref("vteps", vtep)
	}
	return ref("objects", port)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func oneMAC(q *query) (*page, error) {
	found, err := rows(q, q.pages.view.ListFDB, &p4evpnv1.ListFDBRequest{MacAddress: q.id},
		(*p4evpnv1.ListFDBResponse).GetEntries)
	if err != nil {
		return nil, err
	}
	p := &page{Title: q.id, Up: []span{{Text: "MACs", Href: "/macs"}},
		Sections: []section{{Table: macTable("Where it is", found, nil)}}}
	for _, e := range found {
		s := section{Title: "In bridge " + e.GetBridge(), Table: claims(e.GetClaims())}
		if len(e.GetAddresses()) > 0 {
			s.Facts = []fact{{"Addresses", refs("hosts", e.GetAddresses())}}
		}
		p.Sections = append(p.Sections, s)
	}
	p.Sections = append(p.Sections, q.made(q.id, "from", q.id))
	return p, nil
}

// made says where to go on from a station: the routes that speak of it, the entries that it
// has, and what becomes of a frame.
func (q *query) made(text string, trace ...string) section {
	return section{Title: "What it comes from and makes", Facts: []fact{
		{"Routes", cell{{Text: "that speak of it", Href: with("/routes", "q", text)}}},
		{"Entries", cell{{Text: "of the target", Href: with("/entries", "q", text)}}},
		{"Events", cell{{Text: "that name it", Href: with("/events", "q", text)}}},
		{"Trace", cell{{Text: "a frame", Href: with("/trace", trace...)}}},
	}}
}

func hosts(q *query) (*page, error) {
	all, err := rows(q, q.pages.view.ListHosts, &p4evpnv1.ListHostsRequest{Bridge: q.get("bridge")},
		(*p4evpnv1.ListHostsResponse).GetHosts)
	if err != nil {
		return nil, err
	}
	found := where(all, func(h *p4evpnv1.Host) bool {
		return matches(q.get("q"), h.GetIp(), h.GetMac(), h.GetPort(), h.GetVtep(), client.Word(h.GetKind()), h.GetReason())
	})
	shown, pager := cut(q, found)
	return &page{Title: "Hosts",
		Forms:    q.search("Search for a host", "part of an address, MAC, port, VTEP", q.bridgeField()),
		Sections: []section{{Table: hostTable("Addresses of bridges", shown, pager)}}}, nil
}

func hostTable(caption string, rows []*p4evpnv1.Host, pager *pager) *table {
	t := &table{Caption: caption, Empty: "There is no such host.", Pager: pager,
		Columns: []string{"Address", "State", "MAC", "Bridge", "Kind", "Behind", "Reason"}}
	for _, h := range rows {
		t.add(ref("hosts", h.GetIp()), h.GetState(), ref("macs", h.GetMac()), ref("bridges", h.GetBridge()), h.GetKind(),
			behind(h.GetPort(), h.GetVtep()), why(h.GetReason()))
	}
	return t
}

func oneHost(q *query) (*page, error) {
	found, err := rows(q, q.pages.view.ListHosts, &p4evpnv1.ListHostsRequest{Address: q.id},
		(*p4evpnv1.ListHostsResponse).GetHosts)
	if err != nil {
		return nil, err
	}
	p := &page{Title: q.id, Up: []span{{Text: "Hosts", Href: "/hosts"}},
		Sections: []section{{Table: hostTable("Who has it", found, nil)}}}
	for _, h := range found {
		if len(h.GetClaims()) > 0 {
			p.Sections = append(p.Sections, section{Title: "In bridge " + h.GetBridge(), Table: claims(h.GetClaims())})
		}
	}
	p.Sections = append(p.Sections, q.made(q.id, "to", q.id))
	return p, nil
}

func claims(rows []*p4evpnv1.Claim) *table {
	t := &table{Caption: "Who claims it", Empty: "Nobody claims it.",
		Columns: []string{"MAC", "State", "Known by", "Behind", "Sequence", "Confirmed", "Flags", "Reason"}}
	for _, c := range rows {
		var sources, flags []string
		for _, s := range c.GetSources() {
			sources = append(sources, client.Word(s))
		}
		for _, f := range []struct {
			is   bool
			text string
		}{{c.GetSticky(), "sticky"}, {c.GetRouter(), "router"}, {c.GetOverride(), "override"},
			{c.GetImmutable(), "immutable"}} {
			if f.is {
				flags = append(flags, f.text)
			}
		}
		t.add(ref("macs", c.GetMac()), claimState(c.GetState()), strings.Join(sources, ", "),
			behind(c.GetPort(), c.GetVtep()), c.GetSequence(), age(c.GetAge()), strings.Join(flags, ", "), why(c.GetReason()))
	}
	return t
}

func claimState(s p4evpnv1.ClaimState) cell {
	class := map[p4evpnv1.ClaimState]string{
		p4evpnv1.ClaimState_CLAIM_STATE_ACTIVE: "st up", p4evpnv1.ClaimState_CLAIM_STATE_DUPLICATE: "st down",
		p4evpnv1.ClaimState_CLAIM_STATE_PROBED: "st pending",
	}[s]
	if class == "" {
		class = "st"
	}
	return cell{{Text: client.Word(s), Class: class}}
}
