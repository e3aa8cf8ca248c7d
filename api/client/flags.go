package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Fields are flags for the fields of a kind's spec.
type Fields struct {
	kind  *Kind
	flags *pflag.FlagSet
}

// AddFlags gives a command a flag for each field of the kind's spec.
func (k *Kind) AddFlags(flags *pflag.FlagSet) Fields {
	f := Fields{k, flags}
	for _, d := range f.each() {
		switch {
		case d.Kind() == protoreflect.BoolKind:
			flags.Bool(flagName(d), false, "")
		case d.IsList():
			flags.StringSlice(flagName(d), nil, wants(d)+"; several by commas")
		default:
			flags.String(flagName(d), "", wants(d))
		}
	}
	return f
}

func flagName(f protoreflect.FieldDescriptor) string {
	return strings.ReplaceAll(string(f.Name()), "_", "-")
}

func (f Fields) each() []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	fields := f.kind.spec().Fields()
	for i := range fields.Len() {
		out = append(out, fields.Get(i))
	}
	return out
}

// Object is the object that the flags describe, and the mask of the fields that
// were given.
func (f Fields) Object(id string) (o Object, paths []string, err error) {
	o = Object{Kind: f.kind, ID: id, message: f.kind.message.ProtoReflect().New().Interface()}
	r := o.message.ProtoReflect()
	spec := r.Mutable(r.Descriptor().Fields().ByName("spec")).Message()
	var errs []error
	for _, d := range f.each() {
		flag := f.flags.Lookup(flagName(d))
		if !flag.Changed {
			continue
		}
		paths = append(paths, "spec."+string(d.Name()))
		if err := set(spec, d, flag); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag.Name, err))
		}
	}
	return o, paths, errors.Join(errs...)
}

// set sets a field to what its flag was given; nothing leaves it unset.
func set(spec protoreflect.Message, d protoreflect.FieldDescriptor, flag *pflag.Flag) error {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		for _, s := range list.GetSlice() {
			v, err := parseLeaf(d, s)
			if err != nil {
				return err
			}
			spec.Mutable(d).List().Append(v)
		}
		return nil
	}
	if flag.Value.String() == "" {
		return nil
	}
	v, err := parseLeaf(d, flag.Value.String())
	if err == nil {
		spec.Set(d, v)
	}
	return err
}
