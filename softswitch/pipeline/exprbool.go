package pipeline

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

type boolFunc func(w *Worker) bool

// boolean resolves an expression that yields a truth value.
func (c *exprContext) boolean(v *bmv2json.Value) (*boolNode, error) {
	switch {
	case v == nil:
		return nil, fmt.Errorf("expression: condition is missing")
	case v.Type == "bool":
		return &boolNode{op: "const", k: v.Bool}, nil
	case v.Type != "expression":
		return nil, fmt.Errorf("expression: %q is no condition: %w", v.Type, ErrUnsupported)
	}
	switch v.Op {
	case "d2b":
		n, err := c.number(v.Right)
		return &boolNode{op: "d2b", l: n}, err
	case "not":
		x, err := c.boolean(v.Right)
		return &boolNode{op: "not", x: x}, err
	case "and", "or":
		return c.connective(v)
	case "valid":
		ref, err := c.headerRef(v.Right)
		return &boolNode{op: "valid", sh: ref}, err
	case "valid_union":
		u, err := c.union(v.Right)
		return &boolNode{op: "valid_union", u: u}, err
	case "==", "!=":
		if n, err := c.sameKind(v); n != nil || err != nil {
			return n, err
		}
		fallthrough
	case ">", ">=", "<", "<=":
		return c.comparison(v)
	}
	return nil, fmt.Errorf("expression: operator %q gives no condition: %w", v.Op, ErrUnsupported)
}

func (c *exprContext) connective(v *bmv2json.Value) (*boolNode, error) {
	x, err := c.boolean(v.Left)
	if err != nil {
		return nil, err
	}
	y, err := c.boolean(v.Right)
	return &boolNode{op: v.Op, x: x, y: y}, err
}

func (c *exprContext) comparison(v *bmv2json.Value) (*boolNode, error) {
	l, err := c.number(v.Left)
	if err != nil {
		return nil, err
	}
	r, err := c.number(v.Right)
	return &boolNode{op: v.Op, l: l, r: r}, err
}

// sameKind handles (in)equality of booleans, headers and unions; it gives nil
// for numbers.
func (c *exprContext) sameKind(v *bmv2json.Value) (*boolNode, error) {
	if v.Left == nil || v.Right == nil {
		return nil, fmt.Errorf("expression: operand of %q is missing", v.Op)
	}
	switch {
	case isBoolean(v.Left) && isBoolean(v.Right):
		n, err := c.connective(v)
		if n != nil {
			n.op = "bool" + v.Op
		}
		return n, err
	case isHeader(v.Left):
		l, err := c.headerRef(v.Left)
		if err != nil {
			return nil, err
		}
		r, err := c.headerRef(v.Right)
		if err != nil {
			return nil, err
		}
		if l.st != nil || r.st != nil {
			return nil, fmt.Errorf("expression: comparison of headers picked at run time: %w", ErrUnsupported)
		}
		if l.h.typ != r.h.typ {
			return nil, fmt.Errorf("expression: headers %q and %q differ in type", l.h.name, r.h.name)
		}
		return &boolNode{op: "header" + v.Op, h: l.h, h2: r.h}, nil
	case v.Left.Type == "field" && v.Right.Type == "field":
		return c.varbitsEqual(v)
	case v.Left.Type == "header_union":
		l, err := c.union(v.Left)
		if err != nil {
			return nil, err
		}
		r, err := c.union(v.Right)
		if err == nil && l.typ != r.typ {
			err = fmt.Errorf("expression: unions %q and %q differ in type", l.name, r.name)
		}
		return &boolNode{op: "union" + v.Op, u: l, u2: r}, err
	}
	return nil, nil
}

func isBoolean(v *bmv2json.Value) bool {
	if v.Type == "bool" {
		return true
	}
	if v.Type != "expression" {
		return false
	}
	switch v.Op {
	case "d2b", "not", "and", "or", "valid", "valid_union", "==", "!=", "<", "<=", ">", ">=":
		return true
	}
	return false
}

