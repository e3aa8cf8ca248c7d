package api

import (
	"context"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// services puts a guard before the methods of every service that is registered
// with it. They are served over gRPC by the server, and from within by Invoke and call:
// those are what REST calls, and so they are checked and logged as calls over gRPC
// are, by the peer that their context has.
type services struct {
	grpc     *grpc.Server
	guard    *guard
	unary    map[string]unaryMethod    // by "/service/method"
	streamed map[string]streamedMethod // the same
	// fromClient are the methods that take a stream.
	fromClient map[string]bool
}

var (
	_ grpc.ServiceRegistrar    = (*services)(nil)
	_ grpc.ClientConnInterface = (*services)(nil)
)

// unaryMethod runs a method on the message that dec fills in.
type unaryMethod func(ctx context.Context, dec func(any) error) (any, error)

// streamedMethod runs a method that answers with a stream.
type streamedMethod func(grpc.ServerStream) error

func newServices(g *guard, options ...grpc.ServerOption) *services {
	options = append(options, grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}))
	return &services{grpc: grpc.NewServer(options...), guard: g, unary: map[string]unaryMethod{},
		streamed: map[string]streamedMethod{}, fromClient: map[string]bool{}}
}

// RegisterService takes a service, as generated code does it.
func (s *services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods, d.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i := range d.Methods {
		m := &d.Methods[i]
		name, handler := "/"+d.ServiceName+"/"+m.MethodName, m.Handler
		s.guard.metrics.serves(d.ServiceName, m.MethodName)
		m.Handler = func(impl any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (resp any,
			err error) {
			err = s.guard.call(ctx, name, func(ctx context.Context) error {
				resp, err = handler(impl, ctx, func(m any) error { return readInto(m, dec) }, nil)
				return err
			})
			return resp, err
		}
		s.unary[name] = func(ctx context.Context, dec func(any) error) (any, error) { return m.Handler(impl, ctx, dec, nil) }
	}
	for i := range d.Streams {
		name, handler := "/"+d.ServiceName+"/"+d.Streams[i].StreamName, d.Streams[i].Handler
		s.guard.metrics.serves(d.ServiceName, d.Streams[i].StreamName)
		guarded := func(impl any, stream grpc.ServerStream) error {
			return s.guard.call(stream.Context(), name, func(context.Context) error { return handler(impl, readable{stream}) })
		}
		d.Streams[i].Handler = guarded
		s.fromClient[name] = d.Streams[i].ClientStreams
		s.streamed[name] = func(stream grpc.ServerStream) error { return guarded(impl, stream) }
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
	resp, err := call(ctx, func(in any) error {
		proto.Merge(in.(*incoming).message.(proto.Message), args.(proto.Message))
		return nil
	})
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), resp.(proto.Message))
	return nil
}

// NewStream calls a method that answers with a stream from within the process. Its answer is
// whole before the first part is read, so that a stream that goes on for ever is none for it.
func (s *services) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string,
	_ ...grpc.CallOption) (grpc.ClientStream, error) {
	run, ok := s.streamed[method]
	if !ok || s.fromClient[method] {
		return nil, status.Errorf(codes.Unimplemented, "there is no method %s that answers with a stream", method)
	}
	return &answer{gathered: gathered{ctx: ctx}, run: run}, nil
}

// answer is a stream of parts that are all there.
type answer struct {
	gathered
	run   streamedMethod
	parts []proto.Message
}

// SendMsg takes the request.
func (a *answer) SendMsg(m any) error {
	a.in = m.(proto.Message)
	return nil
}

// CloseSend calls the method.
func (a *answer) CloseSend() error { return a.run(keeper{&a.gathered, a}) }

// RecvMsg gives a part, whose lists are not copied.
func (a *answer) RecvMsg(m any) error {
	if len(a.parts) == 0 {
		return io.EOF
	}
	into := m.(proto.Message).ProtoReflect()
	a.parts[0].ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into.Set(f, v)
		return true
	})
	a.parts = a.parts[1:]
	return nil
}

func (*answer) Header() (metadata.MD, error) { return nil, nil }
func (*answer) Trailer() metadata.MD         { return nil }

// keeper is the stream that the method sends to.
type keeper struct {
	*gathered
	answer *answer
}

func (k keeper) SendMsg(m any) error {
	k.answer.parts = append(k.answer.parts, m.(proto.Message))
	return k.ctx.Err()
}

// incoming is a message that is being read. gRPC answers Internal by itself to
// bytes that are no message, though that is the client's mistake; so our codec
// takes them, and the error is found here.
type incoming struct {
	message any
	err     error
}

// codec is gRPC's own but for incoming messages.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	in.err = c.CodecV2.Unmarshal(data, in.message)
	return nil
}

// readInto receives a message by a function of gRPC's.
func readInto(m any, receive func(any) error) error {
	in := &incoming{message: m}
	if err := receive(in); err != nil {
		return err
	}
	if in.err != nil {
		return badField("request", "no message of its type: "+in.err.Error())
	}
	return nil
}

// readable is a stream that receives so.
type readable struct{ grpc.ServerStream }

func (r readable) RecvMsg(m any) error { return readInto(m, r.ServerStream.RecvMsg) }
