package p4rtserver

import (
	"errors"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// maxTypeDepth bounds the nesting of a digest's type.
const maxTypeDepth = 16

// renderFunc makes P4Data of the values at the front and returns the rest.
type renderFunc func(values [][]byte) (*p4v1.P4Data, [][]byte)

// renderer compiles a P4 type into a function that makes P4Data (8.4) of the
// flat list of its fields' values, whose widths in bits are given.
func renderer(types *p4configv1.P4TypeInfo, spec *p4configv1.P4DataTypeSpec,
	widths []int) (func([][]byte) *p4v1.P4Data, error) {
	c := typeCompiler{types: types, widths: widths}
	render, err := c.compile(spec, 0)
	if err != nil {
		return nil, err
	}
	if len(c.widths) != 0 {
		return nil, fmt.Errorf("the type has %d fields less than the JSON", len(c.widths))
	}
	return func(values [][]byte) *p4v1.P4Data {
		data, _ := render(values)
		return data
	}, nil
}

type typeCompiler struct {
	types  *p4configv1.P4TypeInfo
	widths []int // of the fields not seen yet
}

// take accounts for one field of the type.
func (c *typeCompiler) take(width int) error {
	if len(c.widths) == 0 {
		return errors.New("the type has more fields than the JSON")
	}
	if c.widths[0] != width {
		return fmt.Errorf("a field has %d bits, in the JSON %d", width, c.widths[0])
	}
	c.widths = c.widths[1:]
	return nil
}

func (c *typeCompiler) compile(spec *p4configv1.P4DataTypeSpec, depth int) (renderFunc, error) {
	if depth > maxTypeDepth {
		return nil, fmt.Errorf("the type is nested more than %d deep", maxTypeDepth)
	}
	switch t := spec.GetTypeSpec().(type) {
	case *p4configv1.P4DataTypeSpec_Bitstring:
		return c.bitstring(t.Bitstring)
	case *p4configv1.P4DataTypeSpec_Bool:
		if err := c.take(1); err != nil {
			return nil, err
		}
		return func(v [][]byte) (*p4v1.P4Data, [][]byte) {
			return &p4v1.P4Data{Data: &p4v1.P4Data_Bool{Bool: !isZero(v[0])}}, v[1:]
		}, nil
	case *p4configv1.P4DataTypeSpec_Struct:
		s := c.types.GetStructs()[t.Struct.GetName()]
		if s == nil {
			return nil, fmt.Errorf("struct %s is not in the P4Info", t.Struct.GetName())
		}
		specs := make([]*p4configv1.P4DataTypeSpec, len(s.Members))
		for i, m := range s.Members {
			specs[i] = m.TypeSpec
		}
		return c.sequence(specs, depth, func(members []*p4v1.P4Data) *p4v1.P4Data {
			return &p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: members}}}
		})
	case *p4configv1.P4DataTypeSpec_Tuple:
		return c.sequence(t.Tuple.GetMembers(), depth, func(members []*p4v1.P4Data) *p4v1.P4Data {
			return &p4v1.P4Data{Data: &p4v1.P4Data_Tuple{Tuple: &p4v1.P4StructLike{Members: members}}}
		})
	case *p4configv1.P4DataTypeSpec_NewType:
		n := c.types.GetNewTypes()[t.NewType.GetName()]
		if n.GetOriginalType() == nil {
			return nil, fmt.Errorf("type %s is not in the P4Info or is translated, which is not supported", t.NewType.GetName())
		}
		return c.compile(n.GetOriginalType(), depth+1)
	default:
		return nil, fmt.Errorf("a digest with data of type %T is not supported", spec.GetTypeSpec())
	}
}

func (c *typeCompiler) bitstring(spec *p4configv1.P4BitstringLikeTypeSpec) (renderFunc, error) {
	width, signed := int(spec.GetBit().GetBitwidth()), false
	if i := spec.GetInt(); i != nil {
		width, signed = int(i.GetBitwidth()), true
	}
	if spec.GetVarbit() != nil {
		return nil, errors.New("a digest with varbit data is not supported")
	}
	if err := c.take(width); err != nil {
		return nil, err
	}
	return func(v [][]byte) (*p4v1.P4Data, [][]byte) {
		value := canonical(v[0])
		if signed {
			value = canonicalSigned(v[0], width)
		}
		return &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: value}}, v[1:]
	}, nil
}

func (c *typeCompiler) sequence(specs []*p4configv1.P4DataTypeSpec, depth int,
	wrap func([]*p4v1.P4Data) *p4v1.P4Data) (renderFunc, error) {
	renders := make([]renderFunc, len(specs))
	for i, spec := range specs {
		var err error
		if renders[i], err = c.compile(spec, depth+1); err != nil {
			return nil, err
		}
	}
	return func(v [][]byte) (*p4v1.P4Data, [][]byte) {
		members := make([]*p4v1.P4Data, len(renders))
		for i, render := range renders {
			members[i], v = render(v)
		}
		return wrap(members), v
	}, nil
}

// canonicalSigned is the shortest two's complement form (8.3) of an int<width>
// given in whole octets.
func canonicalSigned(b []byte, width int) []byte {
	out := append([]byte(nil), b...)
	if spare := len(out)*8 - width; spare > 0 && len(out) > 0 && out[0]>>(7-spare)&1 == 1 {
		out[0] |= 0xff << (8 - spare)
	}
	for len(out) > 1 && (out[0] == 0 && out[1] < 0x80 || out[0] == 0xff && out[1] >= 0x80) {
		out = out[1:]
	}
	return out
}
