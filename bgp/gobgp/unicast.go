package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
)

// UnicastEvents gives the changes of unicast routes as Events does those of
// EVPN routes. Neither waits for the other.
func (s *Speaker) UnicastEvents() <-chan []bgp.UnicastEvent { return s.unicast.Events() }

// AdvertiseUnicast makes prefixes all of those that we advertise to the
// neighbours with the unicast family of their IP version, with the session's
// own address as the next hop: what is new is advertised, what is not among
// them any more is withdrawn. It may be called before Run. A prefix that is
// not valid is an error that names it, and nothing changes.
func (s *Speaker) AdvertiseUnicast(prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		if !isUnicastPrefix(p) || p.Masked() != p {
			return fmt.Errorf("advertising %v: want a unicast prefix without host bits", p)
		}
		want[p] = true
	}
	s.originate.Lock()
	defer s.originate.Unlock()
	if s.draining {
		return nil
	}
	if s.gobgp == nil {
		s.prefixes = want
		return nil
	}
	return s.advertiseUnicast(want)
}

func (s *Speaker) advertiseUnicast(want map[netip.Prefix]bool) error {
	var errs []error
	for p := range want {
		if s.prefixes[p] {
			continue
		}
		path, err := unicastPath(p)
		if err == nil {
			_, err = s.gobgp.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("advertising %v: %w", p, err))
			continue
		}
		s.prefixes[p] = true
	}
	for p := range s.prefixes {
		if want[p] {
			continue
		}
		path, err := unicastPath(p)
		if err == nil {
			path.Withdrawal = true
			err = s.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("withdrawing %v: %w", p, err))
			continue
		}
		delete(s.prefixes, p)
	}
	return errors.Join(errs...)
}

// unicastPath encodes a prefix of ours. GoBGP puts the session's own address
// in the place of a next hop that is unspecified.
func unicastPath(p netip.Prefix) (*apiutil.Path, error) {
	nlri, err := packet.NewIPAddrPrefix(p)
	if err != nil {
		return nil, err
	}
	path := &apiutil.Path{Family: packet.RF_IPv4_UC, Nlri: nlri, Age: time.Now().Unix()}
	var nextHop packet.PathAttributeInterface
	if p.Addr().Is4() {
		nextHop, err = packet.NewPathAttributeNextHop(netip.IPv4Unspecified())
	} else {
		path.Family = packet.RF_IPv6_UC
		reached := []packet.PathNLRI{{NLRI: nlri}}
		nextHop, err = packet.NewPathAttributeMpReachNLRI(path.Family, reached, netip.IPv6Unspecified())
	}
	origin := packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP)
	path.Attrs = []packet.PathAttributeInterface{origin, nextHop}
	return path, err
}

// isUnicastPrefix reports whether packets to the prefix may be routed.
func isUnicastPrefix(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.Is4In6() &&
		(!a.IsUnspecified() || p.Bits() < a.BitLen())
}

// unicast decodes one path of a unicast family; an update or a
// withdrawal, as path says.
func (d *decoder) unicast(p *apiutil.Path) (e bgp.UnicastEvent, reason bgp.Reason, ok bool) {
	nlri, ok := p.Nlri.(*packet.IPAddrPrefix)
	if !ok || !isUnicastPrefix(nlri.Prefix) {
		return bgp.UnicastEvent{}, bgp.BadPrefix, false
	}
	prefix := nlri.Prefix.Masked() // RFC 4271 section 4.3: host bits mean nothing
	withdraw := bgp.UnicastEvent{Kind: bgp.RouteWithdraw, Route: bgp.UnicastRoute{Prefix: prefix}}
	if p.Withdrawal {
		return withdraw, bgp.Accepted, true
	}
	r := bgp.UnicastRoute{Prefix: prefix, LocalPref: bgp.DefaultLocalPref, Internal: d.internal}
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *packet.PathAttributeNextHop:
			r.NextHop = a.Value
		case *packet.PathAttributeMpReachNLRI:
			r.NextHop = a.Nexthop
		case *packet.PathAttributeOrigin:
			r.Origin = a.Value
		case *packet.PathAttributeMultiExitDisc:
			r.MED = a.Value
		case *packet.PathAttributeLocalPref:
			if d.internal {
				r.LocalPref = a.Value
			}
		case *packet.PathAttributeAsPath:
			if d.loops(a) {
				return withdraw, bgp.ASLoop, true
			}
			for _, segment := range a.Value {
				r.PathLength += segment.ASLen()
			}
		}
	}
	if !bgp.IsHost(r.NextHop) || r.NextHop.Is4() != prefix.Addr().Is4() {
		return withdraw, bgp.BadNextHop, true
	}
	return bgp.UnicastEvent{Kind: bgp.RouteUpdate, Route: r}, bgp.Accepted, true
}
