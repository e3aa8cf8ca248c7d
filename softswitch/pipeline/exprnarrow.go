package pipeline

import (
	"fmt"
)

// numFunc computes the low 64 bits of a value.
type numFunc func(w *Worker) uint64

// narrow compiles n to its value modulo 2^64, which is the exact value where
// fitsU, and its two's complement where fitsS.
func (c *exprContext) narrow(n *node) (numFunc, error) {
	switch n.op {
	case opConst:
		k := words(n.k, 1)[0]
		return func(*Worker) uint64 { return k }, nil
	case opField:
		return narrowField(n.f, n.f.slot), nil
	case opStackField:
		return c.narrowStackField(n)
	case opUnionField:
		next, slots := n.st.next, n.slots
		return func(w *Worker) uint64 {
			if i := w.r[next]; i > 0 {
				return w.r[slots[i-1]]
			}
			return 0
		}, nil
	case opChoose:
		return c.narrowChoose(n)
	case opBool:
		b, err := c.compileBool(n.cond)
		if err != nil {
			return nil, err
		}
		return func(w *Worker) uint64 {
			if b(w) {
				return 1
			}
			return 0
		}, nil
	case opStackCount:
		slot, add := n.st.next, uint64(n.add)
		return func(w *Worker) uint64 { return w.r[slot] + add }, nil
	case opNot:
		r, err := c.narrow(n.r)
		if err != nil {
			return nil, err
		}
		return func(w *Worker) uint64 { return ^r(w) }, nil
	case opTwoComp, opUSat, opSat:
		return c.narrowCast(n)
	case opShr:
		return c.narrowShr(n)
	}
	return c.narrowBinary(n)
}

func narrowField(f *field, slot int) numFunc {
	if f.signed && f.bits < 64 {
		shift := 64 - f.bits
		return func(w *Worker) uint64 { return uint64(int64(w.r[slot]<<shift) >> shift) }
	}
	return func(w *Worker) uint64 { return w.r[slot] }
}

// stackSlot finds where a field of a stack element is; ok is false for an
// index outside the stack, which reads as zero and swallows writes.
func (c *exprContext) stackIndex(n *node) (func(w *Worker) (int, bool), error) {
	depth := uint64(len(n.st.headers))
	if n.last {
		next := n.st.next
		return func(w *Worker) (int, bool) { return int(w.r[next]) - 1, w.r[next] > 0 }, nil
	}
	index, err := c.narrow(n.r)
	if err != nil {
		return nil, err
	}
	return func(w *Worker) (int, bool) {
		i := index(w)
		return int(i), i < depth
	}, nil
}

func (c *exprContext) narrowStackField(n *node) (numFunc, error) {
	index, err := c.stackIndex(n)
	if err != nil {
		return nil, err
	}
	f, stride := n.f, n.st.headers[0].size
	shift := 0
	if f.signed && f.bits < 64 {
		shift = 64 - f.bits
	}
	slot, signed := f.slot, f.signed
	return func(w *Worker) uint64 {
		i, ok := index(w)
		if !ok {
			return 0
		}
		v := w.r[slot+i*stride]
		if signed {
			return uint64(int64(v<<shift) >> shift)
		}
		return v
	}, nil
}

func (c *exprContext) narrowChoose(n *node) (numFunc, error) {
	cond, err := c.compileBool(n.cond)
	if err != nil {
		return nil, err
	}
	l, err := c.narrow(n.l)
	if err != nil {
		return nil, err
	}
	r, err := c.narrow(n.r)
	if err != nil {
		return nil, err
	}
	return func(w *Worker) uint64 {
		if cond(w) {
			return l(w)
		}
		return r(w)
	}, nil
}

func (c *exprContext) narrowCast(n *node) (numFunc, error) {
	if n.op == opTwoComp && n.width <= 64 {
		l, err := c.narrow(n.l)
		if err != nil {
			return nil, err
		}
		shift := 64 - n.width
		return func(w *Worker) uint64 { return uint64(int64(l(w)<<shift) >> shift) }, nil
	}
	signed := n.l.fitsS()
	if !signed && !n.l.fitsU() || n.op == opTwoComp {
		return c.lowWord(n)
	}
	l, err := c.narrow(n.l)
	if err != nil {
		return nil, err
	}
	if !signed {
		limit := words(n.hi, 1)[0]
		if n.hi.BitLen() > 64 {
			return l, nil
		}
		return func(w *Worker) uint64 { return min(l(w), limit) }, nil
	}
	lo, hi := int64(-1<<63), int64(1<<63-1)
	if n.lo.IsInt64() {
		lo = n.lo.Int64()
	}
	if n.hi.IsInt64() {
		hi = n.hi.Int64()
	}
	return func(w *Worker) uint64 { return uint64(min(max(int64(l(w)), lo), hi)) }, nil
}

