package p4rtserver

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// expectPorts checks that the next message says an object.
func (c *client) expectPorts(want string) {
	c.t.Helper()
	m := c.mustRecv()
	var got structpb.Struct
	if err := m.GetOther().UnmarshalTo(&got); err != nil {
		c.t.Fatalf("got %v, want %s: %v", m, want, err)
	}
	var object structpb.Struct
	if err := protojson.Unmarshal([]byte(want), &object); err != nil {
		c.t.Fatal(err)
	}
	if got.String() != object.String() {
		c.t.Fatalf("got %v, want %s", &got, want)
	}
}

func TestClientsAreToldOfPortsWhenTheyComeAndWhenItChanges(t *testing.T) {
	tg := startTarget(t)
	first := tg.client(t)
	first.arbitrate(0, 5)
	first.expectArbitration(codes.OK, 5) // and nothing more: nobody knows yet
	tg.server.TellPorts(nil, nil)
	first.expectPorts(`{"refused_ports": {}, "down_ports": {}}`)
	tg.server.TellPorts(map[uint32]string{}, map[uint32]string{}) // no news
	refused, down := map[uint32]string{3: "an address", 4: "no \xff text"}, map[uint32]string{3: "an address", 5: "off"}
	const both = `{"refused_ports": {"3": "an address", "4": "no ? text"}, "down_ports": {"3": "an address", "5": "off"}}`
	tg.server.TellPorts(refused, down)
	first.expectPorts(both)
	tg.server.TellPorts(refused, down) // no news

	second := tg.client(t)
	second.arbitrate(0, 3) // a backup is told too
	second.expectArbitration(codes.AlreadyExists, 5)
	second.expectPorts(both)
	second.arbitrate(0, 2) // and once
	second.expectArbitration(codes.AlreadyExists, 5)

	tg.server.TellPorts(refused, nil)
	const one = `{"refused_ports": {"3": "an address", "4": "no ? text"}, "down_ports": {}}`
	first.expectPorts(one)
	second.expectPorts(one)
	tg.server.TellPorts(nil, nil)
	first.expectPorts(`{"refused_ports": {}, "down_ports": {}}`)
	third := tg.client(t)
	third.arbitrate(0, 1)
	third.expectArbitration(codes.AlreadyExists, 5)
	third.expectPorts(`{"refused_ports": {}, "down_ports": {}}`)
}
