package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func neighbors(q *query) (*page, error) {
	all, err := q.sessions("")
	if err != nil {
		return nil, err
	}
	t := &table{Caption: "BGP neighbours", Empty: "There are no neighbours.", Columns: []string{"Neighbour", "State", "AS",
		"Router id", "For", "Received", "Advertised", "Losses", "Faults", "BFD", "Reason"}}
	for _, n := range all {
		t.add(ref("neighbors", n.GetAddress()), cell{sessionState(n)}, n.GetAs(), mono(n.GetRouterId()), age(n.GetUptime()),
			n.GetReceived(), n.GetAdvertised(), n.GetLosses(), faults(n), bfd(n.GetBfd()), why(n.GetReason()))
	}
	underlay, err := rows(q, q.pages.view.ListUnderlayRoutes, &p4evpnv1.ListUnderlayRoutesRequest{},
		(*p4evpnv1.ListUnderlayRoutesResponse).GetRoutes)
	if err != nil {
		return nil, err
	}
	u := &table{Caption: "Routes of the underlay that BGP learned", Empty: "BGP learned no routes of the underlay.",
		Columns: []string{"Prefix", "State", "Next hops", "Neighbours", "Reason"}}
	for _, r := range underlay {
		u.add(mono(r.GetPrefix()), r.GetState(), mono(strings.Join(r.GetNextHops(), " ")),
			refs("neighbors", r.GetNeighbors()), why(r.GetReason()))
	}
	return &page{Title: "Neighbours", Sections: []section{{Table: t}, {Table: u}}}, nil
}

// faults says how many things were wrong with what a neighbour sent.
func faults(n *p4evpnv1.Session) cell {
	var sum uint64
	for _, f := range n.GetFaultCounts() {
		sum += f.GetCount()
	}
	if sum == 0 {
		return toCell("0")
	}
	return cell{{Text: count(sum), Href: one("neighbors", n.GetAddress()), Class: "st pending"}}
}

func bfd(b *p4evpnv1.BfdSession) cell {
	if b == nil {
		return nil
	}
	class := "st down"
	if b.GetState() == p4evpnv1.BfdState_BFD_STATE_UP {
		class = "st up"
	}
	return cell{{Text: strings.ReplaceAll(client.Word(b.GetState()), "_", " "), Class: class}}
}

func oneNeighbor(q *query) (*page, error) {
	all, err := q.sessions(q.id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, missing("neighbour", q.id)
	}
	n := all[0]
	var families []string
	for _, f := range n.GetFamilies() {
		families = append(families, client.Word(f))
	}
	facts := []fact{
		{"State", cell{sessionState(n)}}, {"For", toCell(age(n.GetUptime()))}, {"Reason", toCell(n.GetReason())},
		{"AS", toCell(n.GetAs())}, {"Router id", mono(n.GetRouterId())}, {"Families", toCell(strings.Join(families, ", "))},
		{"EVPN routes received", cell{{Text: count(n.GetReceived()), Href: with("/routes", "q", n.GetAddress())}}},
		{"EVPN routes advertised", cell{{Text: count(n.GetAdvertised()), Href: with("/routes", "direction", "out")}}},
		{"Unicast routes received", toCell(n.GetReceivedUnicast())}, {"Limit of a family", toCell(n.GetLimit())},
		{"End-of-RIB", toCell(n.GetEndOfRib())}, {"Graceful restart", toCell(n.GetGracefulRestart())},
		{"Sessions lost", toCell(n.GetLosses())}, {"Why the last one ended", toCell(n.GetLastLoss())},
		{"Events", cell{{Text: "that name it", Href: with("/events", "q", n.GetAddress())}}},
	}
	p := &page{Title: n.GetAddress(), Up: []span{{Text: "Neighbours", Href: "/neighbors"}},
		Sections: []section{{Facts: facts}}}
	if b := n.GetBfd(); b != nil {
		p.Sections = append(p.Sections, section{Title: "BFD", Facts: bfdFacts(b)})
	}
	p.Sections = append(p.Sections, section{Title: "What was wrong with what it sent", Table: faultCounts(n)})
	if len(n.GetFaults()) > 0 {
		p.Sections = append(p.Sections, section{Table: lastFaults(n)})
	}
	return p, nil
}