// lowWord computes n in several words and takes the lowest.
func (c *exprContext) lowWord(n *node) (numFunc, error) {
	eval, at, err := c.wide(n, 1)
	if err != nil {
		return nil, err
	}
	return func(w *Worker) uint64 {
		eval(w)
		return w.r[at]
	}, nil
}

func (c *exprContext) narrowShr(n *node) (numFunc, error) {
	if n.r.op == opConst && n.l.op == opField && !n.l.f.signed && !n.l.fitsU() {
		return sliceOfWide(n.l.f, n.r.k.Uint64()), nil
	}
	signed := n.l.fitsS()
	if !signed && !n.l.fitsU() {
		return c.lowWord(n)
	}
	l, err := c.narrow(n.l)
	if err != nil {
		return nil, err
	}
	if n.r.op == opConst {
		by := min(n.r.k.Uint64(), 64)
		if signed {
			return func(w *Worker) uint64 { return uint64(int64(l(w)) >> by) }, nil
		}
		return func(w *Worker) uint64 { return l(w) >> by }, nil
	}
	r, err := c.narrow(n.r)
	if err != nil {
		return nil, err
	}
	if signed {
		return func(w *Worker) uint64 { return uint64(int64(l(w)) >> r(w)) }, nil
	}
	return func(w *Worker) uint64 { return l(w) >> r(w) }, nil
}

// sliceOfWide reads 64 bits of a wide field, from bit by on.
func sliceOfWide(f *field, by uint64) numFunc {
	word, shift := int(by/64), by%64
	if by >= uint64(f.words*64) {
		return func(*Worker) uint64 { return 0 }
	}
	slot := f.slot + word
	if shift == 0 || word+1 == f.words {
		return func(w *Worker) uint64 { return w.r[slot] >> shift }
	}
	return func(w *Worker) uint64 { return w.r[slot]>>shift | w.r[slot+1]<<(64-shift) }
}

func (c *exprContext) narrowBinary(n *node) (numFunc, error) {
	if n.op == opAnd && n.r.op == opConst && n.l.op == opField && n.l.f.bits <= 64 && !n.l.f.signed {
		slot, k := n.l.f.slot, words(n.r.k, 1)[0]
		return func(w *Worker) uint64 { return w.r[slot] & k }, nil
	}
	l, err := c.narrow(n.l)
	if err != nil {
		return nil, err
	}
	if n.r.op == opConst {
		if f := withConst(n.op, l, words(n.r.k, 1)[0]); f != nil {
			return f, nil
		}
	}
	r, err := c.narrow(n.r)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case opAdd:
		return func(w *Worker) uint64 { return l(w) + r(w) }, nil
	case opSub:
		return func(w *Worker) uint64 { return l(w) - r(w) }, nil
	case opMul:
		return func(w *Worker) uint64 { return l(w) * r(w) }, nil
	case opAnd:
		return func(w *Worker) uint64 { return l(w) & r(w) }, nil
	case opOr:
		return func(w *Worker) uint64 { return l(w) | r(w) }, nil
	case opXor:
		return func(w *Worker) uint64 { return l(w) ^ r(w) }, nil
	case opShl:
		return func(w *Worker) uint64 { return l(w) << r(w) }, nil
	case opDiv:
		return func(w *Worker) uint64 { return safeDiv(l(w), r(w)) }, nil
	case opMod:
		return func(w *Worker) uint64 { return safeMod(l(w), r(w)) }, nil
	}
	return nil, fmt.Errorf("expression: operator %d: %w", n.op, ErrUnsupported)
}

func withConst(op arith, l numFunc, k uint64) numFunc {
	switch op {
	case opAdd:
		return func(w *Worker) uint64 { return l(w) + k }
	case opSub:
		return func(w *Worker) uint64 { return l(w) - k }
	case opAnd:
		return func(w *Worker) uint64 { return l(w) & k }
	case opOr:
		return func(w *Worker) uint64 { return l(w) | k }
	case opShl:
		return func(w *Worker) uint64 { return l(w) << k }
	}
	return nil
}

// Division by zero has no meaning in P4; it gives 0 here.
func safeDiv(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func safeMod(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return a % b
}
