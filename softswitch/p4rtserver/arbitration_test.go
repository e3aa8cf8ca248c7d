package p4rtserver

//lint:file-ignore SA1019 The deprecated role id must be refused.

import (
	"context"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestHighestElectionIDIsPrimaryAndAllAreTold(t *testing.T) {
	tg := startTarget(t)
	a, b := tg.client(t), tg.client(t)
	a.arbitrate(0, 5)
	a.expectArbitration(codes.OK, 5)
	b.arbitrate(0, 3) // lower: a backup, and only it is told
	b.expectArbitration(codes.AlreadyExists, 5)
	b.arbitrate(0, 9) // raises itself
	a.expectArbitration(codes.AlreadyExists, 9)
	b.expectArbitration(codes.OK, 9)
	b.arbitrate(0, 1) // gives up: nobody is primary, the highest id stays
	a.expectArbitration(codes.NotFound, 9)
	b.expectArbitration(codes.NotFound, 9)
	a.arbitrate(0, 8) // not the highest ever seen
	a.expectArbitration(codes.NotFound, 9)
	a.arbitrate(1, 0) // the high half counts more
	b.expectArbitration(codes.AlreadyExists, 0)
	a.expectArbitration(codes.OK, 0)
}

func TestPrimaryLeavingLeavesNoPrimary(t *testing.T) {
	tg := startTarget(t)
	a, b := tg.client(t), tg.client(t)
	a.arbitrate(0, 5)
	a.expectArbitration(codes.OK, 5)
	b.arbitrate(0, 4)
	b.expectArbitration(codes.AlreadyExists, 5)
	a.cancel()
	b.expectArbitration(codes.NotFound, 5)
	if err := b.write(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("write without a primary: %v", err)
	}
	b.arbitrate(0, 5) // the id is free again
	b.expectArbitration(codes.OK, 5)
}

func TestClientWithoutElectionIDIsNeverPrimary(t *testing.T) {
	tg := startTarget(t)
	a, b := tg.client(t), tg.client(t)
	a.sendArbitration(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice})
	if m := a.mustRecv().GetArbitration(); m.GetStatus().GetCode() != int32(codes.NotFound) || m.ElectionId != nil {
		t.Errorf("got %v, want NOT_FOUND without an election id", m)
	}
	b.sendArbitration(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice}) // not a duplicate
	b.mustRecv()
	b.arbitrate(0, 0) // zero is an id
	a.expectArbitration(codes.AlreadyExists, 0)
	b.expectArbitration(codes.OK, 0)
}

func TestBadArbitrationEndsTheStream(t *testing.T) {
	one := &p4v1.Uint128{Low: 1}
	for _, c := range []struct {
		name  string
		first *p4v1.MasterArbitrationUpdate // accepted before, nil for none
		bad   *p4v1.MasterArbitrationUpdate
		code  codes.Code
	}{
		{"unknown device", nil, &p4v1.MasterArbitrationUpdate{DeviceId: 9, ElectionId: one}, codes.NotFound},
		{"no device", nil, &p4v1.MasterArbitrationUpdate{ElectionId: one}, codes.NotFound},
		{"duplicate id", nil, &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: 50}}, codes.InvalidArgument},
		{"role config", nil, &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one, Role: &p4v1.Role{Config: &anypb.Any{}}}, codes.InvalidArgument},
		{"numeric role", nil, &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one, Role: &p4v1.Role{Id: 4}}, codes.InvalidArgument},
		{"device changes", &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one}, &p4v1.MasterArbitrationUpdate{DeviceId: 9, ElectionId: one}, codes.FailedPrecondition},
		{"role changes", &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one}, &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one, Role: &p4v1.Role{Name: "x"}}, codes.FailedPrecondition},
		{"raises itself to a used id", &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: one}, &p4v1.MasterArbitrationUpdate{DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: 50}}, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := startTarget(t)
			other, bad := tg.client(t), tg.client(t)
			other.arbitrate(0, 50)
			other.expectArbitration(codes.OK, 50)
			if c.first != nil {
				bad.sendArbitration(c.first)
				bad.expectArbitration(codes.AlreadyExists, 50)
			}
			bad.sendArbitration(c.bad)
			bad.expectEnd(c.code)
			if s := tg.server.arbiter.checkPrimary("", &p4v1.Uint128{Low: 50}); s != nil {
				t.Errorf("the other client is not primary any more: %v", s)
			}
		})
	}
}

