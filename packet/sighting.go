package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Sighting is what a frame of ARP or neighbour discovery says of its sender.
type Sighting struct {
	MAC ether.MAC
	IP  netip.Addr // invalid if it says no address
	// Target is the address that it asks about. Without an IP it is a probe, whose sender
	// wants the address and would hear that it is taken (RFC 5227 section 2.1.1, RFC 4862
	// section 5.4.2); the same as IP in an announcement. Invalid if it asks for nobody.
	Target netip.Addr
	Flags  Flags // of IP; known if the frame says them
	// Answer is that the sender was asked: an ARP reply to one host, or a neighbour
	// advertisement that is solicited.
	Answer      bool
	AsksRouters bool // it is a router solicitation
}

// ReadSighting reads an untagged frame of ARP or neighbour discovery. The sender
// must be who sent the frame: nobody speaks for others here. Whether a host can have
// the addresses is not judged: they are what the frame says.
func ReadSighting(frame []byte) (Sighting, bool) {
	if len(frame) < EthernetLength {
		return Sighting{}, false
	}
	source := ether.MAC(frame[6:12])
	if source.IsZero() || source.IsMulticast() {
		return Sighting{}, false
	}
	var s Sighting
	ok, toGroup := false, frame[0]&1 != 0
	switch binary.BigEndian.Uint16(frame[12:]) {
	case EtherTypeARP:
		s, ok = readARP(frame[EthernetLength:])
		s.Answer = s.Answer && !toGroup
	case EtherTypeIPv6:
		s, ok = readND(frame[EthernetLength:], source)
	}
	if !ok || s.IP.IsValid() && s.MAC != source {
		return Sighting{}, false
	}
	s.MAC = source
	return s, true
}
