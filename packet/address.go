package packet

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/ether"
)

// LinkLocal is the IPv6 link-local address that hosts, Linux among them, derive
// from a MAC (EUI-64, RFC 4291 appendix A).
func LinkLocal(m ether.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// IsHost reports whether a host on a network can have the address: a unicast one
// without a zone, link-local ones included. Of IPv4, 0.0.0.0/8 is "this network" (RFC
// 1122 section 3.2.1.3) and 240.0.0.0/4 is reserved (RFC 1112 section 4). What is no host's
// on a tenant's network has rules of its own where it is checked: VTEPs and router ids are
// IPv4 alone, a prefix is a set of addresses, and a subnet has two that are no host's.
func IsHost(a netip.Addr) bool {
	if a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) {
		return false
	}
	return a.IsValid() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a.Zone() == ""
}
