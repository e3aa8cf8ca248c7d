package api

import (
	"context"
	"fmt"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

// portService is BridgePortService.
type portService struct {
	pb.UnimplementedBridgePortServiceServer
	c collection[intent.BridgePort, *pb.BridgePort]
}

func newPortService(store *intent.Store, st intent.StatusSource) *portService {
	return &portService{c: collection[intent.BridgePort, *pb.BridgePort]{
		naming: portNaming, store: store, status: st, kind: intent.KindBridgePort,
		table: (*intent.Tx).Ports,
		read:  readPort,
		write: writePort,
	}}
}

func (s *portService) CreateBridgePort(ctx context.Context, r *pb.CreateBridgePortRequest) (*pb.BridgePort, error) {
	return s.c.create(ctx, r.GetBridgePortId(), r.GetBridgePort())
}

func (s *portService) GetBridgePort(ctx context.Context, r *pb.GetBridgePortRequest) (*pb.BridgePort, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *portService) ListBridgePorts(ctx context.Context,
	r *pb.ListBridgePortsRequest) (*pb.ListBridgePortsResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListBridgePortsResponse{BridgePorts: page, NextPageToken: next}, nil
}

func (s *portService) UpdateBridgePort(ctx context.Context, r *pb.UpdateBridgePortRequest) (*pb.BridgePort, error) {
	return s.c.update(ctx, r.GetBridgePort(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *portService) DeleteBridgePort(ctx context.Context, r *pb.DeleteBridgePortRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readPort(id string, m *pb.BridgePort) (intent.BridgePort, error) {
	p := intent.BridgePort{ID: id}
	f := newFields(p.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return p, f.err()
	}
	var err error
	if p.MAC, err = ether.FromBytes(spec.GetMacAddress()); f.check("mac_address", err) {
		f.check("mac_address", intent.CheckMAC(p.MAC))
	}
	switch spec.GetPtype() {
	case pb.BridgePortType_BRIDGE_PORT_TYPE_ACCESS:
		p.Type = intent.Access
	case pb.BridgePortType_BRIDGE_PORT_TYPE_TRUNK:
		p.Type = intent.Trunk
	default:
		f.bad("ptype", fmt.Sprintf("%v: want access or trunk", spec.GetPtype()))
	}
	for i, name := range spec.GetLogicalBridges() {
		id, err := bridgeNaming.id(name)
		f.check(fmt.Sprintf("logical_bridges[%d]", i), err)
		p.Bridges = append(p.Bridges, id)
	}
	return p, f.err()
}

func writePort(p intent.BridgePort, st intent.Status) *pb.BridgePort {
	m := &pb.BridgePort{
		Name:   portNaming.name(p.ID),
		Spec:   &pb.BridgePortSpec{MacAddress: p.MAC[:], Ptype: pb.BridgePortType(p.Type)},
		Status: &pb.BridgePortStatus{OperStatus: pb.BPOperStatus(st.Oper), Components: writeComponents(st)},
	}
	for _, id := range p.Bridges {
		m.Spec.LogicalBridges = append(m.Spec.LogicalBridges, bridgeNaming.name(id))
	}
	return m
}
