package p4rtserver

import (
	"fmt"
	"sync"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// withUnknown adds a field of a version to come.
func withUnknown(m proto.Message) {
	field := protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 1)
	m.ProtoReflect().SetUnknown(protoreflect.RawFields(field))
}

func TestUnknownFieldsAreRefusedAtAnyDepth(t *testing.T) {
	tg, c := startPrimary(t)
	n := tg.names
	update := func() *p4v1.Update {
		return insert(n.entry("ingress.host", n.action("ingress.forward", []byte{1}), exact(1)))
	}
	for name, where := range map[string]func(*p4v1.Update) proto.Message{
		"update": func(u *p4v1.Update) proto.Message { return u },
		"entity": func(u *p4v1.Update) proto.Message { return u.Entity },
		"entry":  func(u *p4v1.Update) proto.Message { return u.Entity.GetTableEntry() },
		"match":  func(u *p4v1.Update) proto.Message { return u.Entity.GetTableEntry().Match[0] },
		"value":  func(u *p4v1.Update) proto.Message { return u.Entity.GetTableEntry().Match[0].GetExact() },
		"action": func(u *p4v1.Update) proto.Message { return u.Entity.GetTableEntry().Action.GetAction() },
		"param":  func(u *p4v1.Update) proto.Message { return u.Entity.GetTableEntry().Action.GetAction().Params[0] },
	} {
		u := update()
		withUnknown(where(u))
		c.expectRefused(t, wrongUpdate{name, u, codes.InvalidArgument})
		if errs := batchErrors(t, c.writeAs(p4v1.WriteRequest_ROLLBACK_ON_ERROR, u),
			1); codes.Code(errs[0].GetCanonicalCode()) != codes.InvalidArgument {
			t.Errorf("%s, all or none: %v", name, errs[0])
		}
	}
	req := &p4v1.WriteRequest{DeviceId: testDevice, ElectionId: c.election, Updates: []*p4v1.Update{update()}}
	withUnknown(req)
	if _, err := tg.rpc.Write(t.Context(), req); status.Code(err) != codes.InvalidArgument {
		t.Errorf("in the request: %v", err)
	}
	q := entity(n.entry("ingress.host", nil))
	withUnknown(q)
	if _, err := c.read(q); err == nil {
		t.Error("a query with an unknown field was answered")
	}
}

// TestManyClientsAtOnce is for the race detector: clients of several roles
// write, read, arbitrate and set pipelines while frames run.
func TestManyClientsAtOnce(t *testing.T) {
	tg, c := startPrimary(t)
	var working sync.WaitGroup
	for i := range 6 {
		working.Go(func() {
			own := tg.client(t)
			own.role = fmt.Sprint("role-", i)
			own.arbitrate(0, uint64(i+1))
			own.expectArbitration(codes.OK, uint64(i+1))
			for j := range 20 {
				id := uint32(100*(i+1) + j)
				if errs := own.writeErrors(insert(group(id, replica(1, uint32(j))))); errs[0] != nil {
					t.Errorf("client %d: %v", i, errs[0])
				}
				if _, err := own.read(entity(&p4v1.TableEntry{}), entityOf(group(0)), entityOf(&p4v1.CounterEntry{})); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				_ = own.setPipeline(p4v1.SetForwardingPipelineConfigRequest_VERIFY, testConfig(t))
				_ = own.writeAs(p4v1.WriteRequest_DATAPLANE_ATOMIC, remove(group(id)), remove(group(id)))
				tg.frame(1, ethernet(1, uint64(id), 0x88cc, "x"))
			}
		})
	}
	working.Wait()
	if got := len(c.mustRead(entityOf(group(0)))); got != 120 {
		t.Errorf("%d groups, want 120", got)
	}
}
