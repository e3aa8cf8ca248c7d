package bgptest

import (
	"encoding/binary"
	"net/netip"
)

// Wants is a whole UPDATE message that asks for the routes with some route targets (RFC
// 4684 section 4); none asks for all. Internal has it come by iBGP.
func Wants(as uint32, nextHop netip.Addr, internal bool, targets ...[8]byte) []byte {
	b := attribute(nil, 0x40, 1, []byte{0})
	if internal {
		b = attribute(attribute(b, 0x40, 2, nil), 0x40, 5, []byte{0, 0, 0, 100})
	} else {
		b = attribute(b, 0x40, 2, binary.BigEndian.AppendUint32([]byte{2, 1}, as))
	}
	reach := append([]byte{0, 1, 132, byte(len(nextHop.AsSlice()))}, nextHop.AsSlice()...)
	return updateMessage(attribute(b, 0x80, 14, append(append(reach, 0), memberships(as, targets)...)))
}

// WantsNoMore is a whole UPDATE message that takes Wants back. Without targets it is the
// End-of-RIB of RT constraint.
func WantsNoMore(as uint32, targets ...[8]byte) []byte {
	unreach := []byte{0, 1, 132}
	if len(targets) > 0 {
		unreach = append(unreach, memberships(as, targets)...)
	}
	return updateMessage(attribute(nil, 0x80, 15, unreach))
}

// Refresh is a whole ROUTE-REFRESH message (RFC 2918 section 3).
func Refresh(f Family) []byte {
	return Message(RouteRefresh, []byte{byte(f.AFI >> 8), byte(f.AFI), 0, f.SAFI})
}

func memberships(as uint32, targets [][8]byte) []byte {
	if len(targets) == 0 {
		return []byte{0}
	}
	var b []byte
	for _, t := range targets {
		b = append(binary.BigEndian.AppendUint32(append(b, 96), as), t[:]...)
	}
	return b
}
