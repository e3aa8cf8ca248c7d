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

// segmenter cuts an unsegmented TCP or UDP frame, which a sender with
// segmentation offload left to the hardware, into the frames that the
// hardware would have sent.
type segmenter struct {
	frame    []byte
	l3, l4   int // offsets of the IP and the TCP or UDP header
	payload  int // offset
	size     int // payload bytes of a segment
	protocol byte
	ipv6     bool

	done   int // payload bytes that were cut off
	number int // of the next segment
}

// newSegmenter checks the frame against its virtio_net_hdr; ok is false if
// they make no sense or the frame is of a kind that is not segmented here.
func newSegmenter(frame, vnet []byte) (s segmenter, ok bool) {
	host := binary.NativeEndian
	s = segmenter{frame: frame, l3: ethHdrLen, l4: int(host.Uint16(vnet[vnetCsumStart:])), size: int(host.Uint16(vnet[vnetGSOSize:]))}
	if vnet[vnetFlags]&vnetNeedsChecksum == 0 || s.size == 0 || len(frame) < ethHdrLen || !s.findIP() {
		return s, false
	}
	switch vnet[vnetGSOType] &^ gsoECN {
	case gsoTCPv4, gsoTCPv6:
		s.protocol = unix.IPPROTO_TCP
		if s.l4+20 > len(frame) {
			return s, false
		}
		headerLen := int(frame[s.l4+12]>>4) * 4
		s.payload = s.l4 + headerLen
		ok = headerLen >= 20
	case gsoUDP:
		s.protocol = unix.IPPROTO_UDP
		s.payload = s.l4 + 8
		ok = true
	}
	return s, ok && s.payload < len(frame)
}

// findIP skips VLAN tags and checks that the IP header lies before l4.
func (s *segmenter) findIP() bool {
	etherType := binary.BigEndian.Uint16(s.frame[12:])
	for etherType == unix.ETH_P_8021Q || etherType == unix.ETH_P_8021AD {
		if s.l3+vlanTagLen > len(s.frame) {
			return false
		}
		etherType = binary.BigEndian.Uint16(s.frame[s.l3+2:])
		s.l3 += vlanTagLen
	}
	s.ipv6 = etherType == etherTypeIPv6
	least := 20
	if s.ipv6 {
		least = 40
	}
	if !s.ipv6 && etherType != etherTypeIPv4 || s.l3+least > s.l4 || s.l4 > len(s.frame) {
		return false
	}
	return s.ipv6 || s.l3+int(s.frame[s.l3]&0xf)*4 == s.l4
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
	s.fixIP(out)
	if s.protocol == unix.IPPROTO_TCP {
		s.fixTCP(out, len(chunk) == len(rest))
	} else {
		binary.BigEndian.PutUint16(out[s.l4+4:], uint16(len(out)-s.l4))
	}
	s.fixChecksum(out)
	s.done += len(chunk)
	s.number++
	return out
}

func (s *segmenter) fixIP(out []byte) {
	ip := out[s.l3:]
	if s.ipv6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		return
	}
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(s.number))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^onesComplementSum(ip[:s.l4-s.l3]))
}

func (s *segmenter) fixTCP(out []byte, last bool) {
	tcp := out[s.l4:]
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(s.done))
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if s.number > 0 {
		tcp[13] &^= tcpCWR
	}
}

// fixChecksum computes the TCP or UDP checksum with the pseudo-header (RFC 793
// 3.1, RFC 768, RFC 8200 8.1).
func (s *segmenter) fixChecksum(out []byte) {
	addresses := out[s.l3+12 : s.l3+20]
	if s.ipv6 {
		addresses = out[s.l3+8 : s.l3+40]
	}
	field := s.l4 + 16
	if s.protocol == unix.IPPROTO_UDP {
		field = s.l4 + 6
	}
	binary.BigEndian.PutUint16(out[field:], 0)
	var fixed [4]byte
	fixed[1] = s.protocol
	binary.BigEndian.PutUint16(fixed[2:], uint16(len(out)-s.l4))
	sum := uint32(onesComplementSum(addresses)) + uint32(onesComplementSum(fixed[:])) + uint32(onesComplementSum(out[s.l4:]))
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	check := ^uint16(sum)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(out[field:], check)
}