func bfdFacts(b *p4evpnv1.BfdSession) []fact {
	return []fact{
		{"State", bfd(b)}, {"Peer's state", toCell(b.GetRemoteState())}, {"For", toCell(age(b.GetUptime()))},
		{"We send each", toCell(interval(b.GetTransmission().AsDuration()))},
		{"Lost after", toCell(interval(b.GetDetection().AsDuration()))},
		{"Losses", toCell(b.GetFailures())}, {"Why it went down last", toCell(b.GetLastDown())},
		{"What the peer said last", toCell(b.GetRemoteDiagnostic())}, {"Trouble", toCell(b.GetTrouble())},
	}
}

func interval(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func faultCounts(n *p4evpnv1.Session) *table {
	t := &table{Caption: "Faults by reason", Columns: []string{"Reason", "Count"}, Empty: "Nothing was wrong."}
	for _, f := range n.GetFaultCounts() {
		t.add(strings.ReplaceAll(f.GetReason(), "_", " "), f.GetCount())
	}
	return t
}

func lastFaults(n *p4evpnv1.Session) *table {
	t := &table{Caption: "The last of them", Columns: []string{"Time", "What", "Reason", "Done about it", "First bytes"}}
	all := n.GetFaults()
	for i := len(all) - 1; i >= 0; i-- {
		f := all[i]
		t.add(moment(f.GetTime().AsTime()), f.GetWhat(), strings.ReplaceAll(f.GetReason(), "_", " "),
			strings.ReplaceAll(client.Word(f.GetAction()), "_", " "), mono(f.GetBytes()))
	}
	return t
}

// moment is a time for people, of UTC.
func moment(t time.Time) cell {
	return cell{{Text: t.UTC().Format("2006-01-02 15:04:05.000"), Class: "mono"}}
}

func vteps(q *query) (*page, error) {
	all, err := q.allVTEPs()
	if err != nil {
		return nil, err
	}
	return &page{Title: "VTEPs", Sections: []section{{Table: vtepTable(all)}}}, nil
}

func vtepTable(rows []*p4evpnv1.VTEP) *table {
	t := &table{Caption: "Remote VTEPs", Empty: "There are no remote VTEPs.",
		Columns: []string{"VTEP", "State", "Paths", "Bridges", "Reason"}}
	for _, v := range rows {
		var paths []string
		for _, p := range v.GetPaths() {
			paths = append(paths, p.GetUplink()+" via "+p.GetNextHopMac())
		}
		t.add(ref("vteps", v.GetAddress()), v.GetState(), mono(strings.Join(paths, ", ")), refs("bridges", v.GetBridges()),
			why(v.GetReason()))
	}
	return t
}

func oneVTEP(q *query) (*page, error) {
	all, err := q.allVTEPs()
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.GetAddress() != q.id {
			continue
		}
		paths := &table{Caption: "Paths over the underlay", Columns: []string{"Uplink", "Next hop's MAC"},
			Empty: "No path leads there."}
		for _, p := range v.GetPaths() {
			paths.add(ref("ports", p.GetUplink()), mono(p.GetNextHopMac()))
		}
		return &page{Title: q.id, Up: []span{{Text: "VTEPs", Href: "/vteps"}}, Sections: []section{
			{Facts: []fact{{"State", cell{state(v.GetState())}}, {"Reason", toCell(v.GetReason())},
				{"Bridges", refs("bridges", v.GetBridges())},
				{"MACs behind it", cell{{Text: "all", Href: with("/macs", "q", q.id)}}},
				{"Hosts behind it", cell{{Text: "all", Href: with("/hosts", "q", q.id)}}}}},
			{Table: paths}, q.made(q.id, "vtep", q.id),
		}}, nil
	}
	return nil, missing("VTEP", q.id)
}

