package pipeline

import "encoding/binary"

// wireLayout says how a header's fields lie in the packet. Fields are cut
// into pieces of at most a word, and pieces are gathered into groups that
// begin and end on a byte: one load serves a group. Pieces that fit no group
// of 64 bits are moved bit by bit.
type wireLayout struct {
	head []wireGroup // fixed offsets from the header's start
	tail []wireGroup // behind the varbit field, offsets from its end
	slow []wirePiece // in head's coordinates
	rest []wirePiece // in tail's
}

type wireGroup struct {
	off   int
	bytes uint8 // 1..8
	// slot is the only field's, where pieces is empty.
	slot   int
	pieces []wirePiece
}

type wirePiece struct {
	slot  int
	bits  int
	shift uint8 // from the group's low end
	mask  uint64
	off   int // bits from the start; for the slow ones
}

func newWireLayout(h *header) wireLayout {
	var w wireLayout
	cut := len(h.fields)
	if h.vl >= 0 {
		cut = h.vl
	}
	w.head, w.slow = groupPieces(wirePieces(h.fields[:cut]))
	if h.vl >= 0 {
		w.tail, w.rest = groupPieces(wirePieces(h.fields[h.vl+1:]))
	}
	return w
}

// wirePieces cuts fields into words, in wire order.
func wirePieces(fields []field) []wirePiece {
	var out []wirePiece
	off := 0
	for i := range fields {
		f := &fields[i]
		for w := f.words - 1; w >= 0; w-- {
			bits := 64
			if w == f.words-1 && f.bits%64 != 0 {
				bits = f.bits % 64
			}
			out = append(out, wirePiece{slot: f.slot + w, bits: bits, off: off, mask: topMask(bits)})
			off += bits
		}
	}
	return out
}

func groupPieces(pieces []wirePiece) (groups []wireGroup, slow []wirePiece) {
	for i := 0; i < len(pieces); {
		n, bits, whole := 0, 0, 0
		for j := i; j < len(pieces) && bits+pieces[j].bits <= 64; j++ {
			bits += pieces[j].bits
			if bits%8 == 0 {
				n, whole = j-i+1, bits
			}
		}
		if n == 0 || pieces[i].off%8 != 0 {
			slow = append(slow, pieces[i])
			i++
			continue
		}
		groups = append(groups, newWireGroup(pieces[i:i+n], whole))
		i += n
	}
	return groups, slow
}

func newWireGroup(pieces []wirePiece, bits int) wireGroup {
	g := wireGroup{off: pieces[0].off / 8, bytes: uint8(bits / 8), slot: pieces[0].slot}
	if len(pieces) == 1 {
		return g
	}
	for _, p := range pieces {
		bits -= p.bits
		p.shift = uint8(bits)
		g.pieces = append(g.pieces, p)
	}
	return g
}

// load reads the groups from b, which holds all of them, into r.
func loadGroups(groups []wireGroup, b []byte, r []uint64) {
	for i := range groups {
		g := &groups[i]
		v := loadBytes(b[g.off:], g.bytes)
		if g.pieces == nil {
			r[g.slot] = v
			continue
		}
		for j := range g.pieces {
			p := &g.pieces[j]
			r[p.slot] = v >> (p.shift & 63) & p.mask
		}
	}
}

// storeGroups writes the groups from r to b.
func storeGroups(groups []wireGroup, b []byte, r []uint64) {
	for i := range groups {
		g := &groups[i]
		v := r[g.slot]
		if g.pieces != nil {
			v = 0
			for j := range g.pieces {
				p := &g.pieces[j]
				v |= r[p.slot] << (p.shift & 63)
			}
		}
		storeBytes(b[g.off:], g.bytes, v)
	}
}

func loadBytes(b []byte, n uint8) uint64 {
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 3:
		return uint64(binary.BigEndian.Uint16(b))<<8 | uint64(b[2])
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 5:
		return uint64(binary.BigEndian.Uint32(b))<<8 | uint64(b[4])
	case 6:
		return uint64(binary.BigEndian.Uint32(b))<<16 | uint64(binary.BigEndian.Uint16(b[4:]))
	case 7:
		return uint64(binary.BigEndian.Uint32(b))<<24 | uint64(binary.BigEndian.Uint32(b[3:]))&0xffffff
	}
	return binary.BigEndian.Uint64(b)
}

