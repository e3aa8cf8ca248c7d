package api

import (
	"context"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// bridgeService is LogicalBridgeService.
type bridgeService struct {
	pb.UnimplementedLogicalBridgeServiceServer
	c collection[intent.LogicalBridge, *pb.LogicalBridge]
}

func newBridgeService(store *intent.Store, st intent.StatusSource) *bridgeService {
	return &bridgeService{c: collection[intent.LogicalBridge, *pb.LogicalBridge]{
		naming: bridgeNaming, store: store, status: st, kind: intent.KindLogicalBridge,
		table: (*intent.Tx).Bridges,
		read:  readBridge,
		write: writeBridge,
	}}
}

func (s *bridgeService) CreateLogicalBridge(ctx context.Context,
	r *pb.CreateLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.create(ctx, r.GetLogicalBridgeId(), r.GetLogicalBridge())
}

func (s *bridgeService) GetLogicalBridge(ctx context.Context,
	r *pb.GetLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *bridgeService) ListLogicalBridges(ctx context.Context,
	r *pb.ListLogicalBridgesRequest) (*pb.ListLogicalBridgesResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListLogicalBridgesResponse{LogicalBridges: page, NextPageToken: next}, nil
}

func (s *bridgeService) UpdateLogicalBridge(ctx context.Context,
	r *pb.UpdateLogicalBridgeRequest) (*pb.LogicalBridge, error) {
	return s.c.update(ctx, r.GetLogicalBridge(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *bridgeService) DeleteLogicalBridge(ctx context.Context,
	r *pb.DeleteLogicalBridgeRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readBridge(id string, m *pb.LogicalBridge) (intent.LogicalBridge, error) {
	b := intent.LogicalBridge{ID: id}
	f := newFields(b.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return b, f.err()
	}
	// Checked here already, since these do not fit or mean none in intent.
	if f.check("vlan_id", intent.CheckVLAN(spec.GetVlanId())) {
		b.VLAN = uint16(spec.GetVlanId())
	}
	if spec.Vni != nil && f.check("vni", intent.CheckVNI(spec.GetVni())) {
		b.VNI = spec.GetVni()
	}
	b.VTEP = f.vtep(spec.VtepIpPrefix)
	return b, f.err()
}

func writeBridge(b intent.LogicalBridge, st intent.Status) *pb.LogicalBridge {
	m := &pb.LogicalBridge{
		Name: bridgeNaming.name(b.ID),
		Spec: &pb.LogicalBridgeSpec{VlanId: uint32(b.VLAN), VtepIpPrefix: writePrefix(b.VTEP)},
		// The numbers of the operational states are the same for all kinds.
		Status: &pb.LogicalBridgeStatus{OperStatus: pb.LBOperStatus(st.Oper), Components: writeComponents(st)},
	}
	if b.VNI != 0 {
		m.Spec.Vni = proto.Uint32(b.VNI)
	}
	return m
}
