package p4rtserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// checkValue reports whether b is a binary string for bit<width> (8.3). Its
// error does not name the field.
func checkValue(b []byte, width int) error {
	if len(b) == 0 {
		return errEmptyValue
	}
	if bitLen(b) > width {
		return errWideValue(canonical(b), width)
	}
	return nil
}

var errEmptyValue = status.Error(codes.InvalidArgument, "the value is empty")

func errWideValue(b []byte, width int) error {
	shown := fmt.Sprintf("0x%x", b[:min(len(b), 20)])
	if len(b) > 20 {
		shown += "..."
	}
	return status.Errorf(codes.InvalidArgument, "the value %s does not fit %d bits", shown, width)
}

// bitLen is the number of bits that the value of b needs.
func bitLen(b []byte) int {
	for i, octet := range b {
		if octet != 0 {
			return 8*(len(b)-i-1) + bits.Len8(octet)
		}
	}
	return 0
}

// trim removes leading zeros; an empty string stays one.
func trim(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// canonical returns the shortest binary string of b's value (8.3); it shares
// b's bytes.
func canonical(b []byte) []byte {
	if len(b) == 0 {
		return []byte{0}
	}
	return trim(b)
}

// canonicalUint32 is the shortest binary string of v.
func canonicalUint32(v uint32) []byte {
	return canonical(binary.BigEndian.AppendUint32(nil, v))
}

// isMax reports whether b is the largest value of bit<width>.
func isMax(b []byte, width int) bool {
	if bitLen(b) != width {
		return false
	}
	ones := 0
	for _, octet := range b {
		ones += bits.OnesCount8(octet)
	}
	return ones == width
}

// allOnes is the largest value of bit<width>.
func allOnes(width int) []byte {
	b := make([]byte, (width+7)/8)
	for i := range b {
		b[i] = 0xff
	}
	if spare := len(b)*8 - width; spare > 0 {
		b[0] >>= spare
	}
	return b
}

func isZero(b []byte) bool { return bitLen(b) == 0 }

func sameValue(a, b []byte) bool { return bytes.Equal(canonical(a), canonical(b)) }

// bitWriter packs values of any width, most significant bit first.
type bitWriter struct {
	buf  []byte
	bits int
}

// write appends the low width bits of the big-endian value.
func (w *bitWriter) write(value []byte, width int) {
	for i := width - 1; i >= 0; i-- {
		if w.bits%8 == 0 {
			w.buf = append(w.buf, 0)
		}
		if octet := len(value) - 1 - i/8; octet >= 0 && value[octet]>>(i%8)&1 == 1 {
			w.buf[len(w.buf)-1] |= 0x80 >> (w.bits % 8)
		}
		w.bits++
	}
}

// readBits returns width bits of buf from bit offset on, right-aligned, in
// canonical form.
func readBits(buf []byte, offset, width int) []byte {
	out := make([]byte, (width+7)/8)
	for i := 0; i < width; i++ {
		if bit := offset + i; buf[bit/8]>>(7-bit%8)&1 == 1 {
			pos := width - 1 - i
			out[len(out)-1-pos/8] |= 1 << (pos % 8)
		}
	}
	return canonical(out)
}
