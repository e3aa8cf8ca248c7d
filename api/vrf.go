package api

import (
	"context"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// vrfService is VrfService.
type vrfService struct {
	pb.UnimplementedVrfServiceServer
	c collection[intent.VRF, *pb.Vrf]
}

func newVRFService(store *intent.Store, st intent.StatusSource) *vrfService {
	return &vrfService{c: collection[intent.VRF, *pb.Vrf]{
		naming: vrfNaming, store: store, status: st, kind: intent.KindVRF,
		table: (*intent.Tx).VRFs,
		read:  readVRF,
		write: writeVRF,
	}}
}

func (s *vrfService) CreateVrf(ctx context.Context, r *pb.CreateVrfRequest) (*pb.Vrf, error) {
	return s.c.create(ctx, r.GetVrfId(), r.GetVrf())
}

func (s *vrfService) GetVrf(ctx context.Context, r *pb.GetVrfRequest) (*pb.Vrf, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *vrfService) ListVrfs(ctx context.Context, r *pb.ListVrfsRequest) (*pb.ListVrfsResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListVrfsResponse{Vrfs: page, NextPageToken: next}, nil
}

func (s *vrfService) UpdateVrf(ctx context.Context, r *pb.UpdateVrfRequest) (*pb.Vrf, error) {
	return s.c.update(ctx, r.GetVrf(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *vrfService) DeleteVrf(ctx context.Context, r *pb.DeleteVrfRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readVRF(id string, m *pb.Vrf) (intent.VRF, error) {
	v := intent.VRF{ID: id}
	f := newFields(v.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return v, f.err()
	}
	if spec.Vni != nil && f.check("vni", intent.CheckVNI(spec.GetVni())) {
		v.VNI = spec.GetVni()
	}
	if spec.LoopbackIpPrefix == nil { // required by the API, not by what the gateway does
		f.bad("loopback_ip_prefix", "not set: want an address with a length, such as 10.100.0.1/32")
	} else {
		v.Loopback = f.prefix("loopback_ip_prefix", spec.LoopbackIpPrefix, intent.CheckLoopback)
	}
	v.VTEP = f.vtep(spec.VtepIpPrefix)
	return v, f.err()
}

func writeVRF(v intent.VRF, st intent.Status) *pb.Vrf {
	m := &pb.Vrf{
		Name:   vrfNaming.name(v.ID),
		Spec:   &pb.VrfSpec{LoopbackIpPrefix: writePrefix(v.Loopback), VtepIpPrefix: writePrefix(v.VTEP)},
		Status: &pb.VrfStatus{OperStatus: pb.VRFOperStatus(st.Oper), Components: writeComponents(st)},
	}
	if v.VNI != 0 {
		m.Spec.Vni = proto.Uint32(v.VNI)
	}
	return m
}
