// Package packettest makes frames of ARP and neighbour discovery for tests: those that
// hosts send, byte by byte as the RFCs have them, and every shape that is malformed.
// It knows bytes and RFCs, and not how package packet reads or makes them.
package packettest

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Operations of ARP (RFC 826) and RARP (RFC 903).
const (
	Request        = 1
	Reply          = 2
	reverseRequest = 3
)

// Flags of a neighbour advertisement, RFC 4861 section 4.4.
const (
	Router    = 0x80
	Solicited = 0x40
	Override  = 0x20
)

const (
	etherTypeARP  = 0x0806
	etherTypeRARP = 0x8035
	etherTypeIPv6 = 0x86dd

	routerSolicitation  = 133
	routerAdvertisement = 134
	solicitation        = 135
	advertisement       = 136

	sourceMACOption = 1
	targetMACOption = 2

	ethernetLength = 14
	minFrame       = 60
	ipv6Length     = 40
	icmpv6         = 58
	linkHops       = 255
)

var allNodes, allRouters = netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2")

// ARP is a frame of ARP from sender with mac to everybody.
func ARP(operation uint16, mac ether.MAC, sender netip.Addr, targetMAC ether.MAC, target netip.Addr) []byte {
	return To(ether.Broadcast, arp(etherTypeARP, operation, mac, sender, targetMAC, target))
}

// RARP is what a hypervisor sends for a machine that came here: its MAC asks for its
// own address (RFC 903).
func RARP(mac ether.MAC) []byte {
	none := netip.IPv4Unspecified()
	return arp(etherTypeRARP, reverseRequest, mac, none, mac, none)
}

func arp(etherType, operation uint16, mac ether.MAC, sender netip.Addr, targetMAC ether.MAC,
	target netip.Addr) []byte {
	f := ethernet(ether.Broadcast, mac, etherType)
	f = append(f, 0, 1, 8, 0, 6, 4)
	f = binary.BigEndian.AppendUint16(f, operation)
	f = append(append(f, mac[:]...), sender.AsSlice()...)
	f = append(append(f, targetMAC[:]...), target.AsSlice()...)
	return padded(f)
}

// To gives a frame another destination.
func To(destination ether.MAC, frame []byte) []byte {
	copy(frame, destination[:])
	return frame
}

// Data is a frame of no protocol that anybody speaks (the EtherType is that for local
// experiments of IEEE 802).
func Data(source, destination ether.MAC) []byte { return padded(ethernet(destination, source, 0x88b5)) }

// NeighborAdvertisement says to all nodes, unasked, that target is at mac.
func NeighborAdvertisement(mac ether.MAC, target netip.Addr, flags byte) []byte {
	return ND(mac, target, allNodes, advertisementOf(target, flags, macOption(targetMACOption, mac)))
}

// NeighborSolicitation asks for target, from source with mac.
func NeighborSolicitation(mac ether.MAC, source, target netip.Addr) []byte {
	return ND(mac, source, SolicitedNode(target), solicitationOf(target, macOption(sourceMACOption, mac)))
}

// DADSolicitation asks for target before it is one's own (RFC 4862 section 5.4.2).
func DADSolicitation(mac ether.MAC, target netip.Addr) []byte {
	return ND(mac, netip.IPv6Unspecified(), SolicitedNode(target), solicitationOf(target))
}

// RouterAdvertisement says that from is a router for half an hour (RFC 4861 section 4.2).
func RouterAdvertisement(mac ether.MAC, from netip.Addr) []byte {
	m := []byte{routerAdvertisement, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	m = append(m, macOption(sourceMACOption, mac)...)
	return ND(mac, from, allNodes, m)
}

// RouterSolicitation asks all routers for one.
func RouterSolicitation(mac ether.MAC, from netip.Addr) []byte {
	m := append([]byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0}, macOption(sourceMACOption, mac)...)
	return ND(mac, from, allRouters, m)
}

// SolicitedNode is the multicast address of those who may have an address (RFC 4291
// section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b, of := netip.MustParseAddr("ff02::1:ff00:0").As16(), a.As16()
	copy(b[13:], of[13:])
	return netip.AddrFrom16(b)
}

// ND is a frame with an ICMPv6 message, whose checksum is set, to the MAC address of the
// destination if that is a group's (RFC 2464 section 7), and else to 02:ff:ff:ff:ff:ff.
func ND(source ether.MAC, from, to netip.Addr, message []byte) []byte {
	mac := ether.MAC{2, 255, 255, 255, 255, 255}
	if b := to.As16(); to.IsMulticast() {
		mac = ether.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	f := ethernet(mac, source, etherTypeIPv6)
	f = append(f, ipv6(from, to, icmpv6, linkHops, len(message))...)
	f = append(f, message...)
	return padded(Sum(f))
}

// Sum sets the checksum of the ICMPv6 message in a frame (RFC 4443 section 2.3).
func Sum(frame []byte) []byte {
	packet := frame[ethernetLength:]
	size := min(int(binary.BigEndian.Uint16(packet[4:])), len(packet)-ipv6Length)
	message := packet[ipv6Length : ipv6Length+size]
	if size < 4 {
		return frame
	}
	message[2], message[3] = 0, 0
	sum := uint32(size) + icmpv6
	for _, part := range [][]byte{packet[8:ipv6Length], message} {
		for i, b := range part {
			sum += uint32(b) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum))
	return frame
}

func ethernet(destination, source ether.MAC, etherType uint16) []byte {
	f := append(append(make([]byte, 0, 2*minFrame), destination[:]...), source[:]...)
	return binary.BigEndian.AppendUint16(f, etherType)
}

func ipv6(from, to netip.Addr, next, hops byte, payload int) []byte {
	h := binary.BigEndian.AppendUint16([]byte{6 << 4, 0, 0, 0}, uint16(payload))
	return append(append(append(h, next, hops), from.AsSlice()...), to.AsSlice()...)
}

func solicitationOf(target netip.Addr, options ...[]byte) []byte {
	return neighborMessage(solicitation, 0, target, options)
}

func advertisementOf(target netip.Addr, flags byte, options ...[]byte) []byte {
	return neighborMessage(advertisement, flags, target, options)
}

func neighborMessage(kind, flags byte, target netip.Addr, options [][]byte) []byte {
	m := append([]byte{kind, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice()...)
	for _, o := range options {
		m = append(m, o...)
	}
	return m
}

func macOption(kind byte, mac ether.MAC) []byte { return append([]byte{kind, 1}, mac[:]...) }

func padded(f []byte) []byte { return append(f, make([]byte, max(0, minFrame-len(f)))...) }
