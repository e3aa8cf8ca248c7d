package front

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// refusal is a neighbour that could not be had, and why.
type refusal struct {
	neighbor bgp.Neighbor
	err      error
}

// AddNeighbor starts a session with one more neighbour.
func (s *Speaker) AddNeighbor(_ context.Context, n bgp.Neighbor) error { return s.admit(n) }

// RemoveNeighbor ends the session with a Cease and returns when the last event
// of the neighbour, its PeerDown, is in the queue.
func (s *Speaker) RemoveNeighbor(ctx context.Context, addr netip.Addr) error {
	return s.dismiss(ctx, addr, "")
}

// errRemoved is why a neighbour's goroutine ends while the speaker goes on.
type errRemoved struct{ text string }

func (errRemoved) Error() string { return "the neighbor was removed" }

// dismiss removes a neighbour, which is told the text, or what it is configured to be told.
func (s *Speaker) dismiss(ctx context.Context, addr netip.Addr, text string) error {
	s.mu.Lock()
	n := s.neighbor(addr)
	if n == nil {
		s.mu.Unlock()
		return fmt.Errorf("removing neighbor %v: there is none", addr)
	}
	started := s.sessions != nil
	if !started {
		s.neighbors = slices.DeleteFunc(s.neighbors, func(o *neighbor) bool { return o == n })
	}
	s.mu.Unlock()
	n.waive()
	s.checkConverged()
	if started {
		n.stop(errRemoved{text})
		select {
		case <-n.done:
		case <-ctx.Done():
			return fmt.Errorf("removing neighbor %v: %w", addr, ctx.Err())
		}
		s.remove(n)
	}
	s.listeners.forget(n)
	s.engine.Forget(ctx, addr)
	return nil
}

// SetNeighbors makes the neighbours exactly these. One that is as it was keeps
// its session, as does one of which MACIPOnly alone changed; one that changed
// otherwise gets a new one, one that is left out is removed as by RemoveNeighbor.
// Those that cannot be had are in the error and in Peers, the others stand; asking
// again tries them again. Calls must not overlap.
func (s *Speaker) SetNeighbors(ctx context.Context, want []bgp.Neighbor) error {
	s.mu.Lock()
	have := make(map[netip.Addr]bgp.Neighbor, len(s.neighbors))
	for _, n := range s.neighbors {
		have[n.address] = n.config()
	}
	s.mu.Unlock()
	var errs []error
	for addr, n := range have {
		same := func(w bgp.Neighbor) bool {
			w.MACIPOnly = n.MACIPOnly // needs no new session
			return reflect.DeepEqual(w, n)
		}
		if slices.ContainsFunc(want, same) {
			continue
		}
		text := ""
		if i := slices.IndexFunc(want, func(w bgp.Neighbor) bool { return w.Address == addr }); i >= 0 {
			text = want[i].ShutdownMessage
		}
		if err := s.dismiss(ctx, addr, text); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(have, addr)
	}
	refused := make(map[netip.Addr]refusal)
	for _, n := range want {
		if old, ok := have[n.Address]; ok {
			if old.MACIPOnly != n.MACIPOnly {
				errs = append(errs, s.changeMACIPOnly(ctx, n))
			}
			continue
		}
		if err := s.AddNeighbor(ctx, n); err != nil {
			refused[n.Address] = refusal{n, err}
			errs = append(errs, err)
		}
	}
	s.mu.Lock()
	s.refused = refused
	s.mu.Unlock()
	return errors.Join(errs...)
}

func (s *Speaker) changeMACIPOnly(ctx context.Context, want bgp.Neighbor) error {
	s.mu.Lock()
	n := s.neighbor(want.Address)
	s.mu.Unlock()
	if n == nil {
		return fmt.Errorf("neighbor %v: there is none", want.Address)
	}
	n.mu.Lock()
	n.cfg.MACIPOnly = want.MACIPOnly
	n.mu.Unlock()
	return s.engine.SetMACIPOnly(ctx, want.Address, want.MACIPOnly)
}

// Peers gives the neighbours in the order in which they were added.
func (s *Speaker) Peers() []bgp.PeerState {
	s.mu.Lock()
	neighbors := slices.Clone(s.neighbors)
	states := make([]bgp.PeerState, 0, len(neighbors)+len(s.refused))
	var refused []bgp.PeerState
	for _, r := range s.refused {
		st := idle(&r.neighbor)
		st.LastDown = r.err.Error()
		refused = append(refused, st)
	}
	s.mu.Unlock()
	for _, n := range neighbors {
		states = append(states, n.snapshot())
	}
	slices.SortFunc(refused, func(a, b bgp.PeerState) int { return a.Address.Compare(b.Address) })
	return append(states, refused...)
}
