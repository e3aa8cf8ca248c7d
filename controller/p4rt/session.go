package p4rt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// The answer to a Write has the errors of all its updates in its trailers.
	// P4Runtime 18.1 counts 100 bytes for each; base64 and long messages make
	// it three times that.
	maxHeaderList = 16 << 20
	// Servers receive messages of up to 4 MB by default: room for the rest.
	maxWriteBytes = 3 << 20
	window        = 1 << 20
)

// session is one connection, from dialling to its end.
type session struct {
	*Client
	ctx    context.Context // ends with the session
	cancel context.CancelCauseFunc
	conn   *grpc.ClientConn
	rpc    p4v1.P4RuntimeClient // over conn
	stream p4v1.P4Runtime_StreamChannelClient
	out    chan *p4v1.StreamMessageRequest // to the sender, the stream's only writer
	// arbitration holds the latest answer of the arbitration, until handled.
	arbitration chan *p4v1.MasterArbitrationUpdate
	answered    bool        // the target took part in the arbitration; serve's own
	up          atomic.Bool // Up was queued, and nothing against it
	kept        kept
}

// connect makes a session and serves it until it ends, and says why it ended.
func (c *Client) connect(ctx context.Context) error {
	conn, err := c.dial()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	defer conn.Close()
	s := &session{
		Client:      c,
		conn:        conn,
		rpc:         p4v1.NewP4RuntimeClient(conn),
		out:         make(chan *p4v1.StreamMessageRequest, 256),
		arbitration: make(chan *p4v1.MasterArbitrationUpdate, 1),
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(context.Canceled)
	if s.stream, err = s.rpc.StreamChannel(s.ctx); err != nil {
		return sessionError(err)
	}
	s.arbitrate(*c.id.Load())
	var wg sync.WaitGroup
	wg.Go(s.send)
	wg.Go(s.receive)
	err = s.serve()
	s.cancel(err)
	wg.Wait()
	s.reconsider(err)
	return sessionError(err)
}

// reconsider chooses another election id for the next session where this one
// was refused since its id is in use.
func (s *session) reconsider(err error) {
	switch {
	case status.Code(err) != codes.InvalidArgument || errors.Is(err, ErrRefused): // something else
	case s.answered: // another controller claimed the same id
		s.id.Store(&s.cfg.ElectionID)
	case s.known:
		// The id was ours: a connection of ours broke, and the target has not
		// noticed. With the same id it could keep us out for as long as that
		// lasts.
		s.id.Store(new(s.id.Load().next()))
	}
}

func (c *Client) dial() (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if c.cfg.Credentials != nil {
		var err error
		if creds, err = c.cfg.Credentials(); err != nil {
			return nil, err
		}
	}
	// "passthrough" hands the address to dialTarget as it is. Retries are the
	// supervisor's, so grpc gets one attempt; proxies from the environment are
	// not for targets.
	return grpc.NewClient("passthrough:///"+c.address,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(c.dialTarget),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithMaxHeaderListSize(maxHeaderList),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(math.MaxInt32), // BMv2 answers a Read with one message
			grpc.MaxCallSendMsgSize(math.MaxInt32),
		))
}

// dialTarget leaves it to TCP to find a peer that is gone, and to the probe to
// find one that hangs. HTTP/2 keepalive pings are no option: servers by default
// (BMv2's too) close a connection that pings more often than every 5 minutes.
func (c *Client) dialTarget(ctx context.Context, _ string) (net.Conn, error) {
	d := net.Dialer{
		Timeout: c.cfg.ProbeInterval,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: c.cfg.ProbeInterval, Interval: max(time.Second, c.cfg.ProbeInterval/3), Count: 3,
		},
	}
	conn, err := d.DialContext(ctx, c.network, c.address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				// An aid only: without it a send to a peer that is gone is
				// given up when the probe is.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT,
					int(2*c.cfg.ProbeInterval/time.Millisecond))
			})
		}
	}
	return conn, err
}

// send is the one writer of the stream.
func (s *session) send() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case msg := <-s.out:
			if s.stream.Send(msg) != nil {
				return // receive gets the reason
			}
		}
	}
}

