package check

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/packet"
)

// kind is what a frame carries.
type kind uint8

const (
	data kind = iota // of a local experiment (IEEE 802)
	ip               // a packet of RFC 3692's protocol for experiments
	arp              // a request, or an answer
	solicitation
	advertisement
	routers // a router's advertisement (reply), or a solicitation of one
)

// frame is what a station sends.
type frame struct {
	source, destination ether.MAC
	kind                kind
	from, to            netip.Addr // ip: addresses; arp: of the sender, that is asked for; nd: of the packet
	ttl                 uint8      // of ip
	reply               bool       // of arp and routers
	target              netip.Addr // of nd
	mac                 ether.MAC  // of arp: the sender's; of nd: in the option, zero = there is none
	asked               ether.MAC  // of arp: the target's
	flags               byte       // of an advertisement: router, solicited, override from the top
}

const (
	experimental = 0x88b5 // IEEE 802 OUI Extended Ethertype, local experiments
	experiment   = 253    // RFC 3692
	icmpv6       = 58
	payload      = 26
)

func (f *frame) etherType() uint16 {
	switch f.kind {
	case arp:
		return packet.EtherTypeARP
	case ip:
		if f.to.Is4() {
			return packet.EtherTypeIPv4
		}
		return packet.EtherTypeIPv6
	case solicitation, advertisement, routers:
		return packet.EtherTypeIPv6
	}
	return experimental
}

// bytes are the frame with a tag, none for 0.
func (f *frame) bytes(tag uint16) []byte {
	b := make([]byte, 0, 100)
	b = append(append(b, f.destination[:]...), f.source[:]...)
	if tag != 0 {
		b = binary.BigEndian.AppendUint16(append(b, 0x81, 0), tag)
	}
	b = binary.BigEndian.AppendUint16(b, f.etherType())
	switch f.kind {
	case ip:
		return f.appendIP(b)
	case arp:
		operation := byte(1)
		if f.reply {
			operation = 2
		}
		b = append(b, 0, 1, 8, 0, 6, 4, 0, operation)
		b = append(append(b, f.mac[:]...), f.from.AsSlice()...)
		b = append(append(b, f.asked[:]...), f.to.AsSlice()...)
		return append(b, make([]byte, 18)...)
	case solicitation, advertisement:
		return f.appendND(b)
	case routers:
		return f.appendRouters(b)
	}
	return append(b, make([]byte, 46)...)
}

func (f *frame) appendIP(b []byte) []byte {
	if f.to.Is4() {
		at := len(b)
		b = append(b, 0x45, 0, 0, 20+payload, 0, 0, 0, 0, f.ttl, experiment, 0, 0)
		b = append(append(b, f.from.AsSlice()...), f.to.AsSlice()...)
		binary.BigEndian.PutUint16(b[at+10:], packet.IPv4Checksum(b[at:]))
	} else {
		b = append(b, 0x60, 0, 0, 0, 0, payload, experiment, f.ttl)
		b = append(append(b, f.from.AsSlice()...), f.to.AsSlice()...)
	}
	return append(b, make([]byte, payload)...)
}

func (f *frame) appendND(b []byte) []byte {
	at, length := len(b), byte(24)
	if !f.mac.IsZero() {
		length = 32
	}
	b = append(b, 0x60, 0, 0, 0, 0, length, icmpv6, 255)
	b = append(append(b, f.from.AsSlice()...), f.to.AsSlice()...)
	typ, option := byte(packet.ICMPv6NeighborSolicitation), byte(1)
	if f.kind == advertisement {
		typ, option = packet.ICMPv6NeighborAdvertisement, 2
	}
	b = append(b, typ, 0, 0, 0, f.flags, 0, 0, 0)
	b = append(b, f.target.AsSlice()...)
	if !f.mac.IsZero() {
		b = append(append(b, option, 1), f.mac[:]...)
	}
	binary.BigEndian.PutUint16(b[at+42:], packet.ICMPv6Checksum(b[at:]))
	return b
}

// appendRouters appends a message without options (RFC 4861 sections 4.1, 4.2).
func (f *frame) appendRouters(b []byte) []byte {
	at, length, typ := len(b), byte(8), byte(packet.ICMPv6RouterSolicitation)
	if f.reply {
		length, typ = 16, packet.ICMPv6RouterAdvertisement
	}
	b = append(b, 0x60, 0, 0, 0, 0, length, icmpv6, 255)
	b = append(append(b, f.from.AsSlice()...), f.to.AsSlice()...)
	b = append(append(b, typ), make([]byte, length-1)...)
	binary.BigEndian.PutUint16(b[at+42:], packet.ICMPv6Checksum(b[at:]))
	return b
}

// discovery reports whether it is of neighbour discovery.
func (f *frame) discovery() bool {
	return f.kind == solicitation || f.kind == advertisement || f.kind == routers
}

// arrival is where a frame comes from: a port, with a tag, or a VTEP.
type arrival struct {
	port uint16
	tag  uint16 // 0 = none
	// By VXLAN from vtep to local, one of ours.
	vtep, local netip.Addr
	vni         uint32
}

func (a *arrival) vxlan() bool { return a.vtep.IsValid() }

// bytes are what arrives.
func (a *arrival) bytes(f *frame) []byte {
	if !a.vxlan() {
		return f.bytes(a.tag)
	}
	inner := f.bytes(0)
	b := make([]byte, 0, 50+len(inner))
	b = append(append(b, 2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 0xfd), 8, 0)
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(36+len(inner)))
	b = append(b, 0, 0, 0, 0, 64, 17, 0, 0)
	b = append(append(b, a.vtep.AsSlice()...), a.local.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], packet.IPv4Checksum(b[at:]))
	b = append(b, 0xc0, 0, 0x12, 0xb5) // to port 4789
	b = binary.BigEndian.AppendUint16(b, uint16(16+len(inner)))
	b = append(b, 0, 0, 8, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, a.vni<<8)
	return append(b, inner...)
}
