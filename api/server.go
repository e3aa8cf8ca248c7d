package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/api/vtep"
	"github.com/p4evpn/p4evpn/api/web"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/internal/journal"
	"github.com/p4evpn/p4evpn/internal/socket"
	"github.com/p4evpn/p4evpn/internal/tracing"
)

// drainTimeout bounds how long calls in progress may hold up the end of Run.
const drainTimeout = 2 * time.Second

// What a connection has: time for the header of a request (of the first one also for the
// handshake of TLS), time without any, bytes of a header, requests at once, and bytes that
// are taken of it before anybody reads them, in all and of a request.
const (
	headerTimeout    = 10 * time.Second
	idleTimeout      = 2 * time.Minute
	maxHeader        = 32 << 10
	maxStreams       = 100
	connectionWindow = 256 << 10
	streamWindow     = 64 << 10
)

// Config says what a Server serves and where.
type Config struct {
	// Listen are addresses as package socket reads them. Each serves gRPC and REST.
	Listen []string
	// VTEPListen is an address for the REST API of package vtep, or empty; VTEP
	// is our default VTEP address.
	VTEPListen string
	VTEP       netip.Addr
	// OVNPort is the port of the target behind which OVN is, or empty.
	OVNPort string
	Store   *intent.Store
	// Status, View and Auditor are answered by the controller; without a View
	// or an Auditor those services are not offered.
	Status  intent.StatusSource
	View    view.View
	Auditor view.Auditor
	// Tracer traces frames; without it that service is not offered.
	Tracer view.Tracer
	// Checker checks the target; without it that service is not offered.
	Checker view.Checker
	// Events are what happened; without them that service is not offered.
	Events *journal.Log
	// Duplicates clears duplicates; without it that service is not offered.
	Duplicates view.Duplicates
	// Underlay are the routes that BGP learned there; nil: there are none.
	Underlay view.Underlay
	// TLS asks for certificates over TCP. Roles says what the subject of a client's may do
	// (RFC 2253, as subjectOf writes it), and by "user:NAME" and "group:NAME" what users
	// of this machine may over Unix sockets.
	TLS   *TLS
	Roles map[string]Role
	// Insecure lets whoever can connect by a loopback address do everything, without TLS.
	Insecure bool
	// Hosts are the names, besides localhost, by which it may be called then.
	Hosts  []string
	Limits Limits
	// WebListen are addresses for the page; none: it is not served. TokenKey is the file of the
	// key that signs its tokens, which is made where there is none. Changed gives another
	// number after something changed that View shows; without it pages wait for their time.
	WebListen []string
	TokenKey  string
	Changed   func() uint64
	// AuditLog is the file that gets a line for each change; "": none.
	AuditLog string
	// Spans begins the spans of calls; nil: they have none.
	Spans  *tracing.Tracer
	Logger *slog.Logger // nil: slog.Default()
}

