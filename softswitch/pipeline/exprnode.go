package pipeline

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// BMv2 computes with integers of any size and truncates when it stores. Here
// every node of an expression knows the interval its value lies in, so that
// it is computed in one machine word wherever that gives the same result, and
// in as many words as it needs where it does not.

// op codes of arithmetic nodes.
type arith uint8

const (
	opConst arith = iota
	opField
	opStackField // field of a stack element, its index computed
	opUnionField // field of the last element of a union stack
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opAnd
	opOr
	opXor
	opNot
	opShl
	opShr
	opTwoComp
	opUSat
	opSat
	opChoose // ?:
	opBool   // b2d
	opStackCount
)

// node is an arithmetic expression.
type node struct {
	op   arith
	l, r *node
	cond *boolNode
	// lo and hi bound the value; nil if no useful bound is known.
	lo, hi *big.Int
	k      *big.Int // opConst
	f      *field   // opField, opStackField (element 0's)
	st     *stack   // opStackField, opStackCount
	width  int      // opTwoComp, opUSat, opSat
	add    int64    // opStackCount: 0 for the size, -1 for the last index
	last   bool     // opStackField: of the last valid element
	slots  []int    // opUnionField: the field's slot in each element
}

// boolNode is a boolean expression.
type boolNode struct {
	op    string // the JSON's, with "bool", "header" or "union" before == and !=
	k     bool
	x, y  *boolNode
	l, r  *node
	h, h2 *header
	sh    *headerRef
	u, u2 *union
	f, f2 *field
}

// headerRef is a header known at load or picked from a stack at run time.
type headerRef struct {
	h     *header // element 0 of the stack if st is set
	st    *stack
	index *node
}

const maxRangeBits = maxFieldBits + 64

func bounded(n *node, lo, hi *big.Int) *node {
	if lo.BitLen() <= maxRangeBits && hi.BitLen() <= maxRangeBits {
		n.lo, n.hi = lo, hi
	}
	return n
}

func pow2(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }

func sub1(x *big.Int) *big.Int { return new(big.Int).Sub(x, big.NewInt(1)) }

func unsignedRange(n *node, bits int) *node {
	return bounded(n, new(big.Int), sub1(pow2(bits)))
}

func signedRange(n *node, bits int) *node {
	return bounded(n, new(big.Int).Neg(pow2(bits-1)), sub1(pow2(bits-1)))
}

func constNode(k *big.Int) *node { return bounded(&node{op: opConst, k: k}, k, k) }

func fieldNode(f *field) *node {
	n := &node{op: opField, f: f}
	if f.signed {
		return signedRange(n, f.bits)
	}
	return unsignedRange(n, f.bits)
}

// fits: the exact value is a uint64 (u) or an int64 (s).
func (n *node) fitsU() bool { return n.lo != nil && n.lo.Sign() >= 0 && n.hi.BitLen() <= 64 }
func (n *node) fitsS() bool {
	return n.lo != nil && n.lo.IsInt64() && n.hi.IsInt64()
}

// needBits is the two's complement width that holds every value of n.
func (n *node) needBits() int {
	return max(new(big.Int).Not(n.lo).BitLen(), n.lo.BitLen(), n.hi.BitLen()) + 1
}

// exprContext resolves what an expression may refer to.
type exprContext struct {
	l      *layout
	locals []field // action parameters
}

func (c *exprContext) number(v *bmv2json.Value) (*node, error) {
	if v == nil {
		return nil, fmt.Errorf("expression: operand is missing")
	}
	switch v.Type {
	case "hexstr":
		k, err := parseHex(v.Name)
		if err != nil {
			return nil, err
		}
		return constNode(k), nil
	case "field":
		f, err := c.l.field(v.Field)
		if err != nil {
			return nil, err
		}
		if f.varbit {
			return nil, fmt.Errorf("varbit field %q is no number", f.name)
		}
		return fieldNode(f), nil
	case "local", "runtime_data":
		if v.Index < 0 || v.Index >= len(c.locals) {
			return nil, fmt.Errorf("parameter %d of %d", v.Index, len(c.locals))
		}
		return fieldNode(&c.locals[v.Index]), nil
	case "stack_field":
		return c.lastField(v.Field)
	case "bool":
		b := int64(0)
		if v.Bool {
			b = 1
		}
		return constNode(big.NewInt(b)), nil
	case "expression":
		return c.operation(v)
	}
	return nil, fmt.Errorf("expression: operand of type %q: %w", v.Type, ErrUnsupported)
}

