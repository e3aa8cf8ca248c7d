package api

import (
	"encoding/json"
	"testing"

	pb "github.com/opiproject/opi-api/network/evpn-gw/v1alpha1/gen/go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// What the reference bridge's README has its users create, one after the other, with the
// braces put where the messages have them: the VRF's loopback, the SVI's gateway and the
// VTEP are one address, the MACs of port and gateway too.
func TestTheReferenceBridgesExampleWorks(t *testing.T) {
	g := newGateway(t)
	const address = `{"addr": {"af": "IP_AF_INET", "v4_addr": 167772162}, "len": 24}`
	const id = "//network.opiproject.org/"
	call := func(method, request string, in, out proto.Message) {
		t.Helper()
		if err := protojson.Unmarshal([]byte(request), in); err != nil {
			t.Fatal(err)
		}
		if err := g.conn.Invoke(t.Context(), "/opi_api.network.evpn_gw.v1alpha1."+method, in, out); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	for range 2 { // README's users repeat it
		call("VrfService/CreateVrf", `{"vrf": {"spec": {"vni": 1234, "loopback_ip_prefix": `+address+
			`, "vtep_ip_prefix": `+address+`}}, "vrf_id": "testvrf"}`, &pb.CreateVrfRequest{}, &pb.Vrf{})
		call("LogicalBridgeService/CreateLogicalBridge", `{"logical_bridge": {"spec": {"vni": 10, "vlan_id": 10}},
			"logical_bridge_id": "testbridge"}`, &pb.CreateLogicalBridgeRequest{}, &pb.LogicalBridge{})
		call("BridgePortService/CreateBridgePort", `{"bridge_port": {"spec": {"mac_address": "qrvMAAAB",
			"ptype": "BRIDGE_PORT_TYPE_ACCESS", "logical_bridges": ["`+id+`bridges/testbridge"]}},
			"bridge_port_id": "testport"}`, &pb.CreateBridgePortRequest{}, &pb.BridgePort{})
		call("SviService/CreateSvi", `{"svi": {"spec": {"vrf": "`+id+`vrfs/testvrf", "logical_bridge":
			"`+id+`bridges/testbridge", "mac_address": "qrvMAAAB", "gw_ip_prefix": [`+address+`]}}, "svi_id": "testsvi"}`,
			&pb.CreateSviRequest{}, &pb.Svi{})
	}
	call("BridgePortService/GetBridgePort", `{"name": "`+id+`ports/testport"}`, &pb.GetBridgePortRequest{}, &pb.BridgePort{})
	call("LogicalBridgeService/GetLogicalBridge", `{"name": "`+id+`bridges/testbridge"}`, &pb.GetLogicalBridgeRequest{},
		&pb.LogicalBridge{})
	call("SviService/ListSvis", `{}`, &pb.ListSvisRequest{}, &pb.ListSvisResponse{})
	call("SviService/DeleteSvi", `{"name": "`+id+`svis/testsvi"}`, &pb.DeleteSviRequest{}, &pb.Svi{})
	call("VrfService/DeleteVrf", `{"name": "`+id+`vrfs/testvrf"}`, &pb.DeleteVrfRequest{}, &pb.Vrf{})
	call("BridgePortService/DeleteBridgePort", `{"name": "`+id+`ports/testport"}`, &pb.DeleteBridgePortRequest{},
		&pb.BridgePort{})
	call("LogicalBridgeService/DeleteLogicalBridge", `{"name": "`+id+`bridges/testbridge"}`,
		&pb.DeleteLogicalBridgeRequest{}, &pb.LogicalBridge{})
}

// That bridge shows 0.0.0.0/0 as the VTEP of a VRF that was given none.
func TestAVTEPOf0IsNone(t *testing.T) {
	g := newGateway(t)
	const unset = `{"addr": {"af": "IP_AF_INET", "v4_addr": 0}, "len": 0}`
	for path, spec := range map[string]string{
		"/v1/vrfs?vrf_id=green": `{"spec": {"loopback_ip_prefix": {"addr": {"v4_addr": 167772162}, "len": 32},
			"vtep_ip_prefix": ` + unset + `}}`,
		"/v1/logicalBridges?logical_bridge_id=blue": `{"spec": {"vlan_id": 10, "vtep_ip_prefix": ` + unset + `}}`,
		"/v1/logicalBridges?logical_bridge_id=grey": `{"spec": {"vlan_id": 11, "vtep_ip_prefix": {"addr":
			{"v6_addr": "AAAAAAAAAAAAAAAAAAAAAA=="}}}}`,
	} {
		r := g.do(t, "POST", path, spec)
		var o struct{ Spec map[string]any }
		if err := json.Unmarshal(r.body, &o); err != nil || r.code != 200 || o.Spec["vtepIpPrefix"] != nil {
			t.Errorf("%s: HTTP %d %s", path, r.code, r.body)
		}
	}
}
