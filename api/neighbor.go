package api

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// neighborService is p4evpn.v1's NeighborService.
type neighborService struct {
	pb.UnimplementedNeighborServiceServer
	c    collection[intent.Neighbor, *pb.Neighbor]
	view view.View // nil: nothing is known of sessions
}

func newNeighborService(store *intent.Store, st intent.StatusSource, v view.View) *neighborService {
	return &neighborService{view: v, c: collection[intent.Neighbor, *pb.Neighbor]{
		naming: neighborNaming, store: store, status: st,
		table: (*intent.Tx).Neighbors,
		read:  readNeighbor,
		write: writeNeighbor,
	}}
}

// show hides passwords and adds what is known of the sessions.
func (s *neighborService) show(ctx context.Context, neighbors ...*pb.Neighbor) error {
	sessions := map[string]view.Neighbor{}
	if s.view != nil && len(neighbors) > 0 {
		rows, err := s.view.Neighbors(ctx)
		if err != nil {
			return failed(err)
		}
		for _, r := range rows {
			sessions[neighborNaming.name(r.Address.String())] = r
		}
	}
	for _, n := range neighbors {
		n.Status.HasPassword, n.Spec.Password = n.Spec.Password != "", ""
		if r, ok := sessions[n.Name]; ok {
			n.Status.Session, n.Status.Received, n.Status.Advertised = sessionStates[r.State], r.Received, r.Advertised
			if r.Uptime != 0 {
				n.Status.Uptime = durationpb.New(r.Uptime)
			}
		}
	}
	return nil
}

