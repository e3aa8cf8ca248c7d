package api

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/p4evpn/p4evpn/controller/intent"
)

const (
	bridgeServiceName = "opi_api.network.evpn_gw.v1alpha1.LogicalBridgeService"
	portServiceName   = "opi_api.network.evpn_gw.v1alpha1.BridgePortService"
	vrfServiceName    = "opi_api.network.evpn_gw.v1alpha1.VrfService"
	sviServiceName    = "opi_api.network.evpn_gw.v1alpha1.SviService"
	viewServiceName   = "p4evpn.v1.View"
)

func TestReflectionListsEveryService(t *testing.T) {
	g := newGateway(t)
	stream, err := reflectionpb.NewServerReflectionClient(g.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	for _, want := range []string{bridgeServiceName, portServiceName, vrfServiceName, sviServiceName, viewServiceName,
		"grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %q", want, names)
		}
	}
	// A client can only decode what it finds with all of its imports.
	for _, symbol := range []string{bridgeServiceName, vrfServiceName, sviServiceName, viewServiceName} {
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{
				FileContainingSymbol: symbol}}); err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || len(r.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("%s: %v %v", symbol, r, err)
		}
	}
}

func TestEveryServiceHasItsHealth(t *testing.T) {
	g := newGateway(t)
	health := healthpb.NewHealthClient(g.conn)
	for _, name := range []string{"", bridgeServiceName, portServiceName, vrfServiceName, sviServiceName,
		viewServiceName} {
		r, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v %v", name, r, err)
		}
	}
	_, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nonsense"})
	wantCode(t, err, codes.NotFound)
}

func TestAddressesThatCannotBeAreRefusedAtOnce(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:50151": true, "[::1]:50151": true, ":50151": false, "10.0.0.1:50151": false,
		"unix:/run/x.sock": true, "tcp://localhost:1": true, "unix:///run/x.sock": true, "unix://x.sock": true,
		"": false, "127.0.0.1": false, "unix://": false, "http://x:1": false, "1.2.3.4:5:6": false,
	} {
		_, err := New(Config{Insecure: true, Listen: []string{listen}, Store: intent.NewMemory(), Status: fakeStatus{}})
		if (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", listen, err, ok)
		}
	}
}

// running starts Run and gives the way to end it.
func running(t *testing.T, listen string) (stop func() error) {
	t.Helper()
	srv, err := New(Config{Insecure: true, Listen: []string{listen}, Store: intent.NewMemory(), Status: fakeStatus{},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return runServer(t, srv)
}

func runServer(t *testing.T, srv *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	return func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("Run does not end")
			return nil
		}
	}
}

// list makes a call that waits for the server to be there.
func list(t *testing.T, target string) error {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = pb.NewLogicalBridgeServiceClient(conn).ListLogicalBridges(ctx, &pb.ListLogicalBridgesRequest{},
		grpc.WaitForReady(true))
	return err
}

func TestAUnixSocketIsServedAgainAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	// What a killed server leaves: a socket that nobody listens on.
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	lis.SetUnlinkOnClose(false)
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	stop := running(t, "unix://"+path)
	if err := list(t, "unix://"+path); err != nil {
		t.Error(err)
	}
	// A second one does not take the address of the first.
	if err := func() error {
		srv, err := New(Config{Listen: []string{"unix://" + path}, Store: intent.NewMemory(), Status: fakeStatus{}})
		if err != nil {
			return nil
		}
		return srv.Run(t.Context())
	}(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("second server: %v, want an error that names the address", err)
	}
	if err := list(t, "unix://"+path); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAFileInThePlaceOfTheSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, err := New(Config{Listen: []string{"unix://" + path}, Store: intent.NewMemory(), Status: fakeStatus{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil {
		t.Error("it serves on a file")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Errorf("the file now holds %q, %v", b, err)
	}
}

func TestAnAddressInUseIsAnErrorThatNamesIt(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	srv, err := New(Config{Insecure: true, Listen: []string{lis.Addr().String()}, Store: intent.NewMemory(),
		Status: fakeStatus{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), lis.Addr().String()) {
		t.Errorf("%v, want an error that names %v", err, lis.Addr())
	}
}

func TestRunEndsThoughAClientWatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	stop := running(t, "unix://"+path)
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{},
		grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatal(r, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if r, err := watch.Recv(); err == nil && r.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watcher was told %v", r)
	}
}

func TestRunEndsWhenItsContextHasEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	srv, err := New(Config{Insecure: true, Listen: []string{"127.0.0.1:0"}, Store: intent.NewMemory(),
		Status: fakeStatus{},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(ctx, lis); err != nil {
		t.Error(err)
	}
	if _, err := lis.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}
