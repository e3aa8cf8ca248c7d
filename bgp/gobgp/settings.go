package gobgp

import (
	"time"

	"github.com/osrg/gobgp/v4/api"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
)

// Defaults of Neighbor and GracefulRestart, and what is not configured.
const (
	defaultHoldTime     = 90 * time.Second
	defaultConnectRetry = 10 * time.Second
	defaultRestartTime  = 120 * time.Second
	defaultDeferral     = 60 * time.Second
	idleAfterReset      = 5 * time.Second
)

// rf is a family's name in GoBGP.
func rf(f bgp.Family) packet.Family {
	switch f {
	case bgp.IPv4Unicast:
		return packet.RF_IPv4_UC
	case bgp.IPv6Unicast:
		return packet.RF_IPv6_UC
	}
	return packet.RF_EVPN
}

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

// afiSafis gives a session's families as GoBGP wants them.
func afiSafis(n *bgp.Neighbor, graceful bool) []*api.AfiSafi {
	var list []*api.AfiSafi
	for _, f := range n.Carried() {
		a := &api.AfiSafi{
			Config:       &api.AfiSafiConfig{Family: apiFamily(f), Enabled: true},
			PrefixLimits: &api.PrefixLimit{Family: apiFamily(f), MaxPrefixes: n.Limit()},
		}
		if graceful {
			a.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		}
		list = append(list, a)
	}
	return list
}

// apiPeer gives a neighbour as GoBGP wants it. Restarting sets the R and F bits
// of the OPEN: we restarted, and went on forwarding.
func apiPeer(n *bgp.Neighbor, gr bgp.GracefulRestart, restarting bool) *api.Peer {
	hold := orDefault(n.HoldTime, defaultHoldTime)
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: n.Address.String(),
			PeerAsn:         n.AS,
			AuthPassword:    n.Password,
			// GoBGP forgets to tell a watcher when a route is replaced by one
			// with our AS in its path, so decode looks for it instead.
			AllowOwnAsn: 255,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime:               seconds(hold),
			KeepaliveInterval:      seconds(orDefault(n.Keepalive, hold/3)),
			ConnectRetry:           seconds(orDefault(n.ConnectRetry, defaultConnectRetry)),
			IdleHoldTimeAfterReset: seconds(idleAfterReset),
		}},
		Transport: &api.Transport{PassiveMode: n.Passive, RemotePort: uint32(n.Port)},
		AfiSafis:  afiSafis(n, gr.Enabled),
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	if n.Multihop > 0 {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Multihop)}
	}
	if gr.Enabled {
		p.GracefulRestart = &api.GracefulRestart{
			Enabled:     true,
			RestartTime: uint32(seconds(orDefault(gr.RestartTime, defaultRestartTime))),
			// A restarted GoBGP sends nothing before all neighbours sent
			// End-of-RIB, or this time after the session came up. What we
			// advertise depends on no neighbour: the shortest will do.
			DeferralTime:    1,
			LocalRestarting: restarting,
		}
	}
	return p
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }
