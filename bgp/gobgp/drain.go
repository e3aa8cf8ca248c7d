package gobgp

import (
	"context"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"github.com/p4evpn/p4evpn/bgp"
)

// sent is how long no UPDATE has been sent when all are taken to have been.
const sent = 500 * time.Millisecond

// Drain withdraws all that we advertise, and returns when the neighbours were
// sent that or ctx ends. What is originated from then on is not advertised, and
// sessions end with a Cease, so that no neighbour keeps our routes.
func (s *Speaker) Drain(ctx context.Context) {
	s.originate.Lock()
	gobgp := s.gobgp
	keys := make([]bgp.Key, 0, len(s.local))
	for k := range s.local {
		keys = append(keys, k)
	}
	if err := s.advertise(nil, keys); err != nil {
		s.log.Warn("withdrawing our routes", "err", err)
	}
	if gobgp != nil {
		if err := s.advertiseUnicast(nil); err != nil {
			s.log.Warn("withdrawing our prefixes", "err", err)
		}
	}
	s.draining = true
	s.originate.Unlock()
	if gobgp == nil {
		return
	}
	s.log.Info("withdrew our routes, waiting until the BGP neighbours were told", "routes", len(keys))
	tick := time.NewTicker(sent / 10)
	defer tick.Stop()
	last, since := uint64(0), time.Now()
	for time.Since(since) < sent {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var now uint64
		_ = gobgp.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) { // fails when BGP has ended
			now += p.GetState().GetMessages().GetSent().GetUpdate()
		})
		if now != last {
			last, since = now, time.Now()
		}
	}
}
