package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/ether"
)

// nextEVPN cuts the first EVPN NLRI off: its type, then a length octet, then that many
// more (RFC 7432 section 7).
func nextEVPN(b []byte) (raw, rest []byte, ok bool) {
	if len(b) < 2 || int(b[1]) > len(b)-2 {
		return nil, nil, false
	}
	n := 2 + int(b[1])
	return b[:n], b[n:], true
}

// evpnWithdrawals takes what MP_UNREACH_NLRI has.
func (d *Decoder) evpnWithdrawals(m *mp, u *Update) *Notification {
	var n bgp.NLRI
	for b := m.nlri; len(b) > 0; {
		raw, rest, ok := nextEVPN(b)
		if !ok {
			return malformedMP(m.raw)
		}
		if reason := parseNLRI(raw, &n); reason == bgp.Accepted {
			u.Unreach = append(u.Unreach, n.Key)
		} else {
			u.Faults = append(u.Faults, nlriFault(raw, reason, bgp.Discarded))
		}
		b = rest
	}
	return nil
}

// evpnRoutes takes what MP_REACH_NLRI has. None of it is taken if there is a fault of the
// whole, u.Faults[whole].
func (d *Decoder) evpnRoutes(m *mp, s *set, u *Update, whole int) *Notification {
	for b := m.nlri; len(b) > 0; {
		raw, rest, ok := nextEVPN(b)
		if !ok {
			return malformedMP(m.raw)
		}
		b = rest
		last := len(u.Reach)
		u.Reach = append(u.Reach, bgp.NLRI{})
		n := &u.Reach[last]
		if reason := parseNLRI(raw, n); reason != bgp.Accepted {
			u.Reach = u.Reach[:last]
			u.Faults = append(u.Faults, nlriFault(raw, reason, bgp.Discarded))
			continue
		}
		if whole == none {
			reason := s.judge(n)
			if reason == bgp.Accepted {
				continue
			}
			u.Faults = append(u.Faults, s.fault(raw, reason))
		} else {
			u.Faults[whole].Routes++
		}
		key := n.Key
		u.Reach = u.Reach[:last]
		u.withdraw(key)
	}
	if len(u.Reach) > 0 {
		u.Attributes = &s.attributes
	}
	return nil
}

// withdraw takes back a route, also one that the same UPDATE has announced before.
func (u *Update) withdraw(key bgp.Key) {
	u.Unreach = append(u.Unreach, key)
	u.Reach = slices.DeleteFunc(u.Reach, func(n bgp.NLRI) bool { return n.Key == key })
}

// judge says why a route that is well formed is of no use.
func (s *set) judge(n *bgp.NLRI) bgp.Reason {
	switch n.Type {
	case bgp.TypeMACIP:
		if n.Label == 0 {
			return bgp.BadLabel
		}
	case bgp.TypeMulticast:
		if s.noTunnel != nil {
			return bgp.BadTunnel
		}
	case bgp.TypePrefix: // RFC 9136 section 3.2
		if !n.ESI.IsZero() && n.GatewayIP.IsValid() {
			return bgp.BadNLRI
		}
		if n.Label == 0 && n.ESI.IsZero() && !n.GatewayIP.IsValid() {
			return bgp.BadLabel
		}
	}
	return bgp.Accepted
}

// fault is that of a route which judge finds to be of no use.
func (s *set) fault(raw []byte, reason bgp.Reason) bgp.Fault {
	if reason == bgp.BadTunnel {
		f := *s.noTunnel
		f.Routes = 1
		return f
	}
	return nlriFault(raw, reason, bgp.Withdrawn)
}

func nlriFault(raw []byte, reason bgp.Reason, action bgp.Action) bgp.Fault {
	return bgp.Fault{Reason: reason, Action: action, Bytes: bgp.FirstBytes(raw), Routes: 1,
		What: fmt.Sprintf("EVPN route type %d of %d bytes", raw[0], len(raw)-2)}
}

const rdLength, esiLength, tagLength, macLength, labelLength = 8, 10, 4, 6, 3

// parseNLRI reads an EVPN NLRI of the types 1 to 5. Accepted is that n is whole, with a
// key that a route may have here.
func parseNLRI(raw []byte, n *bgp.NLRI) bgp.Reason {
	*n = bgp.NLRI{Key: bgp.Key{Type: bgp.RouteType(raw[0])}}
	if n.Type < bgp.TypeEthernetAD || n.Type > bgp.TypePrefix {
		return bgp.BadRouteType
	}
	b := raw[2:]
	if len(b) < rdLength {
		return bgp.BadNLRI
	}
	if n.RD = bgp.RD(b); !n.RD.Known() {
		return bgp.BadRD
	}
	b = b[rdLength:]
	switch n.Type {
	case bgp.TypeEthernetAD:
		return readEthernetAD(n, b)
	case bgp.TypeMACIP:
		return readMACIP(n, b)
	case bgp.TypeMulticast:
		return readMulticast(n, b)
	case bgp.TypeSegment:
		return readSegment(n, b)
	}
	return readPrefix(n, b)
}

