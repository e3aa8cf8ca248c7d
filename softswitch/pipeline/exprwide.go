package pipeline

import (
	"fmt"
	"math/big"
	"math/bits"
)

// wideFunc computes a value into temporaries of the register file.
type wideFunc func(w *Worker)

func noEval(*Worker) {}

// wide compiles n to W words modulo 2^(64W), two's complement, that are at
// the slot returned once the function has run. They must not be written to.
func (c *exprContext) wide(n *node, W int) (wideFunc, int, error) {
	if W*64 > 2*maxRangeBits {
		return nil, 0, fmt.Errorf("expression of %d words: %w", W, ErrUnsupported)
	}
	switch n.op {
	case opConst:
		k, at := words(n.k, W), c.l.temp(W)
		return func(w *Worker) { copy(w.r[at:at+W], k) }, at, nil
	case opField:
		return c.wideField(n.f, W)
	case opStackField:
		return c.wideStackField(n, W)
	case opChoose:
		return c.wideChoose(n, W)
	case opNot:
		return c.wideNot(n, W)
	case opTwoComp, opUSat, opSat:
		return c.wideCast(n, W)
	case opShr:
		return c.wideShr(n, W)
	case opShl:
		return c.wideShl(n, W)
	case opBool, opStackCount, opUnionField, opDiv, opMod:
		return c.widen(n, W)
	}
	return c.wideBinary(n, W)
}

// exact gives n in as many words as hold its every value.
func (c *exprContext) exact(n *node) (f wideFunc, at, W int, err error) {
	if n.lo == nil {
		return nil, 0, 0, fmt.Errorf("expression without bound: %w", ErrUnsupported)
	}
	W = (n.needBits() + 63) / 64
	f, at, err = c.wide(n, W)
	return f, at, W, err
}

// widen extends a value that one word holds exactly.
func (c *exprContext) widen(n *node, W int) (wideFunc, int, error) {
	f, err := c.narrow(n)
	if err != nil {
		return nil, 0, err
	}
	at, signed := c.l.temp(W), n.lo.Sign() < 0
	return func(w *Worker) {
		v := f(w)
		fill(w.r[at:at+W], v, signed)
	}, at, nil
}

func fill(dst []uint64, v uint64, signed bool) {
	dst[0] = v
	ext := uint64(0)
	if signed && int64(v) < 0 {
		ext = ^uint64(0)
	}
	for i := range dst[1:] {
		dst[1+i] = ext
	}
}

func (c *exprContext) wideField(f *field, W int) (wideFunc, int, error) {
	if W <= f.words && (!f.signed || W*64 <= f.bits) {
		return noEval, f.slot, nil
	}
	at := c.l.temp(W)
	slot, n, width, signed := f.slot, f.words, f.bits, f.signed
	return func(w *Worker) {
		loadExtended(w.r[at:at+W], w.r[slot:slot+n], width, signed)
	}, at, nil
}

// loadExtended copies a field's words and extends them to dst.
func loadExtended(dst, src []uint64, width int, signed bool) {
	n := copy(dst, src)
	clear(dst[n:])
	if signed && n == len(src) && src[(width-1)/64]>>((width-1)%64)&1 == 1 {
		extendSign(dst, width)
	}
}

// extendSign sets all bits from width on.
func extendSign(dst []uint64, width int) {
	for i := width / 64; i < len(dst); i++ {
		if i == width/64 && width%64 != 0 {
			dst[i] |= ^uint64(0) << (width % 64)
			continue
		}
		dst[i] = ^uint64(0)
	}
}

func (c *exprContext) wideStackField(n *node, W int) (wideFunc, int, error) {
	index, err := c.stackIndex(n)
	if err != nil {
		return nil, 0, err
	}
	at, f, stride := c.l.temp(W), n.f, n.st.headers[0].size
	return func(w *Worker) {
		i, ok := index(w)
		if !ok {
			clear(w.r[at : at+W])
			return
		}
		slot := f.slot + i*stride
		loadExtended(w.r[at:at+W], w.r[slot:slot+f.words], f.bits, f.signed)
	}, at, nil
}

func (c *exprContext) wideChoose(n *node, W int) (wideFunc, int, error) {
	cond, err := c.compileBool(n.cond)
	if err != nil {
		return nil, 0, err
	}
	l, la, err := c.wide(n.l, W)
	if err != nil {
		return nil, 0, err
	}
	r, ra, err := c.wide(n.r, W)
	if err != nil {
		return nil, 0, err
	}
	at := c.l.temp(W)
	return func(w *Worker) {
		if cond(w) {
			l(w)
			copy(w.r[at:at+W], w.r[la:la+W])
			return
		}
		r(w)
		copy(w.r[at:at+W], w.r[ra:ra+W])
	}, at, nil
}

func (c *exprContext) wideNot(n *node, W int) (wideFunc, int, error) {
	r, ra, err := c.wide(n.r, W)
	if err != nil {
		return nil, 0, err
	}
	at := c.l.temp(W)
	return func(w *Worker) {
		r(w)
		for i := range W {
			w.r[at+i] = ^w.r[ra+i]
		}
	}, at, nil
}

func (c *exprContext) wideCast(n *node, W int) (wideFunc, int, error) {
	width := n.width
	if n.op == opTwoComp {
		nw := max(W, (width+63)/64)
		l, la, err := c.wide(n.l, nw)
		if err != nil {
			return nil, 0, err
		}
		at := c.l.temp(nw)
		return func(w *Worker) {
			l(w)
			dst := w.r[at : at+nw]
			copy(dst, w.r[la:la+nw])
			cutTo(dst, width)
			if dst[(width-1)/64]>>((width-1)%64)&1 == 1 {
				extendSign(dst, width)
			}
		}, at, nil
	}
	l, la, lw, err := c.exact(n.l)
	if err != nil {
		return nil, 0, err
	}
	nw := max(W, lw, (width+64)/64)
	lo, hi := words(n.lo, nw), words(n.hi, nw)
	at := c.l.temp(nw)
	return func(w *Worker) {
		l(w)
		dst := w.r[at : at+nw]
		extendWords(dst, w.r[la:la+lw])
		if compareWords(dst, lo) < 0 {
			copy(dst, lo)
		} else if compareWords(dst, hi) > 0 {
			copy(dst, hi)
		}
	}, at, nil
}

