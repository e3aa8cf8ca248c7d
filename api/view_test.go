package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/p4evpn/p4evpn/api/client"
	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// collect reads a stream to its end.
func collect[Resp, Row any](s grpc.ServerStreamingClient[Resp], err error, rows func(*Resp) []Row) ([]Row, error) {
	if err != nil {
		return nil, err
	}
	var all []Row
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, rows(r)...)
	}
}

func (g *gateway) listFDB(ctx context.Context, bridge string) ([]*p4evpnv1.FDBEntry, error) {
	s, err := g.view.ListFDB(ctx, &p4evpnv1.ListFDBRequest{Bridge: bridge})
	return collect(s, err, (*p4evpnv1.ListFDBResponse).GetEntries)
}

func (g *gateway) listRoutes(ctx context.Context, direction p4evpnv1.Direction) ([]*p4evpnv1.Route, error) {
	s, err := g.view.ListRoutes(ctx, &p4evpnv1.ListRoutesRequest{Direction: direction})
	return collect(s, err, (*p4evpnv1.ListRoutesResponse).GetRoutes)
}

func (g *gateway) listEntries(ctx context.Context, table string) ([]*p4evpnv1.Entry, error) {
	s, err := g.view.ListEntries(ctx, &p4evpnv1.ListEntriesRequest{Table: table})
	return collect(s, err, (*p4evpnv1.ListEntriesResponse).GetEntries)
}

var (
	mac1 = ether.MAC{2, 0, 0, 0, 0, 1}
	mac2 = ether.MAC{2, 0, 0, 0, 0, 2}
	leaf = netip.MustParseAddr("10.0.0.3")
)

