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
	routerAdvertLength    = 16  // the same
	neighborMessageLength = 24  // the same
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

// The flags of a neighbour advertisement, RFC 4861 section 4.4.
const (
	advertRouter    = 1 << 7
	advertSolicited = 1 << 6
	advertOverride  = 1 << 5
)

// readND reads solicitations and advertisements of routers and neighbours, RFC 4861 section
// 4, in a frame from a MAC, as far as section 7.1 (6.1 of routers') lets them count.
func readND(b []byte, from ether.MAC) (Sighting, bool) {
	source, message, ok := openND(b)
	if !ok || message[1] != 0 {
		return Sighting{}, false
	}
	switch message[0] {
	case ICMPv6RouterSolicitation:
		s, ok := readSolicitation(source, message[routerSolicitLength:])
		s.AsksRouters = true
		return s, ok
	case ICMPv6RouterAdvertisement:
		return readRouter(source, message, from)
	}
	if len(message) < neighborMessageLength {
		return Sighting{}, false
	}
	target := netip.AddrFrom16([16]byte(message[8:24]))
	if target.IsMulticast() {
		return Sighting{}, false
	}
	switch message[0] {
	case ICMPv6NeighborSolicitation:
		s, ok := readSolicitation(source, message[neighborMessageLength:])
		s.Target = target
		return s, ok
	case ICMPv6NeighborAdvertisement:
		toGroup := b[24] == 0xff // RFC 4291 section 2.7
		if toGroup && message[4]&advertSolicited != 0 {
			return Sighting{}, false
		}
		return readAdvertisement(target, message, from)
	}
	return Sighting{}, false
}

// readSolicitation finds who asks. It says nothing without its MAC, which a host that has
// no address yet must not give.
func readSolicitation(source netip.Addr, options []byte) (Sighting, bool) {
	mac, said, whole := readMAC(options, optionSourceMAC)
	switch {
	case !whole || said && source.IsUnspecified():
		return Sighting{}, false
	case !said:
		return Sighting{}, true
	}
	return Sighting{MAC: mac, IP: source}, true
}

// readAdvertisement takes what a neighbour says of an address. It may leave out its MAC when
// it was asked by it: then it has the one that it sends by, and says nothing of overriding
// (RFC 4861 sections 4.4 and 7.2.4).
func readAdvertisement(target netip.Addr, message []byte, from ether.MAC) (Sighting, bool) {
	mac, said, whole := readMAC(message[neighborMessageLength:], optionTargetMAC)
	if !whole {
		return Sighting{}, false
	}
	s := Sighting{MAC: mac, IP: target, Flags: FlagsKnown, Answer: message[4]&advertSolicited != 0}
	if message[4]&advertRouter != 0 {
		s.Flags |= FlagRouter
	}
	switch {
	case said:
		s.Flags |= FlagOverrideKnown
		if message[4]&advertOverride != 0 {
			s.Flags |= FlagOverride
		}
	case !s.Answer:
		return Sighting{}, true
	default:
		s.MAC = from
		s.Flags |= FlagOverride
	}
	return s, true
}

// readRouter takes that the sender of an advertisement is a router (RFC 4861 section
// 6.3.4); it may leave out its MAC.
func readRouter(source netip.Addr, message []byte, from ether.MAC) (Sighting, bool) {
	if len(message) < routerAdvertLength || !source.IsLinkLocalUnicast() {
		return Sighting{}, false
	}
	mac, said, whole := readMAC(message[routerAdvertLength:], optionSourceMAC)
	if !said {
		mac = from
	}
	return Sighting{MAC: mac, IP: source, Flags: FlagsKnown | FlagRouter | FlagOverride}, whole
}

// readMAC finds the last link-layer address of a kind, if there is one, and reports whether
// all options are whole.
func readMAC(options []byte, kind byte) (mac ether.MAC, said, whole bool) {
	whole = eachOption(options, func(option []byte) {
		if option[0] == kind && len(option) == 8 {
			mac, said = ether.MAC(option[2:8]), true
		}
	})
	return mac, said, whole
}