func isHeader(v *bmv2json.Value) bool {
	return v.Type == "header" || v.Type == "expression" &&
		(v.Op == "dereference_header_stack" || v.Op == "access_union_header")
}

// compileBool compiles a condition.
func (c *exprContext) compileBool(n *boolNode) (boolFunc, error) {
	switch n.op {
	case "const":
		k := n.k
		return func(*Worker) bool { return k }, nil
	case "d2b":
		return c.compileCompare(&boolNode{op: "!=", l: n.l, r: constNode(new(big.Int))})
	case "not":
		x, err := c.compileBool(n.x)
		return func(w *Worker) bool { return !x(w) }, err
	case "and", "or", "bool==", "bool!=":
		return c.compileConnective(n)
	case "valid":
		return c.compileValid(n.sh)
	case "valid_union":
		return unionValid(n.u), nil
	case "header==", "header!=":
		equal := headersEqual(n.h, n.h2)
		if n.op == "header!=" {
			return func(w *Worker) bool { return !equal(w) }, nil
		}
		return equal, nil
	case "varbit==", "varbit!=":
		a, b, want := n.f, n.f2, n.op == "varbit=="
		return func(w *Worker) bool {
			return want == slices.Equal(w.r[a.slot:a.slot+a.words], w.r[b.slot:b.slot+b.words])
		}, nil
	case "union==", "union!=":
		equal := unionsEqual(n.u, n.u2)
		if n.op == "union!=" {
			return func(w *Worker) bool { return !equal(w) }, nil
		}
		return equal, nil
	}
	return c.compileCompare(n)
}

func (c *exprContext) compileConnective(n *boolNode) (boolFunc, error) {
	x, err := c.compileBool(n.x)
	if err != nil {
		return nil, err
	}
	y, err := c.compileBool(n.y)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "and":
		return func(w *Worker) bool { return x(w) && y(w) }, nil
	case "or":
		return func(w *Worker) bool { return x(w) || y(w) }, nil
	case "bool==":
		return func(w *Worker) bool { return x(w) == y(w) }, nil
	}
	return func(w *Worker) bool { return x(w) != y(w) }, nil
}

func (c *exprContext) compileValid(ref *headerRef) (boolFunc, error) {
	slot := ref.h.valid
	if ref.st == nil {
		return func(w *Worker) bool { return w.r[slot] != 0 }, nil
	}
	index, err := c.narrow(ref.index)
	depth := uint64(ref.st.depth())
	return func(w *Worker) bool {
		i := index(w)
		return i < depth && w.r[slot+int(i)] != 0
	}, err
}

func unionValid(u *union) boolFunc {
	return func(w *Worker) bool {
		for _, h := range u.members {
			if w.r[h.valid] != 0 {
				return true
			}
		}
		return false
	}
}

// headersEqual: both valid with equal fields, as BMv2 has it.
func headersEqual(a, b *header) boolFunc {
	return func(w *Worker) bool {
		if w.r[a.valid] == 0 || w.r[b.valid] == 0 {
			return false
		}
		return slices.Equal(w.r[a.base:a.base+a.size], w.r[b.base:b.base+b.size])
	}
}

// varbitsEqual handles comparison of varbit fields; nil for others.
func (c *exprContext) varbitsEqual(v *bmv2json.Value) (*boolNode, error) {
	l, err := c.l.field(v.Left.Field)
	if err != nil || !l.varbit {
		return nil, err
	}
	r, err := c.l.field(v.Right.Field)
	if err != nil {
		return nil, err
	}
	if !r.varbit || r.words != l.words {
		return nil, fmt.Errorf("expression: varbit fields %q and %q differ in type", l.name, r.name)
	}
	return &boolNode{op: "varbit" + v.Op, f: l, f2: r}, nil
}

// unionsEqual: the same member is valid in both, with equal fields.
func unionsEqual(a, b *union) boolFunc {
	var equal []boolFunc
	for i := range a.members {
		equal = append(equal, headersEqual(a.members[i], b.members[i]))
	}
	return func(w *Worker) bool {
		for _, f := range equal {
			if f(w) {
				return true
			}
		}
		return false
	}
}
