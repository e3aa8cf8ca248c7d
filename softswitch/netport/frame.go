package netport

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// struct virtio_net_hdr (linux/virtio_net.h), which PACKET_VNET_HDR puts
// before each frame, in host byte order for packet sockets.
const (
	vnetFlags      = 0 // u8
	vnetGSOType    = 1 // u8
	vnetCsumStart  = 6 // u16, from the start of the frame without its stripped tag
	vnetCsumOffset = 8 // u16, from vnetCsumStart

	vnetNeedsChecksum = 1
)

// completeChecksum does what the sender left to the hardware: the field holds
// the sum of the pseudo-header, and the sum over everything from csum_start
// goes there, complemented. It returns false if the field is not in the frame.
func completeChecksum(frame, vnet []byte) bool {
	start := int(binary.NativeEndian.Uint16(vnet[vnetCsumStart:]))
	field := start + int(binary.NativeEndian.Uint16(vnet[vnetCsumOffset:]))
	if start > len(frame) || field+2 > len(frame) {
		return false
	}
	sum := ^onesComplementSum(frame[start:])
	if sum == 0 {
		sum = 0xffff // for UDP 0 means "no checksum"; for the others both are zero
	}
	binary.BigEndian.PutUint16(frame[field:], sum)
	return true
}

// onesComplementSum is the sum of RFC 1071 over b, not complemented.
func onesComplementSum(b []byte) uint16 {
	var sum uint64
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// strippedTag returns the VLAN tag that the kernel took out of the frame in a
// slot, if it did.
func strippedTag(slot []byte, status uint32) (tpid, tci uint16, ok bool) {
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		return 0, 0, false
	}
	tpid = unix.ETH_P_8021Q
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = binary.NativeEndian.Uint16(slot[slotTPID:])
	}
	return tpid, binary.NativeEndian.Uint16(slot[slotTCI:]), true
}

// restoreTag puts a stripped VLAN tag back into the frame at slot[mac:], which
// has vlanTagLen bytes of headroom, and returns the longer frame.
func restoreTag(slot []byte, mac, length int, tpid, tci uint16) []byte {
	start := mac - vlanTagLen
	copy(slot[start:start+12], slot[mac:mac+12])
	binary.BigEndian.PutUint16(slot[start+12:], tpid)
	binary.BigEndian.PutUint16(slot[start+14:], tci)
	return slot[start : mac+length]
}
