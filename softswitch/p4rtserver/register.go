package p4rtserver

import (
	"errors"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// register ties a register array to its P4Info id.
type register struct {
	id    uint32
	cells *pipeline.Register
	// kind of its cells
	signed, isBool bool
}

func (f *Forwarding) bindRegisters(info *p4configv1.P4Info) error {
	for _, ri := range info.Registers {
		name := ri.GetPreamble().GetName()
		r := &register{id: ri.GetPreamble().GetId(), cells: f.Pipeline.Register(name)}
		if r.cells == nil {
			return fmt.Errorf("register %s is not in the JSON", name)
		}
		if int64(r.cells.Size()) != int64(ri.Size) {
			return fmt.Errorf("register %s has %d cells, in the JSON %d", name, ri.Size, r.cells.Size())
		}
		if err := r.bindType(info.GetTypeInfo(), ri.TypeSpec); err != nil {
			return fmt.Errorf("register %s: %w", name, err)
		}
		f.registers = append(f.registers, r)
	}
	return nil
}

// bindType takes the type of the cells: bits, an integer, bool, or a name for
// one of them.
func (r *register) bindType(types *p4configv1.P4TypeInfo, spec *p4configv1.P4DataTypeSpec) error {
	for range maxTypeDepth {
		switch t := spec.GetTypeSpec().(type) {
		case *p4configv1.P4DataTypeSpec_NewType:
			spec = types.GetNewTypes()[t.NewType.GetName()].GetOriginalType()
			continue
		case *p4configv1.P4DataTypeSpec_Bool:
			r.isBool = true
			return r.checkWidth(1)
		case *p4configv1.P4DataTypeSpec_Bitstring:
			if i := t.Bitstring.GetInt(); i != nil {
				r.signed = true
				return r.checkWidth(int(i.Bitwidth))
			}
			return r.checkWidth(int(t.Bitstring.GetBit().GetBitwidth()))
		}
		return fmt.Errorf("cells of type %T are not supported", spec.GetTypeSpec())
	}
	return errors.New("its type goes round in a circle")
}

func (r *register) checkWidth(width int) error {
	if width != r.cells.Bits() {
		return fmt.Errorf("its cells have %d bits, in the JSON %d", width, r.cells.Bits())
	}
	return nil
}

// register returns the register array of that id, or nil.
func (f *Forwarding) register(id uint32) *register {
	for _, r := range f.registers {
		if r.id == id {
			return r
		}
	}
	return nil
}

// writeRegister sets one cell or, without an index, all cells (9.7).
func (f *Forwarding) writeRegister(op p4v1.Update_Type, re *p4v1.RegisterEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a register entry can only be modified")
	}
	r := f.register(re.GetRegisterId())
	if r == nil {
		return invalid("no register has id %d", re.GetRegisterId())
	}
	first, last, err := r.span(re.Index)
	if err != nil {
		return err
	}
	value, err := r.parse(re.Data)
	if err != nil {
		return within("register "+r.cells.Name(), err)
	}
	for i := first; i < last; i++ {
		if err := r.cells.Write(i, value); err != nil {
			return refuse(err)
		}
	}
	return nil
}

func (r *register) span(index *p4v1.Index) (first, last int, err error) {
	return cellRange("register "+r.cells.Name(), r.cells.Size(), index)
}

// parse returns the bits of a cell.
func (r *register) parse(data *p4v1.P4Data) ([]byte, error) {
	switch d := data.GetData().(type) {
	case *p4v1.P4Data_Bool:
		if r.isBool {
			if d.Bool {
				return []byte{1}, nil
			}
			return []byte{0}, nil
		}
	case *p4v1.P4Data_Bitstring:
		switch {
		case r.isBool:
		case r.signed:
			return unsignedBits(d.Bitstring, r.cells.Bits())
		default:
			return d.Bitstring, checkValue(d.Bitstring, r.cells.Bits())
		}
	}
	return nil, invalid("data is missing or not of the register's type")
}

// unsignedBits returns the width bits of an int<width> in two's complement of
// any length (8.3).
func unsignedBits(b []byte, width int) ([]byte, error) {
	if len(b) == 0 {
		return nil, errEmptyValue
	}
	short := canonicalSigned(b, 8*len(b))
	padded := make([]byte, (width+7)/8+1) // one more, for the sign
	if short[0] >= 0x80 {
		for i := range padded {
			padded[i] = 0xff
		}
	}
	if len(short) > len(padded) {
		return nil, errWideValue(b, width)
	}
	copy(padded[len(padded)-len(short):], short)
	out := readBits(padded, 8*len(padded)-width, width)
	sign := readBits(padded, 8*len(padded)-width, 1)[0]
	for i := range 8*len(padded) - width { // what was cut off must be the sign
		if readBits(padded, i, 1)[0] != sign {
			return nil, errWideValue(b, width)
		}
	}
	return out, nil
}

// message renders a cell.
func (r *register) message(i int) (*p4v1.Entity, error) {
	value, err := r.cells.Read(i)
	if err != nil {
		return nil, refuse(err)
	}
	data := &p4v1.P4Data{}
	switch width := r.cells.Bits(); {
	case r.isBool:
		data.Data = &p4v1.P4Data_Bool{Bool: !isZero(value)}
	case r.signed:
		whole := make([]byte, (width+7)/8)
		copy(whole[len(whole)-len(value):], value)
		data.Data = &p4v1.P4Data_Bitstring{Bitstring: canonicalSigned(whole, width)}
	default:
		data.Data = &p4v1.P4Data_Bitstring{Bitstring: canonical(value)}
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{RegisterEntry: &p4v1.RegisterEntry{
		RegisterId: r.id, Index: &p4v1.Index{Index: int64(i)}, Data: data,
	}}}, nil
}

func (f *Forwarding) readRegisters(out *reply, re *p4v1.RegisterEntry) error {
	registers := f.registers
	if id := re.GetRegisterId(); id != 0 {
		r := f.register(id)
		if r == nil {
			return invalid("no register has id %d", id)
		}
		registers = []*register{r}
	} else if re.GetIndex() != nil {
		return invalid("register_id is 0: a query for one cell needs it")
	}
	for _, r := range registers {
		first, last, err := r.span(re.GetIndex())
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			e, err := r.message(i)
			if err != nil {
				return err
			}
			out.add(e)
		}
	}
	return nil
}
