package api

import (
	"context"
	"fmt"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

// sviService is SviService.
type sviService struct {
	pb.UnimplementedSviServiceServer
	c collection[intent.SVI, *pb.Svi]
}

func newSVIService(store *intent.Store, st intent.StatusSource) *sviService {
	return &sviService{c: collection[intent.SVI, *pb.Svi]{
		naming: sviNaming, store: store, status: st, kind: intent.KindSVI,
		table: (*intent.Tx).SVIs,
		read:  readSVI,
		write: writeSVI,
	}}
}

func (s *sviService) CreateSvi(ctx context.Context, r *pb.CreateSviRequest) (*pb.Svi, error) {
	return s.c.create(ctx, r.GetSviId(), r.GetSvi())
}

func (s *sviService) GetSvi(ctx context.Context, r *pb.GetSviRequest) (*pb.Svi, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *sviService) ListSvis(ctx context.Context, r *pb.ListSvisRequest) (*pb.ListSvisResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListSvisResponse{Svis: page, NextPageToken: next}, nil
}

func (s *sviService) UpdateSvi(ctx context.Context, r *pb.UpdateSviRequest) (*pb.Svi, error) {
	return s.c.update(ctx, r.GetSvi(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *sviService) DeleteSvi(ctx context.Context, r *pb.DeleteSviRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readSVI(id string, m *pb.Svi) (intent.SVI, error) {
	s := intent.SVI{ID: id}
	f := newFields(s.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return s, f.err()
	}
	var err error
	s.VRF, err = vrfNaming.id(spec.GetVrf())
	f.check("vrf", err)
	s.Bridge, err = bridgeNaming.id(spec.GetLogicalBridge())
	f.check("logical_bridge", err)
	// Required by the API, not by what the gateway does.
	if s.MAC, err = ether.FromBytes(spec.GetMacAddress()); f.check("mac_address", err) {
		f.check("mac_address", intent.CheckMAC(s.MAC))
	}
	for i, g := range spec.GetGwIpPrefix() {
		s.Gateways = append(s.Gateways, f.prefix(fmt.Sprintf("gw_ip_prefix[%d]", i), g, intent.CheckGateway))
	}
	s.EnableBGP, s.RemoteAS = spec.GetEnableBgp(), spec.GetRemoteAs()
	if !s.EnableBGP && s.RemoteAS != 0 { // stores of before may hold such a one
		f.bad("remote_as", fmt.Sprintf("%d, though enable_bgp is not set: leave it out, or set enable_bgp", s.RemoteAS))
	}
	return s, f.err()
}

func writeSVI(s intent.SVI, st intent.Status) *pb.Svi {
	m := &pb.Svi{
		Name: sviNaming.name(s.ID),
		Spec: &pb.SviSpec{
			Vrf: vrfNaming.name(s.VRF), LogicalBridge: bridgeNaming.name(s.Bridge), EnableBgp: s.EnableBGP, RemoteAs: s.RemoteAS,
		},
		Status: &pb.SviStatus{OperStatus: pb.SVIOperStatus(st.Oper), Components: writeComponents(st)},
	}
	if !s.MAC.IsZero() {
		m.Spec.MacAddress = s.MAC[:]
	}
	for _, g := range s.Gateways {
		m.Spec.GwIpPrefix = append(m.Spec.GwIpPrefix, writePrefix(g))
	}
	return m
}
