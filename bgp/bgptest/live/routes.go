package live

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/ether"
)

// Leaf is what a raw peer advertises: stations behind one VTEP, in one VNI. Its route
// distinguisher is far from what the programs of others have, so that nothing that is made
// of their routes is one of its.
type Leaf struct {
	VTEP netip.Addr
	AS   uint32 // of the path; 0 for iBGP
	VNI  uint32
	RD   [8]byte
}

// NewLeaf makes the n-th leaf.
func NewLeaf(n byte, as uint32) *Leaf {
	return &Leaf{VTEP: netip.AddrFrom4([4]byte{10, 251, 0, n}), AS: as, VNI: 100,
		RD: [8]byte{0, 1, 251, 252, 253, n, 0xfe, 0xdc}}
}

// Target is the route target of all its routes.
func (l *Leaf) Target() [8]byte { return bgptest.RouteTarget(65002, 100) }

// Attributes are those of its routes, with more communities.
func (l *Leaf) Attributes(more ...[8]byte) bgptest.Attributes {
	a := bgptest.Attributes{NextHop: l.VTEP, Communities: append([][8]byte{l.Target(), bgptest.VXLAN()}, more...)}
	if l.AS != 0 {
		a.ASPath = []uint32{l.AS}
	} else {
		a.LocalPref = true
	}
	return a
}

// MAC is the address of a station.
func (l *Leaf) MAC(station uint32) ether.MAC {
	return ether.MAC{2, l.RD[5], byte(station >> 24), byte(station >> 16), byte(station >> 8), byte(station)}
}

// NLRI is that of a station.
func (l *Leaf) NLRI(station uint32) []byte {
	return bgptest.MACRoute(l.RD, 0, l.MAC(station), netip.Addr{}, l.VNI)
}

// Key is that of a station's route.
func (l *Leaf) Key(station uint32) bgp.Key { return bgp.MACKey(l.RD, l.MAC(station), netip.Addr{}) }

// Route is what the speaker is to make of it.
func (l *Leaf) Route(station uint32) bgp.Route {
	return bgp.Route{Key: l.Key(station), NextHop: l.VTEP, Label: l.VNI,
		RouteTargets: bgp.MakeRouteTargets(bgp.RouteTarget(l.Target()))}
}

// Stations are the routes of the first stations, and the UPDATEs that announce them.
func (l *Leaf) Stations(n uint32) (routes []bgp.Route, updates []byte) {
	const each = 16
	for first := uint32(0); first < n; first += each {
		var nlri [][]byte
		for i := first; i < min(n, first+each); i++ {
			nlri, routes = append(nlri, l.NLRI(i)), append(routes, l.Route(i))
		}
		updates = append(updates, bgptest.Update(l.Attributes(), nlri...)...)
	}
	return routes, updates
}
