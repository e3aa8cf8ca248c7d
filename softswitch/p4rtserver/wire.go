package p4rtserver

import (
	"context"
	"slices"
	"sync"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that has the rest
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Making messages of thousands of table entries takes longer than putting them
// into the table. So a WriteRequest keeps its updates as they were on the wire,
// and they become messages one after the other, as they are applied.

// Register makes a gRPC server that was made with ServerOption serve s.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	service := p4v1.P4Runtime_ServiceDesc
	service.Methods = slices.Clone(service.Methods)
	for i := range service.Methods {
		if service.Methods[i].MethodName == "Write" {
			service.Methods[i].Handler = handleWrite
		}
	}
	g.RegisterService(&service, s)
}

// ServerOption is for the gRPC server that is given to Register.
func ServerOption() grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")})
}

// codec decodes wireRequests, and all else as gRPC does.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*wireRequest); ok {
		r.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return r.parse(r.buffer.ReadOnlyData())
	}
	return c.CodecV2.Unmarshal(data, v)
}

func handleWrite(srv any, ctx context.Context, decode func(any) error,
	intercept grpc.UnaryServerInterceptor) (any, error) {
	s, r := srv.(*Server), wireRequests.Get().(*wireRequest)
	defer r.free()
	if err := decode(r); err != nil {
		return nil, err
	}
	if intercept == nil {
		return s.write(&r.head, r)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: p4v1.P4Runtime_Write_FullMethodName}
	return intercept(ctx, &r.head, info, func(context.Context, any) (any, error) { return s.write(&r.head, r) })
}

// wireRequest is a WriteRequest with its updates as they came.
type wireRequest struct {
	buffer  mem.Buffer        // what encoded updates are part of
	head    p4v1.WriteRequest // all but the updates
	updates []wireUpdate
	decoder decoder
}

// wireRequests keep their memory from one Write to the next.
var wireRequests = sync.Pool{New: func() any { return &wireRequest{} }}

// free gives back a request of which nobody has anything any more.
func (r *wireRequest) free() {
	if r.buffer != nil {
		r.buffer.Free()
	}
	clear(r.updates)
	r.buffer, r.updates = nil, r.updates[:0]
	r.head.Reset()
	wireRequests.Put(r)
}

// wireUpdate is an Update that the decoder can read, or the message.
type wireUpdate struct {
	encoded []byte
	message *p4v1.Update
}

func (r *wireRequest) len() int { return len(r.updates) }

// at gives an update; it is valid until the next call.
func (r *wireRequest) at(i int) *p4v1.Update {
	u := &r.updates[i]
	if u.message != nil {
		return u.message
	}
	r.decoder.decode(u.encoded) // it could when the request was parsed
	return &r.decoder.update
}

// check looks at what the decoder left to package proto; it knows no other
// fields itself.
func (r *wireRequest) check(i int) error {
	if m := r.updates[i].message; m != nil {
		return checkKnown(m)
	}
	return nil
}

const updatesTag = 4<<3 | byte(protowire.BytesType) // of WriteRequest.updates

// parse takes a request apart. It decodes all of it once, so that one that is
// malformed anywhere is refused before any of it was done.
func (r *wireRequest) parse(b []byte) error {
	r.updates = slices.Grow(r.updates, 1+len(b)/64)
	var head []byte
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if b[0] != updatesTag {
			head = append(head, b[:n]...)
			b = b[n:]
			continue
		}
		u := wireUpdate{}
		u.encoded, _ = protowire.ConsumeBytes(b[1:n])
		if !r.decoder.decode(u.encoded) {
			u.message = &p4v1.Update{}
			if err := proto.Unmarshal(u.encoded, u.message); err != nil {
				return err
			}
		}
		r.updates = append(r.updates, u)
		b = b[n:]
	}
	return proto.Unmarshal(head, &r.head)
}
