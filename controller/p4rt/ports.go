package p4rt

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// decodeOther reads a message that P4Runtime leaves to the architecture (16). ok
// is false for one that says nothing of ports.
func decodeOther(other *anypb.Any) (ports PortStates, ok bool, err error) {
	var said structpb.Struct
	if !other.MessageIs(&said) {
		return ports, false, nil
	}
	if err := other.UnmarshalTo(&said); err != nil {
		return ports, false, fmt.Errorf("stream message %q: %w", other.GetTypeUrl(), err)
	}
	for field, into := range map[string]*map[uint32]string{"refused_ports": &ports.Refused, "down_ports": &ports.Down} {
		value, has := said.GetFields()[field]
		if !has {
			continue
		}
		if *into, err = reasons(value); err != nil {
			return PortStates{}, false, fmt.Errorf("%s %w", field, err)
		}
		ok = true
	}
	return ports, ok, nil
}

// reasons reads an object of reasons by the numbers of ports.
func reasons(value *structpb.Value) (map[uint32]string, error) {
	fields := value.GetStructValue()
	if fields == nil {
		return nil, fmt.Errorf("is %v, want an object", value)
	}
	found := map[uint32]string{}
	for name, reason := range fields.GetFields() {
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("names port %q: want a number of 32 bits", name)
		}
		found[uint32(number)] = reason.GetStringValue()
	}
	return found, nil
}
