package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Client calls the standard methods of all kinds over a connection.
type Client struct{ Conn grpc.ClientConnInterface }

// call makes a request whose fields set fills in, and gives the answer.
func (c Client) call(ctx context.Context, k *Kind, method string,
	set func(protoreflect.Message)) (protoreflect.Message, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(k.service))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.service, err)
	}
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if m == nil {
		return nil, fmt.Errorf("%ss are of the configuration file: they cannot be made, changed or deleted here", k.Name)
	}
	in, err := newMessage(m.Input())
	if err != nil {
		return nil, err
	}
	out, err := newMessage(m.Output())
	if err != nil {
		return nil, err
	}
	set(in.ProtoReflect())
	if err := c.Conn.Invoke(ctx, "/"+k.service+"/"+method, in, out); err != nil {
		return nil, err
	}
	return out.ProtoReflect(), nil
}

func newMessage(d protoreflect.MessageDescriptor) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.FullName(), err)
	}
	return t.New().Interface(), nil
}

// Requests' fields by their names, which AIP fixes; the resource and its id are
// found by their types.
func setName(m protoreflect.Message, name string) {
	m.Set(m.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(name))
}

func setResource(m protoreflect.Message, o Object) (field protoreflect.FieldDescriptor) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() == protoreflect.MessageKind && f.Message() == o.Kind.descriptor() {
			m.Set(f, protoreflect.ValueOfMessage(o.message.ProtoReflect()))
			return f
		}
	}
	panic("client: " + string(m.Descriptor().FullName()) + " holds no " + o.Kind.Name)
}

// Create makes an object; one without an id gets one.
func (c Client) Create(ctx context.Context, o Object) (Object, error) {
	m, err := c.call(ctx, o.Kind, "Create"+o.Kind.resource, func(m protoreflect.Message) {
		f := setResource(m, o)
		m.Set(m.Descriptor().Fields().ByName(f.Name()+"_id"), protoreflect.ValueOfString(o.ID))
	})
	if err != nil {
		return Object{}, err
	}
	return newObject(o.Kind, m.Interface()), nil
}

// Update changes fields of an object: those of the paths, "*" for all.
func (c Client) Update(ctx context.Context, o Object, paths ...string) (Object, error) {
	m, err := c.call(ctx, o.Kind, "Update"+o.Kind.resource, func(m protoreflect.Message) {
		r := o.message.ProtoReflect()
		setName(r, o.Kind.name(o.ID))
		setResource(m, o)
		mask := m.Mutable(m.Descriptor().Fields().ByName("update_mask")).Message()
		list := mask.Mutable(mask.Descriptor().Fields().ByName("paths")).List()
		for _, p := range paths {
			list.Append(protoreflect.ValueOfString(p))
		}
	})
	if err != nil {
		return Object{}, err
	}
	return newObject(o.Kind, m.Interface()), nil
}

// Get gives one object.
func (c Client) Get(ctx context.Context, k *Kind, id string) (Object, error) {
	m, err := c.call(ctx, k, "Get"+k.resource, func(m protoreflect.Message) { setName(m, k.name(id)) })
	if err != nil {
		return Object{}, err
	}
	return newObject(k, m.Interface()), nil
}

// Delete removes an object.
func (c Client) Delete(ctx context.Context, k *Kind, id string) error {
	_, err := c.call(ctx, k, "Delete"+k.resource, func(m protoreflect.Message) { setName(m, k.name(id)) })
	return err
}

// pageSize is how many objects are asked for at once: all that the API gives.
const pageSize = 250

// List gives all objects of a kind, by id.
func (c Client) List(ctx context.Context, k *Kind) ([]Object, error) {
	var out []Object
	token := ""
	for {
		m, err := c.call(ctx, k, "List"+k.resource+"s", func(m protoreflect.Message) {
			fields := m.Descriptor().Fields()
			m.Set(fields.ByName("page_size"), protoreflect.ValueOfInt32(pageSize))
			m.Set(fields.ByName("page_token"), protoreflect.ValueOfString(token))
		})
		if err != nil {
			return nil, err
		}
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			if f := fields.Get(i); f.IsList() && f.Message() == k.descriptor() {
				for j := range m.Get(f).List().Len() {
					out = append(out, newObject(k, m.Get(f).List().Get(j).Message().Interface()))
				}
			}
		}
		if token = m.Get(fields.ByName("next_page_token")).String(); token == "" {
			return out, nil
		}
	}
}
