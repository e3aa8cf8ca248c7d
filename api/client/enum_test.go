package client

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
)

func TestAnEnumIsAWordAndOneOfANewerGatewayItsNumber(t *testing.T) {
	for want, e := range map[string]protoreflect.Enum{
		"up": pb.State_STATE_UP, "": pb.State_STATE_UNSPECIFIED, "99": pb.State(99), "-1": pb.State(-1),
		"established": pb.SessionState_SESSION_STATE_ESTABLISHED, "unexpected": pb.DifferenceKind_DIFFERENCE_KIND_UNEXPECTED,
	} {
		if got := Word(e); got != want {
			t.Errorf("%v is %q, want %q", e, got, want)
		}
	}
}

// A gateway newer than this client has a family more: what list shows of its
// neighbour is what apply gives back.
func TestAnEnumOfANewerGatewaySurvivesAFile(t *testing.T) {
	k, err := ParseKind("neighbor")
	if err != nil {
		t.Fatal(err)
	}
	spec := &pb.NeighborSpec{RemoteAs: 65101, Families: []pb.Family{pb.Family_FAMILY_EVPN, 99}}
	var file strings.Builder
	if err := WriteOne(&file, "yaml", newObject(k, &pb.Neighbor{Name: "neighbors/10.1.1.1", Spec: spec})); err != nil {
		t.Fatal(err)
	}
	objects, err := Parse("file", []byte(file.String()))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%v of\n%s", err, file.String())
	}
	if got := objects[0].message.(*pb.Neighbor).GetSpec(); !proto.Equal(got, spec) {
		t.Errorf("%v came back as %v", spec, got)
	}
	for _, bad := range []string{"vpnv4", "unspecified", "0", "1", "1.5", "99999999999"} {
		_, err := Parse("file", []byte("{kind: neighbor, id: 10.1.1.1, spec: {families: ['"+bad+"']}}"))
		if err == nil || !strings.Contains(err.Error(), "want evpn or ipv4 or ipv6") {
			t.Errorf("family %s: %v", bad, err)
		}
	}
}

func TestJSONIsThatOfProtobufWithWords(t *testing.T) {
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{&pb.Session{Address: "10.1.1.1", State: pb.SessionState_SESSION_STATE_ACTIVE, Uptime: durationpb.New(61e9), Received: 7}, `{
			"address": "10.1.1.1", "as": 0, "state": "active", "uptime": "61s", "received": "7", "advertised": "0", "reason": "",
			"limit": 0, "shutdown": false, "router_id": "", "families": [], "received_unicast": "0", "end_of_rib": false,
			"graceful_restart": false, "losses": "0", "last_loss": "", "fault_counts": [], "faults": [], "bfd": null}`},
		{&pb.Fault{Time: timestamppb.New(time.Unix(0, 5e6)), Action: pb.FaultAction_FAULT_ACTION_SESSION_ENDED}, `{
			"time": "1970-01-01T00:00:00.005Z", "reason": "", "what": "", "action": "session_ended", "bytes": ""}`},
		{&pb.Difference{Kind: 9}, `{"kind": "9", "table": "", "was": "", "is": ""}`},
		{&pb.AuditResponse{Differences: []*pb.Difference{{Kind: pb.DifferenceKind_DIFFERENCE_KIND_MISSING, Was: "STATE_UP"}}},
			`{"entries": 0, "differences": [{"kind": "missing", "table": "", "was": "STATE_UP", "is": ""}]}`},
		{&pb.NeighborSpec{Families: []pb.Family{pb.Family_FAMILY_IPV6, 9}}, `{
			"remote_as": 0, "port": 0, "local_address": "", "password": "", "multihop": 0, "passive": false, "hold_time": null,
			"keepalive": null, "connect_retry": null, "max_prefixes": 0, "families": ["ipv6", "9"], "mac_ip_only": false,
			"allow_own_as": 0, "ttl_security": 0, "shutdown": false, "shutdown_message": "","no_arp_nd":false,
			"bfd": false, "bfd_interval": null, "bfd_multiplier": 0, "bfd_hops": 0}`},
		{&pb.UpdateNeighborRequest{Neighbor: &pb.Neighbor{Status: &pb.NeighborStatus{}}}, `{
			"neighbor": {"name": "", "spec": null, "status": {"state": "", "reason": "", "configured": false, "session": "",
			"uptime": null, "received": "0", "advertised": "0", "has_password": false}}, "update_mask": null, "allow_missing": false}`},
	} {
		got, err := JSON(c.m)
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder // without the spaces, in the same order
		if err := compact(&want, c.want); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Errorf("got  %s\nwant %s", got, want.String())
		}
	}
}

func compact(w *strings.Builder, s string) error {
	d := json.NewDecoder(strings.NewReader(s))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return err
	}
	b, err := json.Marshal(raw) // compacts
	w.Write(b)
	return err
}
