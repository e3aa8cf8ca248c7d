package pipeline

import (
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// drop compiles P4_14's drop: egress_spec becomes the drop port, the multicast
// group 0.
func (pc *primitiveCompiler) drop([]bmv2json.Value) error {
	std := &pc.prog.std
	pc.emit(op{code: opcDrop, dst: std.egressSpec.slot, mask: std.egressSpec.mask, src: std.mcastGrp.slot})
	return nil
}

// markToDrop does so in the header given: an action may have been handed a copy
// of standard_metadata, which p4c writes back afterwards.
func (pc *primitiveCompiler) markToDrop(p []bmv2json.Value) error {
	ref, err := pc.headerOf(&p[0])
	if err != nil {
		return err
	}
	spec, group := ref.h.field("egress_spec"), ref.h.field("mcast_grp")
	if ref.st != nil || spec == nil || spec.words > 1 {
		return fmt.Errorf("header %q has no egress_spec", ref.h.name)
	}
	drop := op{code: opcDrop, dst: spec.slot, mask: spec.mask()} // slot 0 belongs to nothing
	if group != nil {
		drop.src = group.slot
	}
	pc.emit(drop)
	return nil
}

// name checks that a parameter has the type wanted and returns what it names.
func (pc *primitiveCompiler) name(v *bmv2json.Value, typ string) (string, error) {
	if v.Type != typ {
		return "", fmt.Errorf("%q where a %s is needed", v.Type, typ)
	}
	return v.Name, nil
}

func (pc *primitiveCompiler) count(p []bmv2json.Value) error {
	name, err := pc.name(&p[0], "counter_array")
	if err != nil {
		return err
	}
	i, ok := pc.counterIndex[name]
	if !ok {
		return fmt.Errorf("no indirect counter %q", name)
	}
	index, err := pc.number(&p[1])
	pc.emit(op{code: opcCount, dst: i, num: index})
	return err
}

func (pc *primitiveCompiler) executeMeter(p []bmv2json.Value) error {
	name, err := pc.name(&p[0], "meter_array")
	if err != nil {
		return err
	}
	i, ok := pc.meterIndex[name]
	if !ok {
		return fmt.Errorf("no indirect meter %q", name)
	}
	index, err := pc.number(&p[1])
	if err != nil {
		return err
	}
	dst, err := pc.narrowField(&p[2])
	if err != nil {
		return err
	}
	pc.do(func(w *Worker) {
		if color, ok := w.p.meters[i].execute(w, index(w)); ok {
			w.r[dst.slot] = color & dst.mask()
		}
	})
	return nil
}

// narrowField is a field of at most 64 bits to store to.
func (pc *primitiveCompiler) narrowField(v *bmv2json.Value) (*field, error) {
	if v.Type != "field" {
		return nil, fmt.Errorf("%q where a field is needed: %w", v.Type, ErrUnsupported)
	}
	f, err := pc.l.field(v.Field)
	if err != nil {
		return nil, err
	}
	if f.words > 1 || f.name == "$valid$" {
		return nil, fmt.Errorf("field %q as a result: %w", f.name, ErrUnsupported)
	}
	return f, nil
}

func (pc *primitiveCompiler) register(v *bmv2json.Value) (int, *bmv2json.Register, error) {
	name, err := pc.name(v, "register_array")
	if err != nil {
		return 0, nil, err
	}
	for i := range pc.spec.Registers {
		if r := &pc.spec.Registers[i]; r.Name == name {
			return i, r, nil
		}
	}
	return 0, nil, fmt.Errorf("no register array %q", name)
}

func (pc *primitiveCompiler) registerRead(p []bmv2json.Value) error {
	i, reg, err := pc.register(&p[1])
	if err != nil {
		return err
	}
	index, err := pc.number(&p[2])
	if err != nil {
		return err
	}
	// The value goes through a field of the register's own width, so that the
	// store cuts or extends it.
	n := (reg.Bits + 63) / 64
	tmp := field{name: reg.Name, slot: pc.l.temp(n), bits: reg.Bits, words: n}
	guard := op{code: opcJumpIfZero, dst: -1, num: func(w *Worker) uint64 {
		if w.p.registers[i].read(index(w), w.r[tmp.slot:tmp.slot+n]) {
			return 1
		}
		return 0
	}}
	return pc.guarded(guard, func() error { return pc.store(&p[0], fieldNode(&tmp)) })
}

// guarded emits ops that run only if the guard's number is not 0.
func (pc *primitiveCompiler) guarded(guard op, body func() error) error {
	inner := &primitiveCompiler{compiler: pc.compiler, ctx: pc.ctx}
	outer := pc.ops
	pc.ops = nil
	err := body()
	inner.ops, pc.ops = pc.ops, outer
	ops := inner.ops
	pc.do(func(w *Worker) {
		if guard.num(w) != 0 {
			w.run(ops)
		}
	})
	return err
}

func (pc *primitiveCompiler) registerWrite(p []bmv2json.Value) error {
	i, reg, err := pc.register(&p[0])
	if err != nil {
		return err
	}
	index, err := pc.number(&p[1])
	if err != nil {
		return err
	}
	src, err := pc.source(&p[2])
	if err != nil {
		return err
	}
	n, top := (reg.Bits+63)/64, topMask(reg.Bits)
	eval, at, err := pc.ctx.wide(src, n)
	if err != nil {
		return err
	}
	pc.do(func(w *Worker) {
		eval(w)
		w.p.registers[i].write(index(w), w.r[at:at+n], top)
	})
	return nil
}

func (pc *primitiveCompiler) truncate(p []bmv2json.Value) error {
	length, err := pc.number(&p[0])
	pc.do(func(w *Worker) { w.truncateTo = int(min(length(w), 1<<31-1)) })
	return err
}

func (pc *primitiveCompiler) digest(p []bmv2json.Value) error {
	id, err := pc.constant(&p[1])
	if err != nil {
		return err
	}
	i, ok := pc.digestIndex[id]
	if !ok {
		return fmt.Errorf("no learn list with id %d", id)
	}
	pc.do(func(w *Worker) { w.digest = i + 1 })
	return nil
}

// fieldList resolves a field list's id; 0 is the empty list where the program
// has none of that id.
func (pc *primitiveCompiler) fieldList(v *bmv2json.Value) (int, error) {
	id, err := pc.constant(v)
	if err != nil {
		return 0, err
	}
	if i, ok := pc.listIndex[id]; ok {
		return i, nil
	}
	if id == 0 {
		return pc.emptyList(), nil
	}
	return 0, fmt.Errorf("no field list with id %d", id)
}

func (pc *primitiveCompiler) resubmit(p []bmv2json.Value) error {
	i, err := pc.fieldList(&p[0])
	pc.do(func(w *Worker) { w.resubmit = i + 1 })
	return err
}

func (pc *primitiveCompiler) recirculate(p []bmv2json.Value) error {
	i, err := pc.fieldList(&p[0])
	pc.do(func(w *Worker) { w.recirculate = i + 1 })
	return err
}

func (pc *primitiveCompiler) clone(p []bmv2json.Value) error {
	session, err := pc.number(&p[0])
	if err != nil {
		return err
	}
	i, err := pc.fieldList(&p[1])
	pc.do(func(w *Worker) {
		w.cloneSession = uint32(session(w))&maxSession | cloneRequested
		w.cloneList = i
	})
	return err
}

func (pc *primitiveCompiler) hash(p []bmv2json.Value) error {
	base, err := pc.number(&p[1])
	if err != nil {
		return err
	}
	name, err := pc.name(&p[2], "calculation")
	if err != nil {
		return err
	}
	calc := pc.calculations[name]
	if calc == nil {
		return fmt.Errorf("no calculation %q", name)
	}
	size, err := pc.number(&p[3])
	if err != nil {
		return err
	}
	tmp := field{name: "hash", slot: pc.l.temp(1), bits: 64, words: 1}
	pc.do(func(w *Worker) {
		v := calc.output(w)
		w.r[tmp.slot] = v%max(size(w), 1) + base(w)
	})
	return pc.store(&p[0], fieldNode(&tmp))
}

func (pc *primitiveCompiler) random(p []bmv2json.Value) error {
	lo, err := pc.number(&p[1])
	if err != nil {
		return err
	}
	hi, err := pc.number(&p[2])
	if err != nil {
		return err
	}
	tmp := field{name: "random", slot: pc.l.temp(1), bits: 64, words: 1}
	guard := op{num: func(w *Worker) uint64 {
		from, to := lo(w), hi(w)
		if from > to {
			return 0
		}
		if span := to - from + 1; span != 0 {
			w.r[tmp.slot] = from + w.rng.Uint64N(span)
		} else {
			w.r[tmp.slot] = w.rng.Uint64()
		}
		return 1
	}}
	return pc.guarded(guard, func() error { return pc.store(&p[0], fieldNode(&tmp)) })
}
