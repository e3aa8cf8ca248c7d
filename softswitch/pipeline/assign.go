package pipeline

import (
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// assign stores a number into a field, cut to the field's width.
func (pc *primitiveCompiler) assign(p []bmv2json.Value) error {
	src, err := pc.source(&p[1])
	if err != nil {
		return err
	}
	return pc.store(&p[0], src)
}

// source is the right side of an assignment; a truth value counts as 0 or 1.
func (pc *primitiveCompiler) source(v *bmv2json.Value) (*node, error) {
	if v.Type == "expression" && isBoolean(v) {
		b, err := pc.ctx.boolean(v)
		return unsignedRange(&node{op: opBool, cond: b}, 1), err
	}
	return pc.ctx.number(v)
}

func (pc *primitiveCompiler) arithmetic(operator string, dst, l, r *bmv2json.Value) error {
	ln, err := pc.ctx.number(l)
	if err != nil {
		return err
	}
	rn, err := pc.ctx.number(r)
	if err != nil {
		return err
	}
	n, err := binaryNode(operator, ln, rn)
	if err != nil {
		return err
	}
	return pc.store(dst, n)
}

// store emits the ops that put src into the field that dst names.
func (pc *primitiveCompiler) store(dst *bmv2json.Value, src *node) error {
	d, err := pc.ctx.number(dst)
	if err != nil {
		return err
	}
	switch {
	case d.op == opStackField:
		return pc.storeStackField(d, src)
	case d.op != opField:
		return fmt.Errorf("%q cannot be assigned to", dst.Type)
	case d.f.header == nil:
		return fmt.Errorf("parameter %q cannot be assigned to", d.f.name)
	case d.f.name == "$valid$":
		return fmt.Errorf("the validity of %q cannot be assigned to: %w", d.f.header.name, ErrUnsupported)
	}
	return pc.storeField(d.f, src)
}

// storeField emits the ops for a field known at load.
func (pc *primitiveCompiler) storeField(f *field, src *node) error {
	if f.words > 1 {
		return pc.storeWide(f, src)
	}
	// p4c masks what it assigns; the store does so anyway.
	mask := f.mask()
	for src.op == opAnd && src.r.op == opConst && src.r.k.Sign() >= 0 {
		mask &= words(src.r.k, 1)[0]
		src = src.l
	}
	switch {
	case src.op == opConst:
		pc.emit(op{code: opcSet, dst: f.slot, imm: words(src.k, 1)[0] & mask})
		return nil
	case src.op == opField && !src.f.signed:
		pc.emit(op{code: opcMove, dst: f.slot, src: src.f.slot, mask: mask})
		return nil
	}
	num, err := pc.ctx.narrow(src)
	pc.emit(op{code: opcEval, dst: f.slot, num: num, mask: mask})
	return err
}

func (pc *primitiveCompiler) storeWide(f *field, src *node) error {
	eval, at, err := pc.ctx.wide(src, f.words)
	if err != nil {
		return err
	}
	slot, n, top := f.slot, f.words, topMask(f.bits)
	pc.do(func(w *Worker) {
		eval(w)
		copy(w.r[slot:slot+n], w.r[at:at+n])
		w.r[slot+n-1] &= top
	})
	return nil
}

func (pc *primitiveCompiler) storeStackField(d *node, src *node) error {
	index, err := pc.ctx.stackIndex(d)
	if err != nil {
		return err
	}
	f, stride := d.f, d.st.headers[0].size
	eval, at, err := pc.ctx.wide(src, f.words)
	if err != nil {
		return err
	}
	top := topMask(f.bits)
	pc.do(func(w *Worker) {
		eval(w)
		i, ok := index(w)
		if !ok {
			return
		}
		slot := f.slot + i*stride
		copy(w.r[slot:slot+f.words], w.r[at:at+f.words])
		w.r[slot+f.words-1] &= top
	})
	return nil
}

func (pc *primitiveCompiler) varbit(v *bmv2json.Value) (*field, error) {
	if v.Type != "field" {
		return nil, fmt.Errorf("%q is no varbit field: %w", v.Type, ErrUnsupported)
	}
	f, err := pc.l.field(v.Field)
	if err == nil && !f.varbit {
		err = fmt.Errorf("field %q is not varbit", f.name)
	}
	return f, err
}

func (pc *primitiveCompiler) assignVarbit(p []bmv2json.Value) error {
	dst, err := pc.varbit(&p[0])
	if err != nil {
		return err
	}
	src, err := pc.varbit(&p[1])
	if err != nil {
		return err
	}
	if dst.words != src.words {
		return fmt.Errorf("varbit fields %q and %q differ in width", dst.name, src.name)
	}
	pc.do(func(w *Worker) {
		copy(w.r[dst.slot:dst.slot+dst.words], w.r[src.slot:src.slot+src.words])
	})
	return nil
}

// headerOf resolves a header parameter.
func (pc *primitiveCompiler) headerOf(v *bmv2json.Value) (*headerRef, error) {
	return pc.ctx.headerRef(v)
}

// element finds the header that ref means when the action runs; nil for an
// index outside its stack.
func (pc *primitiveCompiler) element(ref *headerRef) (func(w *Worker) *header, error) {
	if ref.st == nil {
		return func(*Worker) *header { return ref.h }, nil
	}
	index, err := pc.ctx.narrow(ref.index)
	headers := ref.st.headers
	return func(w *Worker) *header {
		if i := index(w); i < uint64(len(headers)) {
			return headers[i]
		}
		return nil
	}, err
}

func (pc *primitiveCompiler) addHeader(p []bmv2json.Value) error {
	ref, err := pc.headerOf(&p[0])
	if err != nil {
		return err
	}
	if ref.st == nil {
		pc.emit(op{code: opcAddHeader, h: ref.h})
		return nil
	}
	element, err := pc.element(ref)
	pc.do(func(w *Worker) {
		if h := element(w); h != nil {
			w.addHeader(h)
		}
	})
	return err
}

func (pc *primitiveCompiler) removeHeader(p []bmv2json.Value) error {
	ref, err := pc.headerOf(&p[0])
	if err != nil {
		return err
	}
	if ref.st == nil {
		pc.emit(op{code: opcRemove, h: ref.h})
		return nil
	}
	element, err := pc.element(ref)
	pc.do(func(w *Worker) {
		if h := element(w); h != nil {
			w.removeHeader(h)
		}
	})
	return err
}

func (w *Worker) copyHeader(dst, src *header) {
	if w.r[src.valid] == 0 {
		w.r[dst.valid] = 0
		return
	}
	w.makeValid(dst)
	copy(w.r[dst.base:dst.base+dst.size], w.r[src.base:src.base+src.size])
}

func (pc *primitiveCompiler) assignHeader(p []bmv2json.Value) error {
	dst, err := pc.headerOf(&p[0])
	if err != nil {
		return err
	}
	src, err := pc.headerOf(&p[1])
	if err != nil {
		return err
	}
	if dst.h.size != src.h.size {
		return fmt.Errorf("headers %q and %q differ in type", dst.h.name, src.h.name)
	}
	to, err := pc.element(dst)
	if err != nil {
		return err
	}
	from, err := pc.element(src)
	pc.do(func(w *Worker) {
		if d, s := to(w), from(w); d != nil && s != nil {
			w.copyHeader(d, s)
		}
	})
	return err
}

func (pc *primitiveCompiler) assignUnion(p []bmv2json.Value) error {
	dst, err := pc.ctx.union(&p[0])
	if err != nil {
		return err
	}
	src, err := pc.ctx.union(&p[1])
	if err != nil {
		return err
	}
	if dst.typ != src.typ {
		return fmt.Errorf("unions %q and %q differ in type", dst.name, src.name)
	}
	pc.do(func(w *Worker) { w.copyUnion(dst, src) })
	return nil
}

func (w *Worker) copyUnion(dst, src *union) {
	for i := range dst.members {
		w.copyHeader(dst.members[i], src.members[i])
	}
}

func (pc *primitiveCompiler) stackOf(v *bmv2json.Value) (*stack, error) {
	if v.Type != "header_stack" && v.Type != "header_union_stack" {
		return nil, fmt.Errorf("%q is no stack", v.Type)
	}
	return pc.ctx.stack(v.Name)
}

func (pc *primitiveCompiler) assignStack(p []bmv2json.Value) error {
	dst, err := pc.stackOf(&p[0])
	if err != nil {
		return err
	}
	src, err := pc.stackOf(&p[1])
	if err != nil {
		return err
	}
	if len(dst.headers) != len(src.headers) || len(dst.unions) != len(src.unions) ||
		dst.headers != nil && dst.headers[0].size != src.headers[0].size ||
		dst.unions != nil && dst.unions[0].typ != src.unions[0].typ {
		return fmt.Errorf("stacks %q and %q differ in type", dst.name, src.name)
	}
	pc.do(func(w *Worker) {
		w.r[dst.next] = w.r[src.next]
		for i := range dst.headers {
			w.copyHeader(dst.headers[i], src.headers[i])
		}
		for i := range dst.unions {
			w.copyUnion(dst.unions[i], src.unions[i])
		}
	})
	return nil
}

// pushPop compiles push_front and pop_front as P4_16 (8.18) has them: the
// whole stack moves, and what comes in is invalid.
func (pc *primitiveCompiler) pushPop(p []bmv2json.Value, push bool) error {
	s, err := pc.stackOf(&p[0])
	if err != nil {
		return err
	}
	count, err := pc.number(&p[1])
	if err != nil {
		return err
	}
	depth := uint64(s.depth())
	pc.do(func(w *Worker) {
		n := min(count(w), depth)
		if push {
			w.r[s.next] = min(depth, w.r[s.next]+n)
			for i := int(depth) - 1; i >= 0; i-- {
				w.moveElement(s, i, i-int(n))
			}
			return
		}
		w.r[s.next] -= min(w.r[s.next], n)
		for i := range int(depth) {
			w.moveElement(s, i, i+int(n))
		}
	})
	return nil
}

// moveElement copies element from to element to; one outside the stack is
// invalid.
func (w *Worker) moveElement(s *stack, to, from int) {
	outside := from < 0 || from >= s.depth()
	if s.headers != nil {
		if outside {
			w.r[s.headers[to].valid] = 0
			return
		}
		w.copyHeader(s.headers[to], s.headers[from])
		return
	}
	if outside {
		for _, h := range s.unions[to].members {
			w.r[h.valid] = 0
		}
		return
	}
	w.copyUnion(s.unions[to], s.unions[from])
}
