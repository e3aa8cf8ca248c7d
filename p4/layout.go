package p4

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// field is one match field or action parameter: how many bytes it takes in a
// packed Key or Value, and how it is matched.
type field struct {
	id    uint32
	name  string
	bits  int
	bytes int
	size  int // packed, with what match adds
	match p4configv1.MatchField_MatchType
}

type tableLayout struct {
	id      uint32
	name    string
	fields  []field
	ternary bool // entries have a priority
	ageing  bool // entries may have an idle timeout
	owned   bool // the first field says of which bridge or VRF an entry is
}

type actionLayout struct {
	id     uint32
	name   string
	params []field
	size   int // packed, with its id
	// refers is for what is no action: the field of a TableAction that has the number; else 0.
	refers byte
}

type layout struct {
	tables   map[uint32]*tableLayout
	actions  map[uint32]*actionLayout
	profiles map[uint32]string // names of the action profiles
}

// program is the layout of the embedded P4Info. Its fields are packed in id
// order, which the @id-less fields of one table have in source order.
var program = sync.OnceValue(func() *layout {
	l := &layout{
		tables: map[uint32]*tableLayout{}, actions: map[uint32]*actionLayout{}, profiles: map[uint32]string{},
	}
	info := P4Info()
	for _, t := range info.GetTables() {
		tl := &tableLayout{
			id:     t.GetPreamble().GetId(),
			name:   t.GetPreamble().GetName(),
			ageing: t.GetIdleTimeoutBehavior() == p4configv1.Table_NOTIFY_CONTROL,
		}
		for _, m := range t.GetMatchFields() {
			tl.fields = append(tl.fields, newField(m.GetId(), m.GetName(), m.GetBitwidth(), m.GetMatchType()))
			tl.ternary = tl.ternary || m.GetMatchType() == p4configv1.MatchField_TERNARY
		}
		slices.SortFunc(tl.fields, func(a, b field) int { return cmp.Compare(a.id, b.id) })
		first := tl.fields[0]
		tl.owned = (first.name == "bridge" || first.name == "vrf") && first.match == p4configv1.MatchField_EXACT
		l.tables[tl.id] = tl
	}
	for _, a := range info.GetActions() {
		al := &actionLayout{id: a.GetPreamble().GetId(), name: a.GetPreamble().GetName(), size: 4}
		for _, p := range a.GetParams() {
			f := newField(p.GetId(), p.GetName(), p.GetBitwidth(), 0)
			al.params, al.size = append(al.params, f), al.size+f.bytes
		}
		slices.SortFunc(al.params, func(a, b field) int { return cmp.Compare(a.id, b.id) })
		l.actions[al.id] = al
	}
	for _, p := range info.GetActionProfiles() {
		l.profiles[p.GetPreamble().GetId()] = p.GetPreamble().GetName()
	}
	// What an entry says in the place of an action. The number is the wire's of TableAction.
	l.actions[refersToMember] = reference(refersToMember, "member", 2)
	l.actions[refersToGroup] = reference(refersToGroup, "group", 3)
	return l
})

// reference is the layout of what an entry refers to instead of having an action.
func reference(id uint32, name string, number byte) *actionLayout {
	f := newField(1, name, 32, 0)
	return &actionLayout{id: id, name: "->", params: []field{f}, size: 4 + f.bytes, refers: number}
}

func newField(id uint32, name string, bits int32, match p4configv1.MatchField_MatchType) field {
	bytes := (int(bits) + 7) / 8
	return field{id: id, name: name, bits: int(bits), bytes: bytes, size: matchSize(bytes, match), match: match}
}

// matchSize is the packed length of a match field: an LPM adds its prefix
// length, a ternary its mask.
func matchSize(bytes int, match p4configv1.MatchField_MatchType) int {
	switch match {
	case p4configv1.MatchField_LPM:
		return bytes + 1
	case p4configv1.MatchField_TERNARY:
		return 2 * bytes
	}
	return bytes
}

func (t *tableLayout) keySize() int {
	n := 4
	for _, f := range t.fields {
		n += f.size
	}
	if t.ternary {
		n += 4
	}
	return n
}

// shortest is canonical for what is packed.
func shortest(v string) string {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	return v
}

// canonical strips leading zeros, as P4Runtime section 8.4 writes numbers.
func canonical(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// widen is canonical's way back: v in exactly f.bytes bytes.
func (f field) widen(dst []byte, v []byte) ([]byte, error) {
	for len(v) > 0 && v[0] == 0 {
		v = v[1:]
	}
	if len(v) > f.bytes || (len(v) == f.bytes && f.bits%8 != 0 && v[0]>>(f.bits%8) != 0) {
		return nil, fmt.Errorf("field %s: %#x does not fit %d bits", f.name, v, f.bits)
	}
	for range f.bytes - len(v) {
		dst = append(dst, 0)
	}
	return append(dst, v...), nil
}
