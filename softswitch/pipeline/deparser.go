package pipeline

import (
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// deparser writes the packet: checksums, then its own calls, then the valid
// headers in order, then the payload.
type deparser struct {
	sums  []checksum
	ops   []op
	order []*header
	valid []int // their validity slots
	most  int   // bytes of all of them
}

// checksum is a calculation whose result is kept in, or compared with, a
// field.
type checksum struct {
	calc   *calculation
	target *field
	cond   boolFunc // nil for always
}

func (s *checksum) update(w *Worker) {
	if s.cond == nil || s.cond(w) {
		w.r[s.target.slot] = s.calc.output(w) & s.target.mask()
	}
}

func (s *checksum) correct(w *Worker) bool {
	if w.r[s.target.header.valid] == 0 || s.cond != nil && !s.cond(w) {
		return true
	}
	return w.r[s.target.slot] == s.calc.output(w)
}

// deparse appends the packet to the worker's output bytes.
func (w *Worker) deparse() []byte {
	d := &w.p.prog.deparser
	for i := range d.sums {
		d.sums[i].update(w)
	}
	if d.ops != nil {
		w.run(d.ops)
	}
	out := w.room(d.most + len(w.payload))
	at := 0
	for i, v := range d.valid {
		if w.r[v] != 0 {
			h := d.order[i]
			n := h.length(w.r)
			h.emit(out[at:at+n], w.r)
			at += n
		}
	}
	at += copy(out[at:], w.payload)
	w.giveBack(len(out) - at)
	return out[:min(at, w.truncateTo):at]
}

func (c *compiler) compileDeparser() error {
	if len(c.spec.Deparsers) == 0 {
		return nil
	}
	s, d := &c.spec.Deparsers[0], &c.prog.deparser
	for _, name := range s.Order {
		h, err := c.l.header(name)
		if err != nil {
			return fmt.Errorf("deparsers: %q: %w", s.Name, err)
		}
		if h.meta {
			return fmt.Errorf("deparsers: %q: %q is metadata", s.Name, name)
		}
		d.order, d.valid = append(d.order, h), append(d.valid, h.valid)
		d.most += h.bytes
		if h.vl >= 0 {
			d.most += 8 * (h.fields[h.vl].words - 1)
		}
	}
	ops, err := c.compilePrimitives(s.Primitives, nil)
	if err != nil {
		return fmt.Errorf("deparsers: %q: %w", s.Name, err)
	}
	d.ops = ops
	return nil
}

func (c *compiler) compileChecksums() error {
	for i := range c.spec.Checksums {
		s := &c.spec.Checksums[i]
		sum, err := c.compileChecksum(s)
		if err != nil {
			return fmt.Errorf("checksums: %q: %w", s.Name, err)
		}
		if s.Update == nil || *s.Update {
			c.prog.deparser.sums = append(c.prog.deparser.sums, *sum)
		}
		if s.Verify == nil || *s.Verify {
			c.prog.parser.sums = append(c.prog.parser.sums, *sum)
		}
	}
	return nil
}

func (c *compiler) compileChecksum(s *bmv2json.Checksum) (*checksum, error) {
	if s.Type != "generic" {
		return nil, fmt.Errorf("type %q: %w", s.Type, ErrUnsupported)
	}
	calc := c.calculations[s.Calculation]
	if calc == nil {
		return nil, fmt.Errorf("no calculation %q", s.Calculation)
	}
	target, err := c.l.field(s.Target)
	if err != nil {
		return nil, err
	}
	if target.words > 1 || target.varbit || target.name == "$valid$" {
		return nil, fmt.Errorf("target %q: %w", target.name, ErrUnsupported)
	}
	sum := &checksum{calc: calc, target: target}
	if s.Cond == nil {
		return sum, nil
	}
	ctx := &exprContext{l: c.l}
	b, err := ctx.boolean(s.Cond)
	if err != nil {
		return nil, fmt.Errorf("if_cond: %w", err)
	}
	sum.cond, err = ctx.compileBool(b)
	return sum, err
}
