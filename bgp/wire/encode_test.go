package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// This is the way back, for tests alone: what a decoder makes of it is what it was made
// of. Its bytes are held against tshark's reading of them in tshark_test.go.

// attr is a path attribute with its header.
func attr(flags, code byte, value ...byte) []byte {
	if len(value) > 255 {
		b := binary.BigEndian.AppendUint16([]byte{flags | extendedLength, code}, uint16(len(value)))
		return append(b, value...)
	}
	return append([]byte{flags, code, byte(len(value))}, value...)
}

// body is that of an UPDATE (RFC 4271 section 4.3).
func body(withdrawn, attributes, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attributes)))
	return append(append(b, attributes...), nlri...)
}

// reach is MP_REACH_NLRI (RFC 4760 section 3).
func reach(f Family, nextHop []byte, nlri ...[]byte) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, f.AFI), f.SAFI, byte(len(nextHop)))
	b = append(append(b, nextHop...), 0)
	return attr(optional, attrMPReach, append(b, slices.Concat(nlri...)...)...)
}

// unreach is MP_UNREACH_NLRI (RFC 4760 section 4).
func unreach(f Family, nlri ...[]byte) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, f.AFI), f.SAFI)
	return attr(optional, attrMPUnreach, append(b, slices.Concat(nlri...)...)...)
}

// encode is the body of an UPDATE that announces routes to the session.
func encode(s *Session, a *bgp.Attributes, nlri ...bgp.NLRI) []byte {
	b := reach(EVPN, a.NextHop.AsSlice(), encodeNLRI(nlri...))
	return body(nil, append(b, encodeAttributes(s, a)...), nil)
}

// encodeAttributes gives all but MP_REACH_NLRI.
func encodeAttributes(s *Session, a *bgp.Attributes) []byte {
	b := attr(transitive, attrOrigin, a.Origin)
	b = append(b, attr(transitive, attrASPath, encodePath(s, a)...)...)
	if a.MED != 0 {
		b = append(b, attr(optional, attrMED, u32(a.MED)...)...)
	}
	if s.Internal {
		b = append(b, attr(transitive, attrLocalPref, u32(a.LocalPref)...)...)
	}
	if list := encodeCommunities(a); len(list) > 0 {
		b = append(b, attr(optional|transitive, attrCommunities, list...)...)
	}
	if a.OriginatorID.IsValid() {
		b = append(b, attr(optional, attrOriginatorID, a.OriginatorID.AsSlice()...)...)
	}
	if a.ClusterLength > 0 {
		b = append(b, attr(optional, attrClusterList, make([]byte, 4*int(a.ClusterLength))...)...)
	}
	if list := encodeExtended(a); len(list) > 0 {
		b = append(b, attr(optional|transitive, attrExtendedCommunities, list...)...)
	}
	if a.HasTunnel {
		v := append([]byte{0, a.TunnelType}, u24(a.TunnelLabel)...)
		b = append(b, attr(optional|transitive, attrPMSITunnel, append(v, a.Tunnel.AsSlice()...)...)...)
	}
	return b
}

// encodePath is an AS path of the length: the neighbour first, then ours as often as it
// is there, then somebody else's. It begins with a set if there is no neighbour.
func encodePath(s *Session, a *bgp.Attributes) []byte {
	width := 2
	if s.AS4 {
		width = 4
	}
	number := func(b []byte, as uint32) []byte { return append(b, u32(as)[4-width:]...) }
	var b []byte
	n := int(a.PathLength)
	if n > 0 && a.NeighborAS == 0 {
		b = number([]byte{asSet, 1}, 64999)
		n--
	}
	own := int(a.OwnAS)
	for first := a.NeighborAS != 0; n > 0; {
		size := min(n, 255)
		b = append(b, asSequence, byte(size))
		for n -= size; size > 0; size-- {
			switch {
			case first:
				b, first = number(b, a.NeighborAS), false
			case own > 0:
				b, own = number(b, s.AS), own-1
			default:
				b = number(b, 64999)
			}
		}
	}
	return b
}

func encodeCommunities(a *bgp.Attributes) []byte {
	list := u32(65000<<16 | 1)
	if a.GracefulShutdown {
		list = append(list, u32(gracefulShutdown)...)
	}
	if a.LLGRStale {
		list = append(list, u32(llgrStale)...)
	}
	if a.NoLLGR {
		list = append(list, u32(noLLGR)...)
	}
	return list
}

func encodeExtended(a *bgp.Attributes) []byte {
	var b []byte
	for rt := range a.RouteTargets.All() {
		b = append(b, rt[:]...)
	}
	add := func(is bool, c ...byte) {
		if is {
			b = append(b, append(c, make([]byte, 8-len(c))...)...)
		}
	}
	add(a.Encapsulation == bgp.EncapsulationVXLAN, 3, 12, 0, 0, 0, 0, 0, tunnelVXLAN)
	add(a.Encapsulation == bgp.EncapsulationOther, 3, 12, 0, 0, 0, 0, 0, 10)
	add(a.DefaultGateway, 3, 13)
	add(a.Sequence != 0 || a.Sticky, append([]byte{6, 0, byte(bit(a.Sticky, 1)), 0}, u32(a.Sequence)...)...)
	add(a.HasESILabel, append([]byte{6, 1, byte(bit(a.SingleActive, 1)), 0, 0}, u24(a.SplitHorizonLabel)...)...)
	add(!a.ESImport.IsZero(), append([]byte{6, 2}, a.ESImport[:]...)...)
	add(!a.RouterMAC.IsZero(), append([]byte{6, 3}, a.RouterMAC[:]...)...)
	add(a.HasLayer2, append([]byte{6, 4}, a.Layer2[:]...)...)
	add(a.HasDFElection, append([]byte{6, 6}, a.DFElection[:]...)...)
	add(a.ARPND.Said, 6, 8, a.ARPND.Flags)
	return b
}

func encodeNLRI(list ...bgp.NLRI) []byte {
	var b []byte
	for i := range list {
		v := encodeRoute(&list[i])
		b = append(append(b, byte(list[i].Type), byte(len(v))), v...)
	}
	return b
}

func encodeRoute(n *bgp.NLRI) []byte {
	b := slices.Clone(n.RD[:])
	tag := u32(n.EthernetTag)
	switch n.Type {
	case bgp.TypeEthernetAD:
		b = append(append(append(b, n.Segment[:]...), tag...), u24(n.Label)...)
	case bgp.TypeMACIP:
		b = append(append(append(b, n.ESI[:]...), tag...), 48)
		b = append(append(b, n.MAC[:]...), encodeAddress(n.IP)...)
		b = append(b, u24(n.Label)...)
		if n.Label2 != 0 {
			b = append(b, u24(n.Label2)...)
		}
	case bgp.TypeMulticast:
		b = append(append(b, tag...), encodeAddress(n.IP)...)
	case bgp.TypeSegment:
		b = append(append(b, n.Segment[:]...), encodeAddress(n.IP)...)
	case bgp.TypePrefix:
		b = append(append(append(b, n.ESI[:]...), tag...), n.PrefixLength)
		b = append(b, n.IP.AsSlice()...)
		gateway := make([]byte, len(n.IP.AsSlice()))
		if n.GatewayIP.IsValid() {
			gateway = n.GatewayIP.AsSlice()
		}
		b = append(append(b, gateway...), u24(n.Label)...)
	}
	return b
}

func encodeAddress(a netip.Addr) []byte { return append([]byte{byte(a.BitLen())}, a.AsSlice()...) }

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func u24(n uint32) []byte { return u32(n)[1:] }
