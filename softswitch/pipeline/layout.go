package pipeline

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// ErrUnsupported marks a load error of a construct that is valid but that
// this engine does not run; test with errors.Is.
var ErrUnsupported = errors.New("not supported")

const (
	maxFieldBits = 4096  // of one field
	maxSlots     = 32768 // of the register file, 256 KiB
)

// field is one field of a header instance in the register file: words slots
// from slot on, least significant first, always below 2^bits. A varbit field
// has its current length in bits in slot and its bytes, first byte highest,
// in the slots that follow, first slot first.
type field struct {
	name   string
	slot   int
	bits   int
	words  int
	signed bool
	varbit bool
	header *header
}

func (f *field) mask() uint64 {
	if f.bits >= 64 {
		return ^uint64(0)
	}
	return 1<<f.bits - 1
}

// topMask covers the bits of the field's highest word.
func topMask(bits int) uint64 {
	if r := bits % 64; r != 0 {
		return 1<<r - 1
	}
	return ^uint64(0)
}

// header is one header or metadata instance.
type header struct {
	name   string
	id     int
	typ    *bmv2json.HeaderType
	meta   bool
	valid  int // slot, 1 or 0; for metadata always 1
	fields []field
	base   int // first field slot
	size   int // number of field slots
	bytes  int // on the wire, without the varbit field
	vl     int // index of the varbit field, or -1
	// rivals are the valid slots of the other members of the header's union.
	rivals []int
	wire   wireLayout
}

func (h *header) field(name string) *field {
	for i := range h.fields {
		if h.fields[i].name == name {
			return &h.fields[i]
		}
	}
	return nil
}

// stack is a header stack. Its headers lie one after the other: element i has
// its validity at headers[0].valid+i and its fields at headers[0].base+i*size.
// A union stack has unions instead of headers.
type stack struct {
	name    string
	next    int // slot: the first free index
	headers []*header
	unions  []*union
}

func (s *stack) depth() int { return max(len(s.headers), len(s.unions)) }

type union struct {
	name    string
	typ     string
	members []*header
	names   []string
}

// layout is the register file: [metadata | validity and stack indices |
// header fields | action parameters and temporaries]. What lies below
// stateEnd belongs to the packet.
type layout struct {
	headers  []*header
	byName   map[string]*header
	byID     map[int]*header
	stacks   map[string]*stack
	unions   map[string]*union
	alias    map[string]*field
	metaEnd  int
	stateEnd int
	slots    int
	metaOn   []int        // validity slots that are always 1
	used     map[int]bool // slots of fields that the program refers to
}

func newLayout(spec *bmv2json.Program) (*layout, error) {
	l := &layout{
		byName: map[string]*header{}, byID: map[int]*header{},
		stacks: map[string]*stack{}, unions: map[string]*union{}, alias: map[string]*field{},
		used: map[int]bool{}, slots: 1, // slot 0 belongs to nothing
	}
	if err := l.declareHeaders(spec); err != nil {
		return nil, err
	}
	if err := l.declareUnions(spec); err != nil {
		return nil, err
	}
	if err := l.declareStacks(spec); err != nil {
		return nil, err
	}
	if err := l.assignSlots(); err != nil {
		return nil, err
	}
	for _, a := range spec.Aliases {
		h := l.byName[a.Field[0]]
		if h == nil || h.field(a.Field[1]) == nil {
			return nil, fmt.Errorf("field_aliases: %q: no field %q", a.Target, a.Field)
		}
		l.alias[a.Target] = h.field(a.Field[1])
	}
	return l, nil
}

func (l *layout) declareHeaders(spec *bmv2json.Program) error {
	types := map[string]*bmv2json.HeaderType{}
	for i := range spec.HeaderTypes {
		t := &spec.HeaderTypes[i]
		if types[t.Name] != nil {
			return fmt.Errorf("header_types: %q is there twice", t.Name)
		}
		if err := checkHeaderType(t); err != nil {
			return fmt.Errorf("header_types: %q: %w", t.Name, err)
		}
		types[t.Name] = t
	}
	for i := range spec.Headers {
		s := &spec.Headers[i]
		t := types[s.Type]
		if t == nil {
			return fmt.Errorf("headers: %q: no header type %q", s.Name, s.Type)
		}
		if l.byName[s.Name] != nil || l.byID[s.ID] != nil {
			return fmt.Errorf("headers: %q: name or id %d is there twice", s.Name, s.ID)
		}
		h := &header{name: s.Name, id: s.ID, typ: t, meta: s.Metadata, vl: -1}
		if err := h.declareFields(); err != nil {
			return fmt.Errorf("headers: %q: %w", s.Name, err)
		}
		l.headers = append(l.headers, h)
		l.byName[s.Name], l.byID[s.ID] = h, h
	}
	return nil
}

