package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// fakeStatus says of every object what it holds for it.
type fakeStatus map[intent.Ref]intent.Status

func (f fakeStatus) Status(_ context.Context, refs ...intent.Ref) []intent.Status {
	out := make([]intent.Status, len(refs))
	for i, r := range refs {
		out[i] = f[r]
	}
	return out
}

// Leaving says that nothing is.
func (f fakeStatus) Leaving(context.Context, intent.Kind) []intent.Leaving { return nil }

// gateway is a server with its clients.
type gateway struct {
	server  *Server
	address string
	store   *intent.Store
	conn    *grpc.ClientConn
	http    *http.Client
	url     string
	bridges pb.LogicalBridgeServiceClient
	ports   pb.BridgePortServiceClient
	vrfs    pb.VrfServiceClient
	svis    pb.SviServiceClient
	view    p4evpnv1.ViewClient
}

func serve(t testing.TB, store *intent.Store, st intent.StatusSource, v view.View) *gateway {
	t.Helper()
	return serveConfig(t, Config{Store: store, Status: st, View: v}, nil)
}

// serveConfig serves a configuration to a client that uses TLS if it is given
// some.
func serveConfig(t testing.TB, cfg Config, client *tls.Config) *gateway {
	t.Helper()
	return serveTuned(t, cfg, client, func(*Server) {})
}

// serveTuned is serveConfig of a server that is changed before it serves.
func serveTuned(t testing.TB, cfg Config, client *tls.Config, tune func(*Server)) *gateway {
	t.Helper()
	cfg.Insecure = cfg.TLS == nil
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tune(srv)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	g := connect(t, cfg.Store, lis.Addr().String(), client)
	g.server, g.address = srv, lis.Addr().String()
	t.Cleanup(func() {
		_ = g.conn.Close()
		g.http.CloseIdleConnections()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("server: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not stop")
		}
	})
	return g
}

// connect makes the clients of a server.
func connect(t testing.TB, store *intent.Store, address string, client *tls.Config) *gateway {
	t.Helper()
	creds, url := insecure.NewCredentials(), "http://localhost"
	if client != nil {
		creds, url = credentials.NewTLS(client), "https://localhost"
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, "", "") }))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: client, DialContext: dial}
	return &gateway{nil, address, store, conn, &http.Client{Transport: transport, Timeout: 10 * time.Second}, url,
		pb.NewLogicalBridgeServiceClient(conn), pb.NewBridgePortServiceClient(conn),
		pb.NewVrfServiceClient(conn), pb.NewSviServiceClient(conn), p4evpnv1.NewViewClient(conn)}
}

func newGateway(t testing.TB) *gateway {
	return serve(t, intent.NewMemory(), fakeStatus{}, &controllertest.View{})
}

func v4(a, b, c, d byte, length int32) *netpb.IPPrefix {
	return &netpb.IPPrefix{Len: length, Addr: &netpb.IPAddress{Af: netpb.IpAf_IP_AF_INET,
		V4OrV6: &netpb.IPAddress_V4Addr{V4Addr: uint32(a)<<24 | uint32(b)<<16 | uint32(c)<<8 | uint32(d)}}}
}

func v6(addr []byte, length int32) *netpb.IPPrefix {
	return &netpb.IPPrefix{Len: length,
		Addr: &netpb.IPAddress{Af: netpb.IpAf_IP_AF_INET6, V4OrV6: &netpb.IPAddress_V6Addr{V6Addr: addr}}}
}

func bridgeMsg(vlan, vni uint32) *pb.LogicalBridge {
	m := &pb.LogicalBridge{Spec: &pb.LogicalBridgeSpec{VlanId: vlan, VtepIpPrefix: v4(10, 0, 0, 2, 32)}}
	if vni != 0 {
		m.Spec.Vni = proto.Uint32(vni)
	}
	return m
}

var stationMAC = []byte{2, 0, 0, 0, 0, 1}

func accessMsg(bridge string) *pb.BridgePort {
	return &pb.BridgePort{Spec: &pb.BridgePortSpec{MacAddress: stationMAC,
		Ptype: pb.BridgePortType_BRIDGE_PORT_TYPE_ACCESS, LogicalBridges: []string{bridge}}}
}

func trunkMsg(bridges ...string) *pb.BridgePort {
	return &pb.BridgePort{Spec: &pb.BridgePortSpec{MacAddress: stationMAC,
		Ptype: pb.BridgePortType_BRIDGE_PORT_TYPE_TRUNK, LogicalBridges: bridges}}
}

func (g *gateway) createBridge(t testing.TB, id string, vlan, vni uint32) *pb.LogicalBridge {
	t.Helper()
	m, err := g.bridges.CreateLogicalBridge(t.Context(),
		&pb.CreateLogicalBridgeRequest{LogicalBridgeId: id, LogicalBridge: bridgeMsg(vlan, vni)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (g *gateway) createPort(t testing.TB, id string, m *pb.BridgePort) *pb.BridgePort {
	t.Helper()
	p, err := g.ports.CreateBridgePort(t.Context(), &pb.CreateBridgePortRequest{BridgePortId: id, BridgePort: m})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func vrfMsg(vni uint32) *pb.Vrf {
	m := &pb.Vrf{Spec: &pb.VrfSpec{LoopbackIpPrefix: v4(10, 100, 0, 1, 24), VtepIpPrefix: v4(10, 0, 0, 2, 32)}}
	if vni != 0 {
		m.Spec.Vni = proto.Uint32(vni)
	}
	return m
}

func sviMsg(vrf, bridge string, gateways ...*netpb.IPPrefix) *pb.Svi {
	return &pb.Svi{Spec: &pb.SviSpec{Vrf: vrf, LogicalBridge: bridge, MacAddress: stationMAC, GwIpPrefix: gateways}}
}

func (g *gateway) createVRF(t testing.TB, id string, vni uint32) *pb.Vrf {
	t.Helper()
	m, err := g.vrfs.CreateVrf(t.Context(), &pb.CreateVrfRequest{VrfId: id, Vrf: vrfMsg(vni)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (g *gateway) createSVI(t testing.TB, id string, m *pb.Svi) *pb.Svi {
	t.Helper()
	s, err := g.svis.CreateSvi(t.Context(), &pb.CreateSviRequest{SviId: id, Svi: m})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantCode checks a status: its code, and the fields that its details name.
func wantCode(t testing.TB, err error, code codes.Code, fields ...string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Errorf("%v: %s, want %v", st.Code(), st.Message(), code)
		return
	}
	var named []string
	for _, d := range st.Details() {
		if d, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range d.FieldViolations {
				named = append(named, v.Field)
			}
		}
	}
	if !slices.Equal(named, fields) {
		t.Errorf("details name %q, want %q: %s", named, fields, st.Message())
	}
	for _, f := range fields {
		if !strings.Contains(st.Message(), f) {
			t.Errorf("message %q does not name %s", st.Message(), f)
		}
	}
}

// frozen gives the whole store, objects of every kind, to see that a failed call
// changed nothing.
func frozen(t testing.TB, s *intent.Store) any {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return <-s.Watch(ctx)
}

var errNotReady = errors.New("the controller has not read the target back yet")

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
