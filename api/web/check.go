package web

import (
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// checkTarget says whether frames end where they must, when it is asked to: that takes a while.
func checkTarget(q *query) (*page, error) {
	p := &page{Title: "Check", Still: true, Forms: []form{{Label: "Check the target", Action: "/check", Submit: "Check",
		Fields: []field{
			{Name: "bridge", Label: "Bridge", Value: q.get("bridge"), Hint: "all"},
			{Name: "vrf", Label: "VRF", Value: q.get("vrf"), Hint: "all"},
			{Name: "show", Label: "Show", Value: q.get("show"), Options: []string{"first 10", "all"}},
		}}}}
	if q.get("show") == "" {
		p.Sections = []section{{Text: "Tries representative frames of each object, route and host on the entries that the " +
			"target acknowledged, and says which do not end where they must. Nothing is sent, and the target is not touched."}}
		return p, nil
	}
	r, err := q.pages.checking.CheckTarget(q.ctx, &p4evpnv1.CheckTargetRequest{Bridge: q.get("bridge"), Vrf: q.get("vrf")})
	if c := status.Code(err); c == codes.InvalidArgument || c == codes.NotFound || c == codes.Unavailable {
		p.Sections = []section{{Text: status.Convert(err).Message() + "."}}
		return p, nil
	} else if err != nil {
		return nil, err
	}
	verdict := span{Text: "no difference", Class: "st up"}
	found := uint64(len(r.GetDifferences())) + r.GetMore()
	if found > 0 {
		verdict = span{Text: "differences: " + count(found), Class: "st down"}
	}
	p.Sections = []section{{Facts: []fact{{"Found", cell{verdict}}, {"Frames tried", cell{{Text: count(r.GetFrames())}}},
		{"Entries", cell{{Text: count(r.GetEntries()), Href: "/entries"}}},
		{"Took", toCell(fmt.Sprintf("%.2f s", r.GetSeconds()))},
		{"Events", cell{{Text: "of checks", Href: with("/events", "kind", "check")}}}}}}
	some := r.GetDifferences()
	if q.get("show") != "all" {
		some = some[:min(10, len(some))]
	}
	for _, d := range some {
		p.Sections = append(p.Sections, difference(d))
	}
	return p, nil
}

// difference shows one frame that does not end where it must, along the pipeline.
func difference(d *p4evpnv1.CheckDifference) section {
	a := &account{Arrives: d.GetArrives()}
	for _, s := range d.GetSteps() {
		one := step{Kind: "table", Text: toCell(s.GetText()), Why: linked(s.GetWhy(), ""), Class: "hit"}
		if s.GetEntry() != "" {
			one.Text = linked(s.GetEntry(), "")
		}
		if s.GetOdd() != "" {
			one.Class, one.Kind, one.Odd = "drop", "odd entry", s.GetOdd()
		}
		a.Steps = append(a.Steps, one)
	}
	a.Results = []result{{Word: "must", Class: "st up", Text: linked(d.GetExpected()+" ("+d.GetRule()+")", "")},
		{Word: "does", Class: "st down", Text: linked(d.GetActual(), "")}}
	s := section{Title: d.GetObject(), Account: a}
	frame := hex.EncodeToString(d.GetFrame())
	s.Facts = slices.DeleteFunc([]fact{{"Bridge", ref("bridges", d.GetBridge())}, {"VRF", ref("vrfs", d.GetVrf())},
		{"Port", ref("ports", d.GetPort())},
		{"Frame", refTo(clip(frame, 60), with("/trace", "port", d.GetPort(), "frame", frame))}},
		func(f fact) bool { return len(f.Value) == 0 })
	return s
}
