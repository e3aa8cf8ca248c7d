package gobgp

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

// SetNeighbors makes the neighbours exactly these. One that is as it was keeps
// its session, as does one of which MACIPOnly alone changed; one that changed
// otherwise gets a new one, one that is left out is removed as by RemoveNeighbor.
// Those that cannot be had are in the error and in Peers, the others stand; asking
// again tries them again. Calls must not overlap.
func (s *Speaker) SetNeighbors(ctx context.Context, want []bgp.Neighbor) error {
	s.mu.Lock()
	have := make(map[netip.Addr]bgp.Neighbor, len(s.peers))
	for _, p := range s.peers {
		have[p.state.Address] = p.neighbor
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
		if err := s.RemoveNeighbor(ctx, addr); err != nil {
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

// refusedStates are the states of neighbours that could not be had; s.mu is held.
func (s *Speaker) refusedStates() []bgp.PeerState {
	var out []bgp.PeerState
	for _, r := range s.refused {
		st := idle(&r.neighbor)
		st.LastDown = fmt.Sprint(r.err)
		out = append(out, st)
	}
	return out
}