func (c *exprContext) stack(name string) (*stack, error) {
	if s := c.l.stacks[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("no header stack %q", name)
}

// lastField is a field of the last valid element of a stack.
func (c *exprContext) lastField(ref [2]string) (*node, error) {
	s, err := c.stack(ref[0])
	if err != nil {
		return nil, err
	}
	if s.headers == nil {
		return nil, fmt.Errorf("stack %q is no header stack", ref[0])
	}
	f := s.headers[0].field(ref[1])
	if f == nil || f.varbit {
		return nil, fmt.Errorf("stack %q has no field %q that is a number", ref[0], ref[1])
	}
	n := fieldNode(f)
	n.op, n.st, n.last = opStackField, s, true
	return n, nil
}

// lastUnionField is a field of a member of the last element of a union stack.
func (c *exprContext) lastUnionField(v *bmv2json.Value) (*node, error) {
	s, err := c.stack(v.Field[0])
	if err != nil {
		return nil, err
	}
	n := &node{op: opUnionField, st: s}
	for _, u := range s.unions {
		i := slices.Index(u.names, v.Member)
		if i < 0 || u.members[i].field(v.Field[1]) == nil || u.members[i].field(v.Field[1]).words > 1 {
			return nil, fmt.Errorf("union stack %q has no field %s.%s of at most 64 bits", s.name, v.Member, v.Field[1])
		}
		n.f = u.members[i].field(v.Field[1])
		n.slots = append(n.slots, n.f.slot)
	}
	if n.f == nil {
		return nil, fmt.Errorf("stack %q is no union stack", s.name)
	}
	return unsignedRange(n, n.f.bits), nil
}

func (c *exprContext) operation(v *bmv2json.Value) (*node, error) {
	switch v.Op {
	case "~":
		r, err := c.number(v.Right)
		if err != nil {
			return nil, err
		}
		return notNode(r), nil
	case "b2d":
		b, err := c.boolean(v.Right)
		if err != nil {
			return nil, err
		}
		return unsignedRange(&node{op: opBool, cond: b}, 1), nil
	case "?":
		return c.choose(v)
	case "last_stack_index", "size_stack":
		return c.stackCount(v)
	case "access_field":
		return c.accessField(v)
	case "two_comp_mod", "usat_cast", "sat_cast":
		return c.cast(v)
	}
	l, err := c.number(v.Left)
	if err != nil {
		return nil, err
	}
	r, err := c.number(v.Right)
	if err != nil {
		return nil, err
	}
	return binaryNode(v.Op, l, r)
}

func notNode(r *node) *node {
	n := &node{op: opNot, r: r}
	if r.lo != nil {
		return bounded(n, new(big.Int).Not(r.hi), new(big.Int).Not(r.lo))
	}
	return n
}

func (c *exprContext) choose(v *bmv2json.Value) (*node, error) {
	cond, err := c.boolean(v.Cond)
	if err != nil {
		return nil, err
	}
	l, err := c.number(v.Left)
	if err != nil {
		return nil, err
	}
	r, err := c.number(v.Right)
	if err != nil {
		return nil, err
	}
	n := &node{op: opChoose, cond: cond, l: l, r: r}
	if l.lo != nil && r.lo != nil {
		return bounded(n, minBig(l.lo, r.lo), maxBig(l.hi, r.hi)), nil
	}
	return n, nil
}

func (c *exprContext) stackCount(v *bmv2json.Value) (*node, error) {
	if v.Right == nil || v.Right.Type != "header_stack" && v.Right.Type != "header_union_stack" {
		return nil, fmt.Errorf("%s: the operand is no stack", v.Op)
	}
	s, err := c.stack(v.Right.Name)
	if err != nil {
		return nil, err
	}
	n := &node{op: opStackCount, st: s}
	if v.Op == "last_stack_index" {
		n.add = -1
	}
	return bounded(n, big.NewInt(n.add), big.NewInt(int64(s.depth())+n.add)), nil
}

func (c *exprContext) accessField(v *bmv2json.Value) (*node, error) {
	if v.Right == nil || v.Right.Type != "int" {
		return nil, fmt.Errorf("access_field: the right side is no field index")
	}
	ref, err := c.headerRef(v.Left)
	if err != nil {
		return nil, err
	}
	i := v.Right.Index
	if i < 0 || i >= len(ref.h.fields) || ref.h.fields[i].varbit {
		return nil, fmt.Errorf("access_field: header %q has no numeric field %d", ref.h.name, i)
	}
	n := fieldNode(&ref.h.fields[i])
	if ref.st != nil {
		n.op, n.st, n.r = opStackField, ref.st, ref.index
	}
	return n, nil
}

// headerRef resolves an expression that yields a header.
func (c *exprContext) headerRef(v *bmv2json.Value) (*headerRef, error) {
	switch {
	case v == nil:
		return nil, fmt.Errorf("expression: header is missing")
	case v.Type == "header":
		h, err := c.l.header(v.Name)
		return &headerRef{h: h}, err
	case v.Type == "expression" && v.Op == "dereference_header_stack":
		if v.Left == nil || v.Left.Type != "header_stack" {
			return nil, fmt.Errorf("%s: the left side is no stack", v.Op)
		}
		s, err := c.stack(v.Left.Name)
		if err != nil {
			return nil, err
		}
		if s.headers == nil {
			return nil, fmt.Errorf("stack %q is no header stack", s.name)
		}
		index, err := c.number(v.Right)
		if err != nil {
			return nil, err
		}
		if index.op == opConst && index.k.IsInt64() && index.k.Int64() >= 0 && index.k.Int64() < int64(len(s.headers)) {
			return &headerRef{h: s.headers[index.k.Int64()]}, nil
		}
		if !index.fitsU() && !index.fitsS() {
			return nil, fmt.Errorf("%s: index wider than 64 bits: %w", v.Op, ErrUnsupported)
		}
		return &headerRef{h: s.headers[0], st: s, index: index}, nil
	case v.Type == "expression" && v.Op == "access_union_header":
		u, err := c.union(v.Left)
		if err != nil {
			return nil, err
		}
		if v.Right == nil || v.Right.Type != "int" || v.Right.Index < 0 || v.Right.Index >= len(u.members) {
			return nil, fmt.Errorf("%s: union %q has no such member", v.Op, u.name)
		}
		return &headerRef{h: u.members[v.Right.Index]}, nil
	}
	return nil, fmt.Errorf("expression: %q %q is no header: %w", v.Type, v.Op, ErrUnsupported)
}

// union resolves an expression that yields a union known at load.
func (c *exprContext) union(v *bmv2json.Value) (*union, error) {
	if v != nil && v.Type == "header_union" {
		if u := c.l.unions[v.Name]; u != nil {
			return u, nil
		}
		return nil, fmt.Errorf("no header union %q", v.Name)
	}
	if v != nil && v.Op == "dereference_union_stack" && v.Left != nil {
		s, err := c.stack(v.Left.Name)
		if err != nil {
			return nil, err
		}
		i, err := c.number(v.Right)
		if err != nil {
			return nil, err
		}
		if i.op == opConst && i.k.IsInt64() && i.k.Int64() >= 0 && i.k.Int64() < int64(len(s.unions)) {
			return s.unions[i.k.Int64()], nil
		}
	}
	return nil, fmt.Errorf("expression: union picked at run time: %w", ErrUnsupported)
}

func (c *exprContext) cast(v *bmv2json.Value) (*node, error) {
	l, err := c.number(v.Left)
	if err != nil {
		return nil, err
	}
	r, err := c.number(v.Right)
	if err != nil {
		return nil, err
	}
	if r.op != opConst || !r.k.IsInt64() || r.k.Int64() < 1 || r.k.Int64() > maxFieldBits {
		return nil, fmt.Errorf("%s: the width is no constant in 1..%d", v.Op, maxFieldBits)
	}
	n := &node{l: l, width: int(r.k.Int64())}
	switch v.Op {
	case "two_comp_mod":
		n.op = opTwoComp
		return signedRange(n, n.width), nil
	case "usat_cast":
		n.op = opUSat
		unsignedRange(n, n.width)
	default:
		n.op = opSat
		signedRange(n, n.width)
	}
	if l.lo == nil {
		return nil, fmt.Errorf("%s of a value without bound: %w", v.Op, ErrUnsupported)
	}
	return n, nil
}
