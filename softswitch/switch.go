package softswitch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/internal/socket"
	"github.com/p4evpn/p4evpn/softswitch/netport"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
)

// maxRequest bounds a P4Runtime request of the primary's, in bytes: a large pipeline or
// batch. Others' are bounded by their connection.
const maxRequest = 256 << 20

// Of a connection: requests at once, bytes of a header, and the time to say hello.
const (
	maxStreams    = 100
	maxHeader     = 32 << 10
	handshakeTime = 10 * time.Second
)

// window is how much of a request is taken before it is read, in bytes.
const window = 1 << 20

// Sizes of the receive rings in bytes, where the configuration says nothing:
// allRings together, each within the bounds.
const (
	allRings = 256 << 20
	maxRing  = 4 << 20
	minRing  = 512 << 10
	maxRings = allRings / minRing
)

// Switch is a running, or not yet running, switch.
type Switch struct {
	cfg      Config
	log      *slog.Logger
	server   *p4rtserver.Server
	grpc     *grpc.Server
	listener net.Listener
	clients  *clients
	ready    chan struct{}

	ports   []*netport.Port // as in cfg.Ports
	indexOf []int32         // port number to index into ports, or -1

	cpu struct {
		sync.Mutex // packet-outs of several clients
		lane       *lane
		batch      [1][]byte
	}

	noPipeline, noPort atomic.Uint64
	portNews           chan struct{} // one slot: the state of a port changed
}

// New makes a switch and listens at its P4Runtime address; [Switch.Run] serves
// and forwards. Interfaces need not exist.
func New(cfg Config) (*Switch, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	creds, err := cfg.TLS.credentials()
	if err != nil {
		return nil, fmt.Errorf("serve P4Runtime: %w", err)
	}
	s := &Switch{cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), clients: newClients(cfg.Logger),
		portNews: make(chan struct{}, 1)}
	serverConfig := p4rtserver.Config{DeviceID: cfg.DeviceID, Limits: cfg.Limits, Port: s.portState,
		PromoteNext: cfg.PromoteNext, Logger: cfg.Logger}
	if cfg.CPUPort != 0 {
		serverConfig.Inject = s.inject
	}
	if s.server, err = p4rtserver.New(serverConfig); err != nil {
		return nil, err
	}
	if cfg.Pipeline != nil {
		if err := s.server.Configure(cfg.Pipeline); err != nil {
			return nil, fmt.Errorf("load the pipeline to start with: %s", status.Convert(err).Message())
		}
	}
	if err := s.openPorts(); err != nil {
		s.closePorts()
		return nil, err
	}
	s.cpu.lane = newLane(s, cfg.CPUPort)
	if s.listener, err = s.listen(); err != nil {
		s.closePorts()
		return nil, fmt.Errorf("serve P4Runtime: %w", err)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(newClientCredentials(creds, s.clients)),
		grpc.StatsHandler(s.clients),
		grpc.InTapHandle(boundRead),
		p4rtserver.ServerOption(),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeTime),
		// Of its own accord gRPC would measure the way to the client, with a ping for a Write.
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		// A client whose machine is gone must not stay primary.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	s.server.Register(s.grpc)
	return s, nil
}

func (s *Switch) openPorts() error {
	highest := uint32(0)
	for _, p := range s.cfg.Ports {
		highest = max(highest, p.Number)
	}
	s.indexOf = make([]int32, highest+1)
	for i := range s.indexOf {
		s.indexOf[i] = -1
	}
	ringBytes := s.cfg.RingBytes
	if ringBytes == 0 && len(s.cfg.Ports) > 0 {
		ringBytes = min(maxRing, max(minRing, allRings/len(s.cfg.Ports)))
	}
	for _, p := range s.cfg.Ports {
		port, err := netport.New(netport.Config{
			Interface: p.Interface, RingBytes: ringBytes, Logger: s.log.With("port", p.Number),
			Ways: s.cfg.Ways, Shared: s.cfg.UnsafeShared, Changed: s.portChanged,
		})
		if err != nil {
			return fmt.Errorf("port %v: %w", p, err)
		}
		s.indexOf[p.Number] = int32(len(s.ports))
		s.ports = append(s.ports, port)
	}
	return nil
}

// portState reports whether the switch has a port, and whether it is up.
func (s *Switch) portState(number uint32) (exists, up bool) {
	if number == s.cfg.CPUPort && number != 0 {
		return true, true
	}
	i := s.portIndex(number)
	return i >= 0, i >= 0 && s.ports[i].Up()
}

func (s *Switch) closePorts() {
	for _, p := range s.ports {
		p.Close()
	}
}

// portIndex returns the index of the port with a number, or -1.
func (s *Switch) portIndex(number uint32) int {
	if number >= uint32(len(s.indexOf)) {
		return -1
	}
	return int(s.indexOf[number])
}

// Address is where P4Runtime is served; the port is known though the
// configuration said 0.
func (s *Switch) Address() net.Addr { return s.listener.Addr() }

// Ready is closed when P4Runtime is served.
func (s *Switch) Ready() <-chan struct{} { return s.ready }

// Run serves P4Runtime and forwards frames until ctx is done, and then returns
// nil; an error if it cannot go on. It may be called once.
func (s *Switch) Run(ctx context.Context) error {
	defer s.closePorts()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Run(ctx) })
	group.Go(func() error { return netport.Watch(ctx, s.log, s.ports) })
	group.Go(func() error { return s.tellPorts(ctx) })
	for i, p := range s.ports {
		var handlers []func([][]byte)
		for range s.cfg.Lanes {
			l := newLane(s, s.cfg.Ports[i].Number)
			// A frame without a pipeline is dropped and counted.
			handlers = append(handlers, func(frames [][]byte) { _ = l.carry(frames) })
		}
		group.Go(func() error { return p.Run(ctx, handlers...) })
	}
	group.Go(func() error {
		defer context.AfterFunc(ctx, s.grpc.Stop)()
		s.log.Info("serving P4Runtime", "address", s.Address().String(), "device", s.cfg.DeviceID, "ports", len(s.ports))
		close(s.ready)
		if err := s.grpc.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serve P4Runtime: %w", err)
		}
		return nil
	})
	return group.Wait()
}

// inject sends a packet-out into the pipeline at the CPU port.
func (s *Switch) inject(frame []byte) error {
	s.cpu.Lock()
	defer s.cpu.Unlock()
	s.cpu.batch[0] = frame
	return s.cpu.lane.carry(s.cpu.batch[:])
}

// listen opens the address of P4Runtime: a socket for this user alone, or TCP.
func (s *Switch) listen() (net.Listener, error) {
	a, err := socket.Parse(s.cfg.GRPCAddress)
	if err != nil {
		return nil, err
	}
	l, err := a.Listen(context.Background(), socket.File{Mode: 0o600})
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok && s.cfg.TLS == (TLS{}) && !at.IP.IsLoopback() {
		s.log.Warn("P4Runtime is served without TLS where others can reach it: whoever does controls the switch",
			"address", at.String())
	}
	return s.clients.bound(l), nil
}
