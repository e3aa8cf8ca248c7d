package pipeline

import (
	"fmt"
	"math/big"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// selectKey compiles the parts of a select key, cut into words, and returns
// the widths of the parts before the cut.
func (c *compiler) selectKey(st *parserState, key []bmv2json.Value) ([]int, error) {
	ctx := &exprContext{l: c.l}
	var widths []int
	for i := range key {
		v := &key[i]
		if v.Type == "lookahead" {
			if err := checkLookahead(v); err != nil {
				return nil, fmt.Errorf("transition key %d: %w", i, err)
			}
			widths = append(widths, v.Bits[1])
			st.addParts(v.Bits[1], func(at, bits, _ int) keyPart {
				return keyPart{look: true, off: v.Bits[0] + at, bits: bits}
			})
			continue
		}
		n, err := c.selectField(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("transition key %d: %w", i, err)
		}
		if n.op == opField {
			widths = append(widths, n.f.bits)
			st.addParts(n.f.bits, func(_, bits, word int) keyPart {
				return keyPart{slot: n.f.slot + word, bits: bits}
			})
			continue
		}
		if n.f == nil || n.f.bits > 64 {
			return nil, fmt.Errorf("transition key %d: stack field of more than 64 bits: %w", i, ErrUnsupported)
		}
		load, err := ctx.narrow(n)
		if err != nil {
			return nil, fmt.Errorf("transition key %d: %w", i, err)
		}
		widths = append(widths, n.f.bits)
		st.key = append(st.key, keyPart{load: load, bits: n.f.bits})
	}
	c.prog.selectWords = max(c.prog.selectWords, len(st.key))
	return widths, nil
}

func (c *compiler) selectField(ctx *exprContext, v *bmv2json.Value) (*node, error) {
	if v.Type == "union_stack_field" {
		return ctx.lastUnionField(v)
	}
	if v.Type != "field" && v.Type != "stack_field" {
		return nil, fmt.Errorf("type %q: %w", v.Type, ErrUnsupported)
	}
	return ctx.number(v)
}

func checkLookahead(v *bmv2json.Value) error {
	off, bits := v.Bits[0], v.Bits[1]
	if off < 0 || off > 1<<20 || bits < 1 || bits > maxFieldBits {
		return fmt.Errorf("lookahead of %d bits, %d bits ahead", bits, off)
	}
	return nil
}

// addParts cuts a value of the width into words, highest first. part gets the
// bit offset from the highest bit, the bits, and the word from the lowest.
func (st *parserState) addParts(width int, part func(at, bits, word int) keyPart) {
	at := 0
	for word := (width - 1) / 64; word >= 0; word-- {
		bits := 64
		if r := width % 64; at == 0 && r != 0 {
			bits = r
		}
		st.key = append(st.key, part(at, bits, word))
		at += bits
	}
}

// addCase cuts the value and mask of a transition, in which each field is
// padded to whole bytes, into the key's parts.
func (st *parserState) addCase(t *bmv2json.Transition, widths []int, next int) error {
	value, err := parseHex(t.Value)
	if err != nil {
		return err
	}
	total := 0
	for _, w := range widths {
		total += (w + 7) / 8 * 8
	}
	mask := sub1(pow2(total))
	if t.Mask != nil {
		if mask, err = parseHex(*t.Mask); err != nil {
			return fmt.Errorf("mask: %w", err)
		}
	}
	if value.Sign() < 0 || mask.Sign() < 0 || value.BitLen() > total || mask.BitLen() > total {
		return fmt.Errorf("value %s with mask %x is wider than the key's %d bits", t.Value, mask, total)
	}
	wc := wideCase{next: next}
	cut := func(v *big.Int) []uint64 {
		var out []uint64
		at := total
		for _, width := range widths {
			at -= (width + 7) / 8 * 8
			part := new(big.Int).Rsh(v, uint(at))
			part.And(part, sub1(pow2(width)))
			w := words(part, (width+63)/64)
			for i := len(w) - 1; i >= 0; i-- {
				out = append(out, w[i])
			}
		}
		return out
	}
	wc.value, wc.mask = cut(value), cut(mask)
	for i := range wc.value {
		wc.value[i] &= wc.mask[i]
	}
	if len(wc.mask) == 0 { // a case without a key always matches
		wc.mask, wc.value = []uint64{}, []uint64{}
	}
	st.wide = append(st.wide, wc)
	return nil
}

func (c *compiler) parserOp(o *bmv2json.ParserOp) (parserOp, error) {
	want := map[string]int{"extract": 1, "extract_VL": 2, "set": 2, "verify": 2, "shift": 1, "advance": 1}
	if n, ok := want[o.Op]; ok && len(o.Params) != n {
		return parserOp{}, fmt.Errorf("%d parameters where it takes %d", len(o.Params), n)
	}
	switch o.Op {
	case "extract":
		return c.opExtract(&o.Params[0], nil)
	case "extract_VL":
		return c.opExtract(&o.Params[0], &o.Params[1])
	case "set":
		return c.opSet(o.Params)
	case "verify":
		return c.opVerify(o.Params)
	case "advance", "shift":
		return c.opAdvance(o)
	case "primitive":
		ops, err := c.compilePrimitives([]bmv2json.Primitive{*o.Call}, nil)
		return parserOp{do: func(w *Worker) bool {
			w.run(ops)
			return true
		}}, err
	}
	return parserOp{}, ErrUnsupported
}

// opExtract compiles extract to a header, or to the next free element of a
// stack or union stack.
func (c *compiler) opExtract(target, length *bmv2json.Value) (parserOp, error) {
	switch target.Type {
	case "regular":
		h, err := c.l.header(target.Name)
		if err != nil {
			return parserOp{}, err
		}
		if h.meta {
			return parserOp{}, fmt.Errorf("%q is metadata", h.name)
		}
		one, err := c.extractOne(h, length)
		if err != nil {
			return parserOp{}, err
		}
		if one == nil {
			return parserOp{h: h}, nil
		}
		return parserOp{do: func(w *Worker) bool { return one(w, h) }}, nil
	case "stack":
		s := c.l.stacks[target.Name]
		if s == nil || s.headers == nil {
			return parserOp{}, fmt.Errorf("no header stack %q", target.Name)
		}
		return c.extractNext(s, s.headers, length)
	case "union_stack":
		s := c.l.stacks[target.Field[0]]
		if s == nil || s.unions == nil {
			return parserOp{}, fmt.Errorf("no union stack %q", target.Field[0])
		}
		var members []*header
		for _, u := range s.unions {
			for i, n := range u.names {
				if n == target.Field[1] {
					members = append(members, u.members[i])
				}
			}
		}
		if len(members) != len(s.unions) {
			return parserOp{}, fmt.Errorf("union stack %q has no member %q", s.name, target.Field[1])
		}
		return c.extractNext(s, members, length)
	}
	return parserOp{}, fmt.Errorf("target of type %q: %w", target.Type, ErrUnsupported)
}

// extractOne compiles the extraction of a header with a varbit field; nil for
// headers without.
func (c *compiler) extractOne(h *header, length *bmv2json.Value) (func(w *Worker, h *header) bool, error) {
	if h.vl < 0 {
		if length != nil {
			return nil, fmt.Errorf("header %q has no varbit field", h.name)
		}
		return nil, nil
	}
	if length == nil {
		return nil, fmt.Errorf("header %q with length_exp: %w", h.name, ErrUnsupported)
	}
	ctx := &exprContext{l: c.l}
	n, err := ctx.number(length)
	if err != nil {
		return nil, err
	}
	bits, err := ctx.narrow(n)
	most := h.typ.MaxLength
	return func(w *Worker, h *header) bool { return w.extractVarbit(h, bits(w)&0xffffffff, most) }, err
}

func (c *compiler) extractNext(s *stack, elements []*header, length *bmv2json.Value) (parserOp, error) {
	one, err := c.extractOne(elements[0], length)
	if err != nil {
		return parserOp{}, err
	}
	if one == nil {
		one = func(w *Worker, h *header) bool { return w.extract(h) }
	}
	return parserOp{do: func(w *Worker) bool {
		i := w.r[s.next]
		if i >= uint64(len(elements)) {
			return w.fail(errStackOutOfBounds)
		}
		if !one(w, elements[i]) {
			return false
		}
		w.r[s.next]++
		return true
	}}, nil
}

func (c *compiler) opSet(p []bmv2json.Value) (parserOp, error) {
	pc := &primitiveCompiler{compiler: c, ctx: exprContext{l: c.l}}
	if p[1].Type == "lookahead" {
		return c.opSetLookahead(pc, p)
	}
	if p[0].Type == "field" {
		if f, err := c.l.field(p[0].Field); err == nil && f.varbit {
			err := pc.assignVarbit(p)
			return pc.asParserOp(), err
		}
	}
	err := pc.assign(p)
	return pc.asParserOp(), err
}

func (pc *primitiveCompiler) asParserOp() parserOp {
	ops := pc.ops
	return parserOp{do: func(w *Worker) bool {
		w.run(ops)
		return true
	}}
}

func (c *compiler) opSetLookahead(pc *primitiveCompiler, p []bmv2json.Value) (parserOp, error) {
	if err := checkLookahead(&p[1]); err != nil {
		return parserOp{}, err
	}
	off, bits := p[1].Bits[0], p[1].Bits[1]
	n := (bits + 63) / 64
	tmp := field{name: "lookahead", slot: c.l.temp(n), bits: bits, words: n}
	pieces := wirePieces([]field{tmp})
	if err := pc.store(&p[0], fieldNode(&tmp)); err != nil {
		return parserOp{}, err
	}
	ops := pc.ops
	return parserOp{do: func(w *Worker) bool {
		b := w.frame[w.cursor:]
		if off+bits > len(b)*8 {
			return w.fail(errPacketTooShort)
		}
		for _, piece := range pieces {
			w.r[piece.slot] = getBits(b, off+piece.off, piece.bits)
		}
		w.run(ops)
		return true
	}}, nil
}

func (c *compiler) opVerify(p []bmv2json.Value) (parserOp, error) {
	ctx := &exprContext{l: c.l}
	b, err := ctx.boolean(&p[0])
	if err != nil {
		return parserOp{}, err
	}
	holds, err := ctx.compileBool(b)
	if err != nil {
		return parserOp{}, err
	}
	n, err := ctx.number(&p[1])
	if err != nil {
		return parserOp{}, err
	}
	code, err := ctx.narrow(n)
	return parserOp{do: func(w *Worker) bool {
		if holds(w) {
			return true
		}
		w.parserError = code(w)
		return false
	}}, err
}

func (c *compiler) opAdvance(o *bmv2json.ParserOp) (parserOp, error) {
	ctx := &exprContext{l: c.l}
	unit := uint64(1)
	v := o.Params[0]
	if o.Op == "shift" { // whole bytes, as a bare number
		unit = 8
	}
	n := constNode(big.NewInt(int64(v.Index)))
	if v.Type != "int" {
		var err error
		if n, err = ctx.number(&v); err != nil {
			return parserOp{}, err
		}
	}
	by, err := ctx.narrow(n)
	return parserOp{do: func(w *Worker) bool {
		bits := by(w)
		if bits > 1<<32 {
			return w.fail(errPacketTooShort)
		}
		bits *= unit
		if bits%8 != 0 {
			return w.fail(errParserInvalidArgument)
		}
		if uint64(len(w.frame)-w.cursor) < bits/8 {
			return w.fail(errPacketTooShort)
		}
		w.cursor += int(bits / 8)
		return true
	}}, err
}
