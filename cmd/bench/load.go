package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp/bgptest"
)

// The numbers of the first addresses of hosts and of prefixes.
const (
	firstTenant = 100<<24 + 64<<16 + 256
	firstPrefix = 20 << 24
)

// macIPUpdates encodes n type-2 routes with MAC and IP, as a leaf with
// symmetric IRB sends them: both VNIs, both route targets, its router MAC.
func macIPUpdates(n, per int) [][]byte {
	return routedUpdates(n, per, []uint32{firstVNI, l3VNI}, func(rd [8]byte, i int) []byte {
		return bgptest.MACRoute(rd, 0, stationMAC(uint32(i)), tenantAddress(i), firstVNI, l3VNI)
	})
}

// prefixUpdates encodes n type-5 routes of /24 prefixes.
func prefixUpdates(n, per int) [][]byte {
	return routedUpdates(n, per, []uint32{l3VNI}, func(rd [8]byte, i int) []byte {
		p := netip.PrefixFrom(address(firstPrefix+uint32(i)<<8), 24)
		return bgptest.PrefixRoute(rd, p, netip.Addr{}, l3VNI)
	})
}

// routedUpdates encodes the NLRI of n routes with per of them in each UPDATE,
// which has the route targets of some VNIs.
func routedUpdates(n, per int, vnis []uint32, nlri func(rd [8]byte, i int) []byte) [][]byte {
	rd := [8]byte{0, 1}
	next := vtep(0).As4()
	copy(rd[2:], next[:])
	binary.BigEndian.PutUint16(rd[6:], uint16(vnis[0]))
	attributes := bgptest.Attributes{
		NextHop: vtep(0), ASPath: []uint32{leafAS},
		Communities: [][8]byte{bgptest.VXLAN(), bgptest.RouterMAC(leafRouterMAC)},
	}
	for _, vni := range vnis {
		attributes.Communities = append(attributes.Communities, bgptest.RouteTarget(leafAS, vni))
	}
	var updates [][]byte
	for i := 0; i < n; i += per {
		var routes [][]byte
		for j := i; j < min(i+per, n); j++ {
			routes = append(routes, nlri(rd, j))
		}
		updates = append(updates, bgptest.Update(attributes, routes...))
	}
	return updates
}

// tenantAddress is the n-th host address of the SVI's subnet.
func tenantAddress(n int) netip.Addr { return address(firstTenant + uint32(n)) }

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}
