package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
)

// peer is one neighbour's session as the watcher sees it.
type peer struct {
	neighbor bgp.Neighbor
	state    bgp.PeerState
	decoder  decoder
	restart  restart
	evpn     adjRIBIn[bgp.Key, bgp.Route]
	unicast  adjRIBIn[netip.Prefix, bgp.UnicastRoute]
	// removed is closed when GoBGP has said the last of a neighbour that is
	// being removed; nil otherwise.
	removed chan struct{}
}

func (s *Speaker) newPeer(n bgp.Neighbor) *peer {
	return &peer{
		neighbor: n,
		state:    bgp.PeerState{Address: n.Address, AS: n.AS, State: "idle"},
		decoder:  decoder{as: s.cfg.AS, allowOwnAS: n.AllowOwnAS},
		evpn:     newAdjRIBIn(s.evpn, &n, bgp.EVPN),
		unicast:  newAdjRIBIn(s.unicast, &n, n.UnicastFamily()),
	}
}

func (s *Speaker) peer(addr netip.Addr) *peer {
	for _, p := range s.peers {
		if p.state.Address == addr {
			return p
		}
	}
	return nil
}

// onPaths takes what one UPDATE said, or the routes of a session that ended.
// The watcher calls it and the two below from one goroutine, in the order of
// the session.
func (s *Speaker) onPaths(paths []*apiutil.Path, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(paths) == 0 {
		return
	}
	p := s.peer(paths[0].PeerAddress)
	if p == nil || !p.state.Up {
		return // ours, or of a session that is over
	}
	p.restart.heard = time.Now()
	internal := p.neighbor.AS == s.cfg.AS
	evpn := make([]bgp.Event, 0, len(paths))
	var unicast []bgp.UnicastEvent
	for _, path := range paths {
		if path.Family == packet.RF_EVPN {
			e, reason, ok := p.decoder.event(path)
			s.counts.count(e.Kind, reason)
			if ok {
				evpn = append(evpn, e)
			}
		} else {
			e, reason, ok := p.decoder.unicast(path, internal)
			s.counts.count(e.Kind, reason)
			if ok {
				unicast = append(unicast, e)
			}
		}
	}
	p.evpn.take(evpn)
	p.unicast.take(unicast)
}

func (s *Speaker) onEndOfRIB(path *apiutil.Path, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(path.PeerAddress)
	if p == nil || !p.state.Up {
		return
	}
	switch path.Family {
	case rf(p.evpn.family):
		p.evpn.end()
	case rf(p.unicast.family):
		p.unicast.end()
	}
	s.checkConverged()
}

func (s *Speaker) onPeer(ev *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(ev.Peer.State.NeighborAddress)
	if p == nil || ev.Type != apiutil.PEER_EVENT_STATE {
		return
	}
	s.sessionChanged(p, ev)
	if p.removed != nil && ev.Peer.State.SessionState == packet.BGP_FSM_IDLE {
		s.expire(p)
		s.peers = slices.DeleteFunc(s.peers, func(o *peer) bool { return o == p })
		close(p.removed)
	}
}

func (s *Speaker) sessionChanged(p *peer, ev *apiutil.WatchEventMessage_PeerEvent) {
	addr := p.state.Address
	if ev.Peer.State.SessionState == packet.BGP_FSM_ESTABLISHED {
		p.state.Up, p.state.Since = true, s.clock()
		p.state.RouterID = ev.Peer.State.RouterID
		s.sessionUp(p, ev.Peer.State.RemoteCap)
		return
	}
	reason := ev.Peer.State.DisconnectReason
	switch {
	case p.state.Up:
		p.state.Up, p.state.Since = false, s.clock()
		p.state.Flaps++
		p.state.LastDown = ev.Peer.State.DisconnectMessage
		s.sessionDown(p, reason == api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART)
		s.log.Info("BGP session down", "peer", addr, "reason", ev.Peer.State.DisconnectMessage, "graceful", p.restart.away)
	case reason == api.PeerState_DISCONNECT_REASON_RESTART_TIMER_EXPIRED:
		s.expire(p)
	}
}

