package api

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/ether"
)

// staticMACService is p4evpn.v1's StaticMacService.
type staticMACService struct {
	pb.UnimplementedStaticMacServiceServer
	c collection[intent.StaticMAC, *pb.StaticMac]
}

func newStaticMACService(store *intent.Store, st intent.StatusSource) *staticMACService {
	return &staticMACService{c: collection[intent.StaticMAC, *pb.StaticMac]{
		naming: staticMACNaming, store: store, status: st,
		table: (*intent.Tx).StaticMACs,
		read:  readStaticMAC,
		write: writeStaticMAC,
	}}
}

func (s *staticMACService) CreateStaticMac(ctx context.Context, r *pb.CreateStaticMacRequest) (*pb.StaticMac, error) {
	return s.c.create(ctx, r.GetStaticMacId(), r.GetStaticMac())
}

func (s *staticMACService) GetStaticMac(ctx context.Context, r *pb.GetStaticMacRequest) (*pb.StaticMac, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *staticMACService) ListStaticMacs(ctx context.Context,
	r *pb.ListStaticMacsRequest) (*pb.ListStaticMacsResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListStaticMacsResponse{StaticMacs: page, NextPageToken: next}, nil
}

func (s *staticMACService) UpdateStaticMac(ctx context.Context, r *pb.UpdateStaticMacRequest) (*pb.StaticMac, error) {
	return s.c.update(ctx, r.GetStaticMac(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *staticMACService) DeleteStaticMac(ctx context.Context, r *pb.DeleteStaticMacRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readStaticMAC(id string, m *pb.StaticMac) (intent.StaticMAC, error) {
	o := intent.StaticMAC{ID: id}
	f := newFields(o.Ref())
	f.check("id", intent.CheckID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return o, f.err()
	}
	var err error
	o.Bridge, err = bridgeNaming.id(spec.GetLogicalBridge())
	f.check("logical_bridge", err)
	o.Port, err = portNaming.id(spec.GetBridgePort())
	f.check("bridge_port", err)
	if o.MAC, err = ether.ParseMAC(spec.GetMacAddress()); f.check("mac_address", err) {
		f.check("mac_address", intent.CheckMAC(o.MAC))
	}
	for i, s := range spec.GetIpAddresses() {
		if ip, ok := f.address(fmt.Sprintf("ip_addresses[%d]", i), s, intent.CheckStation); ok {
			o.IPs = append(o.IPs, ip)
		}
	}
	return o, f.err()
}

func writeStaticMAC(o intent.StaticMAC, st intent.Status) *pb.StaticMac {
	m := &pb.StaticMac{Name: staticMACNaming.name(o.ID), Status: writeStatus(st, false), Spec: &pb.StaticMacSpec{
		LogicalBridge: bridgeNaming.name(o.Bridge), BridgePort: portNaming.name(o.Port), MacAddress: o.MAC.String(),
	}}
	for _, ip := range o.IPs {
		m.Spec.IpAddresses = append(m.Spec.IpAddresses, ip.String())
	}
	return m
}
