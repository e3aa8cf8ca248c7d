package api

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
	"github.com/p4evpn/p4evpn/controller/view"
)

// tracerOf notes what it is asked.
type tracerOf struct {
	asked  view.TraceRequest
	answer view.Trace
	err    error
}

func (t *tracerOf) Trace(_ context.Context, r view.TraceRequest) (view.Trace, error) {
	t.asked = r
	return t.answer, t.err
}

func TestATraceIsAskedForAndAnsweredAsItIs(t *testing.T) {
	f := &tracerOf{answer: view.Trace{Arrives: "a frame", Port: "eth1", Frame: []byte{1}, Results: []string{"it leaves"},
		Steps: []view.TraceStep{{Kind: "table", Name: "bridge.fdb", Text: "hit", Result: "hit", Entry: "e", Why: "w",
			Changes: []string{"c"}}},
		Out: []view.TraceFrame{{Port: "eth2", Number: 2, Frame: []byte{2}}}}}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Tracer: f}, nil)
	c := p4evpnv1.NewTracingClient(g.conn)
	request := &p4evpnv1.TraceFrameRequest{Port: "eth1", Vtep: "192.0.2.1", Vni: 7, From: "a", To: "b", Frame: []byte{3},
		Headers: &p4evpnv1.TraceHeaders{VlanId: 4094, SourceMac: "02:00:00:00:00:01", DestinationMac: "02:00:00:00:00:02",
			Target: "10.0.0.1", Source: "10.0.0.2", Destination: "::ffff:10.0.0.3", Protocol: "tcp", SourcePort: 65535,
			DestinationPort: 1, Ttl: 255}}
	want := view.TraceRequest{Port: "eth1", VTEP: netip.MustParseAddr("192.0.2.1"), VNI: 7, From: "a", To: "b",
		Frame: []byte{3},
		Headers: view.TraceHeaders{VLAN: 4094, SourceMAC: mac1, DestinationMAC: mac2, Target: netip.MustParseAddr("10.0.0.1"),
			Source: netip.MustParseAddr("10.0.0.2"), Destination: netip.MustParseAddr("10.0.0.3"), Protocol: "tcp",
			SourcePort: 65535, DestinationPort: 1, TTL: 255}}
	for _, read := range []bool{false, true} {
		call := c.TraceFrame
		if read {
			call = c.TraceFrameOnTarget
		}
		got, err := call(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		want.Read = read
		same := f.asked.Headers == want.Headers && string(f.asked.Frame) == string(want.Frame) && f.asked.Port == want.Port &&
			f.asked.VTEP == want.VTEP && f.asked.VNI == want.VNI && f.asked.From == want.From && f.asked.To == want.To &&
			f.asked.Read == read
		if !same {
			t.Errorf("asked for %+v, want %+v", f.asked, want)
		}
		s := got.GetSteps()[0]
		if got.GetArrives() != "a frame" || got.GetPort() != "eth1" || len(got.GetFrame()) != 1 ||
			got.GetResults()[0] != "it leaves" ||
			s.GetEntry() != "e" || s.GetWhy() != "w" || s.GetChanges()[0] != "c" || s.GetName() != "bridge.fdb" ||
			got.GetOut()[0].GetNumber() != 2 || got.GetOut()[0].GetPort() != "eth2" {
			t.Errorf("answered %v", got)
		}
	}
}

func TestATraceOfWhatIsNoFrameIsRefusedByItsField(t *testing.T) {
	f := &tracerOf{}
	g := serveConfig(t, Config{Store: intent.NewMemory(), Status: fakeStatus{}, Tracer: f}, nil)
	c := p4evpnv1.NewTracingClient(g.conn)
	for field, r := range map[string]*p4evpnv1.TraceFrameRequest{
		"vtep":                     {Vtep: "x"},
		"headers.vlan_id":          {Headers: &p4evpnv1.TraceHeaders{VlanId: 4095}},
		"headers.source_mac":       {Headers: &p4evpnv1.TraceHeaders{SourceMac: "02:00"}},
		"headers.destination_mac":  {Headers: &p4evpnv1.TraceHeaders{DestinationMac: "zz:00:00:00:00:00"}},
		"headers.target":           {Headers: &p4evpnv1.TraceHeaders{Target: "fe80::1%eth0"}},
		"headers.source":           {Headers: &p4evpnv1.TraceHeaders{Source: "10.0.0.0/8"}},
		"headers.destination":      {Headers: &p4evpnv1.TraceHeaders{Destination: "host"}},
		"headers.source_port":      {Headers: &p4evpnv1.TraceHeaders{SourcePort: 65536}},
		"headers.destination_port": {Headers: &p4evpnv1.TraceHeaders{DestinationPort: 1 << 31}},
		"headers.ttl":              {Headers: &p4evpnv1.TraceHeaders{Ttl: 256}},
	} {
		_, err := c.TraceFrame(t.Context(), r)
		wantCode(t, err, codes.InvalidArgument, field)
	}
	f.err = &view.TraceError{Field: "port", Problem: "there is none"}
	_, err := c.TraceFrame(t.Context(), &p4evpnv1.TraceFrameRequest{})
	wantCode(t, err, codes.InvalidArgument, "port")
	f.err = errors.New("the controller has stopped")
	_, err = c.TraceFrame(t.Context(), &p4evpnv1.TraceFrameRequest{})
	wantCode(t, err, codes.Unavailable)
}
