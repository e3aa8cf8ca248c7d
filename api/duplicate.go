package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
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
	which, err := readDuplicate(r)
	if err != nil {
		return nil, err
	}
	cleared, err := s.duplicates.ClearDuplicates(ctx, bridge, which)
	switch {
	case err != nil:
		return nil, failed(err)
	case cleared > 0:
		return &pb.ClearDuplicateResponse{Cleared: uint32(cleared)}, nil
	case which.Address.IsValid():
		return nil, status.Errorf(codes.FailedPrecondition, "%v is not frozen in logical bridge %s", which.Address, bridge)
	case which == view.Duplicate{}:
		return nil, status.Errorf(codes.FailedPrecondition, "nothing is frozen in logical bridge %s", bridge)
	}
	return nil, status.Errorf(codes.FailedPrecondition, "%v is not frozen in logical bridge %s", which.MAC, bridge)
}

// readDuplicate takes which one a request is about.
func readDuplicate(r *pb.ClearDuplicateRequest) (which view.Duplicate, err error) {
	switch {
	case r.GetMacAddress() != "" && r.GetAddress() != "":
		return which, badField("address", "want mac_address or address, not both")
	case r.GetMacAddress() != "":
		which.MAC, err = macField("mac_address", r.GetMacAddress())
		if err == nil && which.MAC.IsZero() {
			err = badField("mac_address", "want a MAC address such as 02:00:00:00:00:01")
		}
	case r.GetAddress() != "":
		which.Address, err = addressField(r.GetAddress())
	}
	return which, err
}
