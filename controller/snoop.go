package controller

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// sighting is what a frame of ARP or neighbour discovery says of its sender.
type sighting struct {
	mac    ether.MAC
	ip     netip.Addr // invalid if it says no address
	router bool       // it asks for routers
}

// snoop learns from a copy of ARP or neighbour discovery who has which address.
func (l *loop) snoop(p p4.PacketIn) {
	b := l.bridges[p.Bridge]
	if b == nil || l.target.phase != phaseUp {
		return // before the read-back what is known of the MAC may be missing
	}
	s, ok := readSighting(p.Frame)
	if !ok {
		l.stats.badInput.Add(1)
		return
	}
	if s.router {
		l.deliver(p)
	}
	if !s.ip.IsValid() {
		return
	}
	if b.svi.guards(s.ip) {
		if s.mac != b.svi.mac {
			l.stats.forged.Add(1)
			l.log.Debug("a tenant claims the gateway's address", "bridge", b.ID, "address", s.ip, "mac", s.mac, "port", p.Port)
		}
		return
	}
	// The digest of a new MAC comes on its own, and may come later. That a MAC
	// moved here is for the digest alone to say: a copy may be older than the
	// move that took the MAC away.
	if b.macs[s.mac] == nil {
		l.learn(p4.Learn{Bridge: p.Bridge, MAC: s.mac, Port: p.Port})
	}
	if _, here := b.rankHere(s.mac); here {
		l.spoke(b, s.ip, s.mac)
	} else if len(b.heard) < maxAddresses {
		b.heard[s.mac] = s.ip
	}
}

// arrived takes what a MAC said before its digest did.
func (l *loop) arrived(b *bridge, mac ether.MAC) {
	if ip, ok := b.heard[mac]; ok {
		delete(b.heard, mac)
		l.spoke(b, ip, mac)
	}
}

// readSighting reads an untagged frame. The sender must be who sent the frame:
// nobody speaks for others here.
func readSighting(frame []byte) (sighting, bool) {
	if len(frame) < ethernetLength {
		return sighting{}, false
	}
	source := ether.MAC(frame[6:12])
	if source.IsZero() || source.IsMulticast() {
		return sighting{}, false
	}
	var s sighting
	ok := false
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		s, ok = readARP(frame[ethernetLength:])
	case etherIPv6:
		s, ok = readND(frame[ethernetLength:])
	}
	if !ok || s.ip.IsValid() && s.mac != source {
		return sighting{}, false
	}
	s.mac = source
	return s, true
}

// readARP reads requests and replies, RFC 826. A probe (RFC 5227) has no sender
// address.
func readARP(b []byte) (sighting, bool) {
	if len(b) < 28 || binary.BigEndian.Uint64(b)>>16 != 0x000108000604 {
		return sighting{}, false
	}
	if op := binary.BigEndian.Uint16(b[6:]); op != 1 && op != 2 {
		return sighting{}, false
	}
	s := sighting{mac: ether.MAC(b[8:14]), ip: netip.AddrFrom4([4]byte(b[14:18]))}
	if s.ip.IsUnspecified() {
		return sighting{}, true
	}
	return s, stationAddress(s.ip)
}

// readND reads router solicitations, neighbour solicitations and neighbour
// advertisements, RFC 4861 section 4.
func readND(b []byte) (sighting, bool) {
	if len(b) < ipv6HeaderLength || b[0]>>4 != 6 || b[6] != icmpv6 || b[7] != ndHopLimit {
		return sighting{}, false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	source, message := netip.AddrFrom16([16]byte(b[8:24])), b[ipv6HeaderLength:]
	if length > len(message) || length < solicitRouterMsgLength || checksum(b[8:ipv6HeaderLength], message[:length]) != 0xffff {
		return sighting{}, false
	}
	message = message[:length]
	if message[0] == routerSolicitation {
		s, ok := readOptions(source, optionSourceLinkLayer, message[solicitRouterMsgLength:])
		s.router = true
		return s, ok
	}
	if len(message) < neighborMessageLength {
		return sighting{}, false
	}
	switch message[0] {
	case neighborSolicitation:
		return readOptions(source, optionSourceLinkLayer, message[neighborMessageLength:])
	case neighborAdvertisement:
		target := netip.AddrFrom16([16]byte(message[8:24]))
		return readOptions(target, optionTargetLinkLayer, message[neighborMessageLength:])
	}
	return sighting{}, false
}

// readOptions finds the link-layer address of ip. Without one, or for the
// unspecified address of duplicate address detection, it says nothing.
func readOptions(ip netip.Addr, want byte, options []byte) (sighting, bool) {
	var s sighting
	for len(options) > 0 {
		if len(options) < 8 || options[1] == 0 || int(options[1])*8 > len(options) {
			return sighting{}, false
		}
		if options[0] == want && options[1] == 1 && !ip.IsUnspecified() {
			s = sighting{mac: ether.MAC(options[2:8]), ip: ip}
		}
		options = options[int(options[1])*8:]
	}
	return s, !s.ip.IsValid() || stationAddress(s.ip)
}

// checksum sums the ICMPv6 message with its pseudo-header (RFC 8200 section
// 8.1); 0xffff says that it is whole.
func checksum(addresses, message []byte) uint16 {
	sum := uint32(len(message)) + icmpv6
	for _, b := range [][]byte{addresses, message} {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
