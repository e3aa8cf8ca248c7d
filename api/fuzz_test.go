package api

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/p4evpn/p4evpn/controller/intent"
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "logicalBridges/vlan10", "//network.opiproject.org/bridges/vlan10", "//network.opiproject.org/", "bridges/\xff", "/", "vlan10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		id, err := bridgeNaming.id(name)
		if err != nil {
			return
		}
		if intent.CheckID(id) != nil {
			t.Errorf("%q gave the id %q", name, id)
		}
		if again, err := bridgeNaming.id(bridgeNaming.name(id)); err != nil || again != id {
			t.Errorf("%q -> %q -> %q, %v", name, id, again, err)
		}
	})
}

func FuzzPageTokens(f *testing.F) {
	f.Add("")
	f.Add(bridgeNaming.pageToken("vlan10"))
	f.Add(portNaming.pageToken("port1"))
	f.Fuzz(func(t *testing.T, token string) {
		id, err := bridgeNaming.parsePageToken(token)
		if err == nil && token != "" && bridgeNaming.pageToken(id) != token {
			t.Errorf("%q is taken for the token after %q", token, id)
		}
	})
}

// clientMistakes are the codes that a request may end with, whatever is in it.
var clientMistakes = []codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.ResourceExhausted}

// FuzzRequests takes bytes as the wire form of every request in turn.
func FuzzRequests(f *testing.F) {
	bridge, port := bridgeMsg(10, 10), trunkMsg("logicalBridges/vlan10")
	bridge.Name, port.Name = "logicalBridges/vlan10", "bridgePorts/port1"
	for i, m := range []proto.Message{
		&pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan30", LogicalBridge: bridgeMsg(30, 30)},
		&pb.GetLogicalBridgeRequest{Name: bridge.Name},
		&pb.ListLogicalBridgesRequest{PageSize: 1, PageToken: bridgeNaming.pageToken("vlan10")},
		&pb.UpdateLogicalBridgeRequest{LogicalBridge: bridge, UpdateMask: mask("spec.vtep_ip_prefix.addr", "status")},
		&pb.DeleteLogicalBridgeRequest{Name: bridge.Name, AllowMissing: true},
		&pb.CreateBridgePortRequest{BridgePortId: "port3", BridgePort: accessMsg("//network.opiproject.org/bridges/vlan10")},
		&pb.GetBridgePortRequest{Name: port.Name},
		&pb.ListBridgePortsRequest{},
		&pb.UpdateBridgePortRequest{BridgePort: port, AllowMissing: true, UpdateMask: mask("*")},
		&pb.DeleteBridgePortRequest{Name: port.Name},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	f.Fuzz(func(t *testing.T, method byte, wire []byte) {
		store := intent.NewMemory()
		bridges, ports := newBridgeService(store, fakeStatus{}), newPortService(store, fakeStatus{})
		err := store.Update(func(tx *intent.Tx) error {
			_, a := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan10", VLAN: 10, VNI: 10})
			_, b := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan20", VLAN: 20})
			_, c := tx.Ports().Create(intent.BridgePort{ID: "port1", MAC: mac1, Type: intent.Access, Bridges: []string{"vlan10"}})
			return errors.Join(a, b, c)
		})
		if err != nil {
			t.Fatal(err)
		}
		before := frozen(t, store)
		ctx := context.Background()
		switch method % 10 {
		case 0:
			err = call(ctx, wire, bridges.CreateLogicalBridge)
		case 1:
			err = call(ctx, wire, bridges.GetLogicalBridge)
		case 2:
			err = call(ctx, wire, bridges.ListLogicalBridges)
		case 3:
			err = call(ctx, wire, bridges.UpdateLogicalBridge)
		case 4:
			err = call(ctx, wire, bridges.DeleteLogicalBridge)
		case 5:
			err = call(ctx, wire, ports.CreateBridgePort)
		case 6:
			err = call(ctx, wire, ports.GetBridgePort)
		case 7:
			err = call(ctx, wire, ports.ListBridgePorts)
		case 8:
			err = call(ctx, wire, ports.UpdateBridgePort)
		case 9:
			err = call(ctx, wire, ports.DeleteBridgePort)
		}
		if !slices.Contains(clientMistakes, status.Code(err)) {
			t.Errorf("method %d: %v", method%10, err)
		}
		if err != nil && !reflect.DeepEqual(frozen(t, store), before) {
			t.Errorf("method %d failed with %v and changed something", method%10, err)
		}
	})
}

// call is one call whose answer can be sent. What is no message of the type
// never reaches a method, since gRPC refuses it.
func call[Req, Resp any, PReq interface {
	*Req
	proto.Message
}, PResp interface {
	*Resp
	proto.Message
}](ctx context.Context, wire []byte, method func(context.Context, PReq) (PResp, error)) error {
	req := PReq(new(Req))
	if proto.Unmarshal(wire, req) != nil {
		return nil
	}
	resp, err := method(ctx, req)
	if err != nil {
		return err
	}
	_, err = proto.Marshal(resp)
	return err
}
