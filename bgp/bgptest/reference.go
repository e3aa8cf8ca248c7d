package bgptest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// Reference is GoBGP as it comes, with one passive EVPN neighbour, whose
// routes go to a watcher that only counts them.
type Reference struct {
	Listen     netip.AddrPort
	AS         uint32
	Neighbor   netip.Addr
	NeighborAS uint32
	// Got is called with the number of paths of each UPDATE.
	Got func(paths int)
}

// Run serves until ctx ends.
func (r Reference) Run(ctx context.Context) error {
	s := server.NewBgpServer()
	go s.Serve() // Stop waits for it
	defer s.Stop()
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: r.AS, RouterId: "192.0.2.9",
		ListenPort: int32(r.Listen.Port()), ListenAddresses: []string{r.Listen.Addr().String()},
	}})
	if err != nil {
		return fmt.Errorf("starting GoBGP on %v: %w", r.Listen, err)
	}
	callbacks := server.WatchEventMessageCallbacks{
		OnPathUpdate: func(paths []*apiutil.Path, _ time.Time) { r.Got(len(paths)) },
	}
	if err := s.WatchEvent(ctx, callbacks, server.WatchUpdate(false, "", "")); err != nil {
		return fmt.Errorf("watching GoBGP's updates: %w", err)
	}
	err = s.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: r.Neighbor.String(), PeerAsn: r.NeighborAS},
		Transport: &api.Transport{PassiveMode: true},
		AfiSafis: []*api.AfiSafi{{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, Enabled: true,
		}}},
	}})
	if err != nil {
		return fmt.Errorf("adding neighbor %v to GoBGP: %w", r.Neighbor, err)
	}
	<-ctx.Done()
	return nil
}
