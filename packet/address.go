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
// without a zone, link-local ones included. What is no host's on a tenant's network
// has rules of its own where it is checked: VTEPs and router ids are IPv4 alone, a
// prefix is a set of addresses.
func IsHost(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && a.Zone() == ""
}
