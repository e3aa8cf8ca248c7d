package pipeline

import (
	"fmt"
	"math/big"
)

var arithOps = map[string]arith{
	"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "%": opMod,
	"&": opAnd, "|": opOr, "^": opXor, "<<": opShl, ">>": opShr,
}

// binaryNode makes a node with two operands and bounds its value.
func binaryNode(name string, l, r *node) (*node, error) {
	op, ok := arithOps[name]
	if !ok {
		return nil, fmt.Errorf("expression: operator %q: %w", name, ErrUnsupported)
	}
	n := &node{op: op, l: l, r: r}
	switch op {
	case opAnd, opOr, opXor:
		return bitwiseRange(n), nil
	case opShl, opShr:
		return shiftRange(n)
	case opDiv, opMod:
		return divRange(n, name)
	}
	if l.lo == nil || r.lo == nil {
		return n, nil
	}
	switch op {
	case opAdd:
		return bounded(n, new(big.Int).Add(l.lo, r.lo), new(big.Int).Add(l.hi, r.hi)), nil
	case opSub:
		return bounded(n, new(big.Int).Sub(l.lo, r.hi), new(big.Int).Sub(l.hi, r.lo)), nil
	}
	lo, hi := new(big.Int), new(big.Int)
	for i, x := range []*big.Int{l.lo, l.hi} {
		for j, y := range []*big.Int{r.lo, r.hi} {
			p := new(big.Int).Mul(x, y)
			if i+j == 0 {
				lo, hi = p, p
			}
			lo, hi = minBig(lo, p), maxBig(hi, p)
		}
	}
	return bounded(n, lo, hi), nil
}

func bitwiseRange(n *node) *node {
	l, r := n.l, n.r
	nonNegative := func(x *node) bool { return x.lo != nil && x.lo.Sign() >= 0 }
	if n.op == opAnd {
		switch {
		case nonNegative(l) && nonNegative(r):
			return bounded(n, new(big.Int), minBig(l.hi, r.hi))
		case nonNegative(l):
			return bounded(n, new(big.Int), l.hi)
		case nonNegative(r):
			return bounded(n, new(big.Int), r.hi)
		}
	}
	if l.lo == nil || r.lo == nil {
		return n
	}
	bits := max(l.needBits(), r.needBits())
	if nonNegative(l) && nonNegative(r) {
		return unsignedRange(n, bits-1)
	}
	return signedRange(n, bits)
}

func shiftRange(n *node) (*node, error) {
	l, r := n.l, n.r
	if !r.fitsU() {
		return nil, fmt.Errorf("expression: shift by a value that is negative or wider than 64 bits: %w", ErrUnsupported)
	}
	if n.op == opShr {
		if l.lo == nil {
			return nil, fmt.Errorf("expression: right shift of a value without bound: %w", ErrUnsupported)
		}
		by := uint(maxRangeBits)
		if r.lo.IsUint64() && r.lo.Uint64() < uint64(by) {
			by = uint(r.lo.Uint64())
		}
		lo, hi := new(big.Int).Rsh(l.lo, by), new(big.Int).Rsh(l.hi, by)
		return bounded(n, minBig(lo, minBig(l.lo, new(big.Int))), maxBig(hi, big.NewInt(0))), nil
	}
	if l.lo == nil || r.hi.BitLen() > 13 {
		return n, nil
	}
	by := uint(r.hi.Uint64())
	if l.hi.BitLen()+int(by) > maxRangeBits || l.lo.BitLen()+int(by) > maxRangeBits {
		return n, nil
	}
	return bounded(n, minBig(l.lo, new(big.Int).Lsh(l.lo, by)), maxBig(l.hi, new(big.Int).Lsh(l.hi, by))), nil
}

func divRange(n *node, name string) (*node, error) {
	if !n.l.fitsU() || !n.r.fitsU() {
		return nil, fmt.Errorf("expression: %q of values that are negative or wider than 64 bits: %w", name, ErrUnsupported)
	}
	return bounded(n, new(big.Int), n.l.hi), nil
}

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}
