package pipeline

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// calculation is a hash or checksum over fields, constants, headers and the
// payload, laid one after the other bit by bit; what belongs to an invalid
// header is skipped.
type calculation struct {
	name    string
	parts   []calcPart
	payload bool
	sum     func(b []byte) uint64
}

// calcPart is a run of input with one condition.
type calcPart struct {
	valid  int // slot, or -1 for always
	header *header
	// fields or constants otherwise:
	bits   int
	groups []wireGroup // where bits is a multiple of 8 and all pieces fit
	pieces []wirePiece
}

func (c *compiler) compileCalculations() error {
	for i := range c.spec.Calculations {
		s := &c.spec.Calculations[i]
		if c.calculations[s.Name] != nil {
			return fmt.Errorf("calculations: %q is there twice", s.Name)
		}
		calc, err := c.newCalculation(s.Name, s.Algo, s.Input)
		if err != nil {
			return fmt.Errorf("calculations: %q: %w", s.Name, err)
		}
		c.calculations[s.Name] = calc
	}
	return nil
}

func (c *compiler) newCalculation(name, algo string, input []bmv2json.Value) (*calculation, error) {
	sum := hashes[algo]
	if sum == nil {
		return nil, fmt.Errorf("algorithm %q: %w", algo, ErrUnsupported)
	}
	calc := &calculation{name: name, sum: sum}
	for i := range input {
		if err := c.calcInput(calc, &input[i]); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	for i := range calc.parts {
		p := &calc.parts[i]
		if p.header == nil && p.bits%8 == 0 {
			groups, slow := groupPieces(p.pieces)
			if slow == nil {
				p.groups = groups
			}
		}
	}
	return calc, nil
}

func (c *compiler) calcInput(calc *calculation, v *bmv2json.Value) error {
	if calc.payload && v.Type != "payload" {
		return fmt.Errorf("input behind the payload: %w", ErrUnsupported)
	}
	switch v.Type {
	case "payload":
		calc.payload = true
	case "header":
		h, err := c.l.header(v.Name)
		if err != nil {
			return err
		}
		calc.parts = append(calc.parts, calcPart{valid: h.valid, header: h})
	case "hexstr":
		k, err := parseHex(v.Name)
		if err != nil {
			return err
		}
		if v.Bitwidth < 1 || v.Bitwidth > maxFieldBits {
			return fmt.Errorf("constant %s: bitwidth %d is not in 1..%d", v.Name, v.Bitwidth, maxFieldBits)
		}
		f := field{name: v.Name, bits: v.Bitwidth, words: (v.Bitwidth + 63) / 64}
		f.slot = c.l.temp(f.words)
		w := words(k, f.words)
		w[f.words-1] &= topMask(f.bits)
		c.prog.constants = append(c.prog.constants, slotValue{f.slot, w})
		calc.add(-1, &f)
	case "field":
		f, err := c.l.field(v.Field)
		if err != nil {
			return err
		}
		if f.varbit {
			calc.parts = append(calc.parts, calcPart{valid: f.header.valid, header: varbitOnly(f)})
			return nil
		}
		valid := f.header.valid
		if f.header.meta {
			valid = -1
		}
		calc.add(valid, f)
	default:
		return fmt.Errorf("%q: %w", v.Type, ErrUnsupported)
	}
	return nil
}

// varbitOnly is a header that has no other field than f.
func varbitOnly(f *field) *header {
	only := &header{name: f.header.name, valid: f.header.valid, vl: 0}
	only.fields = []field{*f}
	only.fields[0].header = only
	return only
}

// add appends a field to the last part, or to a new one if the condition
// changes.
func (c *calculation) add(valid int, f *field) {
	n := len(c.parts)
	if n == 0 || c.parts[n-1].header != nil || c.parts[n-1].valid != valid {
		c.parts = append(c.parts, calcPart{valid: valid})
		n++
	}
	p := &c.parts[n-1]
	for _, piece := range wirePieces([]field{*f}) {
		piece.off = p.bits
		p.pieces = append(p.pieces, piece)
		p.bits += piece.bits
	}
}

// output builds the input in the worker's scratch space and sums it.
func (c *calculation) output(w *Worker) uint64 {
	at := 0 // bits
	for i := range c.parts {
		p := &c.parts[i]
		if p.valid >= 0 && w.r[p.valid] == 0 {
			continue
		}
		at = p.append(w, at)
	}
	n := (at + 7) / 8
	if c.payload {
		buf := w.scratchBytes(n, len(w.payload))
		copy(buf[n:], w.payload)
		n += len(w.payload)
	}
	return c.sum(w.scratchBytes(0, n))
}

// append writes the part at the bit offset and returns the offset behind it.
func (p *calcPart) append(w *Worker, at int) int {
	size := p.bits
	if p.header != nil {
		size = p.header.length(w.r) * 8
	}
	first := at / 8
	buf := w.scratchBytes(first, (at+size+7)/8-first)
	switch {
	case at%8 == 0 && p.header != nil:
		p.header.emit(buf[first:], w.r)
		return at + size
	case at%8 == 0 && p.groups != nil:
		storeGroups(p.groups, buf[first:], w.r)
		return at + size
	case p.header != nil: // BMv2 asserts alignment; go on at the next byte
		return p.append(w, (at+7)/8*8)
	}
	clear(buf[(at+7)/8:])
	for _, piece := range p.pieces {
		putBits(buf, at+piece.off, piece.bits, w.r[piece.slot])
	}
	return at + size
}

// hashes are the algorithms by the names of BMv2's calculations.cpp.
var hashes = map[string]func(b []byte) uint64{
	"crc16":        crc16,
	"crc16_custom": crc16,
	"crc32":        func(b []byte) uint64 { return uint64(crc32.ChecksumIEEE(b)) },
	"crc32_custom": func(b []byte) uint64 { return uint64(crc32.ChecksumIEEE(b)) },
	"crcCCITT":     crcCCITT,
	"csum16":       csum16,
	"cksum16":      csum16,
	"xor16":        xor16,
	"identity":     identity,
	"random":       func([]byte) uint64 { return rand.Uint64() },
}

var crc16Table, ccittTable = func() (arc, ccitt [256]uint16) {
	for i := range 256 {
		a, c := uint16(i), uint16(i)<<8
		for range 8 {
			if a&1 != 0 {
				a = a>>1 ^ 0xa001
			} else {
				a >>= 1
			}
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		arc[i], ccitt[i] = a, c
	}
	return arc, ccitt
}()

// crc16 is CRC-16/ARC: polynomial 0x8005 reflected, start 0.
func crc16(b []byte) uint64 {
	crc := uint16(0)
	for _, x := range b {
		crc = crc>>8 ^ crc16Table[byte(crc)^x]
	}
	return uint64(crc)
}

// crcCCITT has polynomial 0x1021 and starts with 0xffff.
func crcCCITT(b []byte) uint64 {
	crc := uint16(0xffff)
	for _, x := range b {
		crc = crc<<8 ^ ccittTable[byte(crc>>8)^x]
	}
	return uint64(crc)
}

// csum16 is the Internet checksum (RFC 1071).
func csum16(b []byte) uint64 {
	var sum, carry uint64
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(last[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	sum += carry
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^sum & 0xffff
}

func xor16(b []byte) uint64 {
	var x uint64
	for len(b) >= 2 {
		x ^= uint64(b[0])<<8 | uint64(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		x ^= uint64(b[0]) << 8
	}
	return x
}

// identity is the first eight bytes.
func identity(b []byte) uint64 {
	var v uint64
	for _, x := range b[:min(len(b), 8)] {
		v = v<<8 | uint64(x)
	}
	return v
}