func TestRolesHaveTheirOwnPrimaries(t *testing.T) {
	tg := startTarget(t)
	a, b := tg.client(t), tg.client(t)
	b.role = "watcher"
	a.arbitrate(0, 5)
	a.expectArbitration(codes.OK, 5)
	b.arbitrate(0, 5) // the same id in another role
	b.expectArbitration(codes.OK, 5)
	a.commit(testConfig(t))
	if err := b.write(); err != nil {
		t.Errorf("write of another role's primary: %v", err)
	}
	b.role = "nobody"
	if err := b.write(); status.Code(err) != codes.NotFound {
		t.Errorf("write of an unknown role: %v", err)
	}
}

func TestRequestsAreCheckedBeforeTheirContent(t *testing.T) {
	tg := startTarget(t)
	c := tg.client(t)
	if err := c.write(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("write without a stream: %v", err)
	}
	c.arbitrate(0, 1)
	c.expectArbitration(codes.OK, 1)
	if err := c.write(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("write without a pipeline: %v", err)
	}
	if _, err := c.read(entity(&p4v1.TableEntry{})); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("read without a pipeline: %v", err)
	}
	if response, err := tg.rpc.GetForwardingPipelineConfig(context.Background(),
		&p4v1.GetForwardingPipelineConfigRequest{DeviceId: testDevice}); err != nil || response.Config != nil {
		t.Errorf("pipeline before there is one: %v, %v", response, err)
	}
	c.commit(testConfig(t))
	for name, request := range map[codes.Code]*p4v1.WriteRequest{
		codes.NotFound:         {DeviceId: 9, ElectionId: c.election},
		codes.PermissionDenied: {DeviceId: testDevice, ElectionId: &p4v1.Uint128{Low: 2}},
		codes.InvalidArgument:  {DeviceId: testDevice, ElectionId: c.election, Atomicity: 17},
	} {
		if _, err := tg.rpc.Write(context.Background(), request); status.Code(err) != name {
			t.Errorf("write %v: %v, want %v", request, err, name)
		}
	}
	if _, err := tg.rpc.Write(context.Background(),
		&p4v1.WriteRequest{DeviceId: testDevice}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("write without an election id: %v", err)
	}
	version, err := tg.rpc.Capabilities(context.Background(), &p4v1.CapabilitiesRequest{})
	if err != nil || version.P4RuntimeApiVersion != "1.5.0" {
		t.Errorf("capabilities: %v, %v", version, err)
	}
	if _, err := tg.rpc.Capabilities(context.Background(),
		&p4v1.CapabilitiesRequest{DeviceId: 9}); status.Code(err) != codes.NotFound {
		t.Errorf("capabilities of another device: %v", err)
	}
}

func TestWritesOfASupersededPrimaryAreRefused(t *testing.T) {
	tg, a := startPrimary(t)
	b := tg.client(t)
	b.arbitrate(0, 2)
	b.expectArbitration(codes.OK, 2)
	a.expectArbitration(codes.AlreadyExists, 2)
	if err := a.write(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("write of the old primary: %v", err)
	}
	if err := b.write(); err != nil {
		t.Errorf("write of the new primary: %v", err)
	}
}

func TestNextElectionIDIsPromotedWhereThatIsWanted(t *testing.T) {
	tg := startConfigured(t, Config{PromoteNext: true})
	first, second, third := tg.client(t), tg.client(t), tg.client(t)
	first.arbitrate(0, 9)
	first.expectArbitration(codes.OK, 9)
	second.arbitrate(0, 5)
	second.expectArbitration(codes.AlreadyExists, 9)
	third.sendArbitration(&p4v1.MasterArbitrationUpdate{DeviceId: testDevice}) // never primary
	third.expectArbitration(codes.AlreadyExists, 9)
	first.cancel()
	second.expectArbitration(codes.OK, 5)
	third.expectArbitration(codes.AlreadyExists, 5)
	second.commit(testConfig(t))
	again := tg.client(t)
	again.arbitrate(0, 7) // below the 9 that has left
	second.expectArbitration(codes.AlreadyExists, 7)
	again.expectArbitration(codes.OK, 7)
	again.cancel()
	second.expectArbitration(codes.OK, 5)
}
