package front

import (
	"fmt"
	"sync"
	"time"

	"github.com/p4evpn/p4evpn/bgp"
	"github.com/p4evpn/p4evpn/bgp/wire"
)

// refreshes are the peer's requests for our routes (RFC 2918). Each costs the engine all
// of them: it hears of one of a family in a second.
type refreshes struct {
	mu      sync.Mutex
	pending map[wire.Family]bool
	last    time.Time
}

// asked takes a ROUTE-REFRESH. Those that frame an answer (RFC 7313) are not for one who
// has not offered to ask so, and the engine would take them for requests.
func (s *session) asked(body []byte) *ending {
	r, err := wire.ParseRouteRefresh(body)
	if err != nil {
		// RFC 7313 section 5 ends sessions in which its capability was exchanged; ours
		// have it not.
		s.n.note([]bgp.Fault{{Reason: bgp.BadMessage, Action: bgp.Discarded,
			What: fmt.Sprintf("ROUTE-REFRESH of %d bytes", wire.HeaderLength+len(body)), Bytes: bgp.FirstBytes(body)}})
		return nil
	}
	if r.Subtype != wire.Request || !s.ours.Has(r.Family) || !s.open.Has(r.Family) {
		return nil
	}
	s.refresh.mu.Lock()
	if s.refresh.pending == nil {
		s.refresh.pending = make(map[wire.Family]bool)
	}
	s.refresh.pending[r.Family] = true
	early := time.Since(s.refresh.last) < beatEvery
	s.refresh.mu.Unlock()
	if early {
		return nil // the next beat has it
	}
	return s.ask()
}

// ask passes on what the peer asked for.
func (s *session) ask() *ending {
	s.refresh.mu.Lock()
	families := make([]wire.Family, 0, len(s.refresh.pending))
	for f := range s.refresh.pending {
		families = append(families, f)
	}
	clear(s.refresh.pending)
	s.refresh.last = time.Now()
	s.refresh.mu.Unlock()
	for _, f := range families {
		if e := s.tell(wire.RouteRefreshType, wire.RouteRefresh{Family: f}.Append(nil)); e != nil {
			return e
		}
	}
	return nil
}

// askAgain passes on what waits, unless the peer reads nothing now.
func (s *session) askAgain() *ending {
	if !s.writing.TryLock() {
		return nil
	}
	s.writing.Unlock()
	s.refresh.mu.Lock()
	none := len(s.refresh.pending) == 0
	s.refresh.mu.Unlock()
	if none {
		return nil
	}
	return s.ask()
}
