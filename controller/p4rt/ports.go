package p4rt

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// decodeOther reads a message that P4Runtime leaves to the architecture (16). ok
// is false for one that says nothing of ports.
func decodeOther(other *anypb.Any) (ports RefusedPorts, ok bool, err error) {
	var said structpb.Struct
	if !other.MessageIs(&said) {
		return ports, false, nil
	}
	if err := other.UnmarshalTo(&said); err != nil {
		return ports, false, fmt.Errorf("stream message %q: %w", other.GetTypeUrl(), err)
	}
	value, ok := said.GetFields()["refused_ports"]
	if !ok {
		return ports, false, nil
	}
	fields := value.GetStructValue()
	if fields == nil {
		return ports, false, fmt.Errorf("refused_ports is %v, want an object", value)
	}
	ports.Reasons = map[uint32]string{}
	for name, reason := range fields.GetFields() {
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return ports, false, fmt.Errorf("refused_ports names port %q: want a number of 32 bits", name)
		}
		ports.Reasons[uint32(number)] = reason.GetStringValue()
	}
	return ports, true, nil
}
