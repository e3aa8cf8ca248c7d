package netport

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Kinds of unsegmented frames (linux/virtio_net.h, gso_type).
const (
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDP   = 5    // UDP_L4: datagrams of one size, not fragments
	gsoECN   = 0x80 // flag

	vnetGSOSize = 4 // u16: payload bytes of a segment
)

const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd

	tcpFIN, tcpPSH, tcpCWR = 0x01, 0x08, 0x80
)

// segmenter cuts an unsegmented TCP or UDP frame, plain or within VXLAN, which
// a sender with segmentation offload left to the hardware, into the frames that
// the hardware would have sent.
type segmenter struct {
	frame    []byte
	outer    ipLayer // of the tunnel; l4 is 0 without one
	ip       ipLayer
	payload  int // offset
	size     int // payload bytes of a segment
	protocol byte

	done   int // payload bytes that were cut off
	number int // of the next segment
}

// ipLayer is where an IP header is in a frame.
type ipLayer struct {
	l3, l4 int // offsets of the IP header and of what it carries
	ipv6   bool
}

// newSegmenter checks the frame against its virtio_net_hdr; ok is false if
// they make no sense or the frame is of a kind that is not segmented here.
func newSegmenter(frame, vnet []byte) (s segmenter, ok bool) {
	host := binary.NativeEndian
	s = segmenter{frame: frame, size: int(host.Uint16(vnet[vnetGSOSize:]))}
	l4 := int(host.Uint16(vnet[vnetCsumStart:]))
	if vnet[vnetFlags]&vnetNeedsChecksum == 0 || s.size == 0 {
		return s, false
	}
	var protocol byte
	if s.ip, protocol, ok = parseIP(frame, 0); !ok {
		return s, false
	}
	if s.ip.l4 != l4 && protocol == unix.IPPROTO_UDP {
		inner := s.ip.l4 + udpHdrLen + vxlanHdrLen
		if s.ip.l4+udpHdrLen >= len(frame) || frame[s.ip.l4+udpHdrLen]&vxlanValidVNI == 0 {
			return s, false
		}
		s.outer = s.ip
		if s.ip, protocol, ok = parseIP(frame, inner); !ok {
			return s, false
		}
	}
	switch vnet[vnetGSOType] &^ gsoECN {
	case gsoTCPv4, gsoTCPv6:
		s.protocol = unix.IPPROTO_TCP
		if l4+tcpHdrLen > len(frame) {
			return s, false
		}
		s.payload = l4 + max(int(frame[l4+12]>>4)*4, tcpHdrLen)
	case gsoUDP:
		s.protocol = unix.IPPROTO_UDP
		s.payload = l4 + udpHdrLen
	}
	return s, s.ip.l4 == l4 && s.protocol != 0 && s.protocol == protocol && s.payload < len(frame)
}

const (
	tcpHdrLen     = 20
	udpHdrLen     = 8
	vxlanHdrLen   = 8
	vxlanValidVNI = 0x08 // flag I (RFC 7348 5)
)

// parseIP finds the IP header of the Ethernet frame at an offset, behind VLAN
// tags, and what it carries, behind the IPv6 extensions that may come before
// TCP and UDP.
func parseIP(frame []byte, at int) (ip ipLayer, protocol byte, ok bool) {
	typeAt := at + 12
	etherType := func() uint16 {
		if typeAt+2 > len(frame) {
			return 0
		}
		return binary.BigEndian.Uint16(frame[typeAt:])
	}
	for etherType() == unix.ETH_P_8021Q || etherType() == unix.ETH_P_8021AD {
		typeAt += vlanTagLen
	}
	ip.l3 = typeAt + 2
	switch {
	case etherType() == etherTypeIPv4 && ip.l3+20 <= len(frame):
		ip.l4 = ip.l3 + int(frame[ip.l3]&0xf)*4
		return ip, frame[ip.l3+9], ip.l4 >= ip.l3+20 && ip.l4 <= len(frame)
	case etherType() == etherTypeIPv6 && ip.l3+40 <= len(frame):
		ip.ipv6, ip.l4, protocol = true, ip.l3+40, frame[ip.l3+6]
		for protocol == unix.IPPROTO_HOPOPTS || protocol == unix.IPPROTO_ROUTING || protocol == unix.IPPROTO_DSTOPTS {
			if ip.l4+8 > len(frame) {
				return ip, 0, false
			}
			protocol, ip.l4 = frame[ip.l4], ip.l4+8+int(frame[ip.l4+1])*8
		}
		return ip, protocol, ip.l4 <= len(frame)
	}
	return ip, 0, false
}

// next writes the next segment to the start of buf and returns it; nil after
// the last, or if buf is too short.
func (s *segmenter) next(buf []byte) []byte {
	rest := s.frame[s.payload+s.done:]
	chunk := rest[:min(s.size, len(rest))]
	length := s.payload + len(chunk)
	if len(chunk) == 0 || length > len(buf) {
		return nil
	}
	out := buf[:length]
	copy(out, s.frame[:s.payload])
	copy(out[s.payload:], chunk)
	s.ip.fixHeader(out, s.number)
	if s.protocol == unix.IPPROTO_TCP {
		s.fixTCP(out[s.ip.l4:], len(chunk) == len(rest))
		s.ip.fixChecksum(out, s.protocol, 16)
	} else {
		s.ip.fixUDP(out)
	}
	if s.outer.l4 != 0 {
		s.outer.fixHeader(out, s.number)
		if binary.BigEndian.Uint16(out[s.outer.l4+6:]) == 0 {
			binary.BigEndian.PutUint16(out[s.outer.l4+4:], uint16(len(out)-s.outer.l4))
		} else {
			s.outer.fixUDP(out)
		}
	}
	s.done += len(chunk)
	s.number++
	return out
}

// fixHeader sets length, identification and checksum of the IP header of
// segment number of a frame.
func (ip ipLayer) fixHeader(out []byte, number int) {
	header := out[ip.l3:]
	if ip.ipv6 {
		binary.BigEndian.PutUint16(header[4:], uint16(len(header)-40))
		return
	}
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)))
	binary.BigEndian.PutUint16(header[4:], binary.BigEndian.Uint16(header[4:])+uint16(number))
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], ^onesComplementSum(header[:ip.l4-ip.l3]))
}

func (s *segmenter) fixTCP(tcp []byte, last bool) {
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(s.done))
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if s.number > 0 {
		tcp[13] &^= tcpCWR
	}
}

// fixUDP sets length and checksum of the UDP header.
func (ip ipLayer) fixUDP(out []byte) {
	binary.BigEndian.PutUint16(out[ip.l4+4:], uint16(len(out)-ip.l4))
	ip.fixChecksum(out, unix.IPPROTO_UDP, 6)
}

// fixChecksum computes the checksum of what the header carries, with the
// pseudo-header (RFC 9293 3.1, RFC 768, RFC 8200 8.1), into the field at an
// offset.
func (ip ipLayer) fixChecksum(out []byte, protocol byte, field int) {
	addresses := out[ip.l3+12 : ip.l3+20]
	if ip.ipv6 {
		addresses = out[ip.l3+8 : ip.l3+40]
	}
	segment := out[ip.l4:]
	binary.BigEndian.PutUint16(segment[field:], 0)
	sum := uint32(onesComplementSum(addresses)) + uint32(onesComplementSum(segment)) + uint32(protocol) +
		uint32(len(segment))
	sum = sum>>16 + sum&0xffff
	check := ^uint16(sum>>16 + sum&0xffff)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(segment[field:], check)
}
