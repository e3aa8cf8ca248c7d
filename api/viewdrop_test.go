package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

func (g *gateway) listDrops(t *testing.T, r *p4evpnv1.ListDropsRequest) ([]*p4evpnv1.Drop, error) {
	s, err := g.view.ListDrops(t.Context(), r)
	return collect(s, err, (*p4evpnv1.ListDropsResponse).GetDrops)
}

func TestEveryFieldOfADropIsShown(t *testing.T) {
	at := time.Unix(1000, 5)
	v := &controllertest.View{Rows: controllertest.Rows{Drops: []view.Drop{
		{Stage: "ingress", Reason: "hairpin", Means: "back", Dropped: view.Dropped{Packets: 9, Bytes: 900, Rate: 4.5},
			Ports:   []view.DropsOf{{Name: "eth1", Dropped: view.Dropped{Packets: 7, Bytes: 700, Rate: 3.5}}},
			Bridges: []view.DropsOf{{Name: "vlan10", Dropped: view.Dropped{Packets: 8, Bytes: 800, Rate: 4}}},
			Sample:  &view.DropSample{Port: "eth1", Time: at, Frame: []byte{1, 2}}},
		{Stage: "egress", Reason: "mtu"},
	}}}
	g := serve(t, intent.NewMemory(), fakeStatus{}, v)
	g.createBridge(t, "vlan10", 10, 10)
	got, err := g.listDrops(t, &p4evpnv1.ListDropsRequest{Port: "eth1", Over: durationpb.New(5 * time.Second)})
	want := []*p4evpnv1.Drop{
		{Stage: "ingress", Reason: "hairpin", Means: "back", Dropped: &p4evpnv1.Dropped{Packets: 9, Bytes: 900, Rate: 4.5},
			Ports:   []*p4evpnv1.DropsOf{{Name: "eth1", Dropped: &p4evpnv1.Dropped{Packets: 7, Bytes: 700, Rate: 3.5}}},
			Bridges: []*p4evpnv1.DropsOf{{Name: "vlan10", Dropped: &p4evpnv1.Dropped{Packets: 8, Bytes: 800, Rate: 4}}},
			Sample:  &p4evpnv1.DropSample{Port: "eth1", Time: timestamppb.New(at), Frame: []byte{1, 2}}},
		{Stage: "egress", Reason: "mtu", Dropped: &p4evpnv1.Dropped{}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("error %v (-want +got)\n%s", err, diff)
	}
	if want := (view.DropQuery{Port: "eth1", Over: 5 * time.Second}); v.DropQuery != want {
		t.Errorf("asked for %+v, want %+v", v.DropQuery, want)
	}
	_, err = g.listDrops(t, &p4evpnv1.ListDropsRequest{Bridge: "//network.opiproject.org/bridges/vlan10"})
	if err != nil || v.DropQuery != (view.DropQuery{Bridge: "vlan10"}) {
		t.Errorf("asked for %+v, %v", v.DropQuery, err)
	}
	r := g.do(t, "GET", ownPrefix+"view/drops?port=eth1&over=2s", "")
	if r.code != 200 || !strings.Contains(string(r.body), `"hairpin"`) || v.DropQuery.Over != 2*time.Second {
		t.Errorf("over REST: HTTP %d %s, for %+v", r.code, r.body, v.DropQuery)
	}
}

func TestABadQueryOfDropsIsRefusedByField(t *testing.T) {
	v := &controllertest.View{}
	g := serve(t, intent.NewMemory(), fakeStatus{}, v)
	g.createBridge(t, "vlan10", 10, 10)
	for field, r := range map[string]*p4evpnv1.ListDropsRequest{
		"over":   {Over: durationpb.New(time.Minute + 1)},
		"over ":  {Over: durationpb.New(-time.Second)},
		"over  ": {Over: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"bridge": {Bridge: "vlan10", Port: "eth1"},
	} {
		_, err := g.listDrops(t, r)
		wantCode(t, err, codes.InvalidArgument, strings.TrimSpace(field))
	}
	_, err := g.listDrops(t, &p4evpnv1.ListDropsRequest{Bridge: "vlan99"})
	wantCode(t, err, codes.NotFound)
	v.Err = fmt.Errorf("port eth9: %w", view.ErrUnknown)
	_, err = g.listDrops(t, &p4evpnv1.ListDropsRequest{Port: "eth9"})
	wantCode(t, err, codes.InvalidArgument, "port")
	v.Err = errNotReady
	_, err = g.listDrops(t, &p4evpnv1.ListDropsRequest{})
	wantCode(t, err, codes.Unavailable)
}
