package api

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	netpb "github.com/opiproject/opi-api/network/opinetcommon/v1alpha1/gen/go"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestABadBridgeIsRefusedByFieldAndChangesNothing(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	before := frozen(t, g.store)
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		name   string
		id     string
		change func(*pb.LogicalBridge)
		code   codes.Code
		fields []string
	}{
		{"upper case", "Vlan20", nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"short id", "abc", nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"long id", long, nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"underscore", "vlan_20", nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"slash", "vlan/20", nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"digit first", "20vlan", nil, codes.InvalidArgument, []string{"logical_bridge_id"}},
		{"no spec", "vlan20", func(m *pb.LogicalBridge) { m.Spec = nil }, codes.InvalidArgument, []string{"logical_bridge.spec"}},
		{"no VLAN", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VlanId = 0 }, codes.InvalidArgument, []string{"logical_bridge.spec.vlan_id"}},
		{"VLAN 4095", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VlanId = 4095 }, codes.InvalidArgument, []string{"logical_bridge.spec.vlan_id"}},
		{"VLAN that is 20 in 16 bits", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VlanId = 1<<16 + 20 }, codes.InvalidArgument, []string{"logical_bridge.spec.vlan_id"}},
		{"VNI 0", "vlan20", func(m *pb.LogicalBridge) { m.Spec.Vni = proto.Uint32(0) }, codes.InvalidArgument, []string{"logical_bridge.spec.vni"}},
		{"VNI of 25 bits", "vlan20", func(m *pb.LogicalBridge) { m.Spec.Vni = proto.Uint32(1 << 24) }, codes.InvalidArgument, []string{"logical_bridge.spec.vni"}},
		{"VTEP without address", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = &netpb.IPPrefix{Len: 32} }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.addr"}},
		{"VTEP of length 33", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = v4(10, 0, 0, 1, 33) }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.len"}},
		{"VTEP of length 0", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = v4(10, 0, 0, 1, 0) }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.len"}},
		{"VTEP of length -1", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = v4(10, 0, 0, 1, -1) }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.len"}},
		{"multicast VTEP", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = v4(239, 0, 0, 1, 32) }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix"}},
		{"v6 VTEP of 15 bytes", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VtepIpPrefix = v6(make([]byte, 15), 64) }, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.addr.v6_addr"}},
		{"mapped VTEP", "vlan20", func(m *pb.LogicalBridge) {
			m.Spec.VtepIpPrefix = v6([]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, 128)
		}, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix"}},
		{"VTEP of another family than said", "vlan20", func(m *pb.LogicalBridge) {
			m.Spec.VtepIpPrefix.Addr.Af = netpb.IpAf_IP_AF_INET6
		}, codes.InvalidArgument, []string{"logical_bridge.spec.vtep_ip_prefix.addr.af"}},
		{"two at once", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VlanId, m.Spec.Vni = 5000, proto.Uint32(1<<31) }, codes.InvalidArgument,
			[]string{"logical_bridge.spec.vlan_id", "logical_bridge.spec.vni"}},
		{"an id and a field", "v", func(m *pb.LogicalBridge) { m.Spec.VlanId = 5000 }, codes.InvalidArgument, []string{"logical_bridge_id", "logical_bridge.spec.vlan_id"}},
		{"VLAN of another", "vlan20", func(m *pb.LogicalBridge) { m.Spec.VlanId = 10 }, codes.FailedPrecondition, []string{"logical_bridge.spec.vlan_id"}},
		{"VNI of another", "vlan20", func(m *pb.LogicalBridge) { m.Spec.Vni = proto.Uint32(10) }, codes.FailedPrecondition, []string{"logical_bridge.spec.vni"}},
		{"id of another", "vlan10", nil, codes.AlreadyExists, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := bridgeMsg(20, 20)
			if c.change != nil {
				c.change(m)
			}
			_, err := g.bridges.CreateLogicalBridge(t.Context(),
				&pb.CreateLogicalBridgeRequest{LogicalBridgeId: c.id, LogicalBridge: m})
			wantCode(t, err, c.code, c.fields...)
			if !reflect.DeepEqual(frozen(t, g.store), before) {
				t.Error("the refused call changed something")
			}
		})
	}
	_, err := g.bridges.CreateLogicalBridge(t.Context(), &pb.CreateLogicalBridgeRequest{LogicalBridgeId: "vlan20"})
	wantCode(t, err, codes.InvalidArgument, "logical_bridge")
}

