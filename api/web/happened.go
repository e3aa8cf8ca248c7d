package web

import (
	"maps"
	"slices"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func entries(q *query) (*page, error) {
	all, err := rows(q, q.pages.view.ListEntries, &p4evpnv1.ListEntriesRequest{Table: q.get("table")},
		(*p4evpnv1.ListEntriesResponse).GetEntries)
	if err != nil {
		return nil, err
	}
	byTable := map[string]int{}
	found := where(all, func(e *p4evpnv1.Entry) bool {
		byTable[e.GetTable()]++
		return matches(q.get("q"), e.GetText(), e.GetError())
	})
	shown, pager := cut(q, found)
	t := &table{Caption: "Entries of the target", Empty: "There is no such entry.", Pager: pager,
		Columns: []string{"Entry", "Level", "Held", "What the target said"}}
	for _, e := range shown {
		held := cell{{Text: "held", Class: "st up"}}
		if !e.GetAcked() {
			held = cell{{Text: "not held", Class: "st down"}}
		}
		t.add(linked(e.GetText(), "mono"), e.GetLevel(), held, why(e.GetError()))
	}
	tables := &table{Caption: "Tables", Columns: []string{"Table", "Entries"}, Empty: "There are no entries."}
	for _, name := range slices.Sorted(maps.Keys(byTable)) {
		tables.add(refTo(name, with("/entries", "table", name)), byTable[name])
	}
	return &page{Title: "Entries", Forms: q.search("Search for an entry", "part of key or action",
		field{Name: "table", Label: "Table", Value: q.get("table"), Hint: "all"}),
		Sections: []section{{Table: t}, {Table: tables}}}, nil
}

func events(q *query) (*page, error) {
	all, err := q.happened()
	if err != nil {
		return nil, err
	}
	kinds := map[string]bool{}
	for _, e := range all {
		kinds[e.GetKind()] = true
	}
	options := append([]string{"any"}, slices.Sorted(maps.Keys(kinds))...)
	if k := q.get("kind"); k != "" && !slices.Contains(options, k) {
		options = append(options, k)
	}
	found := where(all, func(e *p4evpnv1.Event) bool {
		texts := append([]string{e.GetText(), e.GetKind()}, slices.Collect(maps.Values(e.GetAttributes()))...)
		k := q.get("kind")
		return (k == "" || k == "any" || k == e.GetKind()) && matches(q.get("q"), texts...)
	})
	slices.Reverse(found)
	shown, pager := cut(q, found)
	return &page{Title: "Events", Forms: q.search("Search for an event", "text, address, name",
		field{Name: "kind", Label: "Kind", Value: q.get("kind"), Options: options}),
		Sections: []section{{Table: eventTable("What happened, newest first", shown, pager)}}}, nil
}

// happened gives the events that are kept, oldest first.
func (q *query) happened() ([]*p4evpnv1.Event, error) {
	return rows(q, q.pages.events.WatchEvents, &p4evpnv1.WatchEventsRequest{},
		(*p4evpnv1.WatchEventsResponse).GetEvents)
}

// latest are the last few events; nil where there are none to be had.
func (q *query) latest(n int) (*table, error) {
	all, err := q.happened()
	if err != nil {
		return nil, err
	}
	all = slices.Clone(all[max(0, len(all)-n):])
	slices.Reverse(all)
	return eventTable("The latest events", all, nil), nil
}

func eventTable(caption string, rows []*p4evpnv1.Event, pager *pager) *table {
	t := &table{Caption: caption, Empty: "Nothing happened.", Pager: pager,
		Columns: []string{"Time (UTC)", "Kind", "Level", "What", "About"}}
	for _, e := range rows {
		class := "st"
		switch e.GetLevel() {
		case "WARN":
			class = "st pending"
		case "ERROR":
			class = "st down"
		}
		var about cell
		for _, k := range slices.Sorted(maps.Keys(e.GetAttributes())) {
			about = about.and(cell{{Text: k + "=", Class: "quiet"}}).plus(attribute(k, e.GetAttributes()[k]))
		}
		t.add(moment(e.GetTime().AsTime()), cell{{Text: e.GetKind(), Href: with("/events", "kind", e.GetKind())}},
			cell{{Text: e.GetLevel(), Class: class}}, e.GetText(), about)
	}
	return t
}

// plus puts another cell behind, with nothing between.
func (c cell) plus(more cell) cell { return append(c, more...) }

// attribute leads to what an event is about.
func attribute(key, value string) cell {
	if kind, ok := map[string]string{"neighbor": "neighbors", "bridge": "bridges", "mac": "macs", "port": "ports",
		"vrf": "vrfs", "vtep": "vteps", "address": "hosts", "ip": "hosts"}[key]; ok && value != "" {
		return ref(kind, value)
	}
	return mono(value)
}
