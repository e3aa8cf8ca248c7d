package api

import (
	"context"
	"errors"
	"net/netip"
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
	for _, s := range []string{"", "logicalBridges/vlan10", "//network.opiproject.org/bridges/vlan10",
		"//network.opiproject.org/", "bridges/\xff", "/", "/vlan10", "vlan10", "vrfs/green",
		"//network.opiproject.org/svis/svi10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range namings {
			id, err := n.id(name)
			if err != nil {
				continue
			}
			if intent.CheckID(id) != nil {
				t.Errorf("%q gave the id %q", name, id)
			}
			if again, err := n.id(n.name(id)); err != nil || again != id {
				t.Errorf("%q -> %q -> %q, %v", name, id, again, err)
			}
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
var clientMistakes = []codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists,
	codes.FailedPrecondition, codes.ResourceExhausted}

// FuzzRequests takes bytes as the wire form of every request in turn.
func FuzzRequests(f *testing.F) {
	bridge, port := bridgeMsg(10, 10), trunkMsg("logicalBridges/vlan10")
	vrf, svi := vrfMsg(100), sviMsg("vrfs/green", "logicalBridges/vlan10", v4(10, 10, 0, 1, 24),
		v6([]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}, 64))
	bridge.Name, port.Name, vrf.Name, svi.Name = "logicalBridges/vlan10", "bridgePorts/port1", "vrfs/green", "svis/svi10"
	svi.Spec.EnableBgp, svi.Spec.RemoteAs = true, 65000
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
		&pb.CreateVrfRequest{VrfId: "yellow", Vrf: vrfMsg(101)},
		&pb.GetVrfRequest{Name: "//network.opiproject.org/vrfs/green"},
		&pb.ListVrfsRequest{PageSize: 1, PageToken: vrfNaming.pageToken("green")},
		&pb.UpdateVrfRequest{Vrf: vrf, UpdateMask: mask("spec.loopback_ip_prefix.len", "spec.vni")},
		&pb.DeleteVrfRequest{Name: vrf.Name},
		&pb.CreateSviRequest{SviId: "svi20",
			Svi: sviMsg("vrfs/green", "//network.opiproject.org/bridges/vlan20", v4(10, 20, 0, 1, 24))},
		&pb.GetSviRequest{Name: svi.Name},
		&pb.ListSvisRequest{},
		&pb.UpdateSviRequest{Svi: svi, AllowMissing: true, UpdateMask: mask("spec.gw_ip_prefix", "spec.mac_address")},
		&pb.DeleteSviRequest{Name: svi.Name, AllowMissing: true},
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
		vrfs, svis := newVRFService(store, fakeStatus{}), newSVIService(store, fakeStatus{})
		err := store.Update(func(tx *intent.Tx) error {
			_, a := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan10", VLAN: 10, VNI: 10})
			_, b := tx.Bridges().Create(intent.LogicalBridge{ID: "vlan20", VLAN: 20})
			_, c := tx.Ports().Create(intent.BridgePort{ID: "port1", MAC: mac1, Type: intent.Access,
				Bridges: []string{"vlan10"}})
			_, d := tx.VRFs().Create(intent.VRF{ID: "green", VNI: 100, Loopback: netip.MustParsePrefix("10.100.0.1/24")})
			_, e := tx.SVIs().Create(intent.SVI{ID: "svi10", VRF: "green", Bridge: "vlan10", MAC: mac1,
				Gateways: []netip.Prefix{netip.MustParsePrefix("10.10.0.1/24")}})
			return errors.Join(a, b, c, d, e)
		})
		if err != nil {
			t.Fatal(err)
		}
		before := frozen(t, store)
		methods := []rpc{
			call(bridges.CreateLogicalBridge),
			call(bridges.GetLogicalBridge),
			call(bridges.ListLogicalBridges),
			call(bridges.UpdateLogicalBridge),
			call(bridges.DeleteLogicalBridge),
			call(ports.CreateBridgePort),
			call(ports.GetBridgePort),
			call(ports.ListBridgePorts),
			call(ports.UpdateBridgePort),
			call(ports.DeleteBridgePort),
			call(vrfs.CreateVrf),
			call(vrfs.GetVrf),
			call(vrfs.ListVrfs),
			call(vrfs.UpdateVrf),
			call(vrfs.DeleteVrf),
			call(svis.CreateSvi),
			call(svis.GetSvi),
			call(svis.ListSvis),
			call(svis.UpdateSvi),
			call(svis.DeleteSvi),
		}
		i := int(method) % len(methods)
		err = methods[i](context.Background(), wire)
		if !slices.Contains(clientMistakes, status.Code(err)) {
			t.Errorf("method %d: %v", i, err)
		}
		if err != nil && !reflect.DeepEqual(frozen(t, store), before) {
			t.Errorf("method %d failed with %v and changed something", i, err)
		}
	})
}

// rpc is one call of a method with a request in its wire form.
type rpc func(ctx context.Context, wire []byte) error

// call makes one call whose answer can be sent. What is no message of the type
// never reaches a method, since gRPC refuses it.
func call[Req, Resp any, PReq interface {
	*Req
	proto.Message
}, PResp interface {
	*Resp
	proto.Message
}](method func(context.Context, PReq) (PResp, error)) rpc {
	return func(ctx context.Context, wire []byte) error {
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
}
