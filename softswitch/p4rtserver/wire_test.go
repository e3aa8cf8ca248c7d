package p4rtserver

import (
	"slices"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// wireCases are requests of all shapes that the decoder knows, and of some that
// it leaves to package proto.
func wireCases(n *namer) []*p4v1.WriteRequest {
	forward := n.action("ingress.forward", []byte{1})
	full := n.entry("ingress.host", forward, exact(1))
	full.IdleTimeoutNs, full.Metadata, full.IsConst = 5, []byte("metadata"), true
	aged := n.entry("ingress.host", forward, exact(1))
	aged.IdleTimeoutNs, aged.Metadata = -5, []byte{}
	ruled := withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 7)
	return []*p4v1.WriteRequest{
		{},
		{DeviceId: 1, Role: "role", ElectionId: &p4v1.Uint128{Low: 1}, Atomicity: p4v1.WriteRequest_DATAPLANE_ATOMIC},
		{Updates: []*p4v1.Update{{}, insert(n.entry("ingress.host", forward, exact(1))), modify(ruled), insert(aged)}},
		{Updates: []*p4v1.Update{remove(n.entry("ingress.prefix", nil, lpm(8, 1, 0, 0, 0, 0, 0))), {Entity: &p4v1.Entity{}}}},
		{Updates: []*p4v1.Update{insert(full), insert(group(5, replica(1, 2), replica(3, 4))), insert(&p4v1.TableEntry{})}},
		{Updates: []*p4v1.Update{modify(withPriority(n.entry("ingress.rule", forward, between([]byte{1}, []byte{2}), optional(5)), 7))}},
		{Updates: []*p4v1.Update{insert(&p4v1.TableEntry{Action: &p4v1.TableAction{}, Match: []*p4v1.FieldMatch{{}}})}},
		{Updates: []*p4v1.Update{insert(&p4v1.TableEntry{Action: &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: &p4v1.Action{}}}})}},
		{Updates: []*p4v1.Update{insert(&p4v1.TableEntry{Action: &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: 4}}})}},
	}
}

// FuzzWireRequest holds the requests that come over the wire equal to what
// package proto makes of the same bytes.
func FuzzWireRequest(f *testing.F) {
	_, n := fuzzTarget(f)
	for _, r := range wireCases(n) {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		if len(b) > 4 {
			f.Add(b[:len(b)-1])
			f.Add(append(slices.Clone(b), b...)) // each field twice
		}
		for i := range b { // what is in every place, changed a little
			b[i]++
			f.Add(slices.Clone(b))
			b[i]--
		}
	}
	unknown := protowire.AppendTag(nil, 900, protowire.VarintType)
	f.Add(protowire.AppendVarint(unknown, 1))
	// An exact match with a field of number 0, which no message may have.
	f.Add([]byte("\"\x0d\x12\x0b\x12\x09\x12\x07\x08\x01\x12\x03\x00\x80\x30"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want, got := &p4v1.WriteRequest{}, &wireRequest{}
		wantErr, err := proto.Unmarshal(b, want), got.parse(b)
		if (wantErr != nil) != (err != nil) {
			t.Fatalf("parse: %v, package proto: %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if got.len() != len(want.Updates) {
			t.Fatalf("%d updates, want %d", got.len(), len(want.Updates))
		}
		for i, u := range want.Updates {
			if !proto.Equal(got.at(i), u) {
				t.Errorf("update %d is\n%v, want\n%v", i, got.at(i), u)
			}
		}
		want.Updates = nil
		if !proto.Equal(&got.head, want) {
			t.Errorf("head is\n%v, want\n%v", &got.head, want)
		}
	})
}

// TestDecoderKnowsWhatIsWrittenInNumbers fails if a plain table entry is left to
// package proto, which is right but slow.
func TestDecoderKnowsWhatIsWrittenInNumbers(t *testing.T) {
	n := newNamer(t, testConfig(t).P4Info)
	forward := n.action("ingress.forward", []byte{1})
	for _, te := range []*p4v1.TableEntry{
		n.entry("ingress.host", forward, exact(1)),
		n.entry("ingress.prefix", forward, lpm(8, 1, 0, 0, 0, 0, 0)),
		withPriority(n.entry("ingress.rule", forward, ternary([]byte{1}, []byte{3})), 7),
	} {
		te.IdleTimeoutNs, te.Metadata = 5, []byte("metadata")
		b, err := proto.Marshal(insert(te))
		if err != nil {
			t.Fatal(err)
		}
		var d decoder
		if !d.decode(b) {
			t.Errorf("%v is left to package proto", te)
		}
		if allocs := testing.AllocsPerRun(10, func() { d.decode(b) }); allocs > 0 {
			t.Errorf("%v: %v allocations", te, allocs)
		}
	}
}

// TestMalformedWriteChangesNothing sends a Write whose last update is cut off.
func TestMalformedWriteChangesNothing(t *testing.T) {
	tg, c := startPrimary(t)
	good := insert(tg.names.entry("ingress.host", tg.names.action("ingress.forward", []byte{1}), exact(1)))
	b, err := proto.Marshal(&p4v1.WriteRequest{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: 1},
		Updates: []*p4v1.Update{good}})
	if err != nil {
		t.Fatal(err)
	}
	cut := protowire.AppendBytes(append(slices.Clone(b), updatesTag), []byte{2<<3 | message, 5, 0})
	for _, bad := range [][]byte{cut, b[:len(b)-1]} {
		err := tg.conn.Invoke(t.Context(), p4v1.P4Runtime_Write_FullMethodName, bad, &p4v1.WriteResponse{},
			grpc.ForceCodecV2(rawCodec{}))
		if status.Code(err) != codes.Internal {
			t.Errorf("got %v, want Internal", err)
		}
		if got := c.mustRead(entity(tg.names.entry("ingress.host", nil))); len(got) != 0 {
			t.Fatalf("entries of a malformed Write: %v", got)
		}
	}
	if err := tg.conn.Invoke(t.Context(), p4v1.P4Runtime_Write_FullMethodName, b, &p4v1.WriteResponse{},
		grpc.ForceCodecV2(rawCodec{})); err != nil {
		t.Errorf("the whole of it: %v", err)
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{ codec }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }
