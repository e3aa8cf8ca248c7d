package gobgp

import (
	"context"
	"fmt"
	"net/netip"
)

// SetIdentity gives an AS and a router id to a speaker that New was given none;
// Run has waited for them. The same again is no change, and another one is an
// error: it takes a new speaker, since every session would end.
func (s *Speaker) SetIdentity(as uint32, routerID netip.Addr) error {
	s.originate.Lock()
	defer s.originate.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cfg.AS == as && s.cfg.RouterID == routerID:
		return nil
	case s.cfg.AS != 0:
		return fmt.Errorf("AS %d and router id %v cannot change while BGP runs as AS %d with router id %v", as, routerID,
			s.cfg.AS, s.cfg.RouterID)
	}
	given := s.cfg
	given.AS, given.RouterID, given.Neighbors = as, routerID, nil
	if err := given.Check(); err != nil || as == 0 {
		return fmt.Errorf("AS %d with router id %v: want an AS and an IPv4 address", as, routerID)
	}
	s.cfg.AS, s.cfg.RouterID = as, routerID
	for _, p := range s.peers {
		p.decoder.as, p.decoder.internal = as, p.neighbor.AS == as
	}
	close(s.identified)
	return nil
}

// awaitIdentity waits for an AS and a router id, and reports whether they came.
// Meanwhile there is nobody whose routes are to be waited for.
func (s *Speaker) awaitIdentity(ctx context.Context) bool {
	select {
	case <-s.identified:
		return true
	default:
	}
	s.mu.Lock()
	s.running = true
	s.evpn.Converge()
	s.unicast.Converge()
	s.mu.Unlock()
	select {
	case <-s.identified:
		return true
	case <-ctx.Done():
		return false
	}
}
