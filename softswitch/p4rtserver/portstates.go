package p4rtserver

import (
	"maps"
	"strconv"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// TellPorts says which ports of the switch are refused, and which are down, refused ones
// among them, each with the reason: to all clients where that is news, and to each that
// comes.
//
// P4Runtime has no word for it. It leaves StreamMessageResponse.other to the
// architecture (16), which carries a google.protobuf.Struct here, such as
// {"refused_ports": {"3": "the reason"}, "down_ports": {"3": "the reason"}}: all that are
// so now.
func (s *Server) TellPorts(refused, down map[uint32]string) {
	a := &s.arbiter
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.portsMessage != nil && maps.Equal(a.refused, refused) && maps.Equal(a.down, down) {
		return
	}
	a.refused, a.down = maps.Clone(refused), maps.Clone(down)
	a.portsMessage = statesMessage(refused, down)
	for _, r := range a.roles {
		for _, st := range r.streams {
			st.mustSend(a.portsMessage)
		}
	}
}

// tellPorts tells a client that has just come; a.mu is held.
func (a *arbiter) tellPorts(st *stream) {
	if a.portsMessage != nil {
		st.mustSend(a.portsMessage)
	}
}

func statesMessage(refused, down map[uint32]string) *p4v1.StreamMessageResponse {
	object := func(of map[uint32]string) *structpb.Value {
		ports := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for number, reason := range of {
			ports.Fields[strconv.FormatUint(uint64(number), 10)] = structpb.NewStringValue(strings.ToValidUTF8(reason, "?"))
		}
		return structpb.NewStructValue(ports)
	}
	other := &anypb.Any{}
	// Marshalling fails for text that is no UTF-8 alone.
	_ = other.MarshalFrom(&structpb.Struct{Fields: map[string]*structpb.Value{
		"refused_ports": object(refused), "down_ports": object(down),
	}})
	return &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Other{Other: other}}
}
