package gobgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

const (
	// clockCheck is how often sessions are compared with the clock.
	clockCheck = time.Second
	// clockPatience is by how much a session may have begun in the future before
	// it is worth a reset, which costs about as long.
	clockPatience = 10 * time.Second
)

// watchClock resets sessions that began in the future, which they did when the
// machine's clock was set back since. GoBGP 4.8.0 compares the second in which a
// message came with that in which the session began, and drops what seems older:
// such a session is deaf until the clock has caught up.
func (s *Speaker) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, address := range s.deaf() {
			s.log.Warn("the clock was set back: resetting a BGP session that hears nothing", "peer", address)
			if err := s.reset(ctx, address); err != nil {
				s.log.Error("resetting a BGP session", "peer", address, "err", err)
			}
		}
	}
}

// deaf are the neighbours whose sessions began in the future.
func (s *Speaker) deaf() (addresses []netip.Addr) {
	now := s.clock().Round(0) // the wall clock's, without the monotonic one's
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if p.state.Up && p.state.Since.Round(0).Sub(now) > clockPatience {
			addresses = append(addresses, p.state.Address)
		}
	}
	return addresses
}

func (s *Speaker) reset(ctx context.Context, address netip.Addr) error {
	s.originate.Lock()
	gobgp := s.gobgp
	s.originate.Unlock()
	if gobgp == nil {
		return nil
	}
	return gobgp.ResetPeer(ctx, &api.ResetPeerRequest{Address: address.String(), Communication: "clock set back"})
}
