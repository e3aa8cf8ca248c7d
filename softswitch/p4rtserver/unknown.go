package p4rtserver

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkKnown refuses a message with fields that this version of P4Runtime does
// not have, at any depth: to leave out what they ask for would not be what the
// client asked for.
func checkKnown(m proto.Message) error {
	if hasUnknown(m.ProtoReflect()) {
		return errUnknownFields
	}
	return nil
}

var errUnknownFields = invalid("it has fields that P4Runtime %s does not know", apiVersion)

func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
