package api

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// instanceService is p4evpn.v1's InstanceService.
type instanceService struct {
	pb.UnimplementedInstanceServiceServer
	c collection[intent.Instance, *pb.Instance]
}

func newInstanceService(store *intent.Store, st intent.StatusSource) *instanceService {
	return &instanceService{c: collection[intent.Instance, *pb.Instance]{
		naming: instanceNaming, store: store, status: st,
		table: (*intent.Tx).Instances,
		read:  readInstance,
		write: writeInstance,
	}}
}

func (s *instanceService) CreateInstance(ctx context.Context, r *pb.CreateInstanceRequest) (*pb.Instance, error) {
	id, err := givenID("instance_id", r.GetInstanceId(), "bridge. or vrf. and the id of that")
	if err != nil {
		return nil, err
	}
	return s.c.create(ctx, id, r.GetInstance())
}

func (s *instanceService) GetInstance(ctx context.Context, r *pb.GetInstanceRequest) (*pb.Instance, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *instanceService) ListInstances(ctx context.Context,
	r *pb.ListInstancesRequest) (*pb.ListInstancesResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListInstancesResponse{Instances: page, NextPageToken: next}, nil
}

func (s *instanceService) UpdateInstance(ctx context.Context, r *pb.UpdateInstanceRequest) (*pb.Instance, error) {
	return s.c.update(ctx, r.GetInstance(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *instanceService) DeleteInstance(ctx context.Context, r *pb.DeleteInstanceRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readInstance(id string, m *pb.Instance) (intent.Instance, error) {
	o := intent.Instance{ID: id}
	f := newFields(o.Ref())
	f.check("id", intent.CheckInstanceID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return o, f.err()
	}
	if spec.GetRouteDistinguisher() != "" {
		var err error
		o.RD, err = bgp.ParseRD(spec.GetRouteDistinguisher())
		if f.check("route_distinguisher", err) && o.RD == (bgp.RD{}) {
			f.bad("route_distinguisher", "0:0 is none: leave it out")
		}
	}
	o.Import = readTargets(f, "import_route_targets", spec.GetImportRouteTargets())
	o.Export = readTargets(f, "export_route_targets", spec.GetExportRouteTargets())
	o.MACIPOnly, o.EthernetTag = spec.GetMacIpOnly(), spec.GetEthernetTag()
	o.LogicalSwitch, o.TaggedMulticast = spec.GetLogicalSwitch(), spec.GetTaggedMulticast()
	o.MaxMACs, o.MaxAddresses, o.MaxRoutes = spec.GetMaxMacs(), spec.GetMaxAddresses(), spec.GetMaxRoutes()
	o.DropUnknownUnicast = spec.GetDropUnknownUnicast()
	return o, f.err()
}

func readTargets(f *fields, field string, texts []string) []bgp.RouteTarget {
	var out []bgp.RouteTarget
	for i, s := range texts {
		rt, err := bgp.ParseRouteTarget(s)
		if f.check(fmt.Sprintf("%s[%d]", field, i), err) {
			out = append(out, rt)
		}
	}
	return out
}

func writeInstance(o intent.Instance, st intent.Status) *pb.Instance {
	m := &pb.Instance{Name: instanceNaming.name(o.ID), Status: writeStatus(st, o.Configured),
		Spec: &pb.InstanceSpec{MacIpOnly: o.MACIPOnly, EthernetTag: o.EthernetTag, LogicalSwitch: o.LogicalSwitch,
			TaggedMulticast: o.TaggedMulticast, MaxMacs: o.MaxMACs, MaxAddresses: o.MaxAddresses, MaxRoutes: o.MaxRoutes,
			DropUnknownUnicast: o.DropUnknownUnicast}}
	if o.RD != (bgp.RD{}) {
		m.Spec.RouteDistinguisher = o.RD.String()
	}
	for _, rt := range o.Import {
		m.Spec.ImportRouteTargets = append(m.Spec.ImportRouteTargets, rt.String())
	}
	for _, rt := range o.Export {
		m.Spec.ExportRouteTargets = append(m.Spec.ExportRouteTargets, rt.String())
	}
	return m
}
