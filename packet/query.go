package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Query asks who has an address, by ARP or by neighbour discovery: it is answered to who
// asks.
type Query struct {
	MAC    ether.MAC  // who asks
	Target netip.Addr // what it asks for, a host's address
	To     ether.MAC  // whom it asks; zero = all
	// Sender is who asks of ARP. Without one it is 0.0.0.0, and nobody takes who asks
	// for a neighbour: the form of RFC 5227 section 2.1.1. Of neighbour discovery it is
	// always the link-local address of the MAC.
	Sender netip.Addr
}

// Frame is the query, of 60 bytes at least. For a Target or Sender of the wrong family it
// is nil.
func (q Query) Frame() []byte {
	switch {
	case q.Target.Is4() && !q.Sender.IsValid():
		q.Sender = netip.IPv4Unspecified()
		fallthrough
	case q.Target.Is4() && q.Sender.Is4():
		if q.To.IsZero() {
			q.To = ether.Broadcast
		}
		return arpRequestTo(q.To, q.MAC, q.Sender, q.Target)
	case q.Target.Is6() && !q.Target.Is4In6():
		return q.solicitation()
	}
	return nil
}

// solicitation is a neighbour solicitation, RFC 4861 section 4.3: to the address itself
// where it asks one neighbour (section 7.2.2), else to the solicited-node address.
func (q Query) solicitation() []byte {
	destination := q.Target
	if q.To.IsZero() {
		t := q.Target.As16()
		// RFC 4291 section 2.7.1, RFC 2464 section 7.
		destination = netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, t[13], t[14], t[15]})
		q.To = ether.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}
	}
	return neighborMessage{ICMPv6NeighborSolicitation, 0, q.Target, optionSourceMAC}.frame(q.MAC, q.To,
		LinkLocal(q.MAC), destination)
}

// answersAHost are the flags of an answer by a host: solicited and override, and no
// router (RFC 4861 section 4.4).
const answersAHost = 0b011 << 29

// NeighborAdvertisement is a frame that answers a solicitation for the address of mac,
// which is no router's, to the neighbour that asked. Both addresses are IPv6.
func NeighborAdvertisement(mac ether.MAC, ip netip.Addr, to ether.MAC, asker netip.Addr) []byte {
	return neighborMessage{ICMPv6NeighborAdvertisement, answersAHost, ip, optionTargetMAC}.frame(mac, to,
		ip, asker)
}

// neighborMessage is a neighbour solicitation or advertisement with the MAC of its sender
// in an option.
type neighborMessage struct {
	kind   byte
	flags  uint32
	target netip.Addr
	option byte
}

func (m neighborMessage) frame(mac, to ether.MAC, source, destination netip.Addr) []byte {
	const length = neighborMessageLength + 8
	f := make([]byte, 0, EthernetLength+ipv6Length+length)
	f = append(f, to[:]...)
	f = append(f, mac[:]...)
	f = binary.BigEndian.AppendUint16(f, EtherTypeIPv6)
	f = append(f, 6<<4, 0, 0, 0, 0, length, icmpv6, ndHopLimit)
	f = append(f, source.AsSlice()...)
	f = append(f, destination.AsSlice()...)
	f = append(f, m.kind, 0, 0, 0)
	f = binary.BigEndian.AppendUint32(f, m.flags)
	f = append(f, m.target.AsSlice()...)
	f = append(f, m.option, 1)
	f = append(f, mac[:]...)
	binary.BigEndian.PutUint16(f[EthernetLength+ipv6Length+2:], ICMPv6Checksum(f[EthernetLength:]))
	return f
}