func storeBytes(b []byte, n uint8, v uint64) {
	switch n {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.BigEndian.PutUint16(b, uint16(v))
	case 3:
		binary.BigEndian.PutUint16(b, uint16(v>>8))
		b[2] = byte(v)
	case 4:
		binary.BigEndian.PutUint32(b, uint32(v))
	case 5:
		binary.BigEndian.PutUint32(b, uint32(v>>8))
		b[4] = byte(v)
	case 6:
		binary.BigEndian.PutUint32(b, uint32(v>>16))
		binary.BigEndian.PutUint16(b[4:], uint16(v))
	case 7:
		binary.BigEndian.PutUint32(b, uint32(v>>24))
		b[4], b[5], b[6] = byte(v>>16), byte(v>>8), byte(v)
	default:
		binary.BigEndian.PutUint64(b, v)
	}
}

// getBits reads n (1..64) bits that start off bits into b.
func getBits(b []byte, off, n int) uint64 {
	var v uint64
	for n > 0 {
		have := 8 - off%8
		take := min(have, n)
		part := uint64(b[off/8]) >> (have - take) & (1<<take - 1)
		v = v<<take | part
		off += take
		n -= take
	}
	return v
}

// putBits writes the low n bits of v at off bits into b, and leaves the rest.
func putBits(b []byte, off, n int, v uint64) {
	for n > 0 {
		room := 8 - off%8
		take := min(room, n)
		n -= take
		part := byte(v>>n) & byte(1<<take-1)
		shift := room - take
		mask := byte(1<<take-1) << shift
		b[off/8] = b[off/8]&^mask | part<<shift
		off += take
	}
}

func loadSlow(pieces []wirePiece, b []byte, r []uint64) {
	for _, p := range pieces {
		r[p.slot] = getBits(b, p.off, p.bits)
	}
}

func storeSlow(pieces []wirePiece, b []byte, r []uint64) {
	for _, p := range pieces {
		putBits(b, p.off, p.bits, r[p.slot])
	}
}

// extract reads a header without varbit field, or whose varbit field is vlen
// bytes long; b holds all of it.
func (h *header) extract(b []byte, r []uint64, vlen int) {
	loadGroups(h.wire.head, b, r)
	if h.wire.slow != nil {
		loadSlow(h.wire.slow, b, r)
	}
	if h.vl < 0 {
		return
	}
	f := &h.fields[h.vl]
	start := f.wireOffset()
	r[f.slot] = uint64(vlen) * 8
	body := r[f.slot+1 : f.slot+f.words]
	data := b[start : start+vlen]
	for i := range body {
		switch {
		case len(data) >= 8:
			body[i] = binary.BigEndian.Uint64(data)
			data = data[8:]
		case len(data) > 0:
			body[i] = loadBytes(data, uint8(len(data))) << (64 - 8*len(data))
			data = nil
		default:
			body[i] = 0
		}
	}
	loadGroups(h.wire.tail, b[start+vlen:], r)
	loadSlow(h.wire.rest, b[start+vlen:], r)
}

// wireOffset is where a varbit field starts in its header, in bytes.
func (f *field) wireOffset() int {
	bits := 0
	for i := range f.header.fields {
		if o := &f.header.fields[i]; o.slot < f.slot {
			bits += o.bits
		}
	}
	return bits / 8
}

// length is the header's present length in bytes.
func (h *header) length(r []uint64) int {
	if h.vl < 0 {
		return h.bytes
	}
	return h.bytes + int(r[h.fields[h.vl].slot]/8)
}

// emit writes the header into b, which is length(r) bytes long.
func (h *header) emit(b []byte, r []uint64) {
	storeGroups(h.wire.head, b, r)
	if h.wire.slow != nil {
		storeSlow(h.wire.slow, b, r)
	}
	if h.vl < 0 {
		return
	}
	f := &h.fields[h.vl]
	start, vlen := f.wireOffset(), int(r[f.slot]/8)
	data := b[start : start+vlen]
	for _, v := range r[f.slot+1 : f.slot+f.words] {
		if len(data) < 8 {
			for i := range data {
				data[i] = byte(v >> (56 - 8*i))
			}
			break
		}
		binary.BigEndian.PutUint64(data, v)
		data = data[8:]
	}
	storeGroups(h.wire.tail, b[start+vlen:], r)
	storeSlow(h.wire.rest, b[start+vlen:], r)
}
