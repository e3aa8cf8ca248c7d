package api

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/grpc"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

func (s *viewService) ListVRFs(_ *p4evpnv1.ListVRFsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListVRFsResponse]) error {
	rows, err := s.view.VRFs(out.Context())
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.VRF) int { return cmp.Compare(a.Name, b.Name) })
	return stream(rows, out, func(v view.VRF) *p4evpnv1.VRF {
		return &p4evpnv1.VRF{
			Name: v.Name, Vni: v.VNI, Loopback: text(v.Loopback), Vtep: text(v.VTEP), RouterMac: mac(v.RouterMAC),
			State: states[v.State], Reason: utf8(v.Reason), Svis: v.SVIs, Hosts: v.Hosts, Prefixes: v.Prefixes,
		}
	}, func(p []*p4evpnv1.VRF) *p4evpnv1.ListVRFsResponse { return &p4evpnv1.ListVRFsResponse{Vrfs: p} })
}

func (s *viewService) ListUnderlayRoutes(_ *p4evpnv1.ListUnderlayRoutesRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListUnderlayRoutesResponse]) error {
	var rows []view.UnderlayRoute
	if s.underlay != nil {
		rows = s.underlay.UnderlayRoutes()
	}
	slices.SortFunc(rows, func(a, b view.UnderlayRoute) int { return a.Prefix.Compare(b.Prefix) })
	return stream(rows, out, func(r view.UnderlayRoute) *p4evpnv1.UnderlayRoute {
		m := &p4evpnv1.UnderlayRoute{Prefix: text(r.Prefix), State: states[r.State], Reason: utf8(r.Reason)}
		for _, a := range r.Neighbors {
			m.Neighbors = append(m.Neighbors, text(a))
		}
		for _, a := range r.NextHops {
			m.NextHops = append(m.NextHops, text(a))
		}
		return m
	}, func(p []*p4evpnv1.UnderlayRoute) *p4evpnv1.ListUnderlayRoutesResponse {
		return &p4evpnv1.ListUnderlayRoutesResponse{Routes: p}
	})
}

func (s *viewService) ListSVIs(_ *p4evpnv1.ListSVIsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListSVIsResponse]) error {
	rows, err := s.view.SVIs(out.Context())
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.SVI) int {
		return cmp.Or(cmp.Compare(a.VRF, b.VRF),
			cmp.Compare(a.Name, b.Name))
	})
	return stream(rows, out, func(v view.SVI) *p4evpnv1.SVI {
		m := &p4evpnv1.SVI{
			Name: v.Name, Vrf: v.VRF, Bridge: v.Bridge, Mac: mac(v.MAC), Anycast: v.Anycast, State: states[v.State],
			Reason: utf8(v.Reason),
		}
		for _, g := range v.Gateways {
			m.Gateways = append(m.Gateways, g.String())
		}
		for _, a := range v.Aliases {
			m.Aliases = append(m.Aliases, mac(a))
		}
		return m
	}, func(p []*p4evpnv1.SVI) *p4evpnv1.ListSVIsResponse { return &p4evpnv1.ListSVIsResponse{Svis: p} })
}

func (s *viewService) ListPrefixes(r *p4evpnv1.ListPrefixesRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListPrefixesResponse]) error {
	vrf, err := existing(s.store, vrfNaming, "vrf", r.GetVrf(), (*intent.Tx).VRFs)
	if err != nil {
		return err
	}
	rows, err := s.view.Prefixes(out.Context(), vrf)
	if err != nil {
		return failed(err)
	}
	slices.SortFunc(rows, func(a, b view.Prefix) int {
		return cmp.Or(cmp.Compare(a.VRF, b.VRF), a.Prefix.Compare(b.Prefix), first(a.Selected, b.Selected),
			cmp.Compare(a.Kind, b.Kind), a.VTEP.Compare(b.VTEP), cmp.Compare(a.VNI, b.VNI), a.NextHop.Compare(b.NextHop))
	})
	return stream(rows, out, prefixRow, func(p []*p4evpnv1.Prefix) *p4evpnv1.ListPrefixesResponse {
		return &p4evpnv1.ListPrefixesResponse{Prefixes: p}
	})
}

func (s *viewService) LookupRoute(ctx context.Context,
	r *p4evpnv1.LookupRouteRequest) (*p4evpnv1.LookupRouteResponse, error) {
	if r.GetVrf() == "" {
		return nil, badField("vrf", "not set: want vrfs/{id} or the id of a VRF")
	}
	vrf, err := existing(s.store, vrfNaming, "vrf", r.GetVrf(), (*intent.Tx).VRFs)
	if err != nil {
		return nil, err
	}
	address, err := addressField(r.GetAddress())
	if err != nil {
		return nil, err
	}
	l, err := s.view.Lookup(ctx, vrf, address)
	if err != nil {
		return nil, failed(err)
	}
	m := &p4evpnv1.LookupRouteResponse{Vrf: l.VRF, Address: text(l.Address), Entry: utf8(l.Entry), Result: utf8(l.Result)}
	for _, p := range l.Candidates {
		m.Candidates = append(m.Candidates, prefixRow(p))
	}
	return m, nil
}

func prefixRow(p view.Prefix) *p4evpnv1.Prefix {
	return &p4evpnv1.Prefix{
		Vrf: p.VRF, Prefix: text(p.Prefix), Kind: prefixKinds[p.Kind], Bridge: p.Bridge, Mac: mac(p.MAC),
		Vtep: text(p.VTEP), Vni: p.VNI, RouterMac: mac(p.RouterMAC), NextHop: text(p.NextHop),
		Uplinks: p.Uplinks, Slots: p.Slots,
		Selected: p.Selected, State: states[p.State], Reason: utf8(p.Reason),
	}
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// mac gives an address in its usual form, nothing for none.
func mac(m ether.MAC) string {
	if m.IsZero() {
		return ""
	}
	return m.String()
}