func ports(q *query) (*page, error) {
	all, err := q.allPorts()
	if err != nil {
		return nil, err
	}
	flows := q.flows(all)
	t := &table{Caption: "Ports of the target", Empty: "There are no ports.", Columns: []string{"Port", "State", "Kind",
		"Number", "Device", "Link", "For", "MACs", "In", "Out", "Frames in", "Frames out", "Bridge ports", "Reason"}}
	for _, p := range all {
		f := flows[p.GetName()]
		in, out := "", ""
		if f.known {
			in, out = rate(f.in, "b/s"), rate(f.out, "b/s")
		}
		t.add(ref("ports", portName(p)), p.GetState(), p.GetKind(), p.GetNumber(), mono(p.GetNetdev()), link(p.GetLink()),
			age(p.GetLinkAge()), p.GetMacs(), cell{{Text: in, Class: "num"}}, cell{{Text: out, Class: "num"}},
			cell{{Text: count(p.GetCounters().GetPacketsIn()), Class: "num"}},
			cell{{Text: count(p.GetCounters().GetPacketsOut()), Class: "num"}}, refs("objects", boundTo(p)),
			why(p.GetReason()))
	}
	return &page{Title: "Ports", Every: counting, Sections: []section{{Table: t}}}, nil
}

func link(s p4evpnv1.State) cell {
	if s == p4evpnv1.State_STATE_UNSPECIFIED {
		return nil
	}
	return cell{state(s)}
}

func onePort(q *query) (*page, error) {
	all, err := q.allPorts()
	if err != nil {
		return nil, err
	}
	flows := q.flows(all)
	for _, p := range all {
		if p != named(all, q.id) {
			continue
		}
		c := p.GetCounters()
		counters := &table{Caption: "Counted since the program was loaded", Columns: []string{"What", "In", "Out"}}
		counters.add("Frames", cell{{Text: count(c.GetPacketsIn())}}, cell{{Text: count(c.GetPacketsOut())}})
		counters.add("Bytes", cell{{Text: count(c.GetBytesIn())}}, cell{{Text: count(c.GetBytesOut())}})
		counters.add("Errors of the device", cell{{Text: count(c.GetErrorsIn())}}, cell{{Text: count(c.GetErrorsOut())}})
		s := p.GetStorm()
		return &page{Title: q.id, Up: []span{{Text: "Ports", Href: "/ports"}}, Every: counting, Sections: []section{
			{Facts: []fact{{"State", cell{state(p.GetState())}}, {"Reason", toCell(p.GetReason())},
				{"Link", link(p.GetLink())}, {"Link for", toCell(age(p.GetLinkAge()))},
				{"Carrier lost", toCell(p.GetCarrierLosses())}, {"Kind", toCell(p.GetKind())},
				{"Number", toCell(p.GetNumber())}, {"Device", mono(p.GetNetdev())}, {"Rate", toCell(flows[p.GetName()].line())},
				{"Bridge ports", refs("objects", boundTo(p))}, {"MACs learned", toCell(p.GetMacs())},
				{"Source guard", toCell(p.GetSourceGuard())}, {"Leases", number(p.GetLeases())},
				{"Flooded at most (broadcast, multicast, unknown)", toCell(atMost(s.GetBroadcast()) + ", " +
					atMost(s.GetMulticast()) + ", " + atMost(s.GetUnknownUnicast()))}}},
			{Table: counters},
			{Facts: []fact{{"Drops", cell{{Text: "of what came by it", Href: with("/drops", "port", portName(p))}}},
				{"Trace", cell{{Text: "a frame that arrives here", Href: with("/trace", "port", q.id)}}},
				{"Events", cell{{Text: "that name it", Href: with("/events", "q", q.id)}}}}},
		}}, nil
	}
	return nil, missing("port", q.id)
}

// atMost is how many frames may be flooded in a second; 0 is any number.
func atMost(n uint32) string {
	if n == 0 {
		return "any number"
	}
	return fmt.Sprintf("%d/s", n)
}

// named finds a port by its name, or else by its device.
func named(all []*p4evpnv1.Port, id string) (found *p4evpnv1.Port) {
	for _, p := range all {
		if portName(p) == id {
			return p
		}
		if p.GetNetdev() == id {
			found = p
		}
	}
	return found
}