func TestABadPortIsRefusedByFieldAndChangesNothing(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	g.createPort(t, "port1", accessMsg("logicalBridges/vlan10"))
	before := frozen(t, g.store)
	spec := func(change func(*pb.BridgePortSpec)) *pb.BridgePort {
		m := accessMsg("logicalBridges/vlan10")
		change(m.Spec)
		return m
	}
	for _, c := range []struct {
		name   string
		id     string
		port   *pb.BridgePort
		code   codes.Code
		fields []string
	}{
		{"bad id", "ETH1", accessMsg("logicalBridges/vlan10"), codes.InvalidArgument, []string{"bridge_port_id"}},
		{"nothing", "port2", nil, codes.InvalidArgument, []string{"bridge_port"}},
		{"no spec", "port2", &pb.BridgePort{}, codes.InvalidArgument, []string{"bridge_port.spec"}},
		{"no MAC", "port2", spec(func(s *pb.BridgePortSpec) { s.MacAddress = nil }), codes.InvalidArgument, []string{"bridge_port.spec.mac_address"}},
		{"MAC of 5 bytes", "port2", spec(func(s *pb.BridgePortSpec) { s.MacAddress = stationMAC[:5] }), codes.InvalidArgument, []string{"bridge_port.spec.mac_address"}},
		{"MAC of 8 bytes", "port2", spec(func(s *pb.BridgePortSpec) { s.MacAddress = make([]byte, 8) }), codes.InvalidArgument, []string{"bridge_port.spec.mac_address"}},
		{"zero MAC", "port2", spec(func(s *pb.BridgePortSpec) { s.MacAddress = make([]byte, 6) }), codes.InvalidArgument, []string{"bridge_port.spec.mac_address"}},
		{"multicast MAC", "port2", spec(func(s *pb.BridgePortSpec) { s.MacAddress = []byte{1, 0, 0x5e, 0, 0, 1} }), codes.InvalidArgument, []string{"bridge_port.spec.mac_address"}},
		{"no type", "port2", spec(func(s *pb.BridgePortSpec) { s.Ptype = 0 }), codes.InvalidArgument, []string{"bridge_port.spec.ptype"}},
		{"type that is none", "port2", spec(func(s *pb.BridgePortSpec) { s.Ptype = 9 }), codes.InvalidArgument, []string{"bridge_port.spec.ptype"}},
		{"access to none", "port2", spec(func(s *pb.BridgePortSpec) { s.LogicalBridges = nil }), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges"}},
		{"access to two", "port2", spec(func(s *pb.BridgePortSpec) {
			s.LogicalBridges = []string{"logicalBridges/vlan10", "logicalBridges/vlan20"}
		}), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges"}},
		{"a bridge twice in two forms", "port2", trunkMsg("logicalBridges/vlan10", "//network.opiproject.org/bridges/vlan10"), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges[1]"}},
		{"a bridge's name without collection", "port2", accessMsg("vlan10"), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges[0]"}},
		{"a bridge's name of another kind", "port2", accessMsg("vrfs/vlan10"), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges[0]"}},
		{"an empty bridge name", "port2", accessMsg(""), codes.InvalidArgument, []string{"bridge_port.spec.logical_bridges[0]"}},
		{"a bridge that is not there", "port2", trunkMsg("logicalBridges/vlan10", "logicalBridges/vlan99"), codes.NotFound, []string{"bridge_port.spec.logical_bridges[1]"}},
		{"id of another", "port1", trunkMsg(), codes.AlreadyExists, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := g.ports.CreateBridgePort(t.Context(), &pb.CreateBridgePortRequest{BridgePortId: c.id, BridgePort: c.port})
			wantCode(t, err, c.code, c.fields...)
			if !reflect.DeepEqual(frozen(t, g.store), before) {
				t.Error("the refused call changed something")
			}
		})
	}
}

func TestABridgeWithPortsIsNotDeletedAndTheyAreListed(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	g.createPort(t, "port1", accessMsg("logicalBridges/vlan10"))
	g.createPort(t, "port2", trunkMsg("logicalBridges/vlan10"))
	g.createPort(t, "port3", trunkMsg())
	_, err := g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
	wantCode(t, err, codes.FailedPrecondition)
	subjects := subjectsOf(err)
	if want := []string{"bridgePorts/port1", "bridgePorts/port2"}; !reflect.DeepEqual(subjects, want) {
		t.Errorf("details list %q, want %q", subjects, want)
	}
	for _, id := range []string{"port1", "port2"} {
		if !strings.Contains(status.Convert(err).Message(), id) {
			t.Errorf("%v does not list %s", err, id)
		}
		if _, err := g.ports.DeleteBridgePort(t.Context(),
			&pb.DeleteBridgePortRequest{Name: "bridgePorts/" + id}); err != nil {
			t.Error(err)
		}
	}
	if _, err := g.bridges.DeleteLogicalBridge(t.Context(),
		&pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan10"}); err != nil {
		t.Error(err)
	}
}

// subjectsOf lists the objects that stand in the way, as the details name them.
func subjectsOf(err error) (subjects []string) {
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*errdetails.PreconditionFailure); ok {
			for _, v := range d.Violations {
				subjects = append(subjects, v.Subject)
			}
		}
	}
	return subjects
}

func TestAnErrorFitsIntoTrailersHoweverMuchIsWrong(t *testing.T) {
	g := newGateway(t)
	g.createBridge(t, "vlan10", 10, 10)
	for i := range 300 {
		g.createPort(t, fmt.Sprintf("port%d", i), accessMsg("logicalBridges/vlan10"))
	}
	many := make([]string, 5000)
	for i := range many {
		many[i] = strings.Repeat("ü", 300)
	}
	_, deleted := g.bridges.DeleteLogicalBridge(t.Context(), &pb.DeleteLogicalBridgeRequest{Name: "logicalBridges/vlan10"})
	_, created := g.ports.CreateBridgePort(t.Context(),
		&pb.CreateBridgePortRequest{BridgePortId: "trunk", BridgePort: trunkMsg(many...)})
	_, got := g.ports.GetBridgePort(t.Context(), &pb.GetBridgePortRequest{Name: strings.Repeat("x/", 1<<20)})
	for err, code := range map[error]codes.Code{deleted: codes.FailedPrecondition, created: codes.InvalidArgument,
		got: codes.InvalidArgument} {
		st := status.Convert(err)
		if st.Code() != code || proto.Size(st.Proto()) > 8000 {
			t.Errorf("%v of %d bytes, want %v of 8,000 at most: %.200s", st.Code(), proto.Size(st.Proto()), code, st.Message())
		}
	}
}
