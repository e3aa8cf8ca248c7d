package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	testbed "github.com/p4evpn/p4evpn/bmv2-testbed"
)

const (
	holdTime = 30 // s
	deferral = 5  // s
)

// speaker is GoBGP, with what it advertises of ours by NLRI.
type speaker struct {
	gobgp   *server.BgpServer
	watcher server.WatchEventMessageCallbacks
	ours    map[string]*apiutil.Path
}

func newSpeaker(best func([]*apiutil.Path), end func(bgp.Family)) *speaker {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s := &speaker{gobgp: server.NewBgpServer(server.LoggerOption(log, nil)), ours: map[string]*apiutil.Path{}}
	s.watcher = server.WatchEventMessageCallbacks{
		OnBestPath: func(p []*apiutil.Path, _ time.Time) { best(p) },
		OnPathEor:  func(p *apiutil.Path, _ time.Time) { end(p.Family) },
	}
	go s.gobgp.Serve() // until stop
	return s
}

func (s *speaker) stop() { s.gobgp.Stop() }

// start starts the sessions when all that is ours is in. restarting says that
// forwarding was preserved.
func (s *speaker) start(ctx context.Context, c testbed.GoBGPConfig, restarting bool) error {
	err := s.gobgp.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: c.AS, RouterId: c.VTEP.String(), ListenPort: 179, Families: []uint32{9}, // l2vpn-evpn
	}})
	if err != nil {
		return fmt.Errorf("start BGP: %w", err)
	}
	if err := s.gobgp.WatchEvent(ctx, s.watcher, server.WatchBestPath(false), server.WatchEor(false)); err != nil {
		return fmt.Errorf("watch the routes: %w", err)
	}
	if err := s.advertise(c); err != nil {
		return err
	}
	for _, p := range c.Peers {
		if err := s.gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: peerOf(p, c.RestartTime, restarting)}); err != nil {
			return fmt.Errorf("peer %v: %w", p.Address, err)
		}
	}
	return nil
}

func peerOf(p testbed.Peer, restartTime uint32, restarting bool) *api.Peer {
	evpn := &api.AfiSafi{Config: &api.AfiSafiConfig{
		Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, Enabled: true,
	}}
	out := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: p.Address.String(), PeerAsn: p.AS},
		Transport: &api.Transport{PassiveMode: p.Passive},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: holdTime, KeepaliveInterval: holdTime / 3, ConnectRetry: 1, IdleHoldTimeAfterReset: 1,
		}},
		AfiSafis: []*api.AfiSafi{evpn},
	}
	if restartTime > 0 {
		evpn.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		out.GracefulRestart = &api.GracefulRestart{
			Enabled: true, RestartTime: restartTime, DeferralTime: deferral, LocalRestarting: restarting,
		}
	}
	return out
}

// advertise makes what is advertised what a configuration says.
func (s *speaker) advertise(c testbed.GoBGPConfig) error {
	wanted, err := routesOf(c)
	if err != nil {
		return err
	}
	var add, remove []*apiutil.Path
	for key, p := range wanted {
		if s.ours[key] == nil {
			add = append(add, p)
		}
	}
	for key, p := range s.ours {
		if wanted[key] == nil {
			remove = append(remove, &apiutil.Path{Family: p.Family, Nlri: p.Nlri, Withdrawal: true})
		}
	}
	s.ours = wanted
	if len(add) > 0 {
		if _, err := s.gobgp.AddPath(apiutil.AddPathRequest{Paths: add}); err != nil {
			return fmt.Errorf("advertise %d routes: %w", len(add), err)
		}
	}
	if len(remove) > 0 {
		if err := s.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: remove}); err != nil {
			return fmt.Errorf("withdraw %d routes: %w", len(remove), err)
		}
	}
	slog.Info("advertised", "added", len(add), "withdrawn", len(remove))
	return nil
}

// routesOf gives a leaf's routes of types 2, 3 and 5.
func routesOf(c testbed.GoBGPConfig) (map[string]*apiutil.Path, error) {
	routes := map[string]*apiutil.Path{}
	add := func(vni uint32, nlri *bgp.EVPNNLRI, err error, more ...bgp.PathAttributeInterface) error {
		if err != nil {
			return err
		}
		p, err := pathOf(c, vni, nlri, more...)
		routes[nlri.String()] = p
		return err
	}
	for _, m := range c.MACs {
		rd, err := bgp.NewRouteDistinguisherIPAddressAS(c.VTEP, uint16(m.VNI))
		if err != nil {
			return nil, err
		}
		nlri, err := bgp.NewEVPNMulticastEthernetTagRoute(rd, 0, c.VTEP)
		tunnel := bgp.NewPathAttributePmsiTunnel(bgp.PMSI_TUNNEL_TYPE_INGRESS_REPL, false, m.VNI,
			&bgp.IngressReplTunnelID{Value: c.VTEP})
		if err := add(m.VNI, nlri, err, tunnel); err != nil {
			return nil, err
		}
		for _, mac := range m.All() {
			nlri, err := bgp.NewEVPNMacIPAdvertisementRoute(rd, bgp.EthernetSegmentIdentifier{}, 0, mac.String(), netip.Addr{},
				[]uint32{m.VNI})
			if err := add(m.VNI, nlri, err); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range c.L3.Prefixes {
		rd, err := bgp.NewRouteDistinguisherIPAddressAS(c.VTEP, uint16(c.L3.VNI))
		if err != nil {
			return nil, err
		}
		nlri, err := bgp.NewEVPNIPPrefixRoute(rd, bgp.EthernetSegmentIdentifier{}, 0, uint8(p.Bits()), p.Addr(),
			netip.IPv4Unspecified(), c.L3.VNI)
		if err := add(c.L3.VNI, nlri, err); err != nil {
			return nil, err
		}
	}
	return routes, nil
}

// pathOf gives a route what all of a VNI have.
func pathOf(c testbed.GoBGPConfig, vni uint32, nlri *bgp.EVPNNLRI,
	more ...bgp.PathAttributeInterface) (*apiutil.Path, error) {
	communities := []bgp.ExtendedCommunityInterface{
		bgp.NewTwoOctetAsSpecificExtended(bgp.EC_SUBTYPE_ROUTE_TARGET, uint16(c.AS), vni, true),
		bgp.NewEncapExtended(bgp.TUNNEL_TYPE_VXLAN),
	}
	if vni == c.L3.VNI {
		communities = append(communities, &bgp.RouterMacExtended{Mac: net.HardwareAddr(c.L3.RouterMAC[:])})
	}
	reach, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_EVPN, []bgp.PathNLRI{{NLRI: nlri}}, c.VTEP)
	if err != nil {
		return nil, fmt.Errorf("next hop %v: %w", c.VTEP, err)
	}
	attributes := append([]bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP), reach, bgp.NewPathAttributeExtendedCommunities(communities),
	}, more...)
	return &apiutil.Path{Family: bgp.RF_EVPN, Nlri: nlri, Attrs: attributes, Age: time.Now().Unix()}, nil
}
