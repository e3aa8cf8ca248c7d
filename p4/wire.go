package p4

import (
	"encoding/binary"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// AppendEntity appends what Entity makes in its wire form. For entries of tables,
// of which there are many, no message is made. It panics as Entity does.
func (e Entry) AppendEntity(b []byte) []byte { return e.append(b, false) }

// AppendName appends the entity with what names it alone, if it is of a table: that is all
// that a DELETE needs of one (P4Runtime section 9.1).
func (e Entry) AppendName(b []byte) []byte { return e.append(b, true) }

func (e Entry) append(b []byte, name bool) []byte {
	id := e.Key.ID()
	if program().tables[id] == nil {
		// A group of 65,535 members is far below what cannot be encoded.
		b, _ = proto.MarshalOptions{}.MarshalAppend(b, e.Entity())
		return b
	}
	p := program()
	t := p.tables[id]
	b, entry := begin(b, 2) // Entity.table_entry
	b = e.Key.append(b, t)
	if !name {
		b = e.Value.append(b, t, p.actions[e.Value.action()])
	}
	return end(b, entry)
}

// append appends what names an entry of a table: its id, match and priority.
func (k Key) append(b []byte, t *tableLayout) []byte {
	b = appendNumber(b, 1, uint64(t.id))
	key := string(k[4:])
	for i := range t.fields {
		f := &t.fields[i]
		b = f.appendMatch(b, key)
		key = key[f.size:]
	}
	if t.ternary {
		b = appendNumber(b, 4, uint64(int32(binary.BigEndian.Uint32([]byte(key[:4])))))
	}
	return b
}

// append appends what else an entry of a table says.
func (v Value) append(b []byte, t *tableLayout, a *actionLayout) []byte {
	b = a.append(b, string(v[4:]))
	rest := string(v[a.size:])
	if t.ageing {
		b = appendNumber(b, 9, binary.BigEndian.Uint64([]byte(rest[:8])))
		rest = rest[8:]
	}
	if rest != "" {
		b = appendBytes(b, 11, rest)
	}
	return b
}

// appendMatch appends the TableEntry.match of one packed field, or nothing where
// P4Runtime wants a "don't care" left out.
func (f *field) appendMatch(b []byte, key string) []byte {
	v, more := key[:f.bytes], key[f.bytes:f.size]
	switch {
	case f.match == p4configv1.MatchField_LPM && more[0] == 0, f.match == p4configv1.MatchField_TERNARY &&
		shortest(more) == "\x00":
		return b
	}
	b, match := begin(b, 2)
	b = appendNumber(b, 1, uint64(f.id))
	var kind int
	switch f.match {
	case p4configv1.MatchField_LPM:
		b, kind = begin(b, 4)
		b = appendBytes(b, 1, shortest(v))
		b = appendNumber(b, 2, uint64(more[0]))
	case p4configv1.MatchField_TERNARY:
		b, kind = begin(b, 3)
		b = appendBytes(b, 1, shortest(v))
		b = appendBytes(b, 2, shortest(more))
	default:
		b, kind = begin(b, 2)
		b = appendBytes(b, 1, shortest(v))
	}
	return end(end(b, kind), match)
}

// append appends the TableEntry.action with packed parameters.
func (a *actionLayout) append(b []byte, val string) []byte {
	b, outer := begin(b, 3)
	if a.refers != 0 {
		return end(appendNumber(b, a.refers, uint64(binary.BigEndian.Uint32([]byte(val)))), outer)
	}
	b, inner := begin(b, 1)
	b = appendNumber(b, 1, uint64(a.id))
	for i := range a.params {
		p := &a.params[i]
		var param int
		b, param = begin(b, 4)
		b = appendNumber(b, 2, uint64(p.id))
		b = appendBytes(b, 3, shortest(val[:p.bytes]))
		b = end(b, param)
		val = val[p.bytes:]
	}
	return end(end(b, inner), outer)
}

// appendNumber appends a field that is a number, which is left out if it is 0.
func appendNumber(b []byte, field byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	if v < 0x80 {
		return append(b, field<<3|byte(protowire.VarintType), byte(v))
	}
	return protowire.AppendVarint(append(b, field<<3|byte(protowire.VarintType)), v)
}

func appendBytes(b []byte, field byte, v string) []byte {
	if len(v) < 0x80 {
		return append(append(b, field<<3|byte(protowire.BytesType), byte(len(v))), v...)
	}
	return protowire.AppendString(append(b, field<<3|byte(protowire.BytesType)), v)
}

// begin starts a field that is a message; end, with what begin gave, ends it.
func begin(b []byte, field byte) ([]byte, int) {
	return append(b, field<<3|byte(protowire.BytesType), 0), len(b) + 2
}

func end(b []byte, at int) []byte {
	if n := len(b) - at; n < 0x80 {
		b[at-1] = byte(n)
		return b
	}
	return endLong(b, at)
}

func endLong(b []byte, at int) []byte {
	n := len(b) - at
	more := protowire.SizeVarint(uint64(n)) - 1 // bytes of length beyond the first
	b = append(b, make([]byte, more)...)
	copy(b[at+more:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}