// cutTo clears all bits from width on.
func cutTo(dst []uint64, width int) {
	for i := width / 64; i < len(dst); i++ {
		if i == width/64 {
			dst[i] &= 1<<(width%64) - 1
			continue
		}
		dst[i] = 0
	}
}

// extendWords sign-extends src into dst, which is at least as long.
func extendWords(dst, src []uint64) {
	n := copy(dst, src)
	ext := uint64(int64(src[len(src)-1]) >> 63)
	for i := n; i < len(dst); i++ {
		dst[i] = ext
	}
}

// compareWords compares two's complement values of one length.
func compareWords(a, b []uint64) int {
	top := len(a) - 1
	if x, y := int64(a[top]), int64(b[top]); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	for i := top - 1; i >= 0; i-- {
		if a[i] != b[i] {
			if a[i] < b[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

func (c *exprContext) wideShr(n *node, W int) (wideFunc, int, error) {
	l, la, lw, err := c.exact(n.l)
	if err != nil {
		return nil, 0, err
	}
	by, err := c.narrow(n.r)
	if err != nil {
		return nil, 0, err
	}
	at := c.l.temp(W)
	return func(w *Worker) {
		s := by(w)
		l(w)
		shiftRight(w.r[at:at+W], w.r[la:la+lw], s)
	}, at, nil
}

// shiftRight puts src >> s (arithmetic) into dst.
func shiftRight(dst, src []uint64, s uint64) {
	ext := uint64(int64(src[len(src)-1]) >> 63)
	whole, part := s/64, s%64
	word := func(i uint64) uint64 {
		if i < uint64(len(src)) {
			return src[i]
		}
		return ext
	}
	for i := range dst {
		if whole >= uint64(len(src)) {
			dst[i] = ext
			continue
		}
		at := uint64(i) + whole
		dst[i] = word(at)>>part | word(at+1)<<(64-part)
	}
}

func (c *exprContext) wideShl(n *node, W int) (wideFunc, int, error) {
	l, la, err := c.wide(n.l, W)
	if err != nil {
		return nil, 0, err
	}
	by, err := c.narrow(n.r)
	if err != nil {
		return nil, 0, err
	}
	at := c.l.temp(W)
	return func(w *Worker) {
		s := by(w)
		l(w)
		shiftLeft(w.r[at:at+W], w.r[la:la+W], s)
	}, at, nil
}

// shiftLeft puts src << s into dst, of the same length.
func shiftLeft(dst, src []uint64, s uint64) {
	if s >= uint64(len(src)*64) {
		clear(dst)
		return
	}
	whole, part := int(s/64), s%64
	for i := len(dst) - 1; i >= 0; i-- {
		v := uint64(0)
		if i >= whole {
			v = src[i-whole] << part
		}
		if i > whole {
			v |= src[i-whole-1] >> (64 - part)
		}
		dst[i] = v
	}
}

func (c *exprContext) wideBinary(n *node, W int) (wideFunc, int, error) {
	l, la, err := c.wide(n.l, W)
	if err != nil {
		return nil, 0, err
	}
	r, ra, err := c.wide(n.r, W)
	if err != nil {
		return nil, 0, err
	}
	at := c.l.temp(W)
	var do func(dst, a, b []uint64)
	switch n.op {
	case opAdd:
		do = addWords
	case opSub:
		do = subWords
	case opMul:
		do = mulWords
	case opAnd:
		do = func(dst, a, b []uint64) {
			for i := range dst {
				dst[i] = a[i] & b[i]
			}
		}
	case opOr:
		do = func(dst, a, b []uint64) {
			for i := range dst {
				dst[i] = a[i] | b[i]
			}
		}
	case opXor:
		do = func(dst, a, b []uint64) {
			for i := range dst {
				dst[i] = a[i] ^ b[i]
			}
		}
	default:
		return nil, 0, fmt.Errorf("expression: operator %d on wide values: %w", n.op, ErrUnsupported)
	}
	return func(w *Worker) {
		l(w)
		r(w)
		do(w.r[at:at+W], w.r[la:la+W], w.r[ra:ra+W])
	}, at, nil
}

func addWords(dst, a, b []uint64) {
	carry := uint64(0)
	for i := range dst {
		dst[i], carry = bits.Add64(a[i], b[i], carry)
	}
}

func subWords(dst, a, b []uint64) {
	borrow := uint64(0)
	for i := range dst {
		dst[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
}

func mulWords(dst, a, b []uint64) {
	clear(dst)
	for i := range dst {
		carry := uint64(0)
		for j := 0; i+j < len(dst); j++ {
			hi, lo := bits.Mul64(a[i], b[j])
			var c uint64
			lo, c = bits.Add64(lo, carry, 0)
			hi += c
			dst[i+j], c = bits.Add64(dst[i+j], lo, 0)
			carry = hi + c
		}
	}
}

// bigOf makes a number of unsigned words; for messages and tests.
func bigOf(v []uint64) *big.Int {
	out := new(big.Int)
	for i := len(v) - 1; i >= 0; i-- {
		out.Lsh(out, 64).Or(out, new(big.Int).SetUint64(v[i]))
	}
	return out
}
