package p4rtserver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// apiVersion is the version of the P4Runtime API that the server speaks.
const apiVersion = "1.5.0"

// keepsWhatFits is a field of the experimental capabilities.
const keepsWhatFits = "reconcile_keeps_what_fits"

const (
	// tickInterval is the step of the pipeline's idle clock.
	tickInterval = 50 * time.Millisecond
	// idleScanInterval is how often idle entries are looked for.
	idleScanInterval = 500 * time.Millisecond
	// idleRepeat is how often an entry that stays idle is notified again, as
	// on BMv2.
	idleRepeat = 2 * time.Second
)

// Config is what a server needs. DeviceID must not be 0.
type Config struct {
	DeviceID uint64
	Limits   pipeline.Limits
	// Port reports whether a port exists and is up; it is asked often and must not
	// wait. Nil: all are there and up.
	Port func(number uint32) (exists, up bool)
	// Inject sends a packet-out, header first, into the pipeline at the CPU
	// port. It must not keep the frame. Nil refuses packet-outs.
	Inject func(frame []byte) error
	// PromoteNext makes the client with the next election id primary when the
	// primary leaves or steps down. The specification has none then, until a
	// client arbitrates.
	PromoteNext bool
	Logger      *slog.Logger // nil = slog.Default()
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) check() error {
	if c.DeviceID == 0 {
		return errors.New("device id 0 is not valid in P4Runtime: use 1 or more")
	}
	return nil
}

// Server implements the P4Runtime service for one device.
type Server struct {
	p4v1.UnimplementedP4RuntimeServer
	cfg Config
	log *slog.Logger

	// state is held for writing while entities change, for reading while they
	// are read, so that a Read sees all of a Write or nothing (13.4).
	state   sync.RWMutex
	control *Forwarding // what Write and Read refer to; nil before the first
	// committed is what packets run through; it differs from control between
	// VERIFY_AND_SAVE and COMMIT.
	committed atomic.Pointer[Forwarding]

	gates   gates
	arbiter arbiter
	streams sync.WaitGroup
	closed  chan struct{}
	wake    chan struct{} // a digest list waits for its timeout
	reading chan struct{} // holds a token for each Read of a stranger

	counters counters
}

// New makes a server without a pipeline.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, log: cfg.Logger,
		arbiter: arbiter{deviceID: cfg.DeviceID, promoteNext: cfg.PromoteNext, roles: map[string]*role{}},
		closed:  make(chan struct{}),
		wake:    make(chan struct{}, 1),
		reading: make(chan struct{}, strangersReads),
	}, nil
}

// Forwarding returns the committed pipeline, or nil while there is none. It
// costs one atomic load.
func (s *Server) Forwarding() *Forwarding { return s.committed.Load() }

// Run does what happens by the clock (idle timeouts, digest lists) until ctx
// is done, then ends all streams and returns nil.
func (s *Server) Run(ctx context.Context) error {
	defer func() {
		close(s.closed)
		s.streams.Wait()
	}()
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	digestDue := time.NewTimer(time.Hour)
	defer digestDue.Stop()
	var idle idleScan
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if f := s.Forwarding(); f != nil {
				f.Pipeline.Tick(monotonic())
				s.scanIdle(&idle, f, now)
				f.forgetOldDigests(now)
				f.checkPorts()
			}
		case <-s.wake:
			digestDue.Reset(s.flushDigests())
		case <-digestDue.C:
			digestDue.Reset(s.flushDigests())
		}
	}
}

var processStart = time.Now()

// monotonic is the time base of the pipeline's idle clock, in ns.
func monotonic() int64 { return int64(time.Since(processStart)) }

// Capabilities tells the API version (17), and what else a client may rely on: a
// Struct, whose field keepsWhatFits says that RECONCILE_AND_COMMIT is taken for any
// pipeline and keeps what of the state fits it.
func (s *Server) Capabilities(_ context.Context, req *p4v1.CapabilitiesRequest) (*p4v1.CapabilitiesResponse, error) {
	if id := req.GetDeviceId(); id != 0 {
		if err := s.checkDevice(id); err != nil {
			return nil, err
		}
	}
	more, err := anypb.New(
		&structpb.Struct{Fields: map[string]*structpb.Value{keepsWhatFits: structpb.NewBoolValue(true)}})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "tell capabilities: %v", err)
	}
	return &p4v1.CapabilitiesResponse{P4RuntimeApiVersion: apiVersion, Experimental: more}, nil
}

func (s *Server) checkDevice(id uint64) error {
	if id != s.cfg.DeviceID {
		return status.Errorf(codes.NotFound, "device id %d: this switch is device %d", id, s.cfg.DeviceID)
	}
	return nil
}

// checkWriter does the checks of 12 that come before an update: device, role,
// primary.
func (s *Server) checkWriter(deviceID, roleID uint64, role string, election *p4v1.Uint128) error {
	if err := s.checkDevice(deviceID); err != nil {
		return err
	}
	if roleID != 0 {
		return status.Errorf(codes.Unimplemented, "role_id %d: numeric roles are deprecated, use the role's name", roleID)
	}
	return s.arbiter.checkPrimary(role, election)
}
