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
	"github.com/p4evpn/p4evpn/bgp/rib"
)

// peer is one neighbour's session as the watcher sees it.
type peer struct {
	neighbor bgp.Neighbor
	state    bgp.PeerState
	decoder  decoder
	restart  restart
	evpn     *rib.Peer // nil if it is not to have EVPN
	unicast  rib.AdjRIBIn[netip.Prefix, bgp.UnicastRoute]
	// removed is closed when GoBGP has said the last of a neighbour that is
	// being removed; nil otherwise.
	removed chan struct{}
}

func (s *Speaker) newPeer(n bgp.Neighbor) *peer {
	p := &peer{
		neighbor: n,
		state:    idle(&n),
		decoder:  decoder{as: s.cfg.AS, allowOwnAS: n.AllowOwnAS, internal: n.AS == s.cfg.AS},
		unicast:  rib.NewAdjRIBIn(s.unicast, &n, n.UnicastFamily()),
	}
	if n.Has(bgp.EVPN) {
		p.evpn = s.evpn.Peer(n.Address, 0) // GoBGP counts them
	}
	return p
}

// idle is the state of a neighbour of which nothing is known yet.
func idle(n *bgp.Neighbor) bgp.PeerState {
	return bgp.PeerState{Address: n.Address, AS: n.AS, State: "idle", Families: n.Carried(), Limit: n.Limit()}
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
	var evpn rib.Batch
	var unicast []bgp.UnicastEvent
	for _, path := range paths {
		if path.Family == packet.RF_EVPN {
			s.onEVPN(p, path, &evpn)
			continue
		}
		e, reason, ok := p.decoder.unicast(path)
		s.counts.count(e.Kind, reason)
		if ok {
			unicast = append(unicast, e)
		}
	}
	p.take(&evpn)
	p.unicast.Take(unicast)
}

// onEVPN adds a path to those of its UPDATE.
func (s *Speaker) onEVPN(p *peer, path *apiutil.Path, b *rib.Batch) {
	n, attributes, reason, ok := p.decoder.path(path)
	kind := bgp.RouteUpdate
	if attributes == nil {
		kind = bgp.RouteWithdraw
	}
	s.counts.count(kind, reason)
	switch {
	case !ok:
	case attributes == nil:
		b.Unreach = append(b.Unreach, n.Key)
	default:
		if attributes != b.Attributes {
			p.take(b)
			*b = rib.Batch{Attributes: attributes}
		}
		b.Reach = append(b.Reach, n)
	}
}

// take takes EVPN routes, if the neighbour is to have any.
func (p *peer) take(b *rib.Batch) {
	if p.evpn != nil {
		p.evpn.Take(b)
	}
}

func (s *Speaker) onEndOfRIB(path *apiutil.Path, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(path.PeerAddress)
	if p == nil || !p.state.Up {
		return
	}
	switch {
	case path.Family == packet.RF_EVPN && p.evpn != nil:
		p.evpn.EndOfRIB()
	case path.Family == rf(p.unicast.Family()):
		p.unicast.EndOfRIB()
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
		if p.evpn != nil {
			s.evpn.Remove(p.evpn)
		}
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
		state   string
		unicast uint64
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
				if f.GetState().GetFamily().GetAfi() != api.Family_AFI_L2VPN {
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
		if p.evpn != nil {
			st.EndOfRIB, st.Routes = p.evpn.Ended(), uint64(p.evpn.Len())
		}
		st.Graceful = p.restart.away || p.state.Up && p.restart.capable
		if l, ok := now[st.Address.String()]; ok {
			st.State, st.Unicast = l.state, l.unicast
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
