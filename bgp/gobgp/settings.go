package gobgp

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"github.com/p4evpn/p4evpn/bgp"
)

// Defaults of Neighbor and GracefulRestart.
const (
	defaultHoldTime    = 90 * time.Second
	defaultRestartTime = 120 * time.Second
)

// membershipDeferral is how long a peer that does RT constraint is told no route before
// its End-of-RIB of that family (RFC 4684 section 6).
const membershipDeferral = 10 * time.Second

// apiFamily is a family's name in GoBGP's API.
func apiFamily(f bgp.Family) *api.Family {
	switch f {
	case bgp.IPv4Unicast:
		return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	case bgp.IPv6Unicast:
		return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}
}

// rtcFamily is that of route target memberships (RFC 4684).
var rtcFamily = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_ROUTE_TARGET_CONSTRAINTS}

// afiSafis gives a session's families as GoBGP wants them.
func afiSafis(n *bgp.Neighbor, graceful bool) []*api.AfiSafi {
	var list []*api.AfiSafi
	add := func(f *api.Family) *api.AfiSafi {
		a := &api.AfiSafi{Config: &api.AfiSafiConfig{Family: f, Enabled: true}}
		if graceful {
			a.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		}
		list = append(list, a)
		return a
	}
	for _, f := range n.Carried() {
		add(apiFamily(f))
	}
	if n.Has(bgp.EVPN) {
		add(rtcFamily).RouteTargetMembership = &api.RouteTargetMembership{
			Config: &api.RouteTargetMembershipConfig{DeferralTime: uint32(seconds(membershipDeferral))},
		}
	}
	return list
}

// innerPeer gives a neighbour as GoBGP is to see it: at its inner address, connecting
// from there.
func innerPeer(n *bgp.Neighbor, inner netip.Addr, gr bgp.GracefulRestart) *api.Peer {
	hold := cmp.Or(n.HoldTime, defaultHoldTime)
	p := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: inner.String(), PeerAsn: n.AS},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: seconds(hold), KeepaliveInterval: seconds(cmp.Or(n.Keepalive, hold/3)),
		}},
		Transport: &api.Transport{PassiveMode: true, LocalAddress: innerListener.String()},
		AfiSafis:  afiSafis(n, gr.Enabled),
		// GoBGP 4.8.0 looks for the memberships of others (RFC 4684) that it might pass on to
		// a neighbour, and panics where one is taken back meanwhile. To a client of a route
		// reflector it would pass on the one that it has at hand, which our policy forbids.
		RouteReflector: &api.RouteReflector{RouteReflectorClient: true},
	}
	if gr.Enabled {
		// The R and F bits are the front's to set, so GoBGP never defers its routes.
		p.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: uint32(seconds(gr.RestartTime))}
	}
	return p
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }
