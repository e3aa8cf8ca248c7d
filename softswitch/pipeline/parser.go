package pipeline

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// maxParserSteps bounds the states that one packet may pass, so that a loop
// that extracts nothing ends.
const maxParserSteps = 1024

// Core parser errors (core.p4), as indices of parser.codes.
type coreError uint8

const (
	errNone coreError = iota
	errPacketTooShort
	errNoMatch
	errStackOutOfBounds
	errHeaderTooShort
	errParserTimeout
	errParserInvalidArgument
	coreErrors
)

var coreErrorNames = [coreErrors]string{"NoError", "PacketTooShort", "NoMatch",
	"StackOutOfBounds", "HeaderTooShort", "ParserTimeout", "ParserInvalidArgument"}

// parser is the compiled state machine.
type parser struct {
	codes  [coreErrors]uint64 // the program's values of the core errors
	start  int
	states []parserState
	sums   []checksum // to verify
	// For accounts: names of error codes, and of fields by their slots.
	errors map[uint64]string
	fields map[int]string
}

type parserState struct {
	name string
	ops  []parserOp
	key  []keyPart
	// cases of one word, or of more; in order.
	cases []selectCase
	wide  []wideCase
	sets  bool // some of wide are value sets
	other int  // next state without a match; -1 ends
}

type parserOp struct {
	h  *header // plain extract
	do func(w *Worker) bool
}

// keyPart is one piece of the select key.
type keyPart struct {
	slot  int
	load  numFunc // instead of slot
	look  bool    // lookahead: bits from off on
	off   int
	bits  int
	shift uint8
}

type selectCase struct {
	value, mask uint64
	next        int
}

type wideCase struct {
	value, mask []uint64 // one word for each part
	next        int
	set         int // index + 1 of a value set, instead of value and mask
}

// fail ends the parser with an error.
func (w *Worker) fail(e coreError) bool {
	w.parserError = w.p.prog.parser.codes[e]
	return false
}

// parse runs the parser over w.frame and leaves the rest in w.payload.
func (w *Worker) parse() {
	p := &w.p.prog.parser
	w.cursor = 0
	w.parserError = p.codes[errNone]
	s, steps := p.start, 0
	if w.trace != nil {
		s = w.traceStates(s)
	}
	for ; s >= 0; steps++ {
		if steps == maxParserSteps {
			w.fail(errParserTimeout)
			break
		}
		st := &p.states[s]
		if !w.parserOps(st.ops) {
			break
		}
		next, ok := w.selectNext(st)
		if !ok {
			break
		}
		s = next
	}
	w.payload = w.frame[w.cursor:]
	bad := uint64(0)
	for i := range p.sums {
		if !p.sums[i].correct(w) {
			bad = 1
		}
	}
	w.set(w.p.prog.std.checksumError, bad)
	w.set(w.p.prog.std.parserError, w.parserError)
}

func (w *Worker) parserOps(ops []parserOp) bool {
	for i := range ops {
		if h := ops[i].h; h != nil {
			if !w.extract(h) {
				return false
			}
		} else if !ops[i].do(w) {
			return false
		}
	}
	return true
}

func (w *Worker) extract(h *header) bool {
	b := w.frame[w.cursor:]
	if len(b) < h.bytes {
		return w.fail(errPacketTooShort)
	}
	h.extract(b, w.r, 0)
	w.makeValid(h)
	w.cursor += h.bytes
	return true
}

// extractVarbit reads a header whose varbit field has the number of bits
// given.
func (w *Worker) extractVarbit(h *header, bits uint64, max int) bool {
	if bits%8 != 0 || bits > maxFieldBits*8 {
		if bits%8 != 0 {
			return w.fail(errParserInvalidArgument)
		}
		return w.fail(errPacketTooShort)
	}
	n := h.bytes + int(bits/8)
	b := w.frame[w.cursor:]
	switch {
	case len(b) < n:
		return w.fail(errPacketTooShort)
	case n > max:
		return w.fail(errHeaderTooShort)
	}
	h.extract(b, w.r, int(bits/8))
	w.makeValid(h)
	w.cursor += n
	return true
}

func (w *Worker) selectNext(st *parserState) (int, bool) {
	if st.cases == nil && st.wide == nil {
		return st.other, true
	}
	if st.wide != nil {
		return w.selectWide(st)
	}
	var key uint64
	for i := range st.key {
		v, ok := w.keyValue(&st.key[i])
		if !ok {
			return 0, false
		}
		key |= v << st.key[i].shift
	}
	for i := range st.cases {
		if c := &st.cases[i]; key&c.mask == c.value {
			return c.next, true
		}
	}
	return st.other, true
}

