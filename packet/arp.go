package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// The fields of RFC 826 for IPv4 over Ethernet.
const (
	arpLength  = 28
	arpForIPv4 = 0x0001_0800_0604 // hardware, protocol, lengths of their addresses
	arpRequest = 1
	arpReply   = 2
)

// ARPRequest is a frame by which sender asks all for target: of 60 bytes, padding
// included. For its own address it is an announcement (RFC 5227 section 2.3). Both
// are IPv4 addresses; for others the result is nil.
func ARPRequest(mac ether.MAC, sender, target netip.Addr) []byte {
	if !sender.Is4() || !target.Is4() {
		return nil
	}
	return arpRequestTo(ether.Broadcast, mac, sender, target)
}

// arpRequestTo is a request to one station or to all.
func arpRequestTo(to, mac ether.MAC, sender, target netip.Addr) []byte {
	f := make([]byte, 0, minFrame)
	f = append(f, to[:]...)
	f = append(f, mac[:]...)
	f = binary.BigEndian.AppendUint16(f, EtherTypeARP)
	f = binary.BigEndian.AppendUint64(f, arpForIPv4<<16|arpRequest)
	f = append(f, mac[:]...)
	f = append(f, sender.AsSlice()...)
	f = append(f, 0, 0, 0, 0, 0, 0) // whom it asks for
	f = append(f, target.AsSlice()...)
	return f[:minFrame]
}

// readARP reads requests and replies, RFC 826. A probe (RFC 5227) has no sender
// address.
func readARP(b []byte) (Sighting, bool) {
	if len(b) < arpLength || binary.BigEndian.Uint64(b)>>16 != arpForIPv4 {
		return Sighting{}, false
	}
	op := binary.BigEndian.Uint16(b[6:])
	if op != arpRequest && op != arpReply {
		return Sighting{}, false
	}
	s := Sighting{MAC: ether.MAC(b[8:14]), IP: netip.AddrFrom4([4]byte(b[14:18])), Answer: op == arpReply}
	if target := netip.AddrFrom4([4]byte(b[24:28])); op == arpRequest {
		s.Target = target
	}
	if s.IP.IsUnspecified() {
		s.IP, s.Answer = netip.Addr{}, false
		return s, true
	}
	return s, true
}
