package client

import (
	"encoding/json"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSON is a message in protobuf's JSON, with all fields and their names in the
// proto file, except that enums are words as Word gives them.
func JSON(m proto.Message) (json.RawMessage, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	return withWords(m.ProtoReflect(), b)
}

// withWords replaces the enums in the JSON of a message.
func withWords(m protoreflect.Message, b json.RawMessage) (json.RawMessage, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	out := orderedMap{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v, ok := raw[string(f.Name())]
		if !ok { // of a oneof, or optional
			continue
		}
		with, err := fieldWithWords(f, m.Get(f), v)
		if err != nil {
			return nil, err
		}
		out = append(out, yaml.MapItem{Key: string(f.Name()), Value: with})
	}
	return json.Marshal(out)
}

func fieldWithWords(f protoreflect.FieldDescriptor, v protoreflect.Value, raw json.RawMessage) (any, error) {
	isEnum := f.Kind() == protoreflect.EnumKind
	switch {
	case f.IsMap() || !isEnum && isLeaf(f):
		return raw, nil
	case f.IsList():
		var each []json.RawMessage
		if err := json.Unmarshal(raw, &each); err != nil {
			return nil, err
		}
		out := make([]any, len(each))
		for i := range each {
			if isEnum {
				out[i] = enumWord(f.Enum(), v.List().Get(i).Enum())
				continue
			}
			var err error
			if out[i], err = withWords(v.List().Get(i).Message(), each[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case isEnum:
		return enumWord(f.Enum(), v.Enum()), nil
	case !v.Message().IsValid(): // null
		return raw, nil
	}
	return withWords(v.Message(), raw)
}
