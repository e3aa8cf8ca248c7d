package pipeline

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// conditions makes conditions at random over a few fields and constants.
type conditions struct {
	rng    *rand.Rand
	fields []field
}

func (c *conditions) pick(of ...string) string { return of[c.rng.IntN(len(of))] }

func (c *conditions) constant() *node {
	all := []uint64{0, 1, 2, 3, 7, 8, 255, 256, 1<<63 - 1, 1 << 63, ^uint64(0)}
	return constNode(new(big.Int).SetUint64(all[c.rng.IntN(len(all))]))
}

func (c *conditions) number() *node {
	f := fieldNode(&c.fields[c.rng.IntN(len(c.fields))])
	binary := func(op string, l, r *node) *node {
		n, err := binaryNode(op, l, r)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch c.rng.IntN(5) {
	case 0:
		return binary("&", f, c.constant())
	case 1:
		return binary(">>", f, constNode(big.NewInt(int64(c.rng.IntN(70)))))
	case 2:
		return binary("&", binary(">>", f, constNode(big.NewInt(int64(c.rng.IntN(8))))), c.constant())
	}
	return f
}

func (c *conditions) condition(depth int) *boolNode {
	if depth > 0 {
		switch op := c.pick("not", "and", "or", "bool==", "leaf"); op {
		case "leaf":
		case "not":
			return &boolNode{op: op, x: c.condition(depth - 1)}
		default:
			return &boolNode{op: op, x: c.condition(depth - 1), y: c.condition(depth - 1)}
		}
	}
	n := &boolNode{op: c.pick("==", "!=", "<", "<=", ">", ">=", "==", "!=", "valid", "d2b", "const"), l: c.number(),
		r: c.constant()}
	switch {
	case n.op == "valid":
		n.sh = &headerRef{h: &header{valid: 1}}
	case n.op == "const":
		n.k = c.rng.IntN(2) == 0
	case c.rng.IntN(4) == 0:
		n.r = c.number()
	}
	return n
}

func TestConditionsAreDecidedAsTheyAreComputed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := &conditions{rng: rng, fields: []field{
		{slot: 2, bits: 8, words: 1}, {slot: 3, bits: 8, words: 1}, {slot: 4, bits: 64, words: 1},
		{slot: 5, bits: 1, words: 1}, {slot: 6, bits: 8, words: 1, signed: true}, {slot: 7, bits: 100, words: 2},
	}}
	kinds := map[instructionCode]int{}
	for range 20_000 {
		n := c.condition(3)
		l := &layout{slots: 16}
		cond, err := (&exprContext{l: l}).compileBool(n)
		if err != nil {
			t.Fatal(err)
		}
		ctl := &control{nodes: []flowNode{
			{table: -1, cond: cond, when: n, next: 1, other: -1},
			{table: -1, next: -1, ops: []op{{code: opcSet, dst: 0, imm: 1}}},
		}}
		if err := (&compiler{l: l}).link(ctl); err != nil {
			t.Fatal(err)
		}
		for _, in := range ctl.code {
			kinds[in.code]++
		}
		w := &Worker{r: make([]uint64, l.slots)}
		for range 4 {
			w.r[1] = uint64(rng.IntN(2))
			for _, f := range c.fields {
				w.r[f.slot] = rng.Uint64() >> rng.IntN(64) & f.mask()
			}
			w.r[8] = rng.Uint64() & (1<<36 - 1)
			if rng.IntN(3) == 0 {
				w.r[3] = w.r[2]
			}
			want := cond(w)
			valid := w.r[1]
			w.r[0] = 0
			w.runControl(ctl)
			if got := w.r[0] != 0; got != want {
				t.Fatalf("decided %v, computed %v: %+v with valid %d, fields %x", got, want, n, valid, w.r[2:9])
			}
		}
	}
	for code := testEqual; code <= testCond; code++ {
		if kinds[code] == 0 {
			t.Errorf("no condition became a test of kind %d", code)
		}
	}
}