func TestEveryFieldOfARowIsShown(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		Bridges: []view.Bridge{{Name: "vlan10", VLAN: 10, VNI: 100, VTEP: netip.MustParsePrefix("10.0.0.2/32"),
			State: view.Down, Reason: "why", Ports: []string{"port1"}, MACs: 3, RemoteVTEPs: 2}},
		FDB: []view.FDBEntry{{Bridge: "vlan10", MAC: mac1, Kind: view.Remote, VTEP: leaf, VNI: 100, Sequence: 4,
			Sticky: true, Age: time.Minute, State: view.Pending, Reason: "why"},
			{Bridge: "vlan10", MAC: mac2, Kind: view.Local, Port: "port1", State: view.Up}},
		VTEPs: []view.VTEP{{Address: leaf, State: view.Up, Paths: []view.Path{{Uplink: "up0", NextHopMAC: mac1},
			{Uplink: "up1"}}, Bridges: []string{"vlan10"}, Reason: "why"}},
		Routes: []view.Route{{Direction: view.In, Type: 2, RD: "10.0.0.3:10", RouteTargets: []string{"65000:100"},
			Key:     "[2]:[0]:[48]:[02:00:00:00:00:01]",
			NextHop: leaf, VNI: 100, Sequence: 4, Sticky: true, Peer: leaf, Selected: true, Reason: "why", LocalPref: 5,
			MED: 6, NeighborAS: 7, PathLength: 8, Origin: "IGP", Internal: true, Stale: true, Step: "MED", RouterMAC: mac1,
			L3VNI: 9}},
		Neighbors: []view.Neighbor{aNeighbor},
		Entries:   []view.Entry{{Table: "bridge.fdb", Text: "a -> b", Level: 3, Acked: true, Error: "why"}},
	}})
	ctx := t.Context()
	check := func(name string, want, got any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got)\n%s", name, err, diff)
		}
	}
	bs, err := g.view.ListBridges(ctx, &p4evpnv1.ListBridgesRequest{})
	bridges, err := collect(bs, err, (*p4evpnv1.ListBridgesResponse).GetBridges)
	check("bridges", []*p4evpnv1.Bridge{{Name: "vlan10", Vlan: 10, Vni: 100, Vtep: "10.0.0.2/32",
		State: p4evpnv1.State_STATE_DOWN, Reason: "why", Ports: []string{"port1"}, Macs: 3, RemoteVteps: 2}}, bridges, err)
	fdb, err := g.listFDB(ctx, "")
	check("fdb", []*p4evpnv1.FDBEntry{
		{Bridge: "vlan10", Mac: "02:00:00:00:00:01", Kind: p4evpnv1.FDBKind_FDB_KIND_REMOTE, Vtep: "10.0.0.3", Vni: 100, Sequence: 4, Sticky: true, Age: durationpb.New(time.Minute), State: p4evpnv1.State_STATE_PENDING, Reason: "why"},
		{Bridge: "vlan10", Mac: "02:00:00:00:00:02", Kind: p4evpnv1.FDBKind_FDB_KIND_LOCAL, Port: "port1", State: p4evpnv1.State_STATE_UP}}, fdb, err)
	vs, err := g.view.ListVTEPs(ctx, &p4evpnv1.ListVTEPsRequest{})
	vteps, err := collect(vs, err, (*p4evpnv1.ListVTEPsResponse).GetVteps)
	check("vteps", []*p4evpnv1.VTEP{{Address: "10.0.0.3", State: p4evpnv1.State_STATE_UP, Bridges: []string{"vlan10"},
		Reason: "why",
		Paths:  []*p4evpnv1.Path{{Uplink: "up0", NextHopMac: "02:00:00:00:00:01"}, {Uplink: "up1"}}}}, vteps, err)
	routes, err := g.listRoutes(ctx, p4evpnv1.Direction_DIRECTION_UNSPECIFIED)
	check("routes", []*p4evpnv1.Route{{Direction: p4evpnv1.Direction_DIRECTION_IN, Type: 2, Rd: "10.0.0.3:10",
		RouteTargets: []string{"65000:100"}, Key: "[2]:[0]:[48]:[02:00:00:00:00:01]",
		NextHop: "10.0.0.3", Vni: 100, Sequence: 4, Sticky: true, Peer: "10.0.0.3", Selected: true, Reason: "why",
		LocalPref: 5, Med: 6, NeighborAs: 7, AsPathLength: 8, Origin: "IGP", Internal: true, Stale: true, Step: "MED",
		RouterMac: "02:00:00:00:00:01", L3Vni: 9}}, routes, err)
	ns, err := g.view.ListSessions(ctx, &p4evpnv1.ListSessionsRequest{})
	neighbors, err := collect(ns, err, (*p4evpnv1.ListSessionsResponse).GetSessions)
	check("neighbors", []*p4evpnv1.Session{aSession}, neighbors, err)
	entries, err := g.listEntries(ctx, "")
	check("entries", []*p4evpnv1.Entry{{Table: "bridge.fdb", Text: "a -> b", Level: 3, Acked: true, Error: "why"}},
		entries, err)
}

