package bgptest

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
)

// Attributes are what an UPDATE says of all its routes.
type Attributes struct {
	NextHop     netip.Addr
	ASPath      []uint32  // as one sequence
	LocalPref   bool      // 100, which an iBGP peer must send
	Communities [][8]byte // extended communities in their wire form
	PMSI        []byte    // value of the PMSI tunnel attribute, nil for none
	// OriginatorID and Clusters are those of a route reflector (RFC 4456 section 8).
	OriginatorID netip.Addr
	Clusters     []netip.Addr
	// Before and After are more attributes, as AppendAttribute encodes them, at either end
	// of the list.
	Before, After []byte
}

// Update is a whole UPDATE message that announces NLRI of l2vpn-evpn.
func Update(a Attributes, nlri ...[]byte) []byte {
	b := attribute(slices.Clone(a.Before), 0x40, 1, []byte{0}) // ORIGIN IGP
	var path []byte
	if len(a.ASPath) > 0 {
		path = []byte{2, byte(len(a.ASPath))}
		for _, as := range a.ASPath {
			path = binary.BigEndian.AppendUint32(path, as)
		}
	}
	b = attribute(b, 0x40, 2, path)
	if a.LocalPref {
		b = attribute(b, 0x40, 5, []byte{0, 0, 0, 100})
	}
	if a.OriginatorID.IsValid() {
		b = attribute(b, 0x80, 9, a.OriginatorID.AsSlice())
		var list []byte
		for _, id := range a.Clusters {
			list = append(list, id.AsSlice()...)
		}
		b = attribute(b, 0x80, 10, list)
	}
	reach := []byte{0, 25, 70, byte(len(a.NextHop.AsSlice()))}
	reach = append(reach, a.NextHop.AsSlice()...)
	reach = append(reach, 0)
	for _, n := range nlri {
		reach = append(reach, n...)
	}
	b = attribute(b, 0x80, 14, reach)
	if len(a.Communities) > 0 {
		var list []byte
		for _, c := range a.Communities {
			list = append(list, c[:]...)
		}
		b = attribute(b, 0xc0, 16, list)
	}
	if a.PMSI != nil {
		b = attribute(b, 0xc0, 22, a.PMSI)
	}
	return updateMessage(append(b, a.After...))
}

// Withdraw is a whole UPDATE message that withdraws NLRI; none makes it the
// End-of-RIB of l2vpn-evpn (RFC 4724 section 2).
func Withdraw(nlri ...[]byte) []byte {
	unreach := []byte{0, 25, 70}
	for _, n := range nlri {
		unreach = append(unreach, n...)
	}
	return updateMessage(attribute(nil, 0x80, 15, unreach))
}

func updateMessage(attributes []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attributes)))
	return Message(UpdateType, append(b, attributes...))
}

// AppendAttribute appends a path attribute (RFC 4271 section 4.3).
func AppendAttribute(b []byte, flags, typ byte, value []byte) []byte {
	return attribute(b, flags, typ, value)
}

func attribute(b []byte, flags, typ byte, value []byte) []byte {
	if len(value) > 255 || flags&extendedLength != 0 {
		b = append(b, flags|extendedLength, typ)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	} else {
		b = append(b, flags, typ, byte(len(value)))
	}
	return append(b, value...)
}

// MACRoute is the NLRI of a type-2 route (RFC 7432 section 7.2); ip may be the
// zero Addr.
func MACRoute(rd [8]byte, tag uint32, mac [6]byte, ip netip.Addr, labels ...uint32) []byte {
	b := append(make([]byte, 0, 64), rd[:]...)
	b = append(b, make([]byte, 10)...) // ESI
	b = binary.BigEndian.AppendUint32(b, tag)
	b = append(append(b, 48), mac[:]...)
	b = append(append(b, byte(ip.BitLen())), ip.AsSlice()...)
	for _, l := range labels {
		b = append(b, byte(l>>16), byte(l>>8), byte(l))
	}
	return Route(2, b)
}

// MulticastRoute is the NLRI of a type-3 route (RFC 7432 section 7.3).
func MulticastRoute(rd [8]byte, tag uint32, originator netip.Addr) []byte {
	b := append(make([]byte, 0, 32), rd[:]...)
	b = binary.BigEndian.AppendUint32(b, tag)
	b = append(append(b, byte(originator.BitLen())), originator.AsSlice()...)
	return Route(3, b)
}

