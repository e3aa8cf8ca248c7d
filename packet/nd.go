package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// ICMPv6 types of neighbour discovery, RFC 4861 section 4.
const (
	ICMPv6RouterSolicitation    = 133
	ICMPv6RouterAdvertisement   = 134
	ICMPv6NeighborSolicitation  = 135
	ICMPv6NeighborAdvertisement = 136
	ICMPv6Redirect              = 137
)

const (
	ndHopLimit            = 255 // RFC 4861 section 7.1: it crossed no router
	routerSolicitLength   = 8   // without options
	neighborMessageLength = 24
	optionSourceMAC       = 1
	optionTargetMAC       = 2
)

// ICMPv6Type is the type of the ICMPv6 message in an untagged frame, 0 (which
// none has) for all else. Nothing else of it is looked at.
func ICMPv6Type(frame []byte) byte {
	if len(frame) < EthernetLength+ipv6Length+4 || binary.BigEndian.Uint16(frame[12:]) != EtherTypeIPv6 {
		return 0
	}
	if packet := frame[EthernetLength:]; packet[0]>>4 == 6 && packet[6] == icmpv6 {
		return packet[ipv6Length]
	}
	return 0
}

// IsRouterSolicitation reports whether an untagged frame is a router solicitation
// that is valid (RFC 4861 section 6.1.1).
func IsRouterSolicitation(frame []byte) bool {
	if ICMPv6Type(frame) != ICMPv6RouterSolicitation {
		return false
	}
	source, message, ok := openND(frame[EthernetLength:])
	if !ok || message[1] != 0 {
		return false
	}
	saysMAC := false
	whole := eachOption(message[routerSolicitLength:], func(option []byte) {
		saysMAC = saysMAC || option[0] == optionSourceMAC
	})
	return whole && !(saysMAC && source.IsUnspecified())
}

// openND gives the source and the ICMPv6 message of a packet of neighbour
// discovery that is whole and came from this link: a message of 8 bytes at least.
func openND(b []byte) (source netip.Addr, message []byte, ok bool) {
	if len(b) < ipv6Length || b[0]>>4 != 6 || b[6] != icmpv6 || b[7] != ndHopLimit {
		return netip.Addr{}, nil, false
	}
	size := ipv6Length + int(binary.BigEndian.Uint16(b[4:])) // Ethernet pads short frames
	if size > len(b) || size < ipv6Length+routerSolicitLength || ICMPv6Checksum(b[:size]) != 0 {
		return netip.Addr{}, nil, false
	}
	return netip.AddrFrom16([16]byte(b[8:24])), b[ipv6Length:size], true
}

// eachOption gives the options, type and length included (RFC 4861 section 4.6),
// as far as they are whole, and reports whether all are.
func eachOption(options []byte, take func(option []byte)) bool {
	for len(options) > 0 {
		if len(options) < 8 || options[1] == 0 || int(options[1])*8 > len(options) {
			return false
		}
		length := int(options[1]) * 8
		take(options[:length])
		options = options[length:]
	}
	return true
}

// readND reads router solicitations, neighbour solicitations and neighbour
// advertisements, RFC 4861 section 4.
func readND(b []byte) (Sighting, bool) {
	source, message, ok := openND(b)
	if !ok {
		return Sighting{}, false
	}
	if message[0] == ICMPv6RouterSolicitation {
		s, ok := readOptions(source, optionSourceMAC, message[routerSolicitLength:])
		s.Router = true
		return s, ok
	}
	if len(message) < neighborMessageLength {
		return Sighting{}, false
	}
	switch message[0] {
	case ICMPv6NeighborSolicitation:
		return readOptions(source, optionSourceMAC, message[neighborMessageLength:])
	case ICMPv6NeighborAdvertisement:
		target := netip.AddrFrom16([16]byte(message[8:24]))
		return readOptions(target, optionTargetMAC, message[neighborMessageLength:])
	}
	return Sighting{}, false
}

// readOptions finds the link-layer address of ip. Without one, or for the
// unspecified address of duplicate address detection, it says nothing.
func readOptions(ip netip.Addr, want byte, options []byte) (Sighting, bool) {
	var s Sighting
	whole := eachOption(options, func(option []byte) {
		if option[0] == want && len(option) == 8 && !ip.IsUnspecified() {
			s = Sighting{MAC: ether.MAC(option[2:8]), IP: ip}
		}
	})
	if !whole {
		return Sighting{}, false
	}
	return s, !s.IP.IsValid() || IsHost(s.IP)
}
