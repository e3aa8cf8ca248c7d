package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/controllertest"
	"github.com/p4evpn/p4evpn/controller/intent"
)

func TestEveryRequestHasAnIDThatIsReturnedAndLogged(t *testing.T) {
	var log records
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Logger: log.logger()}, nil)
	for _, c := range []struct {
		name string
		sent []string
		kept bool
	}{
		{"none", nil, false},
		{"one", []string{"my-request/1"}, true},
		{"empty", []string{""}, false},
		{"two", []string{"a", "b"}, false},
		{"with a space", []string{"a b"}, false},
		{"the longest", []string{strings.Repeat("x", maxRequestID)}, true},
		{"too long", []string{strings.Repeat("x", maxRequestID+1)}, false},
	} {
		check := func(via string, ids []string) {
			t.Helper()
			calls := log.calls()
			if len(ids) != 1 || ids[0] == "" || len(calls) != 1 || calls[0]["id"] != ids[0] ||
				(len(c.sent) == 1 && ids[0] == c.sent[0]) != c.kept {
				t.Errorf("%s, %s: sent %.80q, returned %.80q, logged %.200v", c.name, via, c.sent, ids, calls)
			}
		}
		ctx := t.Context()
		for _, id := range c.sent {
			ctx = metadata.AppendToOutgoingContext(ctx, requestIDHeader, id)
		}
		var header metadata.MD
		_, err := g.vrfs.GetVrf(ctx, &pb.GetVrfRequest{Name: "vrfs/green"}, grpc.Header(&header))
		wantCode(t, err, codes.NotFound)
		check("gRPC", header.Get(requestIDHeader))
		for _, path := range []string{"/v1/vrfs/green", "/nowhere"} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", g.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header[http.CanonicalHeaderKey(requestIDHeader)] = c.sent
			check("REST "+path, g.send(t, r).header.Values(requestIDHeader))
		}
	}
}

func TestTheAccessLogSaysWhatWasDoneAndReadsAreForDebugging(t *testing.T) {
	var log records
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, View: &controllertest.View{},
		Logger: log.logger()}, nil)
	g.createBridge(t, "vlan10", 10, 10)
	_, _ = g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
	_, _ = g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: "logicalBridges/vlan20"})
	g.do(t, "DELETE", "/v1/logicalBridges/vlan10", "")
	stream, err := g.view.ListBridges(t.Context(), &p4evpnv1.ListBridgesRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	service := "/" + bridgeServiceName + "/"
	want := []string{
		"INFO " + service + "CreateLogicalBridge grpc OK",
		"DEBUG " + service + "GetLogicalBridge grpc OK",
		"INFO " + service + "GetLogicalBridge grpc NotFound",
		"INFO " + service + "DeleteLogicalBridge rest OK",
		"DEBUG /p4evpn.v1.View/ListBridges grpc OK",
	}
	var got []string
	for _, c := range log.calls() {
		got = append(got, fmt.Sprint(c["level"], " ", c["method"], " ", c["via"], " ", c["code"]))
		if c["peer"] == "" || c["took"] == nil || (c["err"] == nil) != (c["code"] == "OK") {
			t.Errorf("%v", c)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBytesThatAreNoMessageAreTheClientsMistake(t *testing.T) {
	g := newRESTRouter(t)
	before := frozen(t, g.store)
	for _, s := range opiServices() {
		for i := range s.Methods().Len() {
			method := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(i).Name())
			for _, b := range [][]byte{{0xff}, {0x0a, 0x05, 'x'}, {0x12, 0x7f}, []byte(strings.Repeat("\x0a", 1000))} {
				err := g.conn.Invoke(t.Context(), method, &raw{b}, &emptypb.Empty{}, grpc.ForceCodec(rawCodec{}))
				if code := status.Code(err); code != codes.InvalidArgument {
					t.Errorf("%s of % x: %v", method, b[:1], err)
				}
			}
		}
	}
	stream, err := g.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/p4evpn.v1.View/ListFDB",
		grpc.ForceCodec(rawCodec{}))
	if err == nil {
		_ = stream.SendMsg(&raw{[]byte{0x0a, 0x01, 0xff}})
		_ = stream.CloseSend()
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	wantCode(t, err, codes.InvalidArgument, "request")
	if !reflect.DeepEqual(frozen(t, g.store), before) {
		t.Error("something changed")
	}
}

// raw is a request as bytes, and rawCodec sends it as it is.
type raw struct{ b []byte }

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return v.(*raw).b, nil }
func (rawCodec) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }
func (rawCodec) Name() string                    { return "proto" }

