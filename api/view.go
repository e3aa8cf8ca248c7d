package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// A message of a stream holds at most this much, well below the 4 MB that
// clients take unless told otherwise.
const (
	maxRows     = 1000
	maxRowBytes = 1 << 20
)

// viewService is p4evpn.v1.View.
type viewService struct {
	p4evpnv1.UnimplementedViewServer
	view     view.View
	underlay view.Underlay // nil: nobody routes it
	store    *intent.Store
}

// stream sends rows in messages of bounded size, and one empty message if there
// are none.
func stream[R any, M proto.Message, Resp any](rows []R, out grpc.ServerStreamingServer[Resp], message func(R) M,
	response func([]M) *Resp) error {
	var batch []M
	size := 0
	for _, r := range rows {
		m := message(r)
		n := proto.Size(m)
		if len(batch) == maxRows || len(batch) > 0 && size+n > maxRowBytes {
			if err := out.Send(response(batch)); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		batch, size = append(batch, m), size+n
	}
	return out.Send(response(batch))
}

// failed turns what the view says into a status: the call ended, or the
// controller cannot answer now.
func failed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Unavailable, clip(err.Error()))
}

func (s *viewService) ListBridges(_ *p4evpnv1.ListBridgesRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListBridgesResponse]) error {
	rows, err := s.view.Bridges(out.Context())
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.Bridge) int { return cmp.Compare(a.Name, b.Name) })
	return stream(rows, out, func(b view.Bridge) *p4evpnv1.Bridge {
		return &p4evpnv1.Bridge{
			Name: b.Name, Vlan: uint32(b.VLAN), Vni: b.VNI, Vtep: text(b.VTEP), State: states[b.State], Reason: utf8(b.Reason),
			Ports: b.Ports, Macs: b.MACs, RemoteVteps: b.RemoteVTEPs, Refusals: refusalRows(b.Refusals),
		}
	}, func(p []*p4evpnv1.Bridge) *p4evpnv1.ListBridgesResponse {
		return &p4evpnv1.ListBridgesResponse{Bridges: p}
	})
}

// existing reads the name of an existing object in any form, or just its id; ""
// stays "". The field is the request's.
func existing[T intent.Row[T]](store *intent.Store, n naming, field, name string,
	table func(*intent.Tx) *intent.Table[T]) (string, error) {
	if name == "" {
		return "", nil
	}
	if !strings.Contains(name, "/") {
		name = n.name(name)
	}
	id, err := n.id(name)
	if err != nil {
		return "", badField(field, err.Error())
	}
	return id, statusOf(n, store.View(func(tx *intent.Tx) error {
		_, err := table(tx).Get(id)
		return err
	}))
}

func (s *viewService) ListVTEPs(_ *p4evpnv1.ListVTEPsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListVTEPsResponse]) error {
	rows, err := s.view.VTEPs(out.Context())
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.VTEP) int { return a.Address.Compare(b.Address) })
	return stream(rows, out, func(v view.VTEP) *p4evpnv1.VTEP {
		m := &p4evpnv1.VTEP{Address: text(v.Address), State: states[v.State], Bridges: v.Bridges, Reason: utf8(v.Reason)}
		for _, p := range v.Paths {
			m.Paths = append(m.Paths, &p4evpnv1.Path{Uplink: utf8(p.Uplink), NextHopMac: mac(p.NextHopMAC)})
		}
		return m
	}, func(p []*p4evpnv1.VTEP) *p4evpnv1.ListVTEPsResponse { return &p4evpnv1.ListVTEPsResponse{Vteps: p} })
}

func (s *viewService) ListRoutes(r *p4evpnv1.ListRoutesRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListRoutesResponse]) error {
	only, ok := meaning(directions, r.GetDirection())
	if !ok && r.GetDirection() != p4evpnv1.Direction_DIRECTION_UNSPECIFIED {
		return badField("direction", fmt.Sprintf("%v is no direction: want in, out or nothing for both", r.GetDirection()))
	}
	rows, err := s.view.Routes(out.Context())
	if err != nil {
		return failed(err)
	}
	if ok {
		rows = slices.DeleteFunc(rows, func(r view.Route) bool { return r.Direction != only })
	}
	slices.SortFunc(rows, func(a, b view.Route) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.RD, b.RD), a.Peer.Compare(b.Peer))
	})
	return stream(rows, out, func(r view.Route) *p4evpnv1.Route {
		return &p4evpnv1.Route{
			Direction: directions[r.Direction], Type: uint32(r.Type), Rd: r.RD, RouteTargets: r.RouteTargets, Key: utf8(r.Key),
			NextHop: text(r.NextHop), Vni: r.VNI, Sequence: r.Sequence, Sticky: r.Sticky, Peer: text(r.Peer),
			Selected: r.Selected, Reason: utf8(r.Reason), ArpNdFlags: r.ARPND, LocalPref: r.LocalPref,
			AsPathLength: uint32(r.PathLength), Origin: r.Origin, Med: r.MED, NeighborAs: r.NeighborAS, Internal: r.Internal,
			Stale: r.Stale, Step: r.Step, RouterMac: mac(r.RouterMAC), L3Vni: r.L3VNI,
		}
	}, func(p []*p4evpnv1.Route) *p4evpnv1.ListRoutesResponse { return &p4evpnv1.ListRoutesResponse{Routes: p} })
}

func (s *viewService) ListEntries(r *p4evpnv1.ListEntriesRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListEntriesResponse]) error {
	rows, err := s.view.Entries(out.Context(), r.GetTable())
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.Entry) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Text, b.Text))
	})
	return stream(rows, out, func(e view.Entry) *p4evpnv1.Entry {
		return &p4evpnv1.Entry{Table: utf8(e.Table), Text: utf8(e.Text), Level: uint32(e.Level), Acked: e.Acked,
			Error: utf8(e.Error)}
	}, func(p []*p4evpnv1.Entry) *p4evpnv1.ListEntriesResponse {
		return &p4evpnv1.ListEntriesResponse{Entries: p}
	})
}

// text gives an address or prefix in its usual form, nothing for none.
func text[A netip.Addr | netip.Prefix](a A) string {
	switch a := any(a).(type) {
	case netip.Addr:
		if a.IsValid() {
			return a.String()
		}
	case netip.Prefix:
		if a.IsValid() {
			return a.String()
		}
	}
	return ""
}

// utf8 makes text that came from outside fit for protobuf.
func utf8(s string) string { return strings.ToValidUTF8(s, "?") }
