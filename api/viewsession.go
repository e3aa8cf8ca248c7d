package api

import (
	"encoding/hex"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

func (s *viewService) ListSessions(r *p4evpnv1.ListSessionsRequest,
	out grpc.ServerStreamingServer[p4evpnv1.ListSessionsResponse]) error {
	neighbor, err := existing(s.store, neighborNaming, "neighbor", r.GetNeighbor(), (*intent.Tx).Neighbors)
	if err != nil {
		return err
	}
	rows, err := s.view.Neighbors(out.Context())
	if err != nil {
		return failed(err)
	}
	if neighbor != "" {
		rows = slices.DeleteFunc(rows, func(n view.Neighbor) bool { return n.Address.String() != neighbor })
	}
	slices.SortFunc(rows, func(a, b view.Neighbor) int { return a.Address.Compare(b.Address) })
	return stream(rows, out, sessionRow, func(p []*p4evpnv1.Session) *p4evpnv1.ListSessionsResponse {
		return &p4evpnv1.ListSessionsResponse{Sessions: p}
	})
}

func sessionRow(n view.Neighbor) *p4evpnv1.Session {
	m := &p4evpnv1.Session{
		Address: text(n.Address), As: n.AS, State: sessionStates[n.State], Received: n.Received, Advertised: n.Advertised,
		Reason: utf8(n.Reason), Limit: n.Limit, Shutdown: n.Shutdown, RouterId: text(n.RouterID),
		ReceivedUnicast: n.Unicast, EndOfRib: n.EndOfRIB, GracefulRestart: n.Graceful, Losses: n.Losses,
		LastLoss: utf8(n.LastLoss),
	}
	if n.Uptime != 0 {
		m.Uptime = durationpb.New(n.Uptime)
	}
	for _, f := range n.Families {
		m.Families = append(m.Families, familyWords[f])
	}
	for _, c := range n.FaultCounts {
		m.FaultCounts = append(m.FaultCounts, &p4evpnv1.FaultCount{Reason: c.Reason, Count: c.Count})
	}
	for _, f := range n.Faults {
		m.Faults = append(m.Faults, &p4evpnv1.Fault{
			Time: timestamppb.New(f.Time), Reason: f.Reason, What: utf8(f.What), Action: faultActions[f.Action],
			Bytes: hex.EncodeToString(f.Bytes),
		})
	}
	if b := n.BFD; b != nil {
		m.Bfd = &p4evpnv1.BfdSession{
			State: bfdStates[b.State], RemoteState: bfdStates[b.RemoteState], Uptime: writeDuration(b.Uptime),
			Transmission: writeDuration(b.Transmission), Detection: writeDuration(b.Detection),
			LastDown: b.LastDown, RemoteDiagnostic: b.RemoteDiagnostic, Failures: b.Failures,
			RemoteIndependent: b.RemoteIndependent, Trouble: utf8(b.Trouble),
		}
	}
	return m
}
