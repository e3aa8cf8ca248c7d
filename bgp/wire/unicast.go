package wire

import (
	"fmt"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
)

// nextPrefix cuts the first prefix off (RFC 4271 section 4.3): a length in bits, and as
// many octets as it needs. Host bits mean nothing. ok is false where the length is too
// long for an address, or for what is left (RFC 7606 section 5.3).
func nextPrefix(b []byte, bits int) (p netip.Prefix, raw, rest []byte, ok bool) {
	n := int(b[0])
	size := (n + 7) / 8
	if n > bits || size > len(b)-1 {
		return p, nil, nil, false
	}
	var ip netip.Addr
	if bits == 32 {
		var a [4]byte
		copy(a[:], b[1:1+size])
		ip = netip.AddrFrom4(a)
	} else {
		var a [16]byte
		copy(a[:], b[1:1+size])
		ip = netip.AddrFrom16(a)
	}
	p, err := ip.Prefix(n)
	return p, b[:1+size], b[1+size:], err == nil
}

// unicastWithdrawals reports whether it could read them all.
func (u *Update) unicastWithdrawals(b []byte, bits int) bool {
	for len(b) > 0 {
		p, raw, rest, ok := nextPrefix(b, bits)
		if !ok {
			return false
		}
		if b = rest; bgp.IsUnicast(p) {
			u.UnicastUnreach = append(u.UnicastUnreach, p)
		} else {
			u.Faults = append(u.Faults, prefixFault(p, raw))
		}
	}
	return true
}

// unicastRoutes reports whether it could read them all. They are withdrawn if there is a
// fault of the whole, u.Faults[whole].
func (u *Update) unicastRoutes(b []byte, bits int, s *set, nextHop netip.Addr, whole int) bool {
	if whole == none && (!bgp.IsHost(nextHop) || nextHop.BitLen() != bits) {
		whole = u.add(&bgp.Fault{Reason: bgp.BadNextHop, Action: bgp.Withdrawn, What: "next hop " + nextHop.String()})
	}
	a := &s.attributes
	r := bgp.UnicastRoute{
		NextHop: nextHop, LocalPref: a.LocalPref, PathLength: int(a.PathLength), Origin: a.Origin, MED: a.MED,
		Internal: a.Internal,
	}
	for len(b) > 0 {
		p, raw, rest, ok := nextPrefix(b, bits)
		if !ok {
			return false
		}
		b = rest
		switch {
		case !bgp.IsUnicast(p):
			u.Faults = append(u.Faults, prefixFault(p, raw))
		case whole != none:
			u.Faults[whole].Routes++
			u.UnicastUnreach = append(u.UnicastUnreach, p)
		default:
			r.Prefix = p
			u.Unicast = append(u.Unicast, r)
		}
	}
	return true
}

func prefixFault(p netip.Prefix, raw []byte) bgp.Fault {
	return bgp.Fault{Reason: bgp.BadPrefix, Action: bgp.Discarded, Bytes: bgp.FirstBytes(raw), Routes: 1,
		What: fmt.Sprintf("prefix %v", p)}
}