// shown is what a method gives back.
func (s *neighborService) shown(ctx context.Context, n *pb.Neighbor, err error) (*pb.Neighbor, error) {
	if err == nil {
		err = s.show(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (s *neighborService) CreateNeighbor(ctx context.Context, r *pb.CreateNeighborRequest) (*pb.Neighbor, error) {
	id, err := givenID("neighbor_id", r.GetNeighborId(), "the neighbour's address")
	if err != nil {
		return nil, err
	}
	n, err := s.c.create(ctx, id, r.GetNeighbor())
	return s.shown(ctx, n, err)
}

func (s *neighborService) GetNeighbor(ctx context.Context, r *pb.GetNeighborRequest) (*pb.Neighbor, error) {
	n, err := s.c.get(ctx, r.GetName())
	return s.shown(ctx, n, err)
}

func (s *neighborService) ListNeighbors(ctx context.Context,
	r *pb.ListNeighborsRequest) (*pb.ListNeighborsResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err == nil {
		err = s.show(ctx, page...)
	}
	if err != nil {
		return nil, err
	}
	return &pb.ListNeighborsResponse{Neighbors: page, NextPageToken: next}, nil
}

func (s *neighborService) UpdateNeighbor(ctx context.Context, r *pb.UpdateNeighborRequest) (*pb.Neighbor, error) {
	n, err := s.c.update(ctx, r.GetNeighbor(), r.GetUpdateMask(), r.GetAllowMissing())
	return s.shown(ctx, n, err)
}

func (s *neighborService) DeleteNeighbor(ctx context.Context, r *pb.DeleteNeighborRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readNeighbor(id string, m *pb.Neighbor) (intent.Neighbor, error) {
	var o intent.Neighbor
	a, err := intent.NeighborAddress(id)
	o.Address = a
	f := newFields(intent.Ref{Kind: intent.KindNeighbor, ID: id})
	f.check("id", err)
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return o, f.err()
	}
	o.AS, o.Password, o.Passive, o.MaxPrefixes = spec.GetRemoteAs(), spec.GetPassword(), spec.GetPassive(),
		spec.GetMaxPrefixes()
	o.MACIPOnly, o.NoARPND = spec.GetMacIpOnly(), spec.GetNoArpNd()
	o.Shutdown, o.ShutdownMessage = spec.GetShutdown(), spec.GetShutdownMessage()
	if f.check("allow_own_as", bgp.CheckAllowOwnAS(spec.GetAllowOwnAs())) {
		o.AllowOwnAS = uint8(spec.GetAllowOwnAs())
	}
	if f.check("ttl_security", bgp.CheckTTLSecurity(spec.GetTtlSecurity(), spec.GetMultihop() > 0)) {
		o.TTLSecurity = uint8(spec.GetTtlSecurity())
	}
	o.BFD = intent.BFD{On: spec.GetBfd(), Interval: f.duration("bfd_interval", spec.GetBfdInterval()),
		Multiplier: f.small("bfd_multiplier", spec.GetBfdMultiplier()), Hops: f.small("bfd_hops", spec.GetBfdHops())}
	if spec.GetPort() > math.MaxUint16 {
		f.bad("port", fmt.Sprintf("%d is no TCP port: want 1 to 65535, or 0 for 179", spec.GetPort()))
	}
	if spec.GetMultihop() > math.MaxUint8 {
		f.bad("multihop", fmt.Sprintf("%d is no TTL: want 1 to 255, or 0 for 1", spec.GetMultihop()))
	}
	o.Port, o.Multihop = uint16(spec.GetPort()), uint8(spec.GetMultihop())
	if spec.GetLocalAddress() != "" {
		o.LocalAddress, _ = f.address("local_address", spec.GetLocalAddress(), intent.CheckNeighbor)
	}
	o.HoldTime = f.duration("hold_time", spec.GetHoldTime())
	o.Keepalive = f.duration("keepalive", spec.GetKeepalive())
	o.ConnectRetry = f.duration("connect_retry", spec.GetConnectRetry())
	for i, value := range spec.GetFamilies() {
		family, ok := meaning(families, value)
		if !ok {
			f.bad(fmt.Sprintf("families[%d]", i), fmt.Sprintf("%v is no family: want evpn, ipv4 or ipv6", value))
			continue
		}
		o.Families = append(o.Families, family)
	}
	return o, f.err()
}

// small reads a number of one octet.
func (f *fields) small(field string, n uint32) uint8 {
	if n > math.MaxUint8 {
		f.bad(field, fmt.Sprintf("%d: want 1 to 255, or 0 for the default", n))
		return 0
	}
	return uint8(n)
}

func (f *fields) duration(field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	f.check(field, d.CheckValid())
	return d.AsDuration()
}

// writeNeighbor gives all of a neighbour, the password too: see show.
func writeNeighbor(o intent.Neighbor, st intent.Status) *pb.Neighbor {
	state, reason := stateOf(st)
	m := &pb.Neighbor{
		Name: neighborNaming.name(o.Ref().ID),
		Spec: &pb.NeighborSpec{
			RemoteAs: o.AS, Port: uint32(o.Port), LocalAddress: text(o.LocalAddress), Password: o.Password,
			Multihop: uint32(o.Multihop), Passive: o.Passive, MaxPrefixes: o.MaxPrefixes, MacIpOnly: o.MACIPOnly,
			NoArpNd:    o.NoARPND,
			AllowOwnAs: uint32(o.AllowOwnAS), TtlSecurity: uint32(o.TTLSecurity),
			Shutdown: o.Shutdown, ShutdownMessage: o.ShutdownMessage,
			HoldTime: writeDuration(o.HoldTime), Keepalive: writeDuration(o.Keepalive),
			ConnectRetry: writeDuration(o.ConnectRetry),
			Bfd:          o.BFD.On, BfdInterval: writeDuration(o.BFD.Interval),
			BfdMultiplier: uint32(o.BFD.Multiplier), BfdHops: uint32(o.BFD.Hops),
		},
		Status: &pb.NeighborStatus{State: states[state], Reason: reason, Configured: o.Configured},
	}
	for _, f := range o.Families {
		m.Spec.Families = append(m.Spec.Families, families[f])
	}
	return m
}

func writeDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
