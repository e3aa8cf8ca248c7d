package p4rtserver

import (
	"errors"
	"io"
	"sync/atomic"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// queueLength bounds what waits for a client that reads slowly.
	queueLength = 2048
	// queueReserve is the part of it for what must not be dropped.
	queueReserve = 256
	// queueBytes bounds the memory behind it, roughly, and namedQueueBytes that of roles
	// other than the default one: everybody may take one of their own.
	queueBytes      = 32 << 20
	namedQueueBytes = 256 << 10
	// messageSize is about what one packet-in without its payload, one digest
	// or one idle entry takes, in bytes.
	messageSize = 512
)

// stream is one client's StreamChannel.
type stream struct {
	out   chan queued
	bytes atomic.Int64 // of what is in out
	most  atomic.Int64 // that may be
	end   chan error   // capacity 1: ends the stream
	conn  Connection   // nil: its bounds are nobody's concern

	// Guarded by arbiter.mu.
	role     *role // nil before the first arbitration message
	election electionID
	gone     bool // it is ending, and may be nothing any more
}

// queued is a message with its size in memory, roughly, in bytes.
type queued struct {
	message *p4v1.StreamMessageResponse
	size    int
}

// offer queues a message that may be lost, and reports whether it did.
func (st *stream) offer(m *p4v1.StreamMessageResponse, size int) bool {
	if len(st.out) >= queueLength-queueReserve || st.bytes.Load()+int64(size) > st.most.Load() {
		return false
	}
	st.bytes.Add(int64(size))
	select {
	case st.out <- queued{m, size}:
		return true
	default:
		st.bytes.Add(-int64(size))
		return false
	}
}

// mustSend queues a message that must not be lost; if there is no room, the
// stream ends.
func (st *stream) mustSend(m *p4v1.StreamMessageResponse) {
	select {
	case st.out <- queued{message: m}:
	default:
		st.stop(status.Error(codes.ResourceExhausted, "the client does not read its stream"))
	}
}

func (st *stream) stop(err error) {
	select {
	case st.end <- err:
	default:
	}
}

// StreamChannel serves one client's stream (16).
func (s *Server) StreamChannel(ss p4v1.P4Runtime_StreamChannelServer) error {
	st := &stream{
		out:  make(chan queued, queueLength),
		end:  make(chan error, 1),
		conn: connectionOf(ss.Context()),
	}
	st.most.Store(namedQueueBytes)
	if s.arbiter.arrive(st) {
		s.counters.evicted.Add(1)
	}
	s.counters.streams.Add(1)
	defer s.counters.streams.Add(-1)
	s.streams.Add(2)
	defer s.streams.Done()
	// Receiving ends at the latest when this function returns, since that ends
	// the stream's context.
	go func() {
		defer s.streams.Done()
		st.stop(s.receive(st, ss))
	}()
	defer s.arbiter.leave(st)
	for {
		select {
		case m := <-st.out:
			st.bytes.Add(-int64(m.size))
			if err := ss.Send(m.message); err != nil {
				return err
			}
		case err := <-st.end:
			return err
		case <-s.closed:
			return status.Error(codes.Unavailable, "the switch is stopping")
		}
	}
}

// receive handles the client's messages until the stream ends.
func (s *Server) receive(st *stream, ss p4v1.P4Runtime_StreamChannelServer) error {
	for {
		req, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := req.Update.(type) {
		case *p4v1.StreamMessageRequest_Arbitration:
			if err := s.arbitrate(st, m.Arbitration); err != nil {
				return err
			}
		case *p4v1.StreamMessageRequest_Packet:
			if err := s.packetOut(st, m.Packet); err != nil {
				s.counters.packetOutsRefused.Add(1)
				st.report(err, &p4v1.StreamError{Details: &p4v1.StreamError_PacketOut{
					PacketOut: &p4v1.PacketOutError{PacketOut: m.Packet}}})
			}
		case *p4v1.StreamMessageRequest_DigestAck:
			if err := s.digestAck(st, m.DigestAck); err != nil {
				st.report(err, &p4v1.StreamError{Details: &p4v1.StreamError_DigestListAck{
					DigestListAck: &p4v1.DigestListAckError{DigestListAck: m.DigestAck}}})
			}
		case *p4v1.StreamMessageRequest_Other:
			err := status.Error(codes.Unimplemented, "the switch knows no architecture-specific stream messages")
			st.report(err, &p4v1.StreamError{Details: &p4v1.StreamError_Other{
				Other: &p4v1.StreamOtherError{Other: m.Other}}})
		default:
			err := status.Error(codes.InvalidArgument, "the stream message has no content")
			st.report(err, &p4v1.StreamError{Details: &p4v1.StreamError_Other{
				Other: &p4v1.StreamOtherError{}}})
		}
	}
}

func (s *Server) arbitrate(st *stream, m *p4v1.MasterArbitrationUpdate) error {
	if err := s.arbiter.update(st, m, s.drainWrites); err != nil {
		return err
	}
	if f := s.Forwarding(); f != nil && s.arbiter.isPrimary(st) {
		f.forgetSentDigests() // a new primary has not seen them
	}
	return nil
}

// drainWrites waits until the Writes that have started are done: a Write holds
// the state from its check of the primary on.
func (s *Server) drainWrites() {
	s.state.Lock()
	defer s.state.Unlock()
}

// report tells the client what a message of its was refused for (16.6);
// details say which.
func (st *stream) report(err error, details *p4v1.StreamError) {
	s := status.Convert(err)
	details.CanonicalCode, details.Message = int32(s.Code()), s.Message()
	st.offer(&p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Error{Error: details}}, proto.Size(details))
}

// requirePrimary refuses a stream message of a client that is not primary.
func (s *Server) requirePrimary(st *stream, what string) error {
	if !s.arbiter.isPrimary(st) {
		return status.Errorf(codes.PermissionDenied, "%s: only the primary client may send it", what)
	}
	return nil
}