// AddNeighbor starts a session with one more neighbour.
func (s *Speaker) AddNeighbor(ctx context.Context, n bgp.Neighbor) error {
	if err := n.Check(); err != nil {
		return fmt.Errorf("neighbor %v: %w", n.Address, err)
	}
	if err := checkMD5(n); err != nil {
		return err
	}
	s.originate.Lock()
	defer s.originate.Unlock()
	p := s.newPeer(n)
	s.mu.Lock()
	if s.peer(n.Address) != nil {
		s.mu.Unlock()
		return fmt.Errorf("neighbor %v: there is one with this address", n.Address)
	}
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	if s.gobgp == nil {
		return nil // Run adds it
	}
	if err := limitRoutes(ctx, s.gobgp, n); err != nil {
		return fmt.Errorf("neighbor %v: %w", n.Address, err)
	}
	if err := s.gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: apiPeer(&n, s.cfg.GracefulRestart, false)}); err != nil {
		s.mu.Lock()
		s.peers = slices.DeleteFunc(s.peers, func(o *peer) bool { return o == p })
		s.mu.Unlock()
		return fmt.Errorf("neighbor %v: %w", n.Address, err)
	}
	return nil
}

// RemoveNeighbor ends the session with a Cease and returns when the last event
// of the neighbour, its PeerDown, is in the queue.
func (s *Speaker) RemoveNeighbor(ctx context.Context, addr netip.Addr) error {
	removed, err := s.remove(ctx, addr)
	if err != nil {
		return fmt.Errorf("removing neighbor %v: %w", addr, err)
	}
	select {
	case <-removed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("removing neighbor %v: %w", addr, ctx.Err())
	}
}

func (s *Speaker) remove(ctx context.Context, addr netip.Addr) (<-chan struct{}, error) {
	s.originate.Lock()
	defer s.originate.Unlock()
	s.mu.Lock()
	p := s.peer(addr)
	if p == nil {
		s.mu.Unlock()
		return nil, errors.New("there is none")
	}
	if p.removed != nil {
		s.mu.Unlock()
		return p.removed, nil
	}
	p.removed = make(chan struct{})
	s.checkConverged()
	if s.gobgp == nil {
		s.peers = slices.DeleteFunc(s.peers, func(o *peer) bool { return o == p })
		close(p.removed)
	}
	s.mu.Unlock()
	if s.gobgp == nil {
		return p.removed, nil
	}
	if p.neighbor.Password != "" {
		if err := s.forgetPassword(ctx, p.neighbor); err != nil {
			return nil, err
		}
	}
	return p.removed, s.gobgp.DeletePeer(ctx, &api.DeletePeerRequest{Address: addr.String()})
}

// forgetPassword takes a neighbour's key from the listener, which DeletePeer
// leaves there: the next one with this address may have none.
func (s *Speaker) forgetPassword(ctx context.Context, n bgp.Neighbor) error {
	n.Password, n.Passive = "", true
	_, err := s.gobgp.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: apiPeer(&n, s.cfg.GracefulRestart, false)})
	return err
}

// Peers gives the neighbours in the order in which they were added.
func (s *Speaker) Peers() []bgp.PeerState {
	type live struct {
		state           string
		routes, unicast uint64
	}
	now := make(map[string]live)
	s.originate.Lock()
	gobgp := s.gobgp
	s.originate.Unlock()
	if gobgp != nil {
		// It can fail only because BGP has stopped, and then says nothing.
		_ = gobgp.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
			l := live{state: sessionState(p.GetState().GetSessionState())}
			for _, f := range p.GetAfiSafis() {
				if f.GetState().GetFamily().GetAfi() == api.Family_AFI_L2VPN {
					l.routes = f.GetState().GetReceived()
				} else {
					l.unicast = f.GetState().GetReceived()
				}
			}
			now[p.GetState().GetNeighborAddress()] = l
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]bgp.PeerState, 0, len(s.peers))
	for _, p := range s.peers {
		st := p.state
		st.EndOfRIB = p.evpn.ended
		st.Graceful = p.restart.away || p.state.Up && p.restart.capable
		if l, ok := now[st.Address.String()]; ok {
			st.State, st.Routes, st.Unicast = l.state, l.routes, l.unicast
		}
		states = append(states, st)
	}
	return append(states, s.refusedStates()...)
}

func sessionState(s api.PeerState_SessionState) string {
	switch s {
	case api.PeerState_SESSION_STATE_CONNECT:
		return "connect"
	case api.PeerState_SESSION_STATE_ACTIVE:
		return "active"
	case api.PeerState_SESSION_STATE_OPENSENT:
		return "opensent"
	case api.PeerState_SESSION_STATE_OPENCONFIRM:
		return "openconfirm"
	case api.PeerState_SESSION_STATE_ESTABLISHED:
		return "established"
	}
	return "idle"
}