// readEthernetAD reads what RFC 7432 section 7.1 has behind the RD.
func readEthernetAD(n *bgp.NLRI, b []byte) bgp.Reason {
	if len(b) != esiLength+tagLength+labelLength {
		return bgp.BadNLRI
	}
	n.Segment = bgp.ESI(b)
	n.EthernetTag = binary.BigEndian.Uint32(b[esiLength:])
	n.Label = uint24(b[esiLength+tagLength:])
	return bgp.Accepted
}

// readMACIP reads what RFC 7432 section 7.2 has behind the RD. One or two labels end it;
// one without any is a withdrawal that says no more than it needs.
func readMACIP(n *bgp.NLRI, b []byte) bgp.Reason {
	if len(b) < esiLength+tagLength+1+macLength+1 {
		return bgp.BadNLRI
	}
	n.ESI, b = bgp.ESI(b), b[esiLength:]
	n.EthernetTag, b = binary.BigEndian.Uint32(b), b[tagLength:]
	if b[0] != 48 {
		return bgp.BadMAC
	}
	n.MAC, b = ether.MAC(b[1:]), b[1+macLength:]
	ip, labels, ok := address(b)
	if !ok || len(labels) != 0 && len(labels) != labelLength && len(labels) != 2*labelLength {
		return bgp.BadNLRI
	}
	if n.MAC.IsZero() || n.MAC.IsMulticast() {
		return bgp.BadMAC
	}
	if n.IP = ip; ip.IsValid() && !bgp.IsHost(ip) {
		return bgp.BadIP
	}
	if len(labels) > 0 {
		n.Label, labels = uint24(labels), labels[labelLength:]
	}
	if len(labels) > 0 {
		n.Label2 = uint24(labels)
	}
	return bgp.Accepted
}

// readMulticast reads what RFC 7432 section 7.3 has behind the RD.
func readMulticast(n *bgp.NLRI, b []byte) bgp.Reason {
	if len(b) < tagLength+1 {
		return bgp.BadNLRI
	}
	n.EthernetTag = binary.BigEndian.Uint32(b)
	return originator(n, b[tagLength:])
}

// readSegment reads what RFC 7432 section 7.4 has behind the RD.
func readSegment(n *bgp.NLRI, b []byte) bgp.Reason {
	if len(b) < esiLength+1 {
		return bgp.BadNLRI
	}
	n.Segment = bgp.ESI(b)
	return originator(n, b[esiLength:])
}

// originator reads the originating router's address, which ends an NLRI.
func originator(n *bgp.NLRI, b []byte) bgp.Reason {
	ip, rest, ok := address(b)
	if !ok || len(rest) > 0 {
		return bgp.BadNLRI
	}
	if n.IP = ip; !bgp.IsHost(ip) {
		return bgp.BadIP
	}
	return bgp.Accepted
}

// readPrefix reads what RFC 9136 section 3.1 has behind the RD. Its length says the IP
// version. Host bits are cleared (docs/standards.md says why).
func readPrefix(n *bgp.NLRI, b []byte) bgp.Reason {
	const fixed = esiLength + tagLength + 1
	size := 4
	switch len(b) {
	case fixed + 2*4 + labelLength:
	case fixed + 2*16 + labelLength:
		size = 16
	default:
		return bgp.BadNLRI
	}
	n.ESI = bgp.ESI(b)
	n.EthernetTag = binary.BigEndian.Uint32(b[esiLength:])
	ip, _ := netip.AddrFromSlice(b[fixed : fixed+size])
	n.PrefixLength = b[fixed-1]
	prefix, err := ip.Prefix(int(n.PrefixLength))
	if err != nil || !isRouted(prefix) {
		return bgp.BadPrefix
	}
	n.IP = prefix.Addr()
	if gateway, _ := netip.AddrFromSlice(b[fixed+size : fixed+2*size]); !gateway.IsUnspecified() {
		n.GatewayIP = gateway
	}
	n.Label = uint24(b[fixed+2*size:])
	return bgp.Accepted
}

// isRouted reports whether packets to a prefix may be routed for tenants: it is in none of
// the blocks that RFC 6890 section 2.2 has as not forwardable. 169.254.0.0/16 is left out,
// since clouds route single addresses of it to services of theirs.
func isRouted(p netip.Prefix) bool {
	a := p.Addr()
	if a.Is4() {
		first := a.As4()[0]
		return (first != 0 || p.Bits() < 8) && first != 127 && first < 224
	}
	return !a.Is4In6() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsLoopback() &&
		(!a.IsUnspecified() || p.Bits() < 128)
}

// address reads an address behind its length in bits, which may be 0 for none.
func address(b []byte) (ip netip.Addr, rest []byte, ok bool) {
	bits, b := b[0], b[1:]
	switch {
	case bits == 0:
		return netip.Addr{}, b, true
	case bits == 32 && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), b[4:], true
	case bits == 128 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), b[16:], true
	}
	return netip.Addr{}, nil, false
}
