package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/view"
)

// targetPortService is p4evpn.v1's PortService.
type targetPortService struct {
	pb.UnimplementedPortServiceServer
	view view.View
}

// ports gives all ports by name.
func (s *targetPortService) ports(ctx context.Context) ([]view.Port, error) {
	rows, err := s.view.Ports(ctx)
	if err != nil {
		return nil, failed(err)
	}
	slices.SortFunc(rows, func(a, b view.Port) int { return strings.Compare(a.Name, b.Name) })
	return rows, nil
}

func (s *targetPortService) GetPort(ctx context.Context, r *pb.GetPortRequest) (*pb.Port, error) {
	id, err := targetPortNaming.id(r.GetName())
	if err != nil {
		return nil, badField("name", err.Error())
	}
	rows, err := s.ports(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range rows {
		if p.Name == id {
			return writeTargetPort(p), nil
		}
	}
	return nil, status.Error(codes.NotFound, clip("port "+id+": the configuration names no such port"))
}

func (s *targetPortService) ListPorts(ctx context.Context, r *pb.ListPortsRequest) (*pb.ListPortsResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := targetPortNaming.parsePageToken(r.GetPageToken())
	if err != nil {
		return nil, badField("page_token", err.Error())
	}
	rows, err := s.ports(ctx)
	if err != nil {
		return nil, err
	}
	out := &pb.ListPortsResponse{}
	for _, p := range rows {
		switch {
		case after != "" && p.Name <= after:
		case len(out.Ports) == size:
			out.NextPageToken = targetPortNaming.pageToken(targetPortID(out.Ports[size-1]))
			return out, nil
		default:
			out.Ports = append(out.Ports, writeTargetPort(p))
		}
	}
	return out, nil
}

func targetPortID(p *pb.Port) string {
	id, _ := targetPortNaming.id(p.GetName())
	return id
}

func writeTargetPort(p view.Port) *pb.Port {
	m := &pb.Port{
		Name: targetPortNaming.name(utf8(p.Name)), Kind: portKinds[p.Kind], Number: uint32(p.Number), Netdev: utf8(p.Netdev),
		Link: states[p.Link], State: states[p.State], Reason: utf8(p.Reason), Macs: p.MACs,
		Counters: &pb.PortCounters{PacketsIn: p.PacketsIn, BytesIn: p.BytesIn, PacketsOut: p.PacketsOut,
			BytesOut: p.BytesOut, Spoofed: p.Spoofed, StormBroadcast: p.StormBroadcast,
			StormMulticast: p.StormMulticast, StormUnknownUnicast: p.StormUnknown,
			ErrorsIn: p.ErrorsIn, ErrorsOut: p.ErrorsOut},
		CarrierLosses: p.Losses, SourceGuard: p.SourceGuard, Leases: p.Leases,
	}
	if p.Kind == view.BridgePort {
		m.Storm = &pb.PortStorm{Broadcast: p.Storm.Broadcast, Multicast: p.Storm.Multicast,
			UnknownUnicast: p.Storm.Unknown}
	}
	if p.LinkAge > 0 {
		m.LinkAge = durationpb.New(p.LinkAge.Truncate(time.Millisecond))
	}
	for _, id := range p.BridgePorts {
		m.BridgePorts = append(m.BridgePorts, portNaming.name(id))
	}
	return m
}
