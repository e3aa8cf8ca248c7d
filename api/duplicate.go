package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// duplicateService is p4evpn.v1.Duplicates.
type duplicateService struct {
	pb.UnimplementedDuplicatesServer
	duplicates view.Duplicates
	store      *intent.Store
}

func (s *duplicateService) ClearDuplicate(ctx context.Context,
	r *pb.ClearDuplicateRequest) (*pb.ClearDuplicateResponse, error) {
	if r.GetLogicalBridge() == "" {
		return nil, badField("logical_bridge", "not set: want logicalBridges/{id} or the id of a logical bridge")
	}
	bridge, err := existing(s.store, bridgeNaming, "logical_bridge", r.GetLogicalBridge(), (*intent.Tx).Bridges)
	if err != nil {
		return nil, err
	}
	mac, err := ether.ParseMAC(r.GetMacAddress())
	if err != nil {
		return nil, badField("mac_address", "want a MAC address such as 02:00:00:00:00:01")
	}
	cleared, err := s.duplicates.ClearDuplicate(ctx, bridge, mac)
	switch {
	case err != nil:
		return nil, failed(err)
	case !cleared:
		return nil, status.Errorf(codes.FailedPrecondition, "%v is not frozen in logical bridge %s", mac, bridge)
	}
	return &pb.ClearDuplicateResponse{}, nil
}
