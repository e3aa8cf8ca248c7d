package api

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/view"
)

// checkingService is p4evpn.v1.Checking.
type checkingService struct {
	p4evpnv1.UnimplementedCheckingServer
	checker view.Checker
}

func (s *checkingService) CheckTarget(ctx context.Context,
	r *p4evpnv1.CheckTargetRequest) (*p4evpnv1.CheckTargetResponse, error) {
	return s.check(ctx, r, false)
}

func (s *checkingService) CheckTargetRead(ctx context.Context,
	r *p4evpnv1.CheckTargetRequest) (*p4evpnv1.CheckTargetResponse, error) {
	return s.check(ctx, r, true)
}

func (s *checkingService) check(ctx context.Context, r *p4evpnv1.CheckTargetRequest,
	read bool) (*p4evpnv1.CheckTargetResponse, error) {
	c, err := s.checker.Check(ctx, view.CheckRequest{Bridge: r.GetBridge(), VRF: r.GetVrf(), Read: read})
	var wrong *view.CheckError
	switch {
	case errors.As(err, &wrong):
		return nil, status.Error(codes.NotFound, clip(wrong.Problem))
	case err != nil && ctx.Err() == nil:
		return nil, status.Error(codes.Unavailable, clip(err.Error()))
	case err != nil:
		return nil, failed(err)
	}
	m := &p4evpnv1.CheckTargetResponse{Frames: uint64(c.Frames), Entries: uint64(c.Entries), Read: c.Read,
		More: uint64(c.More), Seconds: c.Took.Seconds()}
	for _, d := range c.Differences {
		o := &p4evpnv1.CheckDifference{
			Object: utf8(d.Object), Bridge: utf8(d.Bridge), Vrf: utf8(d.VRF), Port: utf8(d.Port), Frame: d.Frame,
			Arrives: utf8(d.Arrives), Expected: utf8(d.Expected), Rule: utf8(d.Rule), Actual: utf8(d.Actual),
		}
		for _, st := range d.Steps {
			o.Steps = append(o.Steps, &p4evpnv1.CheckStep{Text: utf8(st.Text), Entry: utf8(st.Entry), Why: utf8(st.Why),
				Odd: utf8(st.Odd)})
		}
		m.Differences = append(m.Differences, o)
	}
	return m, nil
}
