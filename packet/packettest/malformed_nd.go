package packettest

import (
	"bytes"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Where the fields of ND are in a frame, RFC 8200 section 3 and RFC 4861 section 4.
const (
	ipv6PayloadLength = 18
	ipv6NextHeader    = 20
	ipv6HopLimit      = 21
	messageAt         = ethernetLength + ipv6Length
)

// message is a right one, whose only option is the MAC.
type message struct {
	name   string
	length int // without the option
	right  func() []byte
}

func (m message) optionsAt() int { return messageAt + m.length }

// malformedND breaks each rule of RFC 4861 sections 6.1 and 7.1, of RFC 6980, and of
// the headers before.
func malformedND(mac ether.MAC, v6 netip.Addr) (s shapes) {
	router := netip.MustParseAddr("fe80::99")
	for _, m := range []message{
		{"NA", 24, func() []byte { return NeighborAdvertisement(mac, v6, Override) }},
		{"NS", 24, func() []byte { return NeighborSolicitation(mac, v6, router) }},
		{"RA", 16, func() []byte { return RouterAdvertisement(mac, router) }},
		{"RS", 8, func() []byte { return RouterSolicitation(mac, v6) }},
	} {
		brokenHeaders(&s, m.name, m.right)
		brokenMessages(&s, m)
		brokenOptions(&s, m)
		hidden(&s, m.name, m.right)
		for _, source := range noStations {
			f := m.right()
			copy(f[6:], source[:])
			s.add(f, "%s: sent by %s", m.name, source)
		}
		for _, other := range strangers(mac) {
			f := m.right()
			copy(f[m.optionsAt()+2:], other[:])
			s.add(Sum(f), "%s: for %s, sent by %s", m.name, other, mac)
		}
	}
	s.add(NeighborAdvertisement(mac, v6, Override|Solicited), "NA: solicited, to all nodes (section 7.1.2)")
	s.add(ND(mac, v6, allNodes, advertisementOf(netip.MustParseAddr("ff02::99"), Override,
		macOption(targetMACOption, mac))), "NA: for a group (section 7.1.2)")
	s.add(ND(mac, v6, SolicitedNode(v6), solicitationOf(netip.MustParseAddr("ff02::99"),
		macOption(sourceMACOption, mac))), "NS: for a group (section 7.1.1)")
	s.add(ND(mac, netip.IPv6Unspecified(), SolicitedNode(v6), solicitationOf(v6, macOption(sourceMACOption, mac))),
		"NS: from :: with a MAC (section 7.1.1)")
	s.add(ND(mac, netip.IPv6Unspecified(), allNodes, solicitationOf(v6)), "NS: from :: to all nodes (section 7.1.1)")
	s.add(RouterAdvertisement(mac, v6), "RA: not from a link-local address (section 6.1.2)")
	s.add(RouterSolicitation(mac, netip.IPv6Unspecified()), "RS: from :: with a MAC (section 6.1.1)")
	s.add(ND(mac, v6, allNodes, []byte{137, 0, 0, 0, 0, 0, 0, 0}), "redirect without addresses (section 8.1)")
	return s
}

func brokenHeaders(s *shapes, name string, right func() []byte) {
	for _, hops := range []byte{0, 1, 64, 254} {
		s.add(put8(right(), ipv6HopLimit, hops), "%s: hop limit %d", name, hops)
	}
	for _, version := range []byte{0, 4, 5, 7, 15} {
		s.add(put8(right(), ethernetLength, version<<4), "%s: IP version %d", name, version)
	}
	for _, next := range []byte{0, 6, 17, 59} {
		s.add(put8(right(), ipv6NextHeader, next), "%s: next header %d", name, next)
	}
	for _, size := range []uint16{0, 1, 4, 7, 23, 31, 33, 1000, 0xffff} {
		s.add(put16(right(), ipv6PayloadLength, size), "%s: payload length %d", name, size)
		s.add(Sum(put16(right(), ipv6PayloadLength, size)), "%s: payload length %d, checksum of what is there", name, size)
	}
	for n := ethernetLength; n < len(right()); n++ {
		s.add(right()[:n], "%s: a frame of %d bytes", name, n)
	}
}

func brokenMessages(s *shapes, m message) {
	name, right := m.name, m.right
	for _, code := range []byte{1, 127, 255} {
		s.add(Sum(put8(right(), messageAt+1, code)), "%s: code %d", name, code)
	}
	for _, kind := range []byte{0, 1, 128, 129, 132, 138, 255} {
		s.add(Sum(put8(right(), messageAt, kind)), "%s as ICMPv6 type %d", name, kind)
	}
	for _, bit := range []byte{1, 0x80} {
		f := right()
		f[messageAt+2] ^= bit
		s.add(f, "%s: checksum off by %#x", name, bit)
	}
	for size := range m.length { // cut, and everything says so
		f := put16(right()[:messageAt+size], ipv6PayloadLength, uint16(size))
		s.add(padded(Sum(f)), "%s: a message of %d bytes", name, size)
	}
}

func brokenOptions(s *shapes, m message) {
	name, right, optionsAt := m.name, m.right, m.optionsAt()
	for _, length := range []byte{0, 2, 5, 255} {
		s.add(Sum(put8(right(), optionsAt+1, length)), "%s: an option of length %d", name, length)
	}
	for size := 1; size < 8; size++ {
		f := put16(right()[:optionsAt+size], ipv6PayloadLength, uint16(m.length+size))
		s.add(Sum(f), "%s: %d bytes of an option", name, size)
	}
	s.add(m.withOptions([]byte{14, 0, 0, 0, 0, 0, 0, 0}), "%s: an option of length 0 after the MAC", name)
	s.add(m.withOptions([]byte{14, 2, 0, 0, 0, 0, 0, 0}), "%s: an option beyond the end after the MAC", name)
	s.add(m.withOptions(append(bytes.Repeat([]byte{14, 1, 0, 0, 0, 0, 0, 0}, 150), 14, 0, 0, 0, 0, 0, 0, 0)),
		"%s: 150 options, and one of length 0", name)
}

// withOptions adds to the options of a message.
func (m message) withOptions(options []byte) []byte {
	f := append(m.right()[:m.optionsAt()+8], options...)
	return Sum(put16(f, ipv6PayloadLength, uint16(m.length+8+len(options))))
}

// hidden puts what RFC 6980 section 5 forbids before the message: a fragment header, and
// other extension headers, which nothing of neighbour discovery has.
func hidden(s *shapes, name string, right func() []byte) {
	for _, h := range []struct {
		name string
		kind byte
	}{{"hop-by-hop options", 0}, {"a routing header", 43}, {"a fragment header", 44}, {"destination options", 60}} {
		f := right()
		header := []byte{icmpv6, 0, 1, 4, 0, 0, 0, 0} // PadN of 4 bytes, where it is options
		if h.kind == 44 {
			header = []byte{icmpv6, 0, 0, 0, 0, 0, 0, 7}
		}
		whole := append(append(bytes.Clone(f[:messageAt]), header...), f[messageAt:]...)
		whole[ipv6NextHeader] = h.kind
		s.add(put16(whole, ipv6PayloadLength, uint16(len(f)-messageAt+8)), "%s: behind %s", name, h.name)
	}
}
