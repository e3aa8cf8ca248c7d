package api

import (
	"cmp"
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// speakerService is p4evpn.v1's SpeakerService.
type speakerService struct {
	pb.UnimplementedSpeakerServiceServer
	c collection[intent.Speaker, *pb.Speaker]
}

func newSpeakerService(store *intent.Store, st intent.StatusSource) *speakerService {
	return &speakerService{c: collection[intent.Speaker, *pb.Speaker]{
		naming: speakerNaming, store: store, status: st,
		table: (*intent.Tx).Speakers,
		read:  readSpeaker,
		write: writeSpeaker,
	}}
}

func (s *speakerService) CreateSpeaker(ctx context.Context, r *pb.CreateSpeakerRequest) (*pb.Speaker, error) {
	return s.c.create(ctx, cmp.Or(r.GetSpeakerId(), intent.TheSpeaker), r.GetSpeaker())
}

func (s *speakerService) GetSpeaker(ctx context.Context, r *pb.GetSpeakerRequest) (*pb.Speaker, error) {
	return s.c.get(ctx, r.GetName())
}

func (s *speakerService) ListSpeakers(ctx context.Context,
	r *pb.ListSpeakersRequest) (*pb.ListSpeakersResponse, error) {
	page, next, err := s.c.list(ctx, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListSpeakersResponse{Speakers: page, NextPageToken: next}, nil
}

func (s *speakerService) UpdateSpeaker(ctx context.Context, r *pb.UpdateSpeakerRequest) (*pb.Speaker, error) {
	return s.c.update(ctx, r.GetSpeaker(), r.GetUpdateMask(), r.GetAllowMissing())
}

func (s *speakerService) DeleteSpeaker(ctx context.Context, r *pb.DeleteSpeakerRequest) (*emptypb.Empty, error) {
	if err := s.c.remove(ctx, r.GetName(), r.GetAllowMissing()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

func readSpeaker(id string, m *pb.Speaker) (intent.Speaker, error) {
	var o intent.Speaker
	f := newFields(o.Ref())
	f.check("id", speakerNaming.checkID(id))
	spec := m.GetSpec()
	if spec == nil {
		f.bad("spec", "not set")
		return o, f.err()
	}
	o.AS = spec.GetAsNumber()
	o.RouterID, _ = f.address("router_id", spec.GetRouterId(), intent.CheckStation)
	return o, f.err()
}

func writeSpeaker(o intent.Speaker, st intent.Status) *pb.Speaker {
	return &pb.Speaker{Name: speakerNaming.name(intent.TheSpeaker), Status: writeStatus(st, o.Configured),
		Spec: &pb.SpeakerSpec{AsNumber: o.AS, RouterId: o.RouterID.String()}}
}
