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
	t := &table{columns: []string{"bridge", "vlan", "vni", "vtep", "state", "ports", "macs", "remote vteps", "reason"}}
	stream, err := c.ListBridges(ctx, &p4evpnv1.ListBridgesRequest{})
	err = collect(stream, err, func(part *p4evpnv1.ListBridgesResponse) {
		for _, b := range part.GetBridges() {
			t.add(b, b.GetName(), b.GetVlan(), orNone(b.GetVni()), b.GetVtep(), b.GetState(),
				strings.Join(b.GetPorts(), ","), b.GetMacs(), b.GetRemoteVteps(), b.GetReason())
		}
	})
	return t, err
}

func showFDB(ctx context.Context, c p4evpnv1.ViewClient, bridge string) (*table, error) {
	t := &table{columns: []string{"bridge", "mac", "kind", "where", "seq", "sticky", "age", "state", "reason"}}
	stream, err := c.ListFDB(ctx, &p4evpnv1.ListFDBRequest{Bridge: bridge})
	err = collect(stream, err, func(part *p4evpnv1.ListFDBResponse) {
		for _, e := range part.GetEntries() {
			where := e.GetPort()
			if e.GetVtep() != "" {
				where = fmt.Sprintf("%s vni %d", e.GetVtep(), e.GetVni())
			}
			t.add(e, e.GetBridge(), e.GetMac(), e.GetKind(), where, e.GetSequence(), yes(e.GetSticky()),
				age(e.GetAge()), e.GetState(), e.GetReason())
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
	t := &table{columns: []string{"dir", "route", "rd", "route targets", "next hop", "vni", "seq", "sticky", "peer",
		"selected", "reason"}}
	stream, err := c.ListRoutes(ctx, &p4evpnv1.ListRoutesRequest{Direction: direction})
	err = collect(stream, err, func(part *p4evpnv1.ListRoutesResponse) {
		for _, r := range part.GetRoutes() {
			t.add(r, r.GetDirection(), r.GetKey(), r.GetRd(), strings.Join(r.GetRouteTargets(), ","), r.GetNextHop(),
				orNone(r.GetVni()), r.GetSequence(), yes(r.GetSticky()), r.GetPeer(), yes(r.GetSelected()), r.GetReason())
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
