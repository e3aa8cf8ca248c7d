package p4rtserver

import (
	"errors"
	"io"
	"math"
	"sync"
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
	waits queue
	most  atomic.Int64 // bytes that may wait
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

// queue is what waits for a client, of at most queueLength messages. Where nothing does it
// takes next to nothing: most streams are those of clients that are told little.
type queue struct {
	ready chan struct{} // capacity 1: something waits

	mu    sync.Mutex // guards what follows
	list  []queued
	bytes int64
}

// put appends a message, unless more than some messages or bytes would wait, and reports
// whether it did.
func (q *queue) put(m queued, messages int, bytes int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) >= messages || q.bytes+int64(m.size) > bytes {
		return false
	}
	q.list = append(q.list, m)
	q.bytes += int64(m.size)
	q.wake()
	return true
}

// take gives the first message, which there is when ready says so.
func (q *queue) take() queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.list[0]
	q.list[0] = queued{}
	q.bytes -= int64(m.size)
	if q.list = q.list[1:]; len(q.list) > 0 {
		q.wake()
	}
	return m
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// offer queues a message that may be lost, and reports whether it did.
func (st *stream) offer(m *p4v1.StreamMessageResponse, size int) bool {
	return st.waits.put(queued{m, size}, queueLength-queueReserve, st.most.Load())
}

// mustSend queues a message that must not be lost; if there is no room, the
// stream ends.
func (st *stream) mustSend(m *p4v1.StreamMessageResponse) {
	if !st.waits.put(queued{message: m}, queueLength, math.MaxInt64) {
		st.stop(status.Error(codes.ResourceExhausted, "the client does not read its stream"))
	}
}

func (st *stream) stop(err error) {
	select {
	case st.end <- err:
	default:
	}
}

func newStream(conn Connection) *stream {
	st := &stream{waits: queue{ready: make(chan struct{}, 1)}, end: make(chan error, 1), conn: conn}
	st.most.Store(namedQueueBytes)
	return st
}

// StreamChannel serves one client's stream (16).
func (s *Server) StreamChannel(ss p4v1.P4Runtime_StreamChannelServer) error {
	st := newStream(connectionOf(ss.Context()))
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
		case <-st.waits.ready:
			if err := ss.Send(st.waits.take().message); err != nil {
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