func checkHeaderType(t *bmv2json.HeaderType) error {
	seen := map[string]bool{}
	for _, f := range t.Fields {
		switch {
		case seen[f.Name]:
			return fmt.Errorf("field %q is there twice", f.Name)
		case f.Saturating:
			return fmt.Errorf("field %q: saturating: %w", f.Name, ErrUnsupported)
		case f.Varbit:
			if t.MaxLength < 1 || t.MaxLength > maxFieldBits/8 {
				return fmt.Errorf("field %q: max_length %d is not in 1..%d", f.Name, t.MaxLength, maxFieldBits/8)
			}
		case f.Bits < 1 || f.Bits > maxFieldBits:
			return fmt.Errorf("field %q: width %d is not in 1..%d", f.Name, f.Bits, maxFieldBits)
		case f.Signed && f.Bits < 2:
			return fmt.Errorf("field %q: width 1 cannot be signed", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func (h *header) declareFields() error {
	bits := 0
	for i, f := range h.typ.Fields {
		fd := field{name: f.Name, bits: f.Bits, words: (f.Bits + 63) / 64, signed: f.Signed, header: h}
		if f.Varbit {
			if h.vl >= 0 {
				return errors.New("more than one varbit field")
			}
			if bits%8 != 0 {
				return fmt.Errorf("varbit field %q is not byte-aligned: %w", f.Name, ErrUnsupported)
			}
			h.vl, fd.varbit = i, true
			fd.bits = h.typ.MaxLength * 8
			fd.words = 1 + (fd.bits+63)/64
		} else {
			bits += f.Bits
		}
		h.fields = append(h.fields, fd)
		h.size += fd.words
	}
	if !h.meta && bits%8 != 0 {
		return fmt.Errorf("header type %q has %d bits, which are not whole bytes", h.typ.Name, bits)
	}
	h.bytes = bits / 8
	return nil
}

func (l *layout) declareUnions(spec *bmv2json.Program) error {
	members := map[string][][2]string{}
	for _, t := range spec.UnionTypes {
		members[t.Name] = t.Headers
	}
	for _, s := range spec.Unions {
		u := &union{name: s.Name, typ: s.Type}
		types, ok := members[s.Type]
		if !ok || len(types) != len(s.HeaderIDs) {
			return fmt.Errorf("header_unions: %q: its members are not those of a union type %q", s.Name, s.Type)
		}
		for i, id := range s.HeaderIDs {
			h := l.byID[id]
			if h == nil || h.typ.Name != types[i][1] {
				return fmt.Errorf("header_unions: %q: no header of type %q with id %d", s.Name, types[i][1], id)
			}
			u.members = append(u.members, h)
			u.names = append(u.names, types[i][0])
		}
		if l.unions[s.Name] != nil {
			return fmt.Errorf("header_unions: %q is there twice", s.Name)
		}
		l.unions[s.Name] = u
	}
	return nil
}

func (l *layout) declareStacks(spec *bmv2json.Program) error {
	inStack := map[*header]bool{}
	for _, s := range spec.Stacks {
		st := &stack{name: s.Name}
		for _, id := range s.HeaderIDs {
			h := l.byID[id]
			if h == nil || h.typ.Name != s.Type || h.meta || inStack[h] {
				return fmt.Errorf("header_stacks: %q: no free header of type %q with id %d", s.Name, s.Type, id)
			}
			inStack[h] = true
			st.headers = append(st.headers, h)
		}
		if len(st.headers) == 0 || l.stacks[s.Name] != nil {
			return fmt.Errorf("header_stacks: %q is empty or there twice", s.Name)
		}
		l.stacks[s.Name] = st
	}
	byID := map[int]*union{}
	for _, u := range spec.Unions {
		byID[u.ID] = l.unions[u.Name]
	}
	for _, s := range spec.UnionStacks {
		st := &stack{name: s.Name}
		for _, id := range s.UnionIDs {
			u := byID[id]
			if u == nil || u.typ != s.Type {
				return fmt.Errorf("header_union_stacks: %q: no union of type %q with id %d", s.Name, s.Type, id)
			}
			st.unions = append(st.unions, u)
		}
		if len(st.unions) == 0 || l.stacks[s.Name] != nil {
			return fmt.Errorf("header_union_stacks: %q is empty or there twice", s.Name)
		}
		l.stacks[s.Name] = st
	}
	return nil
}

func (l *layout) assignSlots() error {
	order := l.slotOrder()
	for _, h := range order {
		if h.meta {
			l.place(h)
		}
	}
	l.metaEnd = l.slots
	for _, h := range order {
		h.valid = l.slots
		l.slots++
		if h.meta {
			l.metaOn = append(l.metaOn, h.valid)
		}
	}
	for _, s := range l.stacks {
		s.next = l.slots
		l.slots++
	}
	for _, h := range order {
		if !h.meta {
			l.place(h)
		}
	}
	l.stateEnd = l.slots
	for _, u := range l.unions {
		for i, h := range u.members {
			for j, other := range u.members {
				if i != j {
					h.rivals = append(h.rivals, other.valid)
				}
			}
		}
	}
	if l.slots > maxSlots {
		return fmt.Errorf("headers: %d words of fields; at most %d: %w", l.slots, maxSlots, ErrUnsupported)
	}
	for _, h := range l.headers {
		h.wire = newWireLayout(h)
	}
	return nil
}

// slotOrder puts the headers of each stack side by side.
func (l *layout) slotOrder() []*header {
	var order []*header
	placed := map[*header]bool{}
	stackOf := map[*header]*stack{}
	for _, s := range l.stacks {
		for _, h := range s.headers {
			stackOf[h] = s
		}
	}
	for _, h := range l.headers {
		group := []*header{h}
		if s := stackOf[h]; s != nil {
			group = s.headers
		}
		for _, g := range group {
			if !placed[g] {
				placed[g] = true
				order = append(order, g)
			}
		}
	}
	return order
}

func (l *layout) place(h *header) {
	h.base = l.slots
	for i := range h.fields {
		h.fields[i].slot = l.slots
		l.slots += h.fields[i].words
	}
}

// temp reserves n slots behind the packet's state.
func (l *layout) temp(n int) int {
	at := l.slots
	l.slots += n
	return at
}

// field resolves a reference; "$valid$" is the validity bit.
func (l *layout) field(ref [2]string) (*field, error) {
	h := l.byName[ref[0]]
	if h == nil {
		return nil, fmt.Errorf("no header %q", ref[0])
	}
	if ref[1] == "$valid$" {
		return &field{name: ref[1], slot: h.valid, bits: 1, words: 1, header: h}, nil
	}
	if f := h.field(ref[1]); f != nil {
		l.used[f.slot] = true
		return f, nil
	}
	return nil, fmt.Errorf("header %q has no field %q", ref[0], ref[1])
}

func (l *layout) header(name string) (*header, error) {
	if h := l.byName[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("no header %q", name)
}

// target finds a field that the target uses, by alias, by its own name, or in
// standard_metadata, where v1model has them all.
func (l *layout) target(name string) *field {
	if f := l.alias[name]; f != nil {
		return f
	}
	head, f, _ := strings.Cut(name, ".")
	for _, h := range []*header{l.byName[head], l.byName["standard_metadata"]} {
		if h != nil && h.field(f) != nil {
			return h.field(f)
		}
	}
	return nil
}

// parseHex reads "0x1f", "1f" or "-0x1f".
func parseHex(s string) (*big.Int, error) {
	digits, negative := strings.CutPrefix(s, "-")
	digits = strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X")
	if len(digits) > maxFieldBits/4+2 {
		return nil, fmt.Errorf("hexstr of %d digits is too long", len(digits))
	}
	v, ok := new(big.Int).SetString(digits, 16)
	if !ok || strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+") {
		return nil, fmt.Errorf("%q is no hexstr", s)
	}
	if negative {
		v.Neg(v)
	}
	return v, nil
}

// words splits a non-negative or two's complement value into n words, least
// significant first.
func words(v *big.Int, n int) []uint64 {
	mod := new(big.Int).Lsh(big.NewInt(1), uint(64*n))
	u := new(big.Int).Mod(v, mod)
	out := make([]uint64, n)
	low := new(big.Int).SetUint64(^uint64(0))
	for i := range out {
		out[i] = new(big.Int).And(u, low).Uint64()
		u.Rsh(u, 64)
	}
	return out
}
