package api

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// services puts a guard before the methods of every service that is registered
// with it. They are served over gRPC by the server, and unary ones by Invoke too:
// that is the connection of the REST gateway, whose calls so are checked and
// logged as those over gRPC are, by the peer that their context has.
type services struct {
	grpc  *grpc.Server
	guard *guard
	unary map[string]unaryMethod // by "/service/method"
}

var (
	_ grpc.ServiceRegistrar    = (*services)(nil)
	_ grpc.ClientConnInterface = (*services)(nil)
)

// unaryMethod runs a method on the message that dec fills in.
type unaryMethod func(ctx context.Context, dec func(any) error) (any, error)

// RegisterService takes a service, as generated code does it.
func (s *services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods, d.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i := range d.Methods {
		m := &d.Methods[i]
		name, handler := "/"+d.ServiceName+"/"+m.MethodName, m.Handler
		m.Handler = func(impl any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) {
			err = s.guard.call(ctx, name, func() error {
				resp, err = handler(impl, ctx, func(v any) error { return unreadable(dec(v)) }, nil)
				return err
			})
			return resp, err
		}
		s.unary[name] = func(ctx context.Context, dec func(any) error) (any, error) { return m.Handler(impl, ctx, dec, nil) }
	}
	for i := range d.Streams {
		name, handler := "/"+d.ServiceName+"/"+d.Streams[i].StreamName, d.Streams[i].Handler
		d.Streams[i].Handler = func(impl any, stream grpc.ServerStream) error {
			return s.guard.call(stream.Context(), name, func() error { return handler(impl, readable{stream}) })
		}
	}
	s.grpc.RegisterService(&d, impl)
}

// GetServiceInfo lists what is registered, for reflection.
func (s *services) GetServiceInfo() map[string]grpc.ServiceInfo { return s.grpc.GetServiceInfo() }

// Invoke calls a unary method from within the process.
func (s *services) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	call, ok := s.unary[method]
	if !ok {
		return status.Errorf(codes.Unimplemented, "there is no method %s", method)
	}
	resp, err := call(ctx, func(v any) error {
		proto.Merge(v.(proto.Message), args.(proto.Message))
		return nil
	})
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), resp.(proto.Message))
	return nil
}

// NewStream is not offered from within.
func (s *services) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s is for gRPC only", method)
}

// unreadable gives the client's mistake its code: gRPC says Internal of bytes
// that are no message.
func unreadable(err error) error {
	if status.Code(err) == codes.Internal {
		return status.Error(codes.InvalidArgument, "the request cannot be read: "+clip(status.Convert(err).Message()))
	}
	return err
}

// readable is a stream whose unreadable messages are the client's mistake.
type readable struct{ grpc.ServerStream }

func (r readable) RecvMsg(m any) error { return unreadable(r.ServerStream.RecvMsg(m)) }
