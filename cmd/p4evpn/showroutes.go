package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func showVRFs(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	t := &table{columns: []string{"vrf", "vni", "loopback", "vtep", "router mac", "state", "svis", "hosts", "prefixes",
		"reason"}}
	stream, err := c.ListVRFs(ctx, &p4evpnv1.ListVRFsRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListVRFsResponse) {
		for _, v := range part.GetVrfs() {
			t.add(v, v.GetName(), orNone(v.GetVni()), v.GetLoopback(), v.GetVtep(), v.GetRouterMac(), v.GetState(),
				strings.Join(v.GetSvis(), ","), v.GetHosts(), v.GetPrefixes(), v.GetReason())
		}
	})
	return t, err
}

func showSVIs(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	t := &table{columns: []string{"svi", "vrf", "bridge", "mac", "gateways", "anycast", "aliases", "state", "reason"}}
	stream, err := c.ListSVIs(ctx, &p4evpnv1.ListSVIsRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListSVIsResponse) {
		for _, v := range part.GetSvis() {
			t.add(v, v.GetName(), v.GetVrf(), v.GetBridge(), v.GetMac(), strings.Join(v.GetGateways(), ","),
				yes(v.GetAnycast()), strings.Join(v.GetAliases(), ","), v.GetState(), v.GetReason())
		}
	})
	return t, err
}

func showPrefixes(ctx context.Context, c p4evpnv1.ViewClient, vrf string) (*table, error) {
	t := &table{columns: []string{"vrf", "prefix", "kind", "next hop", "selected", "state", "reason"}}
	stream, err := c.ListPrefixes(ctx, &p4evpnv1.ListPrefixesRequest{Vrf: vrf})
	err = collect(stream, err, func(part *p4evpnv1.ListPrefixesResponse) {
		for _, p := range part.GetPrefixes() {
			t.add(p, p.GetVrf(), p.GetPrefix(), p.GetKind(), nextHop(p), yes(p.GetSelected()), p.GetState(), p.GetReason())
		}
	})
	return t, err
}

func showUnderlay(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	t := &table{columns: []string{"prefix", "next hops", "neighbors", "state", "reason"}}
	stream, err := c.ListUnderlayRoutes(ctx, &p4evpnv1.ListUnderlayRoutesRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListUnderlayRoutesResponse) {
		for _, r := range part.GetRoutes() {
			t.add(r, r.GetPrefix(), strings.Join(r.GetNextHops(), ","), strings.Join(r.GetNeighbors(), ","), r.GetState(),
				r.GetReason())
		}
	})
	return t, err
}

// showRoute shows one answer: what becomes of the packet above its candidates.
func showRoute(ctx context.Context, c p4evpnv1.ViewClient, vrf, address string) (*table, error) {
	r, err := c.LookupRoute(ctx, &p4evpnv1.LookupRouteRequest{Vrf: vrf, Address: address})
	if err != nil {
		return nil, err
	}
	t := &table{columns: []string{"candidate", "kind", "next hop", "selected", "state", "reason"}}
	entry := r.GetEntry()
	if entry == "" {
		entry = "none matches"
	}
	t.notes = []string{
		fmt.Sprintf("%s in VRF %s: %s", r.GetAddress(), r.GetVrf(), r.GetResult()),
		"entry: " + entry,
		"",
	}
	t.rowsPB = append(t.rowsPB, r)
	for _, p := range r.GetCandidates() {
		t.addCells(p.GetPrefix(), p.GetKind(), nextHop(p), yes(p.GetSelected()), p.GetState(), p.GetReason())
	}
	return t, nil
}

// nextHop says in one cell where a prefix leads.
func nextHop(p *p4evpnv1.Prefix) string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"", p.GetNextHop()}, {"", p.GetVtep()}, {"vni ", orNone(p.GetVni())}, {"router mac ", p.GetRouterMac()},
		{"", p.GetMac()}, {"bridge ", p.GetBridge()},
	} {
		if part.value != "" {
			parts = append(parts, part.name+part.value)
		}
	}
	if len(p.GetUplinks()) > 0 {
		parts = append(parts, "by "+strings.Join(p.GetUplinks(), ","))
	}
	if p.GetSlots() > 0 {
		parts = append(parts, fmt.Sprintf("(%d of 64 slots)", p.GetSlots()))
	}
	return strings.Join(parts, " ")
}
