package api

import (
	"cmp"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/view"
)

// targetService is p4evpn.v1.Target.
type targetService struct {
	p4evpnv1.UnimplementedTargetServer
	auditor view.Auditor
}

func (s *targetService) Audit(_ *p4evpnv1.AuditRequest, out grpc.ServerStreamingServer[p4evpnv1.AuditResponse]) error {
	a, err := s.auditor.Audit(out.Context())
	switch {
	case err == nil:
	case out.Context().Err() != nil:
		return failed(err)
	default:
		return status.Error(codes.FailedPrecondition, clip(err.Error()))
	}
	slices.SortFunc(a.Differences, func(a, b view.Difference) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Was+a.Is, b.Was+b.Is))
	})
	return stream(a.Differences, out, func(d view.Difference) *p4evpnv1.Difference {
		return &p4evpnv1.Difference{Kind: differenceKinds[d.Kind], Table: utf8(d.Table), Was: utf8(d.Was), Is: utf8(d.Is)}
	}, func(p []*p4evpnv1.Difference) *p4evpnv1.AuditResponse {
		return &p4evpnv1.AuditResponse{Entries: uint32(a.Entries), Differences: p}
	})
}
