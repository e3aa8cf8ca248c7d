package client

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Object is one object of a gateway, or of a file.
type Object struct {
	Kind    *Kind
	ID      string
	message proto.Message // the resource
	line    int           // in a file
}

func (o Object) String() string { return o.Kind.Name + " " + o.ID }

// newObject reads a resource.
func newObject(k *Kind, m proto.Message) Object {
	r := m.ProtoReflect()
	return Object{Kind: k, ID: id(r.Get(r.Descriptor().Fields().ByName("name")).String()), message: m}
}

// get gives the fields of one of the object's messages, such as "spec".
func (o Object) get(part protoreflect.Name) (protoreflect.Message, bool) {
	r := o.message.ProtoReflect()
	f := r.Descriptor().Fields().ByName(part)
	if f == nil || f.Kind() != protoreflect.MessageKind {
		return nil, false
	}
	return r.Get(f).Message(), true
}

// configured reports whether the configuration file gives the object.
func (o Object) configured() bool {
	st, ok := o.get("status")
	if !ok {
		return false
	}
	f := st.Descriptor().Fields().ByName("configured")
	return f != nil && st.Get(f).Bool()
}

// tree is the object as a file has it, with its status.
func (o Object) tree() yaml.MapSlice {
	out := yaml.MapSlice{{Key: "kind", Value: o.Kind.Name}, {Key: "id", Value: o.ID}}
	if o.Kind.spec() == nil {
		return append(out, yaml.MapItem{Key: "status", Value: tree(o.message.ProtoReflect(), "name")})
	}
	for _, part := range []protoreflect.Name{"spec", "status"} {
		if m, ok := o.get(part); ok {
			out = append(out, yaml.MapItem{Key: string(part), Value: tree(m)})
		}
	}
	return out
}

// tree gives the fields of a message that are set.
func tree(m protoreflect.Message, without ...protoreflect.Name) yaml.MapSlice {
	out := yaml.MapSlice{}
	fields := m.Descriptor().Fields()
next:
	for i := range fields.Len() {
		f := fields.Get(i)
		for _, w := range without {
			if f.Name() == w {
				continue next
			}
		}
		if m.Has(f) {
			out = append(out, yaml.MapItem{Key: string(f.Name()), Value: value(f, m.Get(f))})
		}
	}
	return out
}

func value(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	one := func(v protoreflect.Value) any {
		if isLeaf(f) {
			return formatLeaf(f, v)
		}
		return tree(v.Message())
	}
	if !f.IsList() {
		return one(v)
	}
	out := make([]any, v.List().Len())
	for i := range out {
		out[i] = one(v.List().Get(i))
	}
	return out
}

// text gives a field in one line, "" if it is not set.
func text(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if !m.Has(f) {
		return ""
	}
	switch v := value(f, m.Get(f)).(type) {
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = fmt.Sprint(p)
		}
		return strings.Join(parts, ",")
	case yaml.MapSlice:
		b, _ := json.Marshal(toJSON(v))
		return string(b)
	default:
		return fmt.Sprint(v)
	}
}

// toJSON gives a tree that encoding/json writes in the same order.
func toJSON(v any) any {
	switch v := v.(type) {
	case yaml.MapSlice:
		return orderedMap(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = toJSON(e)
		}
		return out
	}
	return v
}

type orderedMap yaml.MapSlice

func (m orderedMap) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, item := range m {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := json.Marshal(item.Key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(toJSON(item.Value))
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), v...)
	}
	return append(out, '}'), nil
}

// state is the object's state in a word, and why it is not up.
func (o Object) state() (state, reason string) {
	st, ok := o.get("status")
	if !ok { // the message is its own status
		st = o.message.ProtoReflect()
	}
	fields := st.Descriptor().Fields()
	if f := fields.ByName("state"); f != nil {
		return text(st, f), text(st, fields.ByName("reason"))
	}
	if f := fields.ByName("oper_status"); f != nil {
		state = text(st, f)
	}
	if f := fields.ByName("components"); f != nil {
		for i := range st.Get(f).List().Len() {
			c := st.Get(f).List().Get(i).Message()
			var d struct{ Reason string }
			if json.Unmarshal([]byte(text(c, c.Descriptor().Fields().ByName("details"))), &d) == nil && reason == "" {
				reason = d.Reason
			}
		}
	}
	return state, reason
}
