package api

import (
	"context"
	"net/netip"
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

// aNeighbor has every field, and aSession is what it is in the API.
var (
	atNoon    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	aNeighbor = view.Neighbor{
		Address: leaf, AS: 65001, State: "established", Uptime: time.Hour, Received: 5, Advertised: 6, Reason: "why",
		Limit: 250_000, Shutdown: true, RouterID: netip.MustParseAddr("10.9.9.9"), Families: []string{"evpn", "ipv4"},
		Unicast: 3, EndOfRIB: true, Graceful: true, Losses: 2, LastLoss: "hold timer expired",
		FaultCounts: []view.FaultCount{{Reason: "community", Count: 12}, {Reason: "route_type", Count: 1}},
		Faults: []view.Fault{
			{Time: atNoon, Reason: "route_type", What: "EVPN route type 6", Action: view.Discarded, Bytes: []byte{6, 0x1f}},
			{Time: atNoon, Reason: "community", What: "no UTF-8: \xff", Action: view.Withdrawn},
			{Time: atNoon, Reason: "message", What: "header", Action: view.SessionEnded, Bytes: []byte{0xff}},
		},
		BFD: &view.BFD{State: "init", RemoteState: "admin_down", Uptime: time.Minute, Transmission: time.Second,
			Detection: 3 * time.Second, LastDown: "detection time expired", RemoteDiagnostic: "path down", Failures: 4,
			RemoteIndependent: true, Trouble: "no route"},
	}
	aSession = &p4evpnv1.Session{
		Address: "10.0.0.3", As: 65001, State: p4evpnv1.SessionState_SESSION_STATE_ESTABLISHED,
		Uptime: durationpb.New(time.Hour), Received: 5, Advertised: 6, Reason: "why", Limit: 250_000, Shutdown: true,
		RouterId:        "10.9.9.9",
		Families:        []p4evpnv1.Family{p4evpnv1.Family_FAMILY_EVPN, p4evpnv1.Family_FAMILY_IPV4},
		ReceivedUnicast: 3, EndOfRib: true, GracefulRestart: true, Losses: 2, LastLoss: "hold timer expired",
		FaultCounts: []*p4evpnv1.FaultCount{{Reason: "community", Count: 12}, {Reason: "route_type", Count: 1}},
		Faults: []*p4evpnv1.Fault{
			{Time: timestamppb.New(atNoon), Reason: "route_type", What: "EVPN route type 6",
				Action: p4evpnv1.FaultAction_FAULT_ACTION_DISCARDED, Bytes: "061f"},
			{Time: timestamppb.New(atNoon), Reason: "community", What: "no UTF-8: ?",
				Action: p4evpnv1.FaultAction_FAULT_ACTION_WITHDRAWN},
			{Time: timestamppb.New(atNoon), Reason: "message", What: "header",
				Action: p4evpnv1.FaultAction_FAULT_ACTION_SESSION_ENDED, Bytes: "ff"},
		},
		Bfd: &p4evpnv1.BfdSession{State: p4evpnv1.BfdState_BFD_STATE_INIT,
			RemoteState: p4evpnv1.BfdState_BFD_STATE_ADMIN_DOWN, Uptime: durationpb.New(time.Minute),
			Transmission: durationpb.New(time.Second), Detection: durationpb.New(3 * time.Second),
			LastDown: "detection time expired", RemoteDiagnostic: "path down", Failures: 4, RemoteIndependent: true,
			Trouble: "no route"},
	}
)

func (g *gateway) listSessions(ctx context.Context, neighbor string) ([]*p4evpnv1.Session, error) {
	s, err := g.view.ListSessions(ctx, &p4evpnv1.ListSessionsRequest{Neighbor: neighbor})
	return collect(s, err, (*p4evpnv1.ListSessionsResponse).GetSessions)
}

func TestOneNeighbourIsShownByItsAddressOrName(t *testing.T) {
	other := view.Neighbor{Address: netip.MustParseAddr("2001:db8::1"), AS: 65002, State: "idle"}
	store := intent.NewMemory(intent.Neighbor{Address: leaf, AS: 65001},
		intent.Neighbor{Address: other.Address, AS: 65002},
		intent.Neighbor{Address: netip.MustParseAddr("10.0.0.4"), AS: 65003})
	g := serve(t, store, fakeStatus{}, &controllertest.View{Rows: controllertest.Rows{
		Neighbors: []view.Neighbor{other, aNeighbor},
	}})
	second := &p4evpnv1.Session{Address: "2001:db8::1", As: 65002, State: p4evpnv1.SessionState_SESSION_STATE_IDLE}
	for name, want := range map[string][]*p4evpnv1.Session{
		"":                      {aSession, second},
		"10.0.0.3":              {aSession},
		"neighbors/10.0.0.3":    {aSession},
		"2001:db8::1":           {second},
		"neighbors/2001:db8::1": {second},
		"10.0.0.4":              nil, // BGP does not have it yet
	} {
		got, err := g.listSessions(t.Context(), name)
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%q: error %v (-want +got)\n%s", name, err, diff)
		}
	}
	_, err := g.listSessions(t.Context(), "10.0.0.5")
	wantCode(t, err, codes.NotFound)
	for _, name := range []string{"leaf", "vrfs/10.0.0.3", "2001:DB8::1"} {
		_, err := g.listSessions(t.Context(), name)
		wantCode(t, err, codes.InvalidArgument, "neighbor")
	}
}
