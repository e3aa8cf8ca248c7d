package web

import (
	"fmt"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func (q *query) allBridges() ([]*p4evpnv1.Bridge, error) {
	return rows(q, q.pages.view.ListBridges, &p4evpnv1.ListBridgesRequest{},
		(*p4evpnv1.ListBridgesResponse).GetBridges)
}

func (q *query) allSVIs() ([]*p4evpnv1.SVI, error) {
	return rows(q, q.pages.view.ListSVIs, &p4evpnv1.ListSVIsRequest{}, (*p4evpnv1.ListSVIsResponse).GetSvis)
}

func bridges(q *query) (*page, error) {
	all, err := q.allBridges()
	if err != nil {
		return nil, err
	}
	found := where(all, func(b *p4evpnv1.Bridge) bool {
		return matches(q.get("q"), b.GetName(), fmt.Sprint(b.GetVlan()), fmt.Sprint(b.GetVni()))
	})
	shown, pager := cut(q, found)
	t := &table{Caption: "Logical bridges", Empty: "There is no such bridge.", Pager: pager,
		Columns: []string{"Bridge", "State", "VLAN", "VNI", "VTEP", "MACs", "Remote VTEPs", "Ports", "Reason"}}
	for _, b := range shown {
		t.add(ref("bridges", b.GetName()), b.GetState(), b.GetVlan(), number(b.GetVni()), mono(b.GetVtep()),
			cell{{Text: count(uint64(b.GetMacs())), Href: with("/macs", "bridge", b.GetName()), Class: "num"}},
			b.GetRemoteVteps(), refs("objects", b.GetPorts()), why(b.GetReason()))
	}
	return &page{Title: "Bridges", Forms: q.search("Search for a bridge", "name, VLAN or VNI"),
		Sections: []section{{Table: t}}}, nil
}

func oneBridge(q *query) (*page, error) {
	all, err := q.allBridges()
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.GetName() == q.id {
			return q.showBridge(b)
		}
	}
	return nil, missing("bridge", q.id)
}

// missing is of a thing that is not there, perhaps any more.
func missing(what, id string) error {
	return status.Errorf(codes.NotFound, "there is no %s %.80q", what, id)
}

func (q *query) showBridge(b *p4evpnv1.Bridge) (*page, error) {
	id := b.GetName()
	svis, err := q.allSVIs()
	if err != nil {
		return nil, err
	}
	var gateways cell
	for _, s := range svis {
		if s.GetBridge() == id {
			gateways = gateways.and(ref("svis", s.GetName())).and(cell{{Text: "in VRF "}}).and(ref("vrfs", s.GetVrf()))
		}
	}
	facts := []fact{
		{"State", cell{state(b.GetState())}}, {"Reason", toCell(b.GetReason())},
		{"VLAN", toCell(b.GetVlan())}, {"VNI", number(b.GetVni())}, {"VTEP", mono(b.GetVtep())},
		{"Ports", refs("objects", b.GetPorts())}, {"SVI", gateways},
		{"MACs", cell{{Text: count(uint64(b.GetMacs())), Href: with("/macs", "bridge", id)}}},
		{"Hosts", cell{{Text: "all hosts", Href: with("/hosts", "bridge", id)}}},
	}
	vteps, err := q.allVTEPs()
	if err != nil {
		return nil, err
	}
	p := &page{Title: id, Up: []span{{Text: "Bridges", Href: "/bridges"}},
		Sections: []section{{Facts: facts}, {Title: "VTEPs that it has stations or floods at",
			Table: vtepTable(within(vteps, id))}}}
	if len(b.GetRefusals()) > 0 {
		p.Sections = append(p.Sections, section{Table: refusals(b.GetRefusals())})
	}
	p.Sections = append(p.Sections, q.object(q.pages.bridge.GetLogicalBridge(q.ctx,
		&pb.GetLogicalBridgeRequest{Name: "logicalBridges/" + id})))
	return p, nil
}

// within are the VTEPs of a bridge.
func within(vteps []*p4evpnv1.VTEP, bridge string) (some []*p4evpnv1.VTEP) {
	for _, v := range vteps {
		for _, b := range v.GetBridges() {
			if b == bridge {
				some = append(some, v)
			}
		}
	}
	return some
}

func refusals(rows []*p4evpnv1.RefusalCount) *table {
	t := &table{Caption: "Addresses that were not taken", Columns: []string{"Reason", "Count", "Last address", "Of MAC"}}
	for _, r := range rows {
		t.add(r.GetReason(), r.GetCount(), mono(r.GetAddress()), ref("macs", r.GetMac()))
	}
	return t
}

// object shows what made a thing: the object, as the API has it.
func (q *query) object(m proto.Message, err error) section {
	if err != nil {
		return section{Title: "Object", Text: status.Convert(err).Message()}
	}
	return section{Title: "Object", Pre: protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Format(m)}
}

func oneBridgePort(q *query) (*page, error) {
	m, err := q.pages.port.GetBridgePort(q.ctx, &pb.GetBridgePortRequest{Name: "bridgePorts/" + q.id})
	if err != nil {
		return nil, err
	}
	p := &page{Title: q.id, Up: []span{{Text: "Ports", Href: "/ports"}}}
	ports, err := q.allPorts()
	if err != nil {
		return nil, err
	}
	facts := []fact{{"Kind", toCell("bridge port")}}
	for _, port := range ports {
		for _, of := range boundTo(port) {
			if of == q.id {
				facts = append(facts, fact{"Bound to port", ref("ports", portName(port))})
			}
		}
	}
	all, err := q.allBridges()
	if err != nil {
		return nil, err
	}
	var in cell
	for _, b := range all {
		for _, of := range b.GetPorts() {
			if of == q.id {
				in = in.and(ref("bridges", b.GetName()))
			}
		}
	}
	facts = append(facts, fact{"In bridges", in}, fact{"Stations", cell{{Text: "MACs behind it",
		Href: with("/macs", "q", q.id)}}})
	p.Sections = []section{{Facts: facts}, q.object(m, nil)}
	return p, nil
}
