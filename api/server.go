package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/api/view"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// drainTimeout bounds how long calls in progress may hold up the end of Run.
const drainTimeout = 2 * time.Second

// Config says what a Server serves and where.
type Config struct {
	// Listen is "host:port", "unix:/run/p4evpn/api.sock", the same with
	// "unix://" or "tcp://host:port".
	Listen string
	Store  *intent.Store
	// Status and View are answered by the controller; without a View the
	// View service is not offered.
	Status intent.StatusSource
	View   view.View
	Logger *slog.Logger // nil: slog.Default()
}

// Server is the gRPC server. It runs once.
type Server struct {
	network, address string
	grpc             *grpc.Server
	health           *health.Server
	log              *slog.Logger
}

// NewServer prepares a server; Run makes it listen.
func NewServer(cfg Config) (*Server, error) {
	network, address, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{network: network, address: address, grpc: grpc.NewServer(), health: health.NewServer(), log: cfg.Logger}
	if s.log == nil {
		s.log = slog.Default()
	}
	pb.RegisterLogicalBridgeServiceServer(s.grpc, newBridgeService(cfg.Store, cfg.Status))
	pb.RegisterBridgePortServiceServer(s.grpc, newPortService(cfg.Store, cfg.Status))
	pb.RegisterVrfServiceServer(s.grpc, newVRFService(cfg.Store, cfg.Status))
	pb.RegisterSviServiceServer(s.grpc, newSVIService(cfg.Store, cfg.Status))
	if cfg.View != nil {
		p4evpnv1.RegisterViewServer(s.grpc, &viewService{view: cfg.View, store: cfg.Store})
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, healthpb.HealthCheckResponse_NOT_SERVING)
	}
	reflection.Register(s.grpc)
	return s, nil
}

func splitListen(listen string) (network, address string, err error) {
	network, address = "tcp", listen
	if scheme, rest, ok := strings.Cut(listen, "://"); ok {
		network, address = scheme, rest
	} else if path, ok := strings.CutPrefix(listen, "unix:"); ok { // gRPC's shorter form
		network, address = "unix", path
	}
	switch {
	case network == "unix" && address != "":
		return network, address, nil
	case network == "tcp":
		if _, _, err := net.SplitHostPort(address); err == nil {
			return network, address, nil
		}
	}
	return "", "", fmt.Errorf("API address %q: want host:port or unix:///path", listen)
}

// Run listens and serves until ctx ends, then lets calls in progress finish for
// a moment. An address that cannot be had is an error at once.
func (s *Server) Run(ctx context.Context) error {
	if s.network == "unix" {
		removeStaleSocket(s.address)
	}
	lis, err := new(net.ListenConfig).Listen(ctx, s.network, s.address)
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	return s.Serve(ctx, lis)
}

// Serve is Run on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	s.log.Info("API listens", "address", lis.Addr().String())
	s.health.Resume() // every service that is registered is now serving
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.stop()
	})
	err := s.grpc.Serve(lis)
	if !stop() {
		<-stopped
		return nil // ended because it was asked to
	}
	s.grpc.Stop()
	return fmt.Errorf("API: %w", err)
}

// stop drains; health watchers would hold that up, so they are told first.
func (s *Server) stop() {
	s.health.Shutdown()
	timer := time.AfterFunc(drainTimeout, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
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
