package pipeline

import (
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// action is a compiled action. Its parameters are copied from the entry to
// the register file before it runs.
type action struct {
	name   string
	id     int
	index  int // in the program
	params []Param
	fields []field // the parameters' slots
	words  int     // of parameters
	ops    []op
}

// opcode is what an op does. The common cases have codes of their own; all
// else is a function.
type opcode uint8

const (
	opcDo         opcode = iota // do(w)
	opcSet                      // r[dst] = imm
	opcMove                     // r[dst] = r[src] & mask
	opcEval                     // r[dst] = num(w) & mask
	opcAddHeader                // make valid and zero
	opcRemove                   // make invalid
	opcCount                    // counter
	opcDrop                     // mark_to_drop
	opcJump                     // to dst
	opcJumpIfZero               // to dst if num(w) is 0
	opcExit
)

type op struct {
	code opcode
	dst  int
	src  int
	mask uint64
	imm  uint64
	num  numFunc
	do   func(w *Worker)
	h    *header
}

// maxJumps bounds the loops of one action for one packet.
const maxJumps = 1 << 16

// run executes an action's operations.
func (w *Worker) run(ops []op) {
	jumps := 0
	for i := 0; i < len(ops); i++ {
		o := &ops[i]
		switch o.code {
		case opcSet:
			w.r[o.dst] = o.imm
		case opcMove:
			w.r[o.dst] = w.r[o.src] & o.mask
		case opcEval:
			w.r[o.dst] = o.num(w) & o.mask
		case opcDo:
			o.do(w)
		case opcAddHeader:
			w.addHeader(o.h)
		case opcRemove:
			w.removeHeader(o.h)
		case opcCount:
			w.count(o.dst, o.num(w))
		case opcDrop:
			w.r[o.dst] = uint64(w.p.lim.DropPort) & o.mask
			w.r[o.src] = 0
		case opcJump, opcJumpIfZero:
			if o.code == opcJumpIfZero && o.num(w) != 0 {
				continue
			}
			if jumps++; jumps == maxJumps {
				return
			}
			i = o.dst - 1
		case opcExit:
			w.exit = true
		}
	}
}

func (w *Worker) makeValid(h *header) {
	w.r[h.valid] = 1
	for _, v := range h.rivals {
		w.r[v] = 0
	}
}

func (w *Worker) addHeader(h *header) {
	if w.r[h.valid] != 0 {
		return
	}
	clear(w.r[h.base : h.base+h.size])
	w.makeValid(h)
	w.length += uint64(h.bytes)
}

func (w *Worker) removeHeader(h *header) {
	if w.r[h.valid] == 0 {
		return
	}
	w.length -= uint64(h.length(w.r))
	w.r[h.valid] = 0
}

// compileActions compiles every action of the program.
func (c *compiler) compileActions() error {
	most := 0
	for i := range c.spec.Actions {
		a := &c.spec.Actions[i]
		if c.actionByID[a.ID] != nil {
			return fmt.Errorf("actions: %q: id %d is there twice", a.Name, a.ID)
		}
		act := &action{name: a.Name, id: a.ID, index: i}
		for _, p := range a.Params {
			if p.Bits < 1 || p.Bits > maxFieldBits {
				return fmt.Errorf("actions: %q: parameter %q: width %d is not in 1..%d", a.Name, p.Name, p.Bits, maxFieldBits)
			}
			n := (p.Bits + 63) / 64
			act.params = append(act.params, Param{Name: p.Name, Bits: p.Bits})
			act.fields = append(act.fields, field{name: p.Name, slot: act.words, bits: p.Bits, words: n})
			act.words += n
		}
		most = max(most, act.words)
		c.actionByID[a.ID] = act
	}
	c.prog.params = c.l.temp(most)
	for i := range c.spec.Actions {
		a := &c.spec.Actions[i]
		act := c.actionByID[a.ID]
		for j := range act.fields {
			act.fields[j].slot += c.prog.params
		}
		ops, err := c.compilePrimitives(a.Primitives, act.fields)
		if err != nil {
			return fmt.Errorf("actions: %q: %w", a.Name, err)
		}
		act.ops = ops
	}
	return nil
}

// compilePrimitives compiles the calls of an action, or of a parser or
// deparser, which have no locals.
func (c *compiler) compilePrimitives(calls []bmv2json.Primitive, locals []field) ([]op, error) {
	pc := &primitiveCompiler{compiler: c, ctx: exprContext{l: c.l, locals: locals}}
	pc.starts = make([]int, len(calls)+1)
	for i := range calls {
		pc.starts[i] = len(pc.ops)
		if err := pc.call(&calls[i]); err != nil {
			return nil, fmt.Errorf("primitive %d (%s): %w", i, calls[i].Op, err)
		}
	}
	pc.starts[len(calls)] = len(pc.ops)
	for i := range pc.ops {
		if o := &pc.ops[i]; o.code == opcJump || o.code == opcJumpIfZero {
			o.dst = pc.starts[o.dst]
		}
	}
	return pc.ops, nil
}

// primitiveCompiler compiles one list of primitives.
type primitiveCompiler struct {
	*compiler
	ctx    exprContext
	ops    []op
	starts []int // primitive index -> op index, for jumps
}

func (pc *primitiveCompiler) emit(o op) { pc.ops = append(pc.ops, o) }

func (pc *primitiveCompiler) do(f func(w *Worker)) { pc.emit(op{code: opcDo, do: f}) }

// primitives maps the names that the JSON uses to their compilers and the
// number of parameters they take.
var primitives map[string]struct {
	params  int
	compile func(pc *primitiveCompiler, p []bmv2json.Value) error
}

func init() {
	type entry = struct {
		params  int
		compile func(pc *primitiveCompiler, p []bmv2json.Value) error
	}
	primitives = map[string]entry{
		"assign":              {2, (*primitiveCompiler).assign},
		"modify_field":        {2, (*primitiveCompiler).assign},
		"assign_VL":           {2, (*primitiveCompiler).assignVarbit},
		"assign_header":       {2, (*primitiveCompiler).assignHeader},
		"copy_header":         {2, (*primitiveCompiler).assignHeader},
		"assign_union":        {2, (*primitiveCompiler).assignUnion},
		"assign_header_stack": {2, (*primitiveCompiler).assignStack},
		"assign_union_stack":  {2, (*primitiveCompiler).assignStack},
		"push":                {2, func(pc *primitiveCompiler, p []bmv2json.Value) error { return pc.pushPop(p, true) }},
		"pop":                 {2, func(pc *primitiveCompiler, p []bmv2json.Value) error { return pc.pushPop(p, false) }},
		"add_header":          {1, (*primitiveCompiler).addHeader},
		"add_header_fast":     {1, (*primitiveCompiler).addHeader},
		"remove_header":       {1, (*primitiveCompiler).removeHeader},
		"drop":                {0, (*primitiveCompiler).drop},
		"mark_to_drop":        {1, (*primitiveCompiler).markToDrop},
		"no_op":               {0, func(*primitiveCompiler, []bmv2json.Value) error { return nil }},
		"exit": {0, func(pc *primitiveCompiler,
			_ []bmv2json.Value) error {
			pc.emit(op{code: opcExit})
			return nil
		}},
		"count":           {2, (*primitiveCompiler).count},
		"execute_meter":   {3, (*primitiveCompiler).executeMeter},
		"register_read":   {3, (*primitiveCompiler).registerRead},
		"register_write":  {3, (*primitiveCompiler).registerWrite},
		"truncate":        {1, (*primitiveCompiler).truncate},
		"generate_digest": {2, (*primitiveCompiler).digest},
		"resubmit":        {1, (*primitiveCompiler).resubmit},
		"recirculate":     {1, (*primitiveCompiler).recirculate},

		"clone_ingress_pkt_to_egress":         {2, (*primitiveCompiler).clone},
		"clone_egress_pkt_to_egress":          {2, (*primitiveCompiler).clone},
		"modify_field_with_hash_based_offset": {4, (*primitiveCompiler).hash},
		"modify_field_rng_uniform":            {3, (*primitiveCompiler).random},

		"_jump":         {1, (*primitiveCompiler).jump},
		"_jump_if_zero": {2, (*primitiveCompiler).jumpIfZero},
		"assert":        {1, func(pc *primitiveCompiler, p []bmv2json.Value) error { return pc.assert("assert", &p[0]) }},
		"assume":        {1, func(pc *primitiveCompiler, p []bmv2json.Value) error { return pc.assert("assume", &p[0]) }},
		"log_msg":       {2, (*primitiveCompiler).logMessage},
	}
	for name, operator := range map[string]string{
		"add": "+", "subtract": "-", "bit_xor": "^", "bit_or": "|", "bit_and": "&",
		"shift_left": "<<", "shift_right": ">>",
	} {
		primitives[name] = entry{3, func(pc *primitiveCompiler, p []bmv2json.Value) error {
			return pc.arithmetic(operator, &p[0], &p[1], &p[2])
		}}
	}
	for name, operator := range map[string]string{"add_to_field": "+", "subtract_from_field": "-"} {
		primitives[name] = entry{2, func(pc *primitiveCompiler, p []bmv2json.Value) error {
			return pc.arithmetic(operator, &p[0], &p[0], &p[1])
		}}
	}
}

func (pc *primitiveCompiler) call(call *bmv2json.Primitive) error {
	e, ok := primitives[call.Op]
	if !ok {
		return ErrUnsupported
	}
	if len(call.Params) != e.params {
		return fmt.Errorf("%d parameters where it takes %d", len(call.Params), e.params)
	}
	return e.compile(pc, call.Params)
}

// target is the primitive that a jump goes to.
func (pc *primitiveCompiler) target(v *bmv2json.Value) (int, error) {
	to, err := pc.constant(v)
	if err == nil && to >= len(pc.starts) {
		err = fmt.Errorf("jump to primitive %d of %d", to, len(pc.starts)-1)
	}
	return to, err
}

// constant is a small non-negative number known at load.
func (pc *primitiveCompiler) constant(v *bmv2json.Value) (int, error) {
	n, err := pc.ctx.number(v)
	if err != nil {
		return 0, err
	}
	if n.op != opConst || !n.k.IsInt64() || n.k.Int64() < 0 || n.k.Int64() > 1<<31-1 {
		return 0, fmt.Errorf("needs a constant: %w", ErrUnsupported)
	}
	return int(n.k.Int64()), nil
}

// number compiles a parameter of which 64 bits are enough.
func (pc *primitiveCompiler) number(v *bmv2json.Value) (numFunc, error) {
	n, err := pc.ctx.number(v)
	if err != nil {
		return nil, err
	}
	return pc.ctx.narrow(n)
}

func (pc *primitiveCompiler) jump(p []bmv2json.Value) error {
	to, err := pc.target(&p[0])
	pc.emit(op{code: opcJump, dst: to})
	return err
}

func (pc *primitiveCompiler) jumpIfZero(p []bmv2json.Value) error {
	to, err := pc.target(&p[1])
	if err != nil {
		return err
	}
	cond, err := pc.condition(&p[0])
	pc.emit(op{code: opcJumpIfZero, dst: to, num: cond})
	return err
}

// condition takes a truth value or a number.
func (pc *primitiveCompiler) condition(v *bmv2json.Value) (numFunc, error) {
	if !isBoolean(v) {
		return pc.number(v)
	}
	b, err := pc.ctx.boolean(v)
	if err != nil {
		return nil, err
	}
	return pc.ctx.narrow(unsignedRange(&node{op: opBool, cond: b}, 1))
}
