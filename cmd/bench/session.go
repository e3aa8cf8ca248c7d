package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/bgptest"
	"github.com/p4evpn/p4evpn/bgp/front"
	"github.com/p4evpn/p4evpn/controller"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// BGP of the figures runs between addresses of the loopback: the receiver is
// 127.0.100.1, the n-th injector 127.0.100.(2+n).
var receiver = netip.MustParseAddr("127.0.100.1")

func injector(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 100, byte(2 + n)}) }

// bgpGateway is a gateway with a real speaker and sessions from injectors.
type bgpGateway struct {
	*gateway
	sessions []*bgptest.Session
	stop     func()
}

// speaker is what speaks BGP for the gateway, made as cmd/p4evpn makes it.
type speaker interface {
	controller.Speaker
	Run(context.Context) error
}

func newSpeaker(cfg bgp.Config) (speaker, error) {
	return front.New(front.Config{BGP: cfg, Logger: slog.Default()})
}

// setup says what a gateway with a real speaker has besides one bridge.
type setup struct {
	injectors int
	store     *intent.Store     // nil for one with one bridge
	routed    bool              // the bridge has an SVI in a VRF
	port      *controller.Port  // an access port of the bridge
	on        *switchOptions    // the switch; nil for one without ports
	hear      func(body []byte) // is given the UPDATEs to injectors; may be nil
	million   bool              // there is room for a million routes
}

// startBGPGateway starts a gateway with one bridge and establishes sessions
// from as many injectors.
func (b *bench) startBGPGateway(ctx context.Context, s setup) (*bgpGateway, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cfg := bgp.Config{AS: gatewayAS, RouterID: routerID, ListenAddresses: []netip.Addr{receiver},
		ListenPort: int(port.Port())}
	for n := range s.injectors {
		neighbor := bgp.Neighbor{Address: injector(n), AS: leafAS, LocalAddress: receiver, Passive: true}
		if s.million {
			neighbor.MaxPrefixes = raisedLimit
		}
		cfg.Neighbors = append(cfg.Neighbors, neighbor)
	}
	speaker, err := newSpeaker(cfg)
	if err != nil {
		return nil, err
	}
	g, err := b.startOneBridge(ctx, speaker, s)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := speaker.Run(running); err != nil {
			slog.Error("the speaker ended", "err", err)
		}
	})
	out := &bgpGateway{gateway: g}
	out.stop = func() {
		for _, s := range out.sessions {
			s.Close()
		}
		g.stop() // before its speaker ends: a controller without one complains
		cancel()
		owned.Wait()
	}
	for n := range s.injectors {
		session, err := dial(ctx, n, port.Port())
		if err != nil {
			out.stop()
			return nil, err
		}
		out.sessions = append(out.sessions, session)
		owned.Go(func() {
			for body := range session.Updates() {
				if s.hear != nil {
					s.hear(body)
				}
			}
		})
	}
	return out, nil
}

func (b *bench) startOneBridge(ctx context.Context, speaker controller.Speaker, s setup) (*gateway, error) {
	store := s.store
	if store == nil {
		var err error
		if store, err = storeWith(1); err != nil {
			return nil, err
		}
	}
	if s.routed {
		if err := addSVI(store); err != nil {
			return nil, err
		}
	}
	if s.port == nil {
		o, err := overLoopback(embedded)
		if err == nil && s.million {
			o.runs, err = enlarged()
		}
		if err != nil {
			return nil, err
		}
		return b.startGateway(ctx, speaker, store, o)
	}
	err := store.Update(func(tx *intent.Tx) error {
		_, err := tx.Ports().Create(intent.BridgePort{ID: s.port.Name, MAC: s.port.MAC, Type: intent.Access,
			Bridges: []string{bridgeID(0)}})
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.startGateway(ctx, speaker, store, *s.on, *s.port)
}

func dial(ctx context.Context, n int, port uint16) (*bgptest.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return bgptest.Dial(ctx, bgptest.Config{Local: injector(n), Remote: netip.AddrPortFrom(receiver, port), AS: leafAS})
}

// goBGP is GoBGP alone, with one session from an injector.
type goBGP struct {
	session *bgptest.Session
	stop    func()
}

// startGoBGP starts GoBGP with a watcher of the Adj-RIB-In, which is what the
// gateway uses too, and calls got with the number of routes it delivers. Its
// import policy can reject them, as the gateway's does: it is faster without
// the work of best paths.
func startGoBGP(ctx context.Context, reject bool, got func(int)) (*goBGP, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := server.NewBgpServer(server.LoggerOption(slog.New(slog.DiscardHandler), nil))
	var owned sync.WaitGroup
	owned.Go(s.Serve)
	running, cancel := context.WithCancel(ctx)
	g := &goBGP{}
	g.stop = func() {
		if g.session != nil {
			g.session.Close()
		}
		cancel()
		s.Stop()
		owned.Wait()
	}
	if err := g.start(running, s, port.Port(), reject, got); err != nil {
		g.stop()
		return nil, fmt.Errorf("start GoBGP: %w", err)
	}
	if g.session, err = dial(ctx, 0, port.Port()); err != nil {
		g.stop()
		return nil, err
	}
	owned.Go(func() {
		for range g.session.Updates() {
		}
	})
	return g, nil
}

func (g *goBGP) start(ctx context.Context, s *server.BgpServer, port uint16, reject bool, got func(int)) error {
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: gatewayAS, RouterId: routerID.String(), ListenPort: int32(port), ListenAddresses: []string{receiver.String()},
	}})
	if err != nil {
		return err
	}
	if reject {
		err := s.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_IMPORT,
			DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
		}})
		if err != nil {
			return err
		}
	}
	callbacks := server.WatchEventMessageCallbacks{OnPathUpdate: func(paths []*apiutil.Path,
		_ time.Time) {
		got(len(paths))
	}}
	if err = s.WatchEvent(ctx, callbacks, server.WatchUpdate(false, "", "")); err != nil {
		return err
	}
	return s.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: injector(0).String(), PeerAsn: leafAS},
		Transport: &api.Transport{PassiveMode: true, LocalAddress: receiver.String()},
		AfiSafis: []*api.AfiSafi{{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, Enabled: true,
		}}},
	}})
}
