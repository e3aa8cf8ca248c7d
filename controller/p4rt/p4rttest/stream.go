package p4rttest

import (
	"context"
	"errors"
	"io"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"google.golang.org/protobuf/types/known/anypb"
)

// stream is a controller that arbitrated, or, without out, a made-up one.
type stream struct {
	id  p4rt.ElectionID
	out chan *p4v1.StreamMessageResponse
	ctx context.Context
}

// send queues a message and reports whether the stream is there to take it.
func (st *stream) send(m *p4v1.StreamMessageResponse) bool {
	if st == nil || st.out == nil {
		return false
	}
	select {
	case st.out <- m:
		return true
	case <-st.ctx.Done():
		return false
	}
}

func (s *service) StreamChannel(g p4v1.P4Runtime_StreamChannelServer) error {
	var me *stream
	written := make(chan struct{})
	close(written) // until there is a writer
	defer func() {
		if me != nil {
			s.leave(me)
			close(me.out)
		}
		<-written
	}()
	for {
		m, err := g.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if a := m.GetArbitration(); a != nil {
			if err := s.ask(g.Context(), s.interceptor, a); err != nil {
				return err
			}
			if me == nil {
				me = &stream{out: make(chan *p4v1.StreamMessageResponse, 4096), ctx: g.Context()}
				written = make(chan struct{})
				go func(in <-chan *p4v1.StreamMessageResponse, done chan<- struct{}) {
					defer close(done)
					for m := range in {
						_ = g.Send(m) // a failure ends Recv too
					}
				}(me.out, written)
			}
			if err := s.arbitrate(me, a); err != nil {
				return err
			}
			continue
		}
		s.fromController(me, m)
	}
}

// fromController takes what only the primary may send.
func (s *Server) fromController(me *stream, m *p4v1.StreamMessageRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if me == nil || me != s.primary {
		return
	}
	switch u := m.GetUpdate().(type) {
	case *p4v1.StreamMessageRequest_Packet:
		s.counts.PacketOuts++
		s.packetOuts = append(s.packetOuts, u.Packet)
	case *p4v1.StreamMessageRequest_DigestAck:
		s.counts.Acks++
		s.acked[u.DigestAck.GetListId()] = true
	}
	s.change()
}

// arbitrate is P4Runtime 5.3.
func (s *Server) arbitrate(me *stream, a *p4v1.MasterArbitrationUpdate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.GetDeviceId() != s.cfg.DeviceID {
		return status.Errorf(codes.NotFound, "no device %d", a.GetDeviceId())
	}
	id := p4rt.ElectionID{High: a.GetElectionId().GetHigh(), Low: a.GetElectionId().GetLow()}
	for other := range s.streams {
		if other != me && other.id == id {
			return status.Error(codes.InvalidArgument, "Election id already exists")
		}
	}
	if !s.streams[me] {
		s.counts.Connections++
	}
	me.id = id
	s.streams[me] = true
	if !s.elect() {
		s.notify(me)
	}
	s.change()
	return nil
}

func (s *Server) leave(me *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, me)
	if s.primary == me {
		s.primary = nil
		if !s.elect() {
			for st := range s.streams {
				s.notify(st)
			}
		}
	}
	s.change()
}

// elect chooses the primary, and tells all streams if it changed. It needs s.mu.
func (s *Server) elect() bool {
	var best *stream
	for st := range s.streams {
		if best == nil || st.id.Compare(best.id) > 0 {
			best = st
		}
	}
	if best == nil || s.cfg.NoPromotion && best.id.Compare(s.highest) < 0 {
		best = nil
	} else if best.id.Compare(s.highest) > 0 {
		s.highest = best.id
	}
	if best == s.primary {
		return false
	}
	s.primary = best
	for st := range s.streams {
		s.notify(st)
	}
	return true
}

func (s *Server) notify(st *stream) {
	code, id := codes.AlreadyExists, s.highest
	switch s.primary {
	case nil:
		code = codes.NotFound
	case st:
		code = codes.OK
		fallthrough
	default:
		id = s.primary.id
	}
	st.send(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{
			DeviceId:   s.cfg.DeviceID,
			ElectionId: &p4v1.Uint128{High: id.High, Low: id.Low},
			Status:     &spb.Status{Code: int32(code)},
		},
	}})
}

// TakeMastership has another controller arbitrate with id.
func (s *Server) TakeMastership(id p4rt.ElectionID) {
	s.set(func() {
		s.streams[&stream{id: id}] = true
		s.elect()
	})
}

// ReleaseMastership has the controllers of TakeMastership leave.
func (s *Server) ReleaseMastership() {
	s.mu.Lock()
	var gone []*stream
	for st := range s.streams {
		if st.out == nil {
			gone = append(gone, st)
		}
	}
	s.mu.Unlock()
	for _, st := range gone {
		s.leave(st)
	}
}

// SendDigest sends a digest list to the primary and gives its id; ok is false
// if there is no primary or the digest was not enabled by a DigestEntry.
func (s *Server) SendDigest(id uint32, members ...*p4v1.P4Data) (list uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	enabled := s.state.Get(&p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{DigestId: id}}})
	if enabled == nil {
		return 0, false
	}
	s.nextList++
	return s.nextList, s.primary.send(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Digest{
		Digest: &p4v1.DigestList{DigestId: id, ListId: s.nextList, Data: members},
	}})
}

// Acked reports whether a digest list was acknowledged.
func (s *Server) Acked(list uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked[list]
}

// SendPacketIn sends a packet to the primary, and reports whether there is one.
func (s *Server) SendPacketIn(p *p4v1.PacketIn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary.send(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Packet{Packet: p}})
}

// SendIdle tells the primary that entries were idle, and reports whether there is
// a primary.
func (s *Server) SendIdle(entries ...*p4v1.TableEntry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary.send(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_IdleTimeoutNotification{
		IdleTimeoutNotification: &p4v1.IdleTimeoutNotification{TableEntry: entries},
	}})
}

// SendOther sends a message of the architecture's own, and reports whether there is
// a primary.
func (s *Server) SendOther(m *anypb.Any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary.send(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Other{Other: m}})
}

// Struct makes a digest's member of the values of its fields, in order.
func Struct(fields ...[]byte) *p4v1.P4Data {
	members := make([]*p4v1.P4Data, len(fields))
	for i, f := range fields {
		members[i] = &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: f}}
	}
	return &p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: members}}}
}