// Server serves gRPC and REST on the same addresses. It runs once.
type Server struct {
	addresses []socket.Address
	tls       *tls.Config
	insecure  bool
	limits    Limits
	store     *intent.Store
	http      *http.Server
	vtep      []socket.Address // none or one
	vtepHTTP  *http.Server
	web       []socket.Address
	webTLS    *tls.Config // that a client without a certificate can use too
	webHTTP   *http.Server
	pages     *web.Pages // nil: there is no page
	key       *tokenKey  // nil: the same
	services  *services
	guard     *guard
	health    *health.Server
	ready     chan struct{}
	metrics   *metrics
	log       *slog.Logger

	certificates map[string]Role
	local        localRoles

	mu      sync.Mutex
	bounded []*socket.Bounded // once it listens
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// New prepares a server; Run makes it listen.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{health: health.NewServer(), ready: make(chan struct{}), metrics: newMetrics(), limits: cfg.Limits,
		insecure: cfg.Insecure, store: cfg.Store, log: cfg.Logger}
	var err error
	if s.certificates, s.local, err = newRoles(cfg.Roles); err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		if s.tls, err = serverTLS(*cfg.TLS, s.log); err != nil {
			return nil, err
		}
	}
	for _, listen := range cfg.Listen {
		if s.addresses, err = s.add(s.addresses, listen); err != nil {
			return nil, err
		}
	}
	s.guard = &guard{origin: http.NewCrossOriginProtection(), hosts: map[string]bool{}, limit: newLimiter(cfg.Limits),
		spans:  cfg.Spans,
		flight: newFlight(), body: bodyTimeout, metrics: s.metrics, log: s.log}
	for _, name := range cfg.Hosts {
		s.guard.hosts[strings.ToLower(name)] = true
	}
	if cfg.AuditLog != "" {
		if s.guard.audit, err = newAuditLog(cfg.AuditLog, s.metrics, s.log); err != nil {
			return nil, err
		}
	}
	s.services = newServices(s.guard, grpc.MaxRecvMsgSize(cfg.Limits.MessageBytes))
	if err := s.newPages(cfg); err != nil {
		return nil, err
	}
	s.register(cfg)
	gateway, err := newREST(s.services, cfg.Limits.BodyBytes)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	s.http = newHTTP(callsOr(&callGate{s.guard, cfg.Limits.MessageBytes, s.services}, gateway), s.log)
	if cfg.VTEPListen == "" {
		return s, nil
	}
	s.vtepHTTP = newHTTP(newVTEP(s.guard, cfg.Limits.BodyBytes,
		&vtep.Handler{Store: cfg.Store, View: cfg.View, VTEP: cfg.VTEP, OVN: cfg.OVNPort}), s.log)
	s.vtep, err = s.add(nil, cfg.VTEPListen)
	return s, err
}

// add adds an address, if it may be listened at.
func (s *Server) add(to []socket.Address, text string) ([]socket.Address, error) {
	a, err := socket.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("API: %w", err)
	case a.Unix() || s.tls != nil || s.insecure && a.Loopback():
		return append(to, a), nil
	case s.insecure:
		return nil, fmt.Errorf("API: address %q: without TLS only a loopback address: set api.tls", text)
	}
	return nil, fmt.Errorf("API: address %q: TCP wants api.tls; on a loopback address api.insecure: true lets every user "+
		"of this machine do everything without", text)
}

// register gives every service to gRPC and REST, and a health to each.
func (s *Server) register(cfg Config) {
	registerObjects(s.services, cfg.Store, cfg.Status, cfg.View)
	p4evpnv1.RegisterStoreServiceServer(s.services, &storeService{store: cfg.Store})
	p4evpnv1.RegisterTokensServer(s.services, &tokenService{key: s.key})
	if cfg.View != nil {
		p4evpnv1.RegisterPortServiceServer(s.services, &targetPortService{view: cfg.View})
		p4evpnv1.RegisterViewServer(s.services, &viewService{view: cfg.View, underlay: cfg.Underlay, store: cfg.Store})
	}
	if cfg.Auditor != nil {
		p4evpnv1.RegisterTargetServer(s.services, &targetService{auditor: cfg.Auditor})
	}
	if cfg.Checker != nil {
		p4evpnv1.RegisterCheckingServer(s.services, &checkingService{checker: cfg.Checker})
	}
	if cfg.Tracer != nil {
		p4evpnv1.RegisterTracingServer(s.services, &tracingService{tracer: cfg.Tracer})
	}
	if cfg.Events != nil {
		p4evpnv1.RegisterEventsServer(s.services, &eventService{log: cfg.Events})
	}
	if cfg.Duplicates != nil {
		p4evpnv1.RegisterDuplicatesServer(s.services, &duplicateService{duplicates: cfg.Duplicates, store: cfg.Store})
	}
	healthpb.RegisterHealthServer(s.services, s.health)
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	for name := range s.services.GetServiceInfo() {
		s.health.SetServingStatus(name, healthpb.HealthCheckResponse_NOT_SERVING)
	}
	reflection.Register(s.services)
}