// PrefixRoute is the NLRI of a type-5 route (RFC 9136 section 3.1); an invalid
// gateway is sent as zero.
func PrefixRoute(rd [8]byte, prefix netip.Prefix, gateway netip.Addr, label uint32) []byte {
	b := append(make([]byte, 0, 64), rd[:]...)
	b = append(b, make([]byte, 14)...) // ESI, Ethernet tag
	b = append(append(b, byte(prefix.Bits())), prefix.Addr().AsSlice()...)
	if !gateway.IsValid() {
		gateway = netip.IPv4Unspecified()
		if prefix.Addr().Is6() {
			gateway = netip.IPv6Unspecified()
		}
	}
	b = append(b, gateway.AsSlice()...)
	return Route(5, append(b, byte(label>>16), byte(label>>8), byte(label)))
}

// Route frames the NLRI of any route type.
func Route(typ byte, body []byte) []byte { return append([]byte{typ, byte(len(body))}, body...) }

// RouteTarget is the community of a 2-byte AS and a number.
func RouteTarget(as uint16, n uint32) [8]byte {
	c := [8]byte{0, 2}
	binary.BigEndian.PutUint16(c[2:], as)
	binary.BigEndian.PutUint32(c[4:], n)
	return c
}

// VXLAN is the encapsulation community (RFC 9012 section 4.1).
func VXLAN() [8]byte { return [8]byte{3, 12, 7: 8} }

// MACMobility is the community of RFC 7432 section 7.7.
func MACMobility(sequence uint32, sticky bool) [8]byte {
	c := [8]byte{6, 0}
	if sticky {
		c[2] = 1
	}
	binary.BigEndian.PutUint32(c[4:], sequence)
	return c
}

// RouterMAC is the community of RFC 9135 section 8.1.
func RouterMAC(mac [6]byte) [8]byte {
	c := [8]byte{6, 3}
	copy(c[2:], mac[:])
	return c
}

// IngressReplication is the value of a PMSI tunnel attribute (RFC 6514
// section 5) for VXLAN.
func IngressReplication(vni uint32, tunnel netip.Addr) []byte {
	return append([]byte{0, 6, byte(vni >> 16), byte(vni >> 8), byte(vni)}, tunnel.AsSlice()...)
}

// MACUpdates encodes n type-2 routes, MAC alone, with per NLRI in each UPDATE:
// the MACs are 02:00 and a number from first on, all of one VNI with RD and
// route target to match. It is the load of the benchmarks.
func MACUpdates(as uint32, nextHop netip.Addr, vni uint32, first, n, per int, more ...[8]byte) [][]byte {
	attrs := Attributes{
		NextHop:     nextHop,
		ASPath:      []uint32{as},
		Communities: append([][8]byte{RouteTarget(uint16(as), vni), VXLAN()}, more...),
	}
	var updates [][]byte
	for nlri := range macRoutes(nextHop, vni, first, n, per) {
		updates = append(updates, Update(attrs, nlri...))
	}
	return updates
}

// MACWithdrawals are the UPDATE messages that take back what MACUpdates announced.
func MACWithdrawals(nextHop netip.Addr, vni uint32, first, n, per int) [][]byte {
	var updates [][]byte
	for nlri := range macRoutes(nextHop, vni, first, n, per) {
		updates = append(updates, Withdraw(nlri...))
	}
	return updates
}

// macRoutes gives the routes of n MAC addresses, per at a time.
func macRoutes(nextHop netip.Addr, vni uint32, first, n, per int) iter.Seq[[][]byte] {
	rd := [8]byte{0, 1}
	a4 := nextHop.As4()
	copy(rd[2:], a4[:])
	binary.BigEndian.PutUint16(rd[6:], uint16(vni))
	return func(yield func([][]byte) bool) {
		for i := 0; i < n; i += per {
			var nlri [][]byte
			for j := i; j < min(i+per, n); j++ {
				mac := [6]byte{2}
				binary.BigEndian.PutUint32(mac[2:], uint32(first+j))
				nlri = append(nlri, MACRoute(rd, 0, mac, netip.Addr{}, vni))
			}
			if !yield(nlri) {
				return
			}
		}
	}
}

// ParseAttributes splits the body of an UPDATE into the values of its path
// attributes by type.
func ParseAttributes(body []byte) map[byte][]byte {
	m := make(map[byte][]byte)
	if len(body) < 4 {
		return m
	}
	withdrawn := int(binary.BigEndian.Uint16(body))
	if len(body) < 4+withdrawn {
		return m
	}
	b := body[4+withdrawn:]
	for len(b) >= 3 {
		typ, n, head := b[1], int(b[2]), 3
		if b[0]&0x10 != 0 && len(b) >= 4 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		if len(b) < head+n {
			break
		}
		m[typ] = b[head : head+n]
		b = b[head+n:]
	}
	return m
}