// receive drains the stream without ever waiting for anybody: BMv2 stalls when
// a client does not drain it.
func (s *session) receive() {
	for {
		msg, err := s.stream.Recv()
		if err != nil {
			s.cancel(err)
			return
		}
		switch u := msg.GetUpdate().(type) {
		case *p4v1.StreamMessageResponse_Arbitration:
			select { // only the latest counts
			case <-s.arbitration:
			default:
			}
			s.arbitration <- u.Arbitration
		case *p4v1.StreamMessageResponse_Digest:
			s.offer(Digest{ID: u.Digest.GetDigestId(), ListID: u.Digest.GetListId(), Members: u.Digest.GetData(), from: s})
		case *p4v1.StreamMessageResponse_Packet:
			s.offer(PacketIn{Packet: u.Packet})
		case *p4v1.StreamMessageResponse_IdleTimeoutNotification:
			s.offer(Idle{Entries: u.IdleTimeoutNotification.GetTableEntry()})
		case *p4v1.StreamMessageResponse_Error:
			s.metrics.streamErrors.Inc()
			s.cfg.Logger.Warn("target refused a stream message",
				"code", codes.Code(u.Error.GetCanonicalCode()), "message", u.Error.GetMessage())
		case *p4v1.StreamMessageResponse_Other:
			s.other(u.Other)
		default:
			s.metrics.ignored.Inc()
		}
	}
}

// other takes a message that P4Runtime leaves to the architecture.
func (s *session) other(m *anypb.Any) {
	ports, ok, err := decodeOther(m)
	switch {
	case err != nil:
		s.cfg.Logger.Warn("stream message of the architecture ignored", "err", err)
	case ok:
		s.queue.ports(ports)
		return
	}
	s.metrics.ignored.Inc()
}

// offer queues an event that may be dropped. What comes before the pipeline is
// known to be ours is left out: it may be another's.
func (s *session) offer(e Event) {
	if !s.up.Load() {
		s.metrics.dropped.WithLabelValues(kind(e)).Inc()
		return
	}
	s.queue.offer(e)
}

// acknowledge tells the target that a digest list arrived. It never waits: a
// list that stays unacknowledged is sent again.
func (s *session) acknowledge(d Digest) {
	select {
	case s.out <- &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_DigestAck{
		DigestAck: &p4v1.DigestListAck{DigestId: d.ID, ListId: d.ListID},
	}}:
	default:
		s.metrics.dropped.WithLabelValues("digest_ack").Inc()
	}
}

// serve waits for the arbitration, follows its changes and probes the target.
func (s *session) serve() error {
	probe := time.NewTicker(s.cfg.ProbeInterval)
	defer probe.Stop()
	primary := false
	for {
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case a := <-s.arbitration:
			if !s.answered {
				s.answered, s.known = true, true
				s.connected(s)
			}
			var err error
			if primary, err = s.arbitrated(a, primary); err != nil {
				return err
			}
		case <-probe.C:
			if !s.answered {
				return fmt.Errorf("no answer to the arbitration within %v", s.cfg.ProbeInterval)
			}
			if err := s.probe(primary); err != nil {
				return err
			}
		}
	}
}

// arbitrate asks for mastership with an election id.
func (s *session) arbitrate(id ElectionID) {
	s.id.Store(&id)
	select {
	case s.out <- &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: s.cfg.DeviceID, ElectionId: id.proto()},
	}}:
	case <-s.ctx.Done():
	}
}

// arbitrated acts on an answer of the arbitration and reports whether this
// controller is primary now.
func (s *session) arbitrated(a *p4v1.MasterArbitrationUpdate, was bool) (bool, error) {
	highest := ElectionID{High: a.GetElectionId().GetHigh(), Low: a.GetElectionId().GetLow()}
	switch code := codes.Code(a.GetStatus().GetCode()); {
	case code == codes.NotFound && highest.Compare(*s.id.Load()) >= 0:
		// Nobody is primary, and by P4Runtime 5.3 nobody can be with an id
		// below the highest ever seen. This session takes the next one; with
		// the configured id it would wait for ever.
		s.cfg.Logger.Info("target has no primary, claiming", "highest", highest)
		if was {
			s.setPrimary(s, false, NotPrimary{Primary: highest})
		}
		s.arbitrate(highest.next())
		return false, nil
	case code != codes.OK:
		s.cfg.Logger.Info("another controller is primary", "election_id", *s.id.Load(), "primary", highest)
		s.setPrimary(s, false, NotPrimary{Primary: highest})
		return false, nil
	}
	if was {
		return true, nil
	}
	up, err := s.pipeline()
	if err != nil {
		return false, err
	}
	s.cfg.Logger.Info("primary controller of the target", "election_id", *s.id.Load(), "pushed", up.Pushed, "emptied",
		up.Emptied)
	s.setPrimary(s, true, up)
	return true, nil
}

// sessionError makes the reason why a session ended readable, and errors.Is of
// ErrRefused or ErrNotConnected.
func sessionError(err error) error {
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrNotConnected) {
		return err
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the target closed the stream (%w)", ErrNotConnected, err)
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Aborted:
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	default:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
}
