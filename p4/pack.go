package p4

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// packer appends fields in the widths that P4Info gives them: 9 and 12 bits
// take two bytes, a VNI three.
type packer []byte

func pack(id uint32) packer { return binary.BigEndian.AppendUint32(make(packer, 0, 24), id) }

func (p packer) u8(v uint8) packer             { return append(p, v) }
func (p packer) u16(v uint16) packer           { return binary.BigEndian.AppendUint16(p, v) }
func (p packer) u32(v uint32) packer           { return binary.BigEndian.AppendUint32(p, v) }
func (p packer) u64(v uint64) packer           { return binary.BigEndian.AppendUint64(p, v) }
func (p packer) vni(v uint32) packer           { return append(p, byte(v>>16), byte(v>>8), byte(v)) }
func (p packer) mac(m ether.MAC) packer        { return append(p, m[:]...) }
func (p packer) ternary(v, mask uint16) packer { return p.u16(v & mask).u16(mask) }
func (p packer) bit(v bool) packer {
	if v {
		return append(p, 1)
	}
	return append(p, 0)
}
func (p packer) key() Key     { return Key(p) }
func (p packer) value() Value { return Value(p) }

// ipv4 packs an IPv4 address; the zero address stands for one that is none,
// which validation keeps out.
func (p packer) ipv4(a netip.Addr) packer {
	var b [4]byte
	if a = a.Unmap(); a.Is4() {
		b = a.As4()
	}
	return append(p, b[:]...)
}

func (p packer) ipv6(a netip.Addr) packer {
	b := a.As16()
	return append(p, b[:]...)
}

// unpacker reads what packer wrote. A short input gives zeros: lengths are
// checked where a message comes in.
type unpacker []byte

func (u *unpacker) next(n int) []byte {
	b := make([]byte, n)
	*u = (*u)[copy(b, *u):]
	return b
}

func (u *unpacker) u8() uint8   { return u.next(1)[0] }
func (u *unpacker) bit() bool   { return u.u8() == 1 }
func (u *unpacker) u16() uint16 { return binary.BigEndian.Uint16(u.next(2)) }
func (u *unpacker) u32() uint32 { return binary.BigEndian.Uint32(u.next(4)) }
func (u *unpacker) u64() uint64 { return binary.BigEndian.Uint64(u.next(8)) }
func (u *unpacker) vni() uint32 {
	b := u.next(3)
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}
func (u *unpacker) mac() ether.MAC   { return ether.MAC(u.next(6)) }
func (u *unpacker) ipv4() netip.Addr { return netip.AddrFrom4([4]byte(u.next(4))) }
func (u *unpacker) ipv6() netip.Addr { return netip.AddrFrom16([16]byte(u.next(16))) }
