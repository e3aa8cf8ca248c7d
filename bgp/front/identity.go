package front

import (
	"context"
	"fmt"
	"net/netip"
)

// identity is who we are to all neighbours.
type identity struct {
	as       uint32
	routerID netip.Addr
}

func (s *Speaker) identityNow() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// SetIdentity gives an AS and a router id to a speaker that New was given none;
// Run has waited for them. The same again is no change, and another one is an
// error: it takes a new speaker, since every session would end.
func (s *Speaker) SetIdentity(as uint32, routerID netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.identity
	switch {
	case now == identity{as, routerID}:
		return nil
	case now.as != 0:
		return fmt.Errorf("AS %d and router id %v cannot change while BGP runs as AS %d with router id %v", as, routerID,
			now.as, now.routerID)
	}
	given := s.cfg.BGP
	given.AS, given.RouterID, given.Neighbors = as, routerID, nil
	if err := given.Check(); err != nil || as == 0 {
		return fmt.Errorf("AS %d with router id %v: want an AS and an IPv4 address", as, routerID)
	}
	s.identity = identity{as, routerID}
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
	s.table.Converge()
	s.unicast.Converge()
	select {
	case <-s.identified:
		return true
	case <-ctx.Done():
		return false
	}
}