func TestRowsAreFilteredAndSorted(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		FDB: []view.FDBEntry{{Bridge: "vlan20", MAC: mac1}, {Bridge: "vlan10", MAC: mac2}, {Bridge: "vlan10", MAC: mac1}},
		Routes: []view.Route{{Direction: view.Out, Type: 2, Key: "b"}, {Direction: view.In, Type: 3, Key: "a"},
			{Direction: view.In, Type: 2, Key: "c", RD: "2"},
			{Direction: view.In, Type: 2, Key: "c", RD: "1"}},
		Entries: []view.Entry{{Table: "b", Text: "1"}, {Table: "a", Text: "2"}, {Table: "a", Text: "1"}},
	}})
	g.createBridge(t, "vlan10", 10, 10)
	fdb := func(bridge string) (s string) {
		rows, err := g.listFDB(t.Context(), bridge)
		if err != nil {
			t.Error(err)
		}
		for _, r := range rows {
			s += r.Bridge + r.Mac[15:] + " "
		}
		return s
	}
	for bridge, want := range map[string]string{"": "vlan1001 vlan1002 vlan2001 ", "vlan10": "vlan1001 vlan1002 ",
		"logicalBridges/vlan10": "vlan1001 vlan1002 "} {
		if got := fdb(bridge); got != want {
			t.Errorf("FDB of %q: %s, want %s", bridge, got, want)
		}
	}
	for direction, want := range map[p4evpnv1.Direction]string{
		p4evpnv1.Direction_DIRECTION_UNSPECIFIED: "in2c1 in2c2 in3a out2b ",
		p4evpnv1.Direction_DIRECTION_IN:          "in2c1 in2c2 in3a ",
		p4evpnv1.Direction_DIRECTION_OUT:         "out2b ",
	} {
		rows, err := g.listRoutes(t.Context(), direction)
		got := ""
		for _, r := range rows {
			got += fmt.Sprint(client.Word(r.Direction), r.Type, r.Key, r.Rd, " ")
		}
		if err != nil || got != want {
			t.Errorf("routes %v: %s (%v), want %s", direction, got, err, want)
		}
	}
	for table, want := range map[string]string{"": "a1 a2 b1 ", "a": "a1 a2 ", "c": ""} {
		rows, err := g.listEntries(t.Context(), table)
		got := ""
		for _, r := range rows {
			got += r.Table + r.Text + " "
		}
		if err != nil || got != want {
			t.Errorf("entries %q: %s (%v), want %s", table, got, err, want)
		}
	}
}

func TestABadFilterOfTheViewIsRefusedByField(t *testing.T) {
	g := newGateway(t)
	_, err := g.listFDB(t.Context(), "vlan99")
	wantCode(t, err, codes.NotFound)
	for _, name := range []string{"V", "vrfs/vlan10", "logicalBridges/V"} {
		_, err = g.listFDB(t.Context(), name)
		wantCode(t, err, codes.InvalidArgument, "bridge")
	}
	_, err = g.listRoutes(t.Context(), 3)
	wantCode(t, err, codes.InvalidArgument, "direction")
}

func TestAControllerThatCannotAnswerIsUnavailable(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{Err: errNotReady})
	_, err := g.listFDB(t.Context(), "")
	wantCode(t, err, codes.Unavailable)
	if !strings.Contains(err.Error(), errNotReady.Error()) {
		t.Errorf("%v does not say why", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.listFDB(ctx, "")
	wantCode(t, err, codes.Canceled)
}

func TestManyAndLargeRowsStayWithinMessageLimits(t *testing.T) {
	v := &controllertest.View{}
	for i := range 100_000 {
		v.Rows.FDB = append(v.Rows.FDB, view.FDBEntry{Bridge: "vlan10",
			MAC: ether.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, Kind: view.Remote, VTEP: leaf})
	}
	for i := range 100 { // flood groups of thousands of replicas
		v.Rows.Entries = append(v.Rows.Entries,
			view.Entry{Table: "multicast_group", Text: fmt.Sprint(i, strings.Repeat(" member", 20_000))})
	}
	g := serve(t, intent.NewMemory(), fakeStatus{}, v)
	rows, err := g.listFDB(t.Context(), "")
	if err != nil || len(rows) != len(v.Rows.FDB) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !slices.IsSortedFunc(rows, func(a, b *p4evpnv1.FDBEntry) int { return strings.Compare(a.Mac, b.Mac) }) {
		t.Error("rows are out of order")
	}
	if rows, err := g.listEntries(t.Context(), ""); err != nil || len(rows) != 100 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestTextThatIsNoUTF8IsShownAllTheSame(t *testing.T) {
	g := serve(t, intent.NewMemory(), fakeStatus{},
		&controllertest.View{Rows: controllertest.Rows{Entries: []view.Entry{{Table: "t", Text: "x\xff", Error: "\xfe"}}}})
	rows, err := g.listEntries(t.Context(), "")
	if err != nil || len(rows) != 1 || rows[0].Text != "x?" {
		t.Errorf("%v %v", rows, err)
	}
}
