package p4rtserver

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// expectRefusedPorts checks that the next message says an object.
func (c *client) expectRefusedPorts(want string) {
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

func TestClientsAreToldOfRefusedPortsWhenTheyComeAndWhenItChanges(t *testing.T) {
	tg := startTarget(t)
	a := tg.client(t)
	a.arbitrate(0, 5)
	a.expectArbitration(codes.OK, 5)
	tg.server.TellRefusedPorts(map[uint32]string{}) // no news
	tg.server.TellRefusedPorts(map[uint32]string{3: "an address", 4: "no \xff text"})
	a.expectRefusedPorts(`{"refused_ports": {"3": "an address", "4": "no ? text"}}`)
	tg.server.TellRefusedPorts(map[uint32]string{3: "an address", 4: "no \xff text"}) // no news

	b := tg.client(t)
	b.arbitrate(0, 3) // a backup is told too
	b.expectArbitration(codes.AlreadyExists, 5)
	b.expectRefusedPorts(`{"refused_ports": {"3": "an address", "4": "no ? text"}}`)
	b.arbitrate(0, 2) // and once
	b.expectArbitration(codes.AlreadyExists, 5)

	tg.server.TellRefusedPorts(map[uint32]string{})
	a.expectRefusedPorts(`{"refused_ports": {}}`)
	b.expectRefusedPorts(`{"refused_ports": {}}`)
	c := tg.client(t)
	c.arbitrate(0, 1)
	c.expectArbitration(codes.AlreadyExists, 5)
	c.send(&p4v1.StreamMessageRequest{}) // the answer is the next message
	if m := c.mustRecv(); m.GetError() == nil {
		t.Errorf("got %v, want nothing of ports where none is refused", m)
	}
}
