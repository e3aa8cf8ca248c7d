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

// AdvertiseUnicast makes prefixes all of those that we advertise to the
// neighbours with the unicast family of their IP version, with the session's
// own address as the next hop: what is new is advertised, what is not among
// them any more is withdrawn. It may be called before Run. A prefix that is
// not valid is an error that names it, and nothing changes.
func (e *Engine) AdvertiseUnicast(prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		if !bgp.IsUnicast(p) || p.Masked() != p {
			return fmt.Errorf("advertising %v: want a unicast prefix without host bits", p)
		}
		want[p] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining {
		return nil
	}
	if e.life == nil {
		e.prefixes = want
		return nil
	}
	return e.advertiseUnicast(want)
}

func (e *Engine) advertiseUnicast(want map[netip.Prefix]bool) error {
	var errs []error
	for p := range want {
		if e.prefixes[p] {
			continue
		}
		path, err := unicastPath(p)
		if err == nil {
			_, err = e.life.gobgp.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("advertising %v: %w", p, err))
			continue
		}
		e.prefixes[p] = true
	}
	for p := range e.prefixes {
		if want[p] {
			continue
		}
		path, err := unicastPath(p)
		if err == nil {
			path.Withdrawal = true
			err = e.life.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("withdrawing %v: %w", p, err))
			continue
		}
		delete(e.prefixes, p)
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
