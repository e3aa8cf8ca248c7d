package p4

import (
	"encoding/binary"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// Lookups are the keys of the entries that a lookup in a table may hit: one where all
// fields are exact, one of each length where a field is a prefix. The value of each field
// is given by its name in P4Info, in at most as many bytes as it has. ok is false where
// there are too many: a field is ternary, so that any entry of the table may match.
func Lookups(table string, values map[string][]byte) (keys []Key, ok bool, err error) {
	var t *tableLayout
	for _, c := range program().tables {
		if c.name == table {
			t = c
		}
	}
	if t == nil {
		return nil, false, fmt.Errorf("table %s: %w", table, errForeign)
	}
	if t.ternary {
		return nil, false, nil
	}
	prefix := 0 // bits of the field that is one
	for _, f := range t.fields {
		if _, given := values[f.name]; !given {
			return nil, false, fmt.Errorf("table %s: field %s has no value", table, f.name)
		}
		if f.match == p4configv1.MatchField_LPM {
			prefix = f.bits
		}
	}
	for length := prefix; length >= 0; length-- {
		key := binary.BigEndian.AppendUint32(make([]byte, 0, t.keySize()), t.id)
		for _, f := range t.fields {
			if key, err = f.pack(key, f.matching(values[f.name], length)); err != nil {
				return nil, false, fmt.Errorf("table %s: %w", table, err)
			}
		}
		keys = append(keys, Key(key))
	}
	return keys, true, nil
}

// matching matches a value, of a prefix the first bits.
func (f field) matching(value []byte, length int) *p4v1.FieldMatch {
	if f.match == p4configv1.MatchField_LPM {
		return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Lpm{
			Lpm: &p4v1.FieldMatch_LPM{Value: value, PrefixLen: int32(length)},
		}}
	}
	return &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: value}}}
}