func TestMessagesAreBounded(t *testing.T) {
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{},
		Limits: Limits{MessageBytes: 1000, BodyBytes: 1000}}, nil)
	g.createBridge(t, "vlan10", 10, 10)
	_, err := g.bridges.GetLogicalBridge(t.Context(), &pb.GetLogicalBridgeRequest{Name: strings.Repeat("x", 1000)})
	wantCode(t, err, codes.ResourceExhausted)
	for size, code := range map[int]int{900: 200, 1001: 413} {
		body := `{"spec":{"vni":11}}` + strings.Repeat(" ", size)
		if r := g.do(t, "PATCH", "/v1/logicalBridges/vlan10", body); r.code != code {
			t.Errorf("%d bytes: HTTP %d %s", len(body), r.code, r.body)
		}
	}
}

func TestAClientThatCallsTooOftenIsToldWhenToComeBack(t *testing.T) {
	var log records
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Logger: log.logger(),
		Limits: Limits{CallsPerSecond: 0.001, Burst: 4}}, nil)
	for range 2 { // one address over both
		if err := func() error {
			_, err := g.bridges.ListLogicalBridges(t.Context(), &pb.ListLogicalBridgesRequest{})
			return err
		}(); err != nil {
			t.Fatal(err)
		}
		if r := g.do(t, "GET", "/v1/vrfs", ""); r.code != 200 {
			t.Fatalf("HTTP %d %s", r.code, r.body)
		}
	}
	_, err := g.bridges.CreateLogicalBridge(t.Context(), &pb.CreateLogicalBridgeRequest{LogicalBridge: bridgeMsg(10, 10)})
	wantCode(t, err, codes.ResourceExhausted)
	var delay time.Duration
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*errdetails.RetryInfo); ok {
			delay = d.RetryDelay.AsDuration()
		}
	}
	if delay < time.Minute || delay > 1000*time.Second {
		t.Errorf("retry after %v, want nearly 1,000 s", delay)
	}
	if r := g.do(t, "POST", "/v1/logicalBridges", `{"spec":{"vlanId":10}}`); r.code != 429 {
		t.Errorf("HTTP %d %s", r.code, r.body)
	}
	if m, err := intentBridges(g.store); err != nil || len(m) != 0 {
		t.Errorf("made although refused: %v %v", m, err)
	}
}

func intentBridges(s *intent.Store) (all []intent.LogicalBridge, err error) {
	err = s.View(func(tx *intent.Tx) error { all = tx.Bridges().List("", 0); return nil })
	return all, err
}

func TestALimiterForgetsWhoIsSilentAndIsBounded(t *testing.T) {
	l := newLimiter(Limits{CallsPerSecond: 1e9, Burst: 2})
	for i := range 3 * maxClients {
		if err := l.take(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.clients) > maxClients {
		t.Errorf("it counts for %d clients, want %d at most", len(l.clients), maxClients)
	}
	l = newLimiter(Limits{CallsPerSecond: 0.001, Burst: 1})
	for i := range maxClients + 1 {
		if err := l.take(fmt.Sprint(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	wantCode(t, l.take("one more"), codes.ResourceExhausted) // shares the count of those without one
	wantCode(t, l.take("0"), codes.ResourceExhausted)
}

func TestAPanicFailsItsCallOnly(t *testing.T) {
	var log records
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: panicking{}, Logger: log.logger()}, nil)
	request := &pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan10", LogicalBridge: bridgeMsg(10, 10)}
	_, err := g.bridges.CreateLogicalBridge(t.Context(), request)
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "a fault") {
		t.Errorf("%v, want Internal without the fault's text", err)
	}
	if r := g.do(t, "GET", "/v1/logicalBridges/vlan10", ""); r.code != 500 {
		t.Errorf("HTTP %d %s", r.code, r.body)
	}
	if r := g.do(t, "GET", "/v1/vrfs", ""); r.code != 200 {
		t.Errorf("afterwards: HTTP %d %s", r.code, r.body)
	}
	if !strings.Contains(fmt.Sprint(log.lines), "a fault") {
		t.Error("the log does not say what happened")
	}
}

type panicking struct{ fakeStatus }

func (panicking) Status(context.Context, ...intent.Ref) []intent.Status { panic("a fault") }