func (w *Worker) selectWide(st *parserState) (int, bool) {
	for i := range st.key {
		v, ok := w.keyValue(&st.key[i])
		if !ok {
			return 0, false
		}
		w.selectKey[i] = v
	}
cases:
	for i := range st.wide {
		c := &st.wide[i]
		if c.set > 0 && !w.p.valueSets[c.set-1].holds(w, st.key) {
			continue
		}
		for j, m := range c.mask {
			if w.selectKey[j]&m != c.value[j] {
				continue cases
			}
		}
		return c.next, true
	}
	return st.other, true
}

func (w *Worker) keyValue(k *keyPart) (uint64, bool) {
	switch {
	case k.look:
		return w.lookahead(k.off, k.bits)
	case k.load != nil:
		return k.load(w), true
	}
	return w.r[k.slot], true
}

// lookahead reads up to 64 bits, off bits ahead.
func (w *Worker) lookahead(off, bits int) (uint64, bool) {
	b := w.frame[w.cursor:]
	if off+bits > len(b)*8 {
		return 0, w.fail(errPacketTooShort)
	}
	if off%8 == 0 && bits == 16 {
		return uint64(binary.BigEndian.Uint16(b[off/8:])), true
	}
	return getBits(b, off, bits), true
}

// compileParser compiles the program's only parser.
func (c *compiler) compileParser() error {
	p := &c.prog.parser
	p.start = -1
	p.errors, p.fields = map[uint64]string{}, map[int]string{}
	for i := range p.codes {
		p.codes[i] = uint64(i)
		p.errors[uint64(i)] = coreErrorNames[i]
	}
	for _, h := range c.l.headers {
		for _, f := range h.fields {
			p.fields[f.slot] = h.name + "." + f.name
		}
	}
	for _, e := range c.spec.Errors {
		if e.Code < 0 {
			return fmt.Errorf("errors: %q: code %d is negative", e.Name, e.Code)
		}
		p.errors[uint64(e.Code)] = e.Name
		if i := slices.Index(coreErrorNames[:], e.Name); i >= 0 {
			p.codes[i] = uint64(e.Code)
		}
	}
	if len(c.spec.Parsers) == 0 {
		return nil
	}
	spec := &c.spec.Parsers[0]
	index := map[string]int{}
	for i, s := range spec.States {
		if _, ok := index[s.Name]; ok {
			return fmt.Errorf("parsers: %q: state %q is there twice", spec.Name, s.Name)
		}
		index[s.Name] = i
	}
	if spec.InitState != "" {
		start, ok := index[spec.InitState]
		if !ok {
			return fmt.Errorf("parsers: %q: no state %q", spec.Name, spec.InitState)
		}
		p.start = start
	}
	for i := range spec.States {
		st, err := c.parserState(&spec.States[i], index)
		if err != nil {
			return fmt.Errorf("parsers: %q: state %q: %w", spec.Name, spec.States[i].Name, err)
		}
		p.states = append(p.states, *st)
	}
	return nil
}

func (c *compiler) parserState(s *bmv2json.ParseState, index map[string]int) (*parserState, error) {
	st := &parserState{name: s.Name, other: -1}
	for i := range s.Ops {
		op, err := c.parserOp(&s.Ops[i])
		if err != nil {
			return nil, fmt.Errorf("operation %d (%s): %w", i, s.Ops[i].Op, err)
		}
		st.ops = append(st.ops, op)
	}
	widths, err := c.selectKey(st, s.Key)
	if err != nil {
		return nil, err
	}
	for i, t := range s.Transitions {
		next := -1
		if t.Next != nil {
			n, ok := index[*t.Next]
			if !ok {
				return nil, fmt.Errorf("transition %d: no state %q", i, *t.Next)
			}
			next = n
		}
		switch t.Type {
		case "default":
			st.other = next
		case "hexstr":
			if err := st.addCase(&t, widths, next); err != nil {
				return nil, fmt.Errorf("transition %d: %w", i, err)
			}
		case "parse_vset":
			set, err := c.valueSet(t.Value, st.key)
			if err != nil {
				return nil, fmt.Errorf("transition %d: %w", i, err)
			}
			st.wide = append(st.wide, wideCase{next: next, set: set + 1})
			st.sets = true
		default:
			return nil, fmt.Errorf("transition %d: type %q: %w", i, t.Type, ErrUnsupported)
		}
	}
	st.finish()
	return st, nil
}

// finish packs the key into one word where it fits.
func (st *parserState) finish() {
	total := 0
	for _, k := range st.key {
		total += k.bits
	}
	if total > 64 || st.wide == nil || st.sets {
		return
	}
	for i := range st.key {
		total -= st.key[i].bits
		st.key[i].shift = uint8(total)
	}
	for _, w := range st.wide {
		sc := selectCase{next: w.next}
		for i, k := range st.key {
			sc.value |= w.value[i] << k.shift
			sc.mask |= w.mask[i] << k.shift
		}
		st.cases = append(st.cases, sc)
	}
	st.wide = nil
}
