package web

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

// account is what becomes of a frame, step by step along the pipeline.
type account struct {
	Arrives string
	Steps   []step
	Results []result
}

type step struct {
	Kind, Class string
	Text, Why   cell
	Odd         string // what the gateway wrote instead
	Changes     []string
}

type result struct {
	Word, Class string
	Text        cell
}

var traceParameters = []string{"from", "to", "port", "vtep", "vni", "vlan", "smac", "dmac", "target", "source",
	"destination", "protocol", "sport", "dport", "ttl", "frame"}

func traceFrame(q *query) (*page, error) {
	v := q.values
	text := func(name, label, hint string) field {
		return field{Name: name, Label: label, Value: v.Get(name), Hint: hint}
	}
	digits := func(name, label, hint string) field {
		f := text(name, label, hint)
		f.Short = true
		return f
	}
	p := &page{Title: "Trace", Still: true, Forms: []form{{Label: "Trace a frame", Action: "/trace", Submit: "Trace",
		Fields: []field{
			text("from", "From host", "MAC, address or BRIDGE/HOST"), text("to", "To host", "MAC, address or BRIDGE/HOST"),
			text("port", "or at port", "port1"), text("vtep", "or from VTEP", "192.0.2.2"), digits("vni", "with VNI", "100"),
			digits("vlan", "VLAN", "untagged"), text("smac", "Source MAC", "02:00:00:00:00:01"),
			text("dmac", "Destination MAC", "02:00:00:00:00:02"), text("target", "Asks for (ARP, ND)", "10.0.0.1"),
			text("source", "Source address", "10.0.0.1"), text("destination", "Destination address", "10.0.0.2"),
			{Name: "protocol", Label: "Protocol", Value: v.Get("protocol"), Options: []string{"udp", "tcp", "icmp"}},
			digits("sport", "Source port", ""), digits("dport", "Destination port", ""), digits("ttl", "TTL", "64"),
			text("frame", "or the whole frame, hexadecimal", ""),
		}}}}
	if len(v) == 0 || len(v) == 1 && v.Has("protocol") {
		p.Sections = []section{{Text: "Says what the target would do with a frame, each table with the entry that is hit " +
			"and what that comes from. Nothing is sent. The frame comes from a host that the gateway knows, at a port, or by " +
			"VXLAN; what is left out has what fits."}}
		return p, nil
	}
	r, err := traceRequest(v)
	if err == nil {
		var t *p4evpnv1.TraceFrameResponse
		if t, err = q.pages.tracing.TraceFrame(q.ctx, r); err == nil {
			p.Sections = []section{{Account: accountOf(t)}}
			return p, nil
		}
	}
	if c := status.Code(err); c != codes.InvalidArgument && c != codes.NotFound && c != codes.FailedPrecondition {
		return nil, err
	}
	p.Sections = []section{{Title: "This frame cannot be traced", Text: asLabels.Replace(status.Convert(err).Message())}}
	return p, nil
}

// asLabels names the fields of a request as the form does.
var asLabels = strings.NewReplacer("headers.vlan_id:", "VLAN:", "headers.source_mac:", "Source MAC:",
	"headers.destination_mac:", "Destination MAC:", "headers.target:", "Asks for:", "headers.source:", "Source address:",
	"headers.destination:", "Destination address:", "headers.protocol:", "Protocol:",
	"headers.source_port:", "Source port:", "headers.destination_port:", "Destination port:", "headers.ttl:", "TTL:")

func traceRequest(v url.Values) (r *p4evpnv1.TraceFrameRequest, err error) {
	number := func(name string) uint32 {
		if v.Get(name) == "" {
			return 0
		}
		n, bad := strconv.ParseUint(v.Get(name), 10, 32)
		if bad != nil && err == nil {
			err = status.Errorf(codes.InvalidArgument, "%s: %.40q is no number", name, v.Get(name))
		}
		return uint32(n)
	}
	r = &p4evpnv1.TraceFrameRequest{Port: v.Get("port"), Vtep: v.Get("vtep"), Vni: number("vni"), From: v.Get("from"),
		To: v.Get("to"), Headers: &p4evpnv1.TraceHeaders{VlanId: number("vlan"), SourceMac: v.Get("smac"),
			DestinationMac: v.Get("dmac"), Target: v.Get("target"), Source: v.Get("source"),
			Destination: v.Get("destination"), Protocol: v.Get("protocol"), SourcePort: number("sport"),
			DestinationPort: number("dport"), Ttl: number("ttl")}}
	if text := strings.NewReplacer(" ", "", ":", "", "\n", "", "\t", "").Replace(v.Get("frame")); text != "" {
		var bad error
		if r.Frame, bad = hex.DecodeString(text); bad != nil && err == nil {
			err = status.Errorf(codes.InvalidArgument, "frame: %v", bad)
		}
		r.Headers = nil
	}
	return r, err
}

// accountOf keeps of a trace what people want to see first: what each table did. The parser's
// states are one step; what else changed fields is told at the table that it follows.
func accountOf(t *p4evpnv1.TraceFrameResponse) *account {
	a := &account{Arrives: t.GetArrives()}
	var states []string
	for _, s := range t.GetSteps() {
		switch s.GetKind() {
		case "packet", "egress":
			a.Steps = append(a.Steps, step{Text: linked(s.GetText(), ""), Class: "stage"})
		case "parser state":
			states = append(states, s.GetName())
		case "parsed":
			a.Steps = append(a.Steps, step{Kind: "parser", Text: toCell(strings.Join(states, ", ") + ": " + s.GetResult())})
			states = nil
		case "table":
			text := s.GetEntry()
			if text == "" {
				text = strings.TrimPrefix(s.GetText(), "table ")
			}
			a.Steps = append(a.Steps, step{Kind: "table " + s.GetResult(), Text: linked(text, ""),
				Why: linked(s.GetWhy(), ""), Class: s.GetResult(), Changes: s.GetChanges()})
		case "drop":
			a.Steps = append(a.Steps, step{Kind: s.GetKind(), Text: toCell(s.GetText()), Class: "drop"})
		case "replicate", "digest", "note", "send":
			a.Steps = append(a.Steps, step{Kind: s.GetKind(), Text: linked(s.GetText(), ""), Why: linked(s.GetWhy(), ""),
				Changes: s.GetChanges()})
		default:
			if n := len(a.Steps); n > 0 {
				a.Steps[n-1].Changes = append(a.Steps[n-1].Changes, s.GetChanges()...)
			}
		}
	}
	for _, text := range t.GetResults() {
		r := result{Word: "leaves", Class: "st up", Text: linked(text, "")}
		switch {
		case strings.HasPrefix(text, "dropped"), strings.HasPrefix(text, "nothing"):
			r.Word, r.Class = "dropped", "st down"
		case strings.HasPrefix(text, "leaves"):
		case strings.HasPrefix(text, "goes to the controller"):
			r.Word, r.Class = "punted", "st pending"
		default:
			r.Word, r.Class = "note", "st"
		}
		a.Results = append(a.Results, r)
	}
	return a
}
