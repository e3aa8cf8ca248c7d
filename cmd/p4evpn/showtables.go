package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func showBridges(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	t := &table{columns: []string{"bridge", "vlan", "vni", "vtep", "state", "ports", "macs", "remote vteps", "refused",
		"reason"}}
	stream, err := c.ListBridges(ctx, &p4evpnv1.ListBridgesRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListBridgesResponse) {
		for _, b := range part.GetBridges() {
			t.add(b, b.GetName(), b.GetVlan(), orNone(b.GetVni()), b.GetVtep(), b.GetState(),
				strings.Join(b.GetPorts(), ","), b.GetMacs(), b.GetRemoteVteps(), refused(b.GetRefusals()), b.GetReason())
		}
	})
	return t, err
}

func showVTEPs(ctx context.Context, c p4evpnv1.ViewClient, _ string) (*table, error) {
	t := &table{columns: []string{"vtep", "state", "paths", "bridges", "reason"}}
	stream, err := c.ListVTEPs(ctx, &p4evpnv1.ListVTEPsRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListVTEPsResponse) {
		for _, v := range part.GetVteps() {
			var paths []string
			for _, p := range v.GetPaths() {
				paths = append(paths, p.GetUplink()+" via "+p.GetNextHopMac())
			}
			t.add(v, v.GetAddress(), v.GetState(), strings.Join(paths, ", "), strings.Join(v.GetBridges(), ","), v.GetReason())
		}
	})
	return t, err
}

func showRoutes(ctx context.Context, c p4evpnv1.ViewClient, word string) (*table, error) {
	direction, ok := map[string]p4evpnv1.Direction{
		"": p4evpnv1.Direction_DIRECTION_UNSPECIFIED, "in": p4evpnv1.Direction_DIRECTION_IN,
		"out": p4evpnv1.Direction_DIRECTION_OUT,
	}[word]
	if !ok {
		return nil, fmt.Errorf("routes %q: want in, out, or nothing for both", word)
	}
	t := &table{columns: []string{"dir", "route", "rd", "route targets", "next hop", "vni", "seq", "sticky", "flags",
		"peer", "selected", "reason"}}
	stream, err := c.ListRoutes(ctx, &p4evpnv1.ListRoutesRequest{Direction: direction})
	err = collect(stream, err, func(part *p4evpnv1.ListRoutesResponse) {
		for _, r := range part.GetRoutes() {
			t.add(r, r.GetDirection(), r.GetKey(), r.GetRd(), strings.Join(r.GetRouteTargets(), ","), r.GetNextHop(),
				orNone(r.GetVni()), r.GetSequence(), yes(r.GetSticky()), r.GetArpNdFlags(), r.GetPeer(), yes(r.GetSelected()),
				r.GetReason())
		}
	})
	return t, err
}

func showEntries(ctx context.Context, c p4evpnv1.ViewClient, name string) (*table, error) {
	t := &table{columns: []string{"level", "entry", "acknowledged", "error"}}
	stream, err := c.ListEntries(ctx, &p4evpnv1.ListEntriesRequest{Table: name})
	err = collect(stream, err, func(part *p4evpnv1.ListEntriesResponse) {
		for _, e := range part.GetEntries() {
			t.add(e, e.GetLevel(), e.GetText(), yes(e.GetAcked()), e.GetError())
		}
	})
	return t, err
}

// refused says in one cell how many addresses a bridge did not take, and why.
func refused(counts []*p4evpnv1.RefusalCount) string {
	var parts []string
	for _, c := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", c.GetReason(), c.GetCount()))
	}
	return strings.Join(parts, ", ")
}

func orNone(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func age(d *durationpb.Duration) string {
	if d.AsDuration() == 0 {
		return ""
	}
	return d.AsDuration().Round(time.Second).String()
}
