package differential

import (
	"math/big"
	"math/rand/v2"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// Pool gives values that frames and entries share, so that entries are hit.
type Pool struct {
	rng    *rand.Rand
	values map[int][]*big.Int // by width
	fixed  []*big.Int         // constants of the program
}

// NewPool makes values for a program; the same rng makes the same ones.
func NewPool(rng *rand.Rand, spec *bmv2json.Program) *Pool {
	p := &Pool{rng: rng, values: map[int][]*big.Int{}}
	for _, parser := range spec.Parsers {
		for _, s := range parser.States {
			for _, t := range s.Transitions {
				if v, ok := new(big.Int).SetString(t.Value, 0); ok && t.Type == "hexstr" {
					p.fixed = append(p.fixed, v)
				}
			}
		}
	}
	return p
}

// value is a number of the width.
func (p *Pool) value(bits int) *big.Int {
	known := p.values[bits]
	if known == nil {
		all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
		known = []*big.Int{new(big.Int), big.NewInt(1), all}
		for i := range 5 {
			known = append(known, new(big.Int).And(big.NewInt(int64(i+2)), all), new(big.Int).And(p.random(bits), all))
		}
		for _, v := range p.fixed {
			if v.BitLen() <= bits {
				known = append(known, v)
			}
		}
		p.values[bits] = known
	}
	switch n := p.rng.IntN(16); {
	case n == 0:
		return p.random(bits)
	case n < 10 && bits > 9: // identifiers and addresses of a small network
		return big.NewInt(int64(1 + p.rng.IntN(4)))
	}
	return known[p.rng.IntN(len(known))]
}

func (p *Pool) random(bits int) *big.Int {
	v := new(big.Int)
	for range (bits + 31) / 32 {
		v.Lsh(v, 32)
		v.Or(v, big.NewInt(int64(p.rng.Uint32())))
	}
	return v.Rsh(v, uint((bits+31)/32*32-bits))
}

// walk is one random way through a parser and the frame that takes it.
type walk struct {
	*Pool
	port   uint32
	bits   []byte // one bit a byte
	fixed  []bool // chosen by a select
	cursor int
	at     map[[2]string]place // fields extracted or looked at
	next   map[string]int      // of stacks
	last   map[string]int      // element of a stack extracted last
}

type place struct{ at, bits int }

// Generator makes frames for one program.
type Generator struct {
	*Pool
	types  map[string]*bmv2json.HeaderType // by header instance
	stacks map[string][]string
	states map[string]*bmv2json.ParseState
	start  string
}

// NewGenerator makes frames with the values of p. The program must have a
// parser with a first state.
func NewGenerator(p *Pool, spec *bmv2json.Program) *Generator {
	g := &Generator{Pool: p, types: map[string]*bmv2json.HeaderType{}, stacks: map[string][]string{},
		states: map[string]*bmv2json.ParseState{}}
	types := map[string]*bmv2json.HeaderType{}
	for i := range spec.HeaderTypes {
		types[spec.HeaderTypes[i].Name] = &spec.HeaderTypes[i]
	}
	byID := map[int]string{}
	for _, h := range spec.Headers {
		g.types[h.Name], byID[h.ID] = types[h.Type], h.Name
	}
	for _, s := range spec.Stacks {
		for _, id := range s.HeaderIDs {
			g.stacks[s.Name] = append(g.stacks[s.Name], byID[id])
		}
	}
	for i := range spec.Parsers[0].States {
		s := &spec.Parsers[0].States[i]
		g.states[s.Name] = s
	}
	g.start = spec.Parsers[0].InitState
	return g
}

// Frame is a frame for the port, of at least one byte: along a path of the
// parser, and often damaged.
func (g *Generator) Frame(port uint32) []byte {
	w := &walk{Pool: g.Pool, port: port, at: map[[2]string]place{}, next: map[string]int{}, last: map[string]int{}}
	state := g.start
	for range 24 {
		s := g.states[state]
		if s == nil {
			break
		}
		g.extract(w, s)
		if state = w.choose(s); state == "" {
			break
		}
	}
	w.reach(w.cursor + 8*g.rng.IntN(24))
	f := w.frame()
	for g.rng.IntN(4) == 0 && len(f) > 0 {
		f[g.rng.IntN(len(f))] ^= byte(1 << g.rng.IntN(8))
	}
	switch g.rng.IntN(12) {
	case 0:
		f = f[:g.rng.IntN(len(f)+1)]
	case 1:
		f = append(f, make([]byte, g.rng.IntN(1200))...)
	}
	if len(f) == 0 {
		f = []byte{0}
	}
	return f
}

// reach makes the frame at least so long.
func (w *walk) reach(bits int) {
	for len(w.bits) < bits {
		w.bits = append(w.bits, byte(w.rng.IntN(2)))
		w.fixed = append(w.fixed, false)
	}
}

// put writes a value where no select has chosen one before.
func (w *walk) put(p place, v *big.Int, choose bool) {
	w.reach(p.at + p.bits)
	for i := range p.bits {
		if b := p.at + i; !w.fixed[b] {
			w.bits[b] = byte(v.Bit(p.bits - 1 - i))
			w.fixed[b] = choose
		}
	}
}

func (w *walk) frame() []byte {
	out := make([]byte, len(w.bits)/8)
	for i := range out {
		for j := range 8 {
			out[i] = out[i]<<1 | w.bits[8*i+j]
		}
	}
	return out
}

// extract lays out what the state's operations take from the frame.
func (g *Generator) extract(w *walk, s *bmv2json.ParseState) {
	for _, o := range s.Ops {
		switch {
		case o.Op == "extract" || o.Op == "extract_VL":
			name := o.Params[0].Name
			if o.Params[0].Type == "stack" {
				elements := g.stacks[name]
				if w.next[name] == len(elements) {
					continue
				}
				w.last[name] = w.next[name]
				w.next[name]++
				name = elements[w.last[name]]
			}
			g.header(w, name)
		case o.Op == "set" && len(o.Params) == 2 && o.Params[1].Type == "lookahead":
			w.at[o.Params[0].Field] = place{w.cursor + o.Params[1].Bits[0], o.Params[1].Bits[1]}
		case o.Op == "advance" && o.Params[0].Type == "hexstr":
			if v, ok := new(big.Int).SetString(o.Params[0].Name, 0); ok && v.BitLen() < 16 {
				w.cursor += int(v.Int64())
			}
		}
	}
}

func (g *Generator) header(w *walk, name string) {
	t := g.types[name]
	if t == nil {
		return
	}
	for _, f := range t.Fields {
		p := place{w.cursor, f.Bits}
		if f.Varbit {
			p.bits = 8 * w.rng.IntN(9)
		}
		w.at[[2]string{name, f.Name}] = p
		if p.bits > 0 {
			w.put(p, w.value(p.bits), false)
		}
		w.cursor += p.bits
	}
	w.reach(w.cursor)
}

// choose picks one of the state's transitions and makes the frame fit it.
func (w *walk) choose(s *bmv2json.ParseState) string {
	if len(s.Transitions) == 0 {
		return ""
	}
	t := s.Transitions[w.rng.IntN(len(s.Transitions))]
	if t.Type == "hexstr" && !w.fits(s, &t) {
		t = s.Transitions[len(s.Transitions)-1]
	}
	if t.Next == nil {
		return ""
	}
	return *t.Next
}

// fits sets the key's fields to the transition's value; false where the key
// is the port and that is another.
func (w *walk) fits(s *bmv2json.ParseState, t *bmv2json.Transition) bool {
	value, ok := new(big.Int).SetString(t.Value, 0)
	if !ok {
		return false
	}
	var mask *big.Int
	if t.Mask != nil {
		mask, _ = new(big.Int).SetString(*t.Mask, 0)
	}
	low := 0 // each field is padded to whole bytes
	for i := len(s.Key) - 1; i >= 0; i-- {
		k := &s.Key[i]
		p, ok := w.at[k.Field]
		switch {
		case k.Type == "lookahead":
			p, ok = place{w.cursor + k.Bits[0], k.Bits[1]}, true
		case k.Type == "field" && k.Field == [2]string{"standard_metadata", "ingress_port"}:
			part := new(big.Int).Rsh(value, uint(low))
			return part.Uint64()&0x1ff == uint64(w.port)
		case k.Type != "field":
			return true
		}
		if !ok {
			return true // metadata: whatever it is
		}
		part := new(big.Int).Rsh(value, uint(low))
		if mask != nil {
			m := new(big.Int).Rsh(mask, uint(low))
			part.And(part, m)
			part.Or(part, new(big.Int).AndNot(w.value(p.bits), m))
		}
		w.put(p, part, true)
		low += (p.bits + 7) / 8 * 8
	}
	return true
}
