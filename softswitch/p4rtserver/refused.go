package p4rtserver

import (
	"maps"
	"strconv"
	"strings"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// TellRefusedPorts says which ports of the switch are refused, each with the reason,
// to all clients where that is news, and to each that comes while there are any.
//
// P4Runtime has no word for it. It leaves StreamMessageResponse.other to the
// architecture (16), which carries a google.protobuf.Struct here, such as
// {"refused_ports": {"3": "the reason"}}: all that are refused now.
func (s *Server) TellRefusedPorts(refused map[uint32]string) {
	a := &s.arbiter
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if maps.Equal(a.refused, refused) {
		return
	}
	a.refused, a.refusedMessage = maps.Clone(refused), refusedPorts(refused)
	for _, r := range a.roles {
		for _, st := range r.streams {
			st.mustSend(a.refusedMessage)
		}
	}
}

// tellRefusedPorts tells a client that has just come; a.mu is held.
func (a *arbiter) tellRefusedPorts(st *stream) {
	if len(a.refused) > 0 {
		st.mustSend(a.refusedMessage)
	}
}

func refusedPorts(refused map[uint32]string) *p4v1.StreamMessageResponse {
	ports := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for number, reason := range refused {
		ports.Fields[strconv.FormatUint(uint64(number), 10)] = structpb.NewStringValue(strings.ToValidUTF8(reason, "?"))
	}
	other := &anypb.Any{}
	// Marshalling fails for text that is no UTF-8 alone.
	_ = other.MarshalFrom(
		&structpb.Struct{Fields: map[string]*structpb.Value{"refused_ports": structpb.NewStructValue(ports)}})
	return &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Other{Other: other}}
}
