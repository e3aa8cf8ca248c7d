package pipeline

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// randomHeader has fields of random widths, whole bytes in all.
func randomHeader(rng *rand.Rand) *header {
	typ := &bmv2json.HeaderType{Name: "t"}
	bits := 0
	for len(typ.Fields) < 1+rng.IntN(12) {
		n := 1 + rng.IntN(8)
		switch rng.IntN(4) {
		case 0:
			n = 8 * (1 + rng.IntN(8))
		case 1:
			n = 1 + rng.IntN(200)
		}
		typ.Fields = append(typ.Fields, bmv2json.FieldType{Name: string(rune('a' + len(typ.Fields))), Bits: n})
		bits += n
	}
	if r := bits % 8; r != 0 {
		typ.Fields = append(typ.Fields, bmv2json.FieldType{Name: "pad", Bits: 8 - r})
	}
	h := &header{name: "h", typ: typ, vl: -1}
	if err := h.declareFields(); err != nil {
		panic(err)
	}
	slot := 0
	for i := range h.fields {
		h.fields[i].slot = slot
		slot += h.fields[i].words
	}
	h.wire = newWireLayout(h)
	return h
}

func TestHeadersOfAnyFieldsAreReadAndWrittenBitByBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		h := randomHeader(rng)
		b := make([]byte, h.bytes)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		r := make([]uint64, h.size)
		h.extract(b, r, 0)
		off := 0
		for _, f := range h.fields {
			for word := f.words - 1; word >= 0; word-- {
				bits := min(64, f.bits-64*word)
				if got, want := r[f.slot+word], getBits(b, off, bits); got != want {
					t.Fatalf("field %s of %d bits, word %d: %x, want %x; header %+v, %x", f.name, f.bits, word, got, want,
						h.typ.Fields, b)
				}
				off += bits
			}
		}
		out := make([]byte, h.bytes)
		h.emit(out, r)
		if !bytes.Equal(out, b) {
			t.Fatalf("written %x, read %x; header %+v", out, b, h.typ.Fields)
		}
	}
}
