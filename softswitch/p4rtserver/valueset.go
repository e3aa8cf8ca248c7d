package p4rtserver

import (
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// valueSet ties a parser value set to its P4Info id.
type valueSet struct {
	id     uint32
	set    *pipeline.ValueSet
	fields []field // in the order of the select's key
}

func (f *Forwarding) bindValueSets(info *p4configv1.P4Info) error {
	for _, vi := range info.ValueSets {
		name := vi.GetPreamble().GetName()
		v := &valueSet{id: vi.GetPreamble().GetId(), set: f.Pipeline.ValueSet(name)}
		if v.set == nil {
			return fmt.Errorf("value set %s is not in the JSON", name)
		}
		if int64(v.set.Size()) != int64(vi.Size) {
			return fmt.Errorf("value set %s holds %d members, in the JSON %d", name, vi.Size, v.set.Size())
		}
		bits := 0
		for _, m := range vi.Match {
			kind, ok := matchTypes[m.GetMatchType()]
			if !ok || m.Bitwidth <= 0 {
				return fmt.Errorf("value set %s: match field %d has %d bits and match type %v", name, m.Id, m.Bitwidth,
					m.GetMatchType())
			}
			v.fields = append(v.fields, field{id: m.Id, name: m.Name, kind: kind, width: int(m.Bitwidth)})
			bits += int(m.Bitwidth)
		}
		if bits != v.set.Bits() {
			return fmt.Errorf("value set %s has %d bits, in the JSON %d", name, bits, v.set.Bits())
		}
		f.valueSets = append(f.valueSets, v)
	}
	return nil
}

// valueSet returns the parser value set of that id, or nil.
func (f *Forwarding) valueSet(id uint32) *valueSet {
	for _, v := range f.valueSets {
		if v.id == id {
			return v
		}
	}
	return nil
}

// writeValueSet replaces the members of a parser value set (9.6).
func (f *Forwarding) writeValueSet(op p4v1.Update_Type, e *p4v1.ValueSetEntry) error {
	if op != p4v1.Update_MODIFY {
		return invalid("a value set entry can only be modified")
	}
	v := f.valueSet(e.GetValueSetId())
	if v == nil {
		return invalid("no value set has id %d", e.GetValueSetId())
	}
	members := make([][]byte, len(e.Members))
	seen := make(map[string]bool, len(e.Members))
	for i, m := range e.Members {
		packed, err := v.pack(m)
		if err != nil {
			return within(fmt.Sprintf("value set %s: member %d", v.set.Name(), i), err)
		}
		if seen[string(packed)] {
			return status.Errorf(codes.AlreadyExists, "value set %s: member %d is there twice", v.set.Name(), i)
		}
		seen[string(packed)], members[i] = true, packed
	}
	return refuse(v.set.SetMembers(members))
}

// pack puts the fields of a member one after the other.
func (v *valueSet) pack(m *p4v1.ValueSetMember) ([]byte, error) {
	values := make([]pipeline.Match, len(v.fields))
	for _, fm := range m.GetMatch() {
		i := 0
		for i < len(v.fields) && v.fields[i].id != fm.GetFieldId() {
			i++
		}
		switch {
		case i == len(v.fields):
			return nil, invalid("no match field has id %d", fm.GetFieldId())
		case v.fields[i].kind != pipeline.Exact:
			return nil, status.Errorf(codes.Unimplemented, "match field %d is matched as %v; only exact is supported",
				fm.FieldId, v.fields[i].kind)
		case values[i].Value != nil:
			return nil, invalid("match field %d is there twice", fm.FieldId)
		}
		if err := fillMatch(&values[i], &v.fields[i], fm); err != nil {
			return nil, within(fmt.Sprintf("match field %d", fm.FieldId), err)
		}
	}
	w := bitWriter{}
	w.write(nil, v.spare())
	for i := range values {
		if values[i].Value == nil {
			return nil, invalid("match field %d is missing", v.fields[i].id)
		}
		w.write(values[i].Value, v.fields[i].width)
	}
	return w.buf, nil
}

// spare is the number of bits before the first field.
func (v *valueSet) spare() int { return (8 - v.set.Bits()%8) % 8 }

func (v *valueSet) message() *p4v1.Entity {
	e := &p4v1.ValueSetEntry{ValueSetId: v.id}
	for _, packed := range v.set.Members() {
		m, offset := &p4v1.ValueSetMember{}, v.spare()
		for i := range v.fields {
			m.Match = append(m.Match, &p4v1.FieldMatch{
				FieldId: v.fields[i].id,
				FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: readBits(packed, offset,
					v.fields[i].width)}},
			})
			offset += v.fields[i].width
		}
		e.Members = append(e.Members, m)
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_ValueSetEntry{ValueSetEntry: e}}
}

func (f *Forwarding) readValueSets(out *reply, q *p4v1.ValueSetEntry) error {
	if id := q.GetValueSetId(); id != 0 {
		v := f.valueSet(id)
		if v == nil {
			return invalid("no value set has id %d", id)
		}
		out.add(v.message())
		return nil
	}
	for _, v := range f.valueSets {
		out.add(v.message())
	}
	return nil
}
