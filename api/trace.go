package api

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/ether"
)

// tracingService is p4evpn.v1.Tracing.
type tracingService struct {
	p4evpnv1.UnimplementedTracingServer
	tracer view.Tracer
}

func (s *tracingService) TraceFrame(ctx context.Context,
	r *p4evpnv1.TraceFrameRequest) (*p4evpnv1.TraceFrameResponse, error) {
	return s.trace(ctx, r, false)
}

func (s *tracingService) TraceFrameOnTarget(ctx context.Context,
	r *p4evpnv1.TraceFrameRequest) (*p4evpnv1.TraceFrameResponse, error) {
	return s.trace(ctx, r, true)
}

func (s *tracingService) trace(ctx context.Context, r *p4evpnv1.TraceFrameRequest,
	read bool) (*p4evpnv1.TraceFrameResponse, error) {
	request, err := traceRequest(r)
	if err != nil {
		return nil, err
	}
	request.Read = read
	t, err := s.tracer.Trace(ctx, request)
	var wrong *view.TraceError
	switch {
	case errors.As(err, &wrong):
		return nil, badField(wrong.Field, wrong.Problem)
	case err != nil && ctx.Err() == nil:
		return nil, status.Error(codes.Unavailable, clip(err.Error()))
	case err != nil:
		return nil, failed(err)
	}
	m := &p4evpnv1.TraceFrameResponse{Arrives: utf8(t.Arrives), Port: utf8(t.Port), Frame: t.Frame}
	for _, r := range t.Results {
		m.Results = append(m.Results, utf8(r))
	}
	for _, s := range t.Steps {
		m.Steps = append(m.Steps, &p4evpnv1.TraceStep{
			Kind: s.Kind, Name: s.Name, Text: utf8(s.Text), Result: s.Result, Entry: utf8(s.Entry), Why: utf8(s.Why),
			Changes: s.Changes,
		})
	}
	for _, o := range t.Out {
		m.Out = append(m.Out, &p4evpnv1.TracedFrame{Port: utf8(o.Port), Number: o.Number, Frame: o.Frame})
	}
	return m, nil
}

// traceRequest reads a request, whose fields each must make sense.
func traceRequest(r *p4evpnv1.TraceFrameRequest) (view.TraceRequest, error) {
	h := r.GetHeaders()
	out := view.TraceRequest{
		Port: r.GetPort(), VNI: r.GetVni(), From: r.GetFrom(), To: r.GetTo(), Frame: r.GetFrame(),
		Headers: view.TraceHeaders{Protocol: h.GetProtocol()},
	}
	var bad error
	address := func(field, value string) (a netip.Addr) {
		if value == "" || bad != nil {
			return netip.Addr{}
		}
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" {
			bad = badField(field, fmt.Sprintf("%q: want an IPv4 or IPv6 address", value))
		}
		return a.Unmap()
	}
	hardware := func(field, value string) (m ether.MAC) {
		if value == "" || bad != nil {
			return ether.MAC{}
		}
		m, bad = macField(field, value)
		return m
	}
	number := func(field string, value, most uint32) uint16 {
		if value > most && bad == nil {
			bad = badField(field, fmt.Sprintf("%d: want at most %d", value, most))
		}
		return uint16(value)
	}
	out.VTEP = address("vtep", r.GetVtep())
	out.Headers.VLAN = number("headers.vlan_id", h.GetVlanId(), 4094)
	out.Headers.SourceMAC = hardware("headers.source_mac", h.GetSourceMac())
	out.Headers.DestinationMAC = hardware("headers.destination_mac", h.GetDestinationMac())
	out.Headers.Target = address("headers.target", h.GetTarget())
	out.Headers.Source = address("headers.source", h.GetSource())
	out.Headers.Destination = address("headers.destination", h.GetDestination())
	out.Headers.SourcePort = number("headers.source_port", h.GetSourcePort(), 0xffff)
	out.Headers.DestinationPort = number("headers.destination_port", h.GetDestinationPort(), 0xffff)
	out.Headers.TTL = uint8(number("headers.ttl", h.GetTtl(), 255))
	return out, bad
}
