package p4rtserver

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sdnNames translates values of a type with p4runtime_translation to string
// (8.4.6): a decimal number, as short as can be, is the value itself, and any
// other name gets the highest value that is free when it is first written. A
// name keeps its value as long as the pipeline is there.
type sdnNames struct {
	width int // of the values in the data plane

	mu      sync.Mutex
	values  map[string]uint64
	names   map[uint64]string
	highest uint64 // the next value to give
}

// maxNames bounds the names of one type, and maxNameBytes their length.
const (
	maxNames     = 1 << 20
	maxNameBytes = 1024
)

// sdnType is how clients see values of a type.
type sdnType struct {
	translated bool
	names      *sdnNames // nil: as numbers, which are those of the data plane
}

// sdnType looks a type up that a field or parameter of width bits has.
func (f *Forwarding) sdnType(types *p4configv1.P4TypeInfo, name *p4configv1.P4NamedType, width int) (sdnType, error) {
	translated := types.GetNewTypes()[name.GetName()].GetTranslatedType()
	switch translated.GetSdnType().(type) {
	case *p4configv1.P4NewTypeTranslation_SdnBitwidth:
		return sdnType{translated: true}, nil
	case *p4configv1.P4NewTypeTranslation_SdnString_:
		if width > 64 {
			return sdnType{}, fmt.Errorf("type %s: strings stand for values of up to 64 bits, not %d", name.GetName(), width)
		}
		n := f.sdnNames[name.GetName()]
		if n == nil {
			n = &sdnNames{width: width, values: map[string]uint64{}, names: map[uint64]string{},
				highest: ^uint64(0) >> (64 - width)}
			f.sdnNames[name.GetName()] = n
		}
		if n.width != width {
			return sdnType{}, fmt.Errorf("type %s has %d bits here and %d elsewhere", name.GetName(), width, n.width)
		}
		return sdnType{translated: true, names: n}, nil
	}
	return sdnType{}, nil
}

// value returns what b stands for in a field of width bits, in canonical form;
// n may be nil.
func (n *sdnNames) value(b []byte, width int) ([]byte, error) {
	if n == nil {
		b = trim(b)
		return b, checkValue(b, width)
	}
	if len(b) == 0 {
		return nil, errEmptyValue
	}
	if len(b) > maxNameBytes {
		return nil, invalid("a name of %d bytes: %d are allowed", len(b), maxNameBytes)
	}
	v, err := n.number(string(b))
	if err != nil {
		return nil, err
	}
	return canonical(binary.BigEndian.AppendUint64(nil, v)), nil
}

func (n *sdnNames) number(name string) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v, ok := n.values[name]; ok {
		return v, nil
	}
	v, err := strconv.ParseUint(name, 10, n.width)
	if err == nil && strconv.FormatUint(v, 10) == name {
		if taken, ok := n.names[v]; ok {
			return 0, invalid("the value %s is the one of the name %q already", name, taken)
		}
	} else {
		v = n.highest
		if len(n.names) >= maxNames || v == 0 {
			return 0, status.Errorf(codes.ResourceExhausted, "there are no more values of %d bits for names", n.width)
		}
	}
	n.values[name], n.names[v] = v, name
	for taken := true; taken && n.highest > 0; {
		if _, taken = n.names[n.highest]; taken {
			n.highest--
		}
	}
	return v, nil
}

// show is what clients read for a value; n may be nil. A value without a name
// is shown as a number.
func (n *sdnNames) show(value []byte) []byte {
	value = canonical(value)
	if n == nil {
		return value
	}
	var buf [8]byte
	copy(buf[8-min(8, len(value)):], value)
	v := binary.BigEndian.Uint64(buf[:])
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.names[v]; ok {
		return []byte(name)
	}
	return strconv.AppendUint(nil, v, 10)
}
