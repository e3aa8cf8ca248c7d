package pipeline

import "math/big"

// instruction is one step of a control: a test of a condition, an action, or a
// table. A condition becomes as many tests as it has comparisons, so that a
// packet finds its way without a call for each.
type instruction struct {
	code    instructionCode
	slot    uint16 // the field that is tested
	arg     int32  // a slot, condition or node
	yes, no int32  // the next instruction; -1 ends the control
	mask    uint64
	is      uint64
}

type instructionCode uint8

const (
	testEqual instructionCode = iota // r[slot] & mask == is
	testBelow                        // r[slot] < is
	testSame                         // r[slot] == r[arg]
	testLess                         // r[slot] < r[arg]
	testCond                         // conds[arg], where none of these will do
	doOps                            // the ops of node arg, then yes
	doTable                          // the table of node arg, then the node it says
)

// follow goes from test to test, and stops at an instruction of another kind.
func follow(code []instruction, r []uint64, at int32) int32 {
	for at >= 0 {
		in := &code[at]
		var holds bool
		switch {
		case in.code == testEqual:
			holds = r[in.slot]&in.mask == in.is
		case in.code > testLess:
			return at
		case in.code == testBelow:
			holds = r[in.slot] < in.is
		case in.code == testSame:
			holds = r[in.slot] == r[in.arg]
		default:
			holds = r[in.slot] < r[in.arg]
		}
		if at = in.no; holds {
			at = in.yes
		}
	}
	return at
}

const unlinked = -2

// linker turns a control's nodes into instructions.
type linker struct {
	ctl *control
	ctx exprContext
	err error
}

// link makes the instructions of a control whose nodes have no cycles.
func (c *compiler) link(ctl *control) error {
	l := &linker{ctl: ctl, ctx: exprContext{l: c.l}}
	ctl.at = make([]int32, len(ctl.nodes))
	for n := range ctl.nodes {
		ctl.at[n] = unlinked
	}
	for n := range ctl.nodes {
		l.node(n)
	}
	ctl.first = l.node(ctl.start)
	return l.err
}

// node is the first instruction of a node.
func (l *linker) node(n int) int32 {
	if n < 0 {
		return -1
	}
	if l.ctl.at[n] != unlinked {
		return l.ctl.at[n]
	}
	nd := &l.ctl.nodes[n]
	switch {
	case nd.table >= 0:
		l.ctl.at[n] = l.emit(instruction{code: doTable, arg: int32(n)})
	case nd.cond != nil:
		l.ctl.at[n] = l.test(nd.when, l.node(nd.next), l.node(nd.other))
	default:
		l.ctl.at[n] = l.emit(instruction{code: doOps, arg: int32(n), yes: l.node(nd.next)})
	}
	return l.ctl.at[n]
}

func (l *linker) emit(in instruction) int32 {
	l.ctl.code = append(l.ctl.code, in)
	return int32(len(l.ctl.code) - 1)
}

// test makes the instructions that decide n, and returns the first.
func (l *linker) test(n *boolNode, yes, no int32) int32 {
	switch n.op {
	case "const":
		if n.k {
			return yes
		}
		return no
	case "not":
		return l.test(n.x, no, yes)
	case "and":
		return l.test(n.x, l.test(n.y, yes, no), no)
	case "or":
		return l.test(n.x, yes, l.test(n.y, yes, no))
	case "valid":
		if n.sh.st == nil {
			return l.emit(instruction{code: testEqual, slot: uint16(n.sh.h.valid), mask: 1, is: 1, yes: yes, no: no})
		}
	case "d2b":
		return l.test(&boolNode{op: "!=", l: n.l, r: constNode(new(big.Int))}, yes, no)
	case "==", "!=", "<", "<=", ">", ">=":
		if in, opposite, ok := comparison(n); ok {
			if in.yes, in.no = yes, no; opposite {
				in.yes, in.no = no, yes
			}
			return l.emit(in)
		}
	}
	cond, err := l.ctx.compileBool(n)
	if err != nil {
		l.err = err
	}
	l.ctl.conds = append(l.ctl.conds, cond)
	return l.emit(instruction{code: testCond, arg: int32(len(l.ctl.conds) - 1), yes: yes, no: no})
}

// comparison is the test of a comparison, or of its opposite.
func comparison(n *boolNode) (in instruction, opposite, ok bool) {
	if n.l.isWord() && n.r.isWord() {
		l, r := n.l.f.slot, n.r.f.slot
		switch n.op {
		case "==", "!=":
			return instruction{code: testSame, slot: uint16(l), arg: int32(r)}, n.op == "!=", true
		case "<", ">=":
			return instruction{code: testLess, slot: uint16(l), arg: int32(r)}, n.op == ">=", true
		}
		return instruction{code: testLess, slot: uint16(r), arg: int32(l)}, n.op == "<=", true
	}
	if n.r.op != opConst || !n.r.fitsU() {
		return in, false, false
	}
	is := n.r.k.Uint64()
	switch n.op {
	case "==", "!=":
		in, ok = maskedEqual(n.l, is)
		return in, n.op == "!=", ok
	case "<=", ">": // as < and >= of the next number, if there is one
		is++
	}
	if !n.l.isWord() || is == 0 {
		return in, false, false
	}
	return instruction{code: testBelow, slot: uint16(n.l.f.slot), is: is}, n.op == ">" || n.op == ">=", true
}

// isWord reports whether n is a field whose register is its value.
func (n *node) isWord() bool { return n.op == opField && n.f.words == 1 && !n.f.signed }

// maskedEqual tests a field, or some bits of one.
func maskedEqual(n *node, is uint64) (instruction, bool) {
	mask, shift := ^uint64(0), uint64(0)
	if n.op == opAnd && n.r.op == opConst && n.r.fitsU() {
		mask = n.r.k.Uint64()
		n = n.l
	}
	if n.op == opShr && n.r.op == opConst && n.r.fitsU() && n.r.k.Uint64() < 64 {
		shift = n.r.k.Uint64()
		n = n.l
	}
	if !n.isWord() || is&^mask != 0 || is<<shift>>shift != is {
		return instruction{}, false
	}
	return instruction{code: testEqual, slot: uint16(n.f.slot), mask: mask << shift, is: is << shift}, true
}