// registerObjects gives the services of the kinds of the store.
func registerObjects(s *services, store *intent.Store, st intent.StatusSource, v view.View) {
	pb.RegisterLogicalBridgeServiceServer(s, newBridgeService(store, st))
	pb.RegisterBridgePortServiceServer(s, newPortService(store, st))
	pb.RegisterVrfServiceServer(s, newVRFService(store, st))
	pb.RegisterSviServiceServer(s, newSVIService(store, st))
	p4evpnv1.RegisterSpeakerServiceServer(s, newSpeakerService(store, st))
	p4evpnv1.RegisterNeighborServiceServer(s, newNeighborService(store, st, v))
	p4evpnv1.RegisterInstanceServiceServer(s, newInstanceService(store, st))
	p4evpnv1.RegisterStaticMacServiceServer(s, newStaticMACService(store, st))
}

// callsOr serves gRPC and REST from one listener: what is gRPC says so.
func callsOr(calls, gateway http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
		} else {
			gateway.ServeHTTP(w, r)
		}
	})
}

func newHTTP(handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC without TLS
	return &http.Server{
		Handler:   handler,
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: time.Minute, PingTimeout: 20 * time.Second, WriteByteTimeout: time.Minute,
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream: streamWindow,
		},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withParty,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Ready is closed when every address is served.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens and serves until ctx ends, then lets calls in progress finish for
// a moment. An address that cannot be had is an error at once.
func (s *Server) Run(ctx context.Context) error {
	var all []served
	add := func(to served, addresses []socket.Address) (err error) {
		for _, a := range addresses {
			if to.listener, err = s.listen(ctx, a); err != nil {
				return err
			}
			all = append(all, to)
		}
		return nil
	}
	err := cmp.Or(add(s.api(), s.addresses), add(s.restVTEP(), s.vtep), add(s.page(), s.web))
	if err != nil {
		for _, at := range all {
			_ = at.listener.Close()
		}
		return err
	}
	return s.serve(ctx, all)
}

// served is what is served at a listener, with which TLS over TCP.
type served struct {
	what     string
	http     *http.Server
	tls      *tls.Config
	listener net.Listener
}

func (s *Server) api() served      { return served{what: "API", http: s.http, tls: s.tls} }
func (s *Server) restVTEP() served { return served{what: "API of VTEPs", http: s.vtepHTTP, tls: s.tls} }
func (s *Server) page() served     { return served{what: "page", http: s.webHTTP, tls: s.webTLS} }

func (s *Server) listen(ctx context.Context, a socket.Address) (net.Listener, error) {
	lis, err := a.Listen(ctx, socket.File{Mode: 0o660, Group: ownGroup})
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	if at, ok := lis.Addr().(*net.TCPAddr); ok && s.tls == nil && !at.IP.IsLoopback() { // "localhost" may be anywhere
		_ = lis.Close()
		return nil, fmt.Errorf("API: %v is no loopback address: set api.tls", at)
	}
	return lis, nil
}

// Serve is Run on listeners for gRPC and REST, which it closes.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	var all []served
	for _, lis := range listeners {
		at := s.api()
		at.listener = lis
		all = append(all, at)
	}
	return s.serve(ctx, all)
}

func (s *Server) serve(ctx context.Context, all []served) error {
	s.health.Resume() // every service that is registered is now serving
	group, serving := errgroup.WithContext(ctx)
	for _, at := range all {
		s.log.Info(at.what+" listens", "address", at.listener.Addr().String(),
			"tls", at.tls != nil && at.listener.Addr().Network() == "tcp")
		lis := s.accept(at)
		group.Go(func() error { return at.http.Serve(lis) })
	}
	if s.pages != nil {
		group.Go(func() error {
			_ = s.pages.Run(serving) // it ends with what serves
			return nil
		})
	}
	close(s.ready)
	defer s.guard.audit.close()
	group.Go(func() error {
		<-serving.Done()
		s.stop()
		return nil
	})
	if err := group.Wait(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stop drains; health watchers would hold that up, so they are told first.
func (s *Server) stop() {
	s.health.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	for _, server := range []*http.Server{s.http, s.vtepHTTP, s.webHTTP} {
		if server != nil && server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
	s.services.grpc.Stop()
}
