package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// Sighting is what a frame of ARP or neighbour discovery says of its sender.
type Sighting struct {
	MAC    ether.MAC
	IP     netip.Addr // invalid if it says no address
	Router bool       // it asks for routers
}

// ReadSighting reads an untagged frame of ARP or neighbour discovery. The sender
// must be who sent the frame: nobody speaks for others here.
func ReadSighting(frame []byte) (Sighting, bool) {
	if len(frame) < EthernetLength {
		return Sighting{}, false
	}
	source := ether.MAC(frame[6:12])
	if source.IsZero() || source.IsMulticast() {
		return Sighting{}, false
	}
	var s Sighting
	ok := false
	switch binary.BigEndian.Uint16(frame[12:]) {
	case EtherTypeARP:
		s, ok = readARP(frame[EthernetLength:])
	case EtherTypeIPv6:
		s, ok = readND(frame[EthernetLength:])
	}
	if !ok || s.IP.IsValid() && s.MAC != source {
		return Sighting{}, false
	}
	s.MAC = source
	return s, true
}
