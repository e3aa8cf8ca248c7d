package p4rt

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that has the rest
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Update is one update of a Write. A *p4v1.Update is one.
type Update interface {
	GetType() p4v1.Update_Type
	GetEntity() *p4v1.Entity
}

// EntityAppender is an Update that gives its entity in the wire form of
// p4.v1.Entity too, of a DELETE what names it: making messages of thousands of entries
// takes longer than sending them. GetEntity is then called for error messages alone.
type EntityAppender interface {
	AppendEntity(b []byte) []byte
}

// encoder makes the wire form of WriteRequests.
type encoder struct {
	request []byte
	entity  []byte // scratch
}

// Tags of WriteRequest.updates, Update.type and Update.entity.
const (
	updatesTag = 4<<3 | byte(protowire.BytesType)
	typeTag    = 1<<3 | byte(protowire.VarintType)
	entityTag  = 2<<3 | byte(protowire.BytesType)
)

// begin starts a request, which has all but the updates.
func (e *encoder) begin(head *p4v1.WriteRequest) (err error) {
	e.request, err = proto.MarshalOptions{}.MarshalAppend(e.request[:0], head)
	return err
}

// add appends an update to the request.
func (e *encoder) add(u Update) (err error) {
	b := append(e.request, updatesTag)
	if a, ok := u.(EntityAppender); ok {
		e.entity = a.AppendEntity(e.entity[:0])
		n := len(e.entity)
		typ := uint64(u.GetType())
		b = protowire.AppendVarint(b, uint64(1+protowire.SizeVarint(typ)+1+protowire.SizeBytes(n)))
		b = protowire.AppendVarint(append(b, typeTag), typ)
		e.request = protowire.AppendBytes(append(b, entityTag), e.entity)
		return nil
	}
	m := message(u)
	o := proto.MarshalOptions{}
	b = protowire.AppendVarint(b, uint64(o.Size(m)))
	o.UseCachedSize = true
	b, err = o.MarshalAppend(b, m)
	if err == nil {
		e.request = b
	}
	return err
}

func message(u Update) *p4v1.Update {
	if m, ok := u.(*p4v1.Update); ok {
		return m
	}
	return &p4v1.Update{Type: u.GetType(), Entity: u.GetEntity()}
}

// codec sends what is encoded as it is, and all else as gRPC does.
type codec struct{ encoding.CodecV2 }

type encoded []byte

var sendEncoded = grpc.ForceCodecV2(codec{encoding.GetCodecV2("proto")})

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(encoded); ok {
		// gRPC may hold on to what it sends for longer than the call lasts.
		return mem.BufferSlice{mem.Copy(e, mem.DefaultBufferPool())}, nil
	}
	return c.CodecV2.Marshal(v)
}
