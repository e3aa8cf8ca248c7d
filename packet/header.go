package packet

import (
	"encoding/binary"
	"net/netip"
)

// EtherTypes.
const (
	EtherTypeIPv4 = 0x0800 // RFC 894
	EtherTypeARP  = 0x0806 // RFC 826
	EtherTypeIPv6 = 0x86dd // RFC 2464 section 3
)

// EthernetLength is that of an untagged Ethernet header, in bytes.
const EthernetLength = 14

// VXLANOverhead is what encapsulation adds to an Ethernet frame within the MTU of
// an IPv4 underlay, in bytes: IPv4, UDP and VXLAN headers (RFC 7348 section 5).
// EthernetLength comes on top of it twice over: the outer frame is longer than the
// inner one by it, and the inner packet shorter than the inner frame.
const VXLANOverhead = 20 + 8 + 8

// TenantMTU is the largest IP packet of a tenant that crosses an IPv4 underlay of
// an MTU, in bytes: inside are its own Ethernet header and what VXLAN adds. 0 if
// none does, or the underlay's MTU is 0 for not known.
func TenantMTU(underlay int) uint16 {
	return uint16(max(0, min(underlay-EthernetLength-VXLANOverhead, 65535)))
}

const (
	minFrame   = 60 // without FCS, IEEE 802.3
	ipv4Length = 20 // of the header without options, RFC 791 section 3.1
	ipv6Length = 40 // of the header, RFC 8200 section 3
	icmpv6     = 58
)

// Destination is where an untagged frame with an IP packet is for.
func Destination(frame []byte) (netip.Addr, bool) {
	if len(frame) < EthernetLength {
		return netip.Addr{}, false
	}
	p := frame[EthernetLength:]
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == EtherTypeIPv4 && len(p) >= ipv4Length && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[16:20])), true
	case kind == EtherTypeIPv6 && len(p) >= ipv6Length && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[24:40])), true
	}
	return netip.Addr{}, false
}

// IPv4Checksum is that of RFC 791 section 3.1 over a header: what to put into the
// field when that is 0, and 0 when the field holds the right one.
func IPv4Checksum(header []byte) uint16 { return ^fold(sum(header)) }

// ICMPv6Checksum is that of RFC 4443 section 2.3 over an IPv6 packet without
// extension headers, of 40 bytes at least: what to put into the field when that is
// 0, and 0 when the field holds the right one.
func ICMPv6Checksum(packet []byte) uint16 {
	const addresses = 8
	return ^fold(uint64(len(packet)-ipv6Length) + icmpv6 + sum(packet[addresses:]))
}

// sum adds up 16-bit words; a last odd byte is the upper half of one.
func sum(b []byte) (sum uint64) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// fold makes a ones' complement sum of it, RFC 1071 section 1.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
