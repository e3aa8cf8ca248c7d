package bgp

import (
	"fmt"
	"net/netip"
)

const maxVNI = 1<<24 - 1

// Check says what keeps a route of ours from being advertised.
func (r *Route) Check() error {
	if !r.NextHop.IsValid() || r.NextHop.IsUnspecified() || r.NextHop.IsMulticast() || r.NextHop.Is4In6() {
		return fmt.Errorf("next hop %v: want the address of our VTEP", r.NextHop)
	}
	if r.Label == 0 || r.Label > maxVNI {
		return fmt.Errorf("VNI %d: want 1 to %d", r.Label, maxVNI)
	}
	if r.Label2 > maxVNI {
		return fmt.Errorf("L3 VNI %d: want at most %d", r.Label2, maxVNI)
	}
	if r.RouterMAC.IsMulticast() {
		return fmt.Errorf("router MAC %v is multicast", r.RouterMAC)
	}
	if r.ARPND.Said && (r.Type != TypeMACIP || !r.IP.IsValid()) {
		return fmt.Errorf("ARP/ND flags [%v] of no address", r.ARPND)
	}
	return r.Key.Check()
}

// Check says what keeps a route with the key from being advertised.
func (k *Key) Check() error {
	if !k.RD.Known() {
		return fmt.Errorf("route distinguisher %v: want type 0, 1 or 2", k.RD)
	}
	switch k.Type {
	case TypeMACIP:
		if k.MAC.IsZero() || k.MAC.IsMulticast() {
			return fmt.Errorf("MAC %v: want a unicast address", k.MAC)
		}
		if k.IP.IsValid() && !IsHost(k.IP) {
			return fmt.Errorf("IP %v: want the address of a host", k.IP)
		}
	case TypeMulticast:
		if !IsHost(k.IP) {
			return fmt.Errorf("originator %v: want the address of our VTEP", k.IP)
		}
	case TypePrefix:
		if p := k.Prefix(); !p.IsValid() || p.Masked() != p || k.IP.Is4In6() {
			return fmt.Errorf("prefix %v/%d: want no host bits", k.IP, k.PrefixLength)
		}
	default:
		return fmt.Errorf("route type %d: want 2, 3 or 5", k.Type)
	}
	return nil
}

// IsHost reports whether a host on a network can have the address. A v4 address
// mapped to v6 is refused: it would be a second name of one host. So are 0.0.0.0/8 and
// 240.0.0.0/4, which RFC 6890 has as no destinations.
func IsHost(a netip.Addr) bool {
	if a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) {
		return false
	}
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6()
}

// IsUnicast reports whether packets to the prefix may be routed: the default route may be
// all zeroes, a host's may not.
func IsUnicast(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.Is4In6() &&
		(!a.IsUnspecified() || p.Bits() < a.BitLen())
}
