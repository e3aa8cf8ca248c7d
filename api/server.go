package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/api/vtep"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// drainTimeout bounds how long calls in progress may hold up the end of Run.
const drainTimeout = 2 * time.Second

// Config says what a Server serves and where.
type Config struct {
	// Listen is "host:port", "unix:/run/p4evpn/api.sock", the same with
	// "unix://" or "tcp://host:port". RESTListen is a further address of the
	// same form, or empty. Each serves gRPC and REST.
	Listen, RESTListen string
	// VTEPListen is an address for the REST API of package vtep, or empty; VTEP
	// is our default VTEP address.
	VTEPListen string
	VTEP       netip.Addr
	Store      *intent.Store
	// Status, View and Auditor are answered by the controller; without a View
	// or an Auditor those services are not offered.
	Status  intent.StatusSource
	View    view.View
	Auditor view.Auditor
	// Duplicates clears duplicates; without it that service is not offered.
	Duplicates view.Duplicates
	// Underlay are the routes that BGP learned there; nil: there are none.
	Underlay view.Underlay
	// TLS asks for certificates on every address, and Roles says what the
	// subject of a client's may do (RFC 2253, as subjectOf writes it). Without
	// TLS whoever can connect may do everything.
	TLS    *TLS
	Roles  map[string]Role
	Limits Limits
	Logger *slog.Logger // nil: slog.Default()
}

// Server serves gRPC and REST on the same addresses. It runs once.
type Server struct {
	addresses []address
	tls       *tls.Config
	http      *http.Server
	vtep      []address // none or one
	vtepHTTP  *http.Server
	services  *services
	health    *health.Server
	ready     chan struct{}
	log       *slog.Logger
}

// address is where to listen.
type address struct{ network, address string }

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// New prepares a server; Run makes it listen.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{health: health.NewServer(), ready: make(chan struct{}), log: cfg.Logger}
	for _, listen := range []string{cfg.Listen, cfg.RESTListen} {
		if listen == "" && len(s.addresses) > 0 {
			continue // no further one
		}
		a, err := splitListen(listen)
		if err != nil {
			return nil, err
		}
		s.addresses = append(s.addresses, a)
	}
	guard := &guard{limit: newLimiter(cfg.Limits), log: s.log}
	if cfg.TLS != nil {
		var err error
		if s.tls, err = serverTLS(*cfg.TLS, s.log); err != nil {
			return nil, err
		}
		guard.roles = maps.Clone(cfg.Roles)
		if guard.roles == nil {
			guard.roles = map[string]Role{}
		}
	}
	s.services = newServices(guard, grpc.MaxRecvMsgSize(cfg.Limits.MessageBytes))
	s.register(cfg)
	gateway, err := newREST(s.services, cfg.Limits.MessageBytes)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	s.http = newHTTP(callsOr(s.services.grpc, gateway), s.log)
	if cfg.VTEPListen == "" {
		return s, nil
	}
	a, err := splitListen(cfg.VTEPListen)
	if err != nil {
		return nil, err
	}
	s.vtep = []address{a}
	s.vtepHTTP = newHTTP(newVTEP(guard, cfg.Limits.MessageBytes,
		&vtep.Handler{Store: cfg.Store, View: cfg.View, VTEP: cfg.VTEP}), s.log)
	return s, nil
}

// register gives every service to gRPC and REST, and a health to each.
func (s *Server) register(cfg Config) {
	registerObjects(s.services, cfg.Store, cfg.Status, cfg.View)
	p4evpnv1.RegisterStoreServiceServer(s.services, &storeService{store: cfg.Store})
	if cfg.View != nil {
		p4evpnv1.RegisterPortServiceServer(s.services, &targetPortService{view: cfg.View})
		p4evpnv1.RegisterViewServer(s.services, &viewService{view: cfg.View, underlay: cfg.Underlay, store: cfg.Store})
	}
	if cfg.Auditor != nil {
		p4evpnv1.RegisterTargetServer(s.services, &targetService{auditor: cfg.Auditor})
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
func callsOr(calls *grpc.Server, gateway http.Handler) http.Handler {
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
		HTTP2: &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: 20 * time.Second,
			WriteByteTimeout: time.Minute},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn), // failed TLS handshakes
	}
}

func splitListen(listen string) (address, error) {
	a := address{"tcp", listen}
	if scheme, rest, ok := strings.Cut(listen, "://"); ok {
		a = address{scheme, rest}
	} else if path, ok := strings.CutPrefix(listen, "unix:"); ok { // gRPC's shorter form
		a = address{"unix", path}
	}
	switch {
	case a.network == "unix" && a.address != "":
		return a, nil
	case a.network == "tcp":
		if _, _, err := net.SplitHostPort(a.address); err == nil {
			return a, nil
		}
	}
	return a, fmt.Errorf("API address %q: want host:port or unix:///path", listen)
}

// Ready is closed when every address is served.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens and serves until ctx ends, then lets calls in progress finish for
// a moment. An address that cannot be had is an error at once.
func (s *Server) Run(ctx context.Context) error {
	var listeners []net.Listener
	for _, a := range append(s.addresses, s.vtep...) {
		lis, err := s.listen(ctx, a)
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return err
		}
		listeners = append(listeners, lis)
	}
	n := len(s.addresses)
	return s.serve(ctx, listeners[:n], listeners[n:])
}

func (s *Server) listen(ctx context.Context, a address) (net.Listener, error) {
	if a.network == "unix" {
		removeStaleSocket(a.address)
	}
	lis, err := new(net.ListenConfig).Listen(ctx, a.network, a.address)
	if err != nil {
		return nil, err
	}
	if at, ok := lis.Addr().(*net.TCPAddr); ok && s.tls == nil && !at.IP.IsLoopback() {
		s.log.Warn("the API listens without TLS where others can reach it: whoever does may change everything; set api.tls",
			"address", at.String())
	}
	return lis, nil
}

// Serve is Run on listeners for gRPC and REST, which it closes.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	return s.serve(ctx, listeners, nil)
}

func (s *Server) serve(ctx context.Context, listeners, vtep []net.Listener) error {
	s.health.Resume() // every service that is registered is now serving
	group, serving := errgroup.WithContext(ctx)
	start := func(what string, server *http.Server, lis net.Listener) {
		s.log.Info(what+" listens", "address", lis.Addr().String(), "tls", s.tls != nil)
		if s.tls != nil {
			lis = tls.NewListener(lis, s.tls)
		}
		group.Go(func() error { return server.Serve(lis) })
	}
	for _, lis := range listeners {
		start("API", s.http, lis)
	}
	for _, lis := range vtep {
		start("API of VTEPs", s.vtepHTTP, lis)
	}
	close(s.ready)
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
	for _, server := range []*http.Server{s.http, s.vtepHTTP} {
		if server != nil && server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
	s.services.grpc.Stop()
}

// removeStaleSocket removes what a server that was killed left behind, and
// never the socket of one that lives or a file that is none.
func removeStaleSocket(path string) {
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Type() != fs.ModeSocket {
		return
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path)
	}
}
