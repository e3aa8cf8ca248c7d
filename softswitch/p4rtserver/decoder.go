package p4rtserver

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// decoder turns Updates of table entries from the wire into messages that it
// uses again for each, and that point into what it was given. It knows what
// nearly all such updates say, and no more: an exact, LPM or ternary match, an
// action with parameters, priority, idle timeout and metadata.
type decoder struct {
	update p4v1.Update // what decode made

	entity      p4v1.Entity
	entityKind  p4v1.Entity_TableEntry
	entry       p4v1.TableEntry
	table       p4v1.TableAction
	tableKind   p4v1.TableAction_Action
	action      p4v1.Action
	fields      []*matchField // as many as were needed at once
	params      []*p4v1.Action_Param
	fieldsInUse int
	paramsInUse int
}

type matchField struct {
	match       p4v1.FieldMatch
	exactKind   p4v1.FieldMatch_Exact_
	exact       p4v1.FieldMatch_Exact
	ternaryKind p4v1.FieldMatch_Ternary_
	ternary     p4v1.FieldMatch_Ternary
	lpmKind     p4v1.FieldMatch_Lpm
	lpm         p4v1.FieldMatch_LPM
}

// number and message make the tags of fields that are read here; all take one
// byte.
const (
	number  = byte(protowire.VarintType)
	message = byte(protowire.BytesType) // or bytes
	// none is no tag that next gives; 0 is one, malformed.
	none = byte(0xff)
)

// next takes the first field off b: its tag, and its number or its bytes. ok
// is false for what no field that is read here looks like.
func next(b []byte) (tag byte, v uint64, data, rest []byte, ok bool) {
	tag = b[0]
	v, n := protowire.ConsumeVarint(b[1:])
	if n < 0 || tag >= 0x80 {
		return 0, 0, nil, nil, false
	}
	b = b[1+n:]
	switch tag & 7 {
	case number:
		return tag, v, nil, b, true
	case message:
		if v > uint64(len(b)) {
			return 0, 0, nil, nil, false
		}
		return tag, 0, b[:v:v], b[v:], true
	}
	return 0, 0, nil, nil, false
}

// decode reads an Update into d.update; false if it says anything else than a
// decoder knows, or is malformed.
func (d *decoder) decode(b []byte) bool {
	d.update.Type, d.update.Entity = 0, nil
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 1<<3|number:
			d.update.Type = p4v1.Update_Type(v)
		case ok && tag == 2<<3|message && d.update.Entity == nil:
			if !d.decodeEntity(data) {
				return false
			}
			d.update.Entity = &d.entity
		default:
			return false
		}
		b = rest
	}
	return true
}

// decodeEntity reads an Entity that is a table entry.
func (d *decoder) decodeEntity(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	tag, _, data, rest, ok := next(b)
	if !ok || tag != 2<<3|message || len(rest) > 0 {
		return false
	}
	d.entityKind.TableEntry, d.entity.Entity = &d.entry, &d.entityKind
	return d.decodeEntry(data)
}

func (d *decoder) decodeEntry(b []byte) bool {
	e := &d.entry
	e.TableId, e.Action, e.Priority, e.IdleTimeoutNs, e.Metadata = 0, nil, 0, 0, nil
	e.Match = e.Match[:0]
	d.fieldsInUse, d.paramsInUse = 0, 0
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 1<<3|number:
			e.TableId = uint32(v)
		case ok && tag == 2<<3|message:
			if ok = d.decodeMatch(data); !ok {
				return false
			}
		case ok && tag == 3<<3|message && e.Action == nil:
			if ok = d.decodeAction(data); !ok {
				return false
			}
			e.Action = &d.table
		case ok && tag == 4<<3|number:
			e.Priority = int32(v)
		case ok && tag == 9<<3|number:
			e.IdleTimeoutNs = int64(v)
		case ok && tag == 11<<3|message:
			e.Metadata = data
		default:
			return false
		}
		b = rest
	}
	return true
}

// decodeMatch appends a FieldMatch.
func (d *decoder) decodeMatch(b []byte) bool {
	if d.fieldsInUse == len(d.fields) {
		d.fields = append(d.fields, &matchField{})
	}
	f := d.fields[d.fieldsInUse]
	d.fieldsInUse++
	d.entry.Match = append(d.entry.Match, &f.match)
	m := &f.match
	m.FieldId, m.FieldMatchType = 0, nil
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 1<<3|number:
			m.FieldId = uint32(v)
		case !ok || m.FieldMatchType != nil:
			return false
		case tag == 2<<3|message:
			f.exactKind.Exact, m.FieldMatchType = &f.exact, &f.exactKind
			if f.exact.Value, _, ok = valueAnd(data, none); !ok {
				return false
			}
		case tag == 3<<3|message:
			f.ternaryKind.Ternary, m.FieldMatchType = &f.ternary, &f.ternaryKind
			var mask operand
			if f.ternary.Value, mask, ok = valueAnd(data, 2<<3|message); !ok {
				return false
			}
			f.ternary.Mask = mask.data
		case tag == 4<<3|message:
			f.lpmKind.Lpm, m.FieldMatchType = &f.lpm, &f.lpmKind
			var length operand
			if f.lpm.Value, length, ok = valueAnd(data, 2<<3|number); !ok {
				return false
			}
			f.lpm.PrefixLen = int32(length.number)
		default:
			return false
		}
		b = rest
	}
	return true
}

// operand is a field that is a number or bytes.
type operand struct {
	number uint64
	data   []byte
}

// valueAnd reads a message of a value, which is field 1, and one other field or
// none.
func valueAnd(b []byte, other byte) (value []byte, o operand, ok bool) {
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 1<<3|message:
			value = data
		case ok && tag == other:
			o = operand{v, data}
		default:
			return nil, o, false
		}
		b = rest
	}
	return value, o, true
}

// decodeAction reads a TableAction that is an action.
func (d *decoder) decodeAction(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	tag, _, b, rest, ok := next(b)
	if !ok || tag != 1<<3|message || len(rest) > 0 {
		return false
	}
	d.tableKind.Action, d.table.Type = &d.action, &d.tableKind
	a := &d.action
	a.ActionId, a.Params = 0, a.Params[:0]
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 1<<3|number:
			a.ActionId = uint32(v)
		case ok && tag == 4<<3|message:
			if !d.decodeParam(data) {
				return false
			}
		default:
			return false
		}
		b = rest
	}
	return true
}

// decodeParam appends an Action.Param.
func (d *decoder) decodeParam(b []byte) bool {
	if d.paramsInUse == len(d.params) {
		d.params = append(d.params, &p4v1.Action_Param{})
	}
	p := d.params[d.paramsInUse]
	d.paramsInUse++
	d.action.Params = append(d.action.Params, p)
	p.ParamId, p.Value = 0, nil
	for len(b) > 0 {
		tag, v, data, rest, ok := next(b)
		switch {
		case ok && tag == 2<<3|number:
			p.ParamId = uint32(v)
		case ok && tag == 3<<3|message:
			p.Value = data
		default:
			return false
		}
		b = rest
	}
	return true
}
