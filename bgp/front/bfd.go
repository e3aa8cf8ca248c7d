package front

import (
	"net/netip"

	"github.com/p4evpn/p4evpn/bfd"
	"github.com/p4evpn/p4evpn/bgp/wire"
	"github.com/p4evpn/p4evpn/internal/events"
)

// SetBFD says how the path to a neighbour is, or will be: it need not be configured. A
// status of which nothing but the peer is set says that nobody watches the path.
//
// A path that is lost ends an established session at once, and its routes go: nothing was
// said of a restart (RFC 5882 section 4.3.2.2). Routes that are kept for a peer that is away
// go if BFD is independent of the control planes on both sides (section 4.3.1), and else
// stay: its BFD may have gone with the rest of it (section 4.3.2). That BFD does not come
// up, or is switched off by the peer, means nothing (section 3.2): BGP goes on.
func (s *Speaker) SetBFD(st bfd.Status) {
	s.mu.Lock()
	before := s.paths[st.Peer]
	if st == (bfd.Status{Peer: st.Peer}) {
		delete(s.paths, st.Peer)
	} else {
		s.paths[st.Peer] = st
	}
	n := s.neighbor(st.Peer)
	s.mu.Unlock()
	if n == nil {
		return
	}
	switch {
	case st.FailedSince(before):
		n.log.Warn("BFD: the path to a BGP neighbour is lost", events.Key, events.Liveness, "diagnostic", st.LastDown,
			"detection", before.Detection)
		n.endPath(pathEnd{reason: "BFD: the path is lost", independent: st.Independent,
			send: &wire.Notification{Code: wire.Cease, Subcode: wire.BFDDown}})
	case st.State == bfd.Up && before.State != bfd.Up:
		n.log.Info("BFD session up", events.Key, events.Liveness, "interval", st.Transmission, "detection", st.Detection)
	case st.State < bfd.Up && before.State == bfd.Up:
		n.log.Info("BFD session down", events.Key, events.Liveness, "diagnostic", st.LastDown, "remote", st.RemoteState,
			"trouble", st.Trouble)
	case st.Trouble != "" && st.Trouble != before.Trouble && before.Discriminator != 0:
		n.log.Warn("BFD", events.Key, events.Liveness, "trouble", st.Trouble)
	}
}

// pathEnd is that the path to a neighbour is lost.
type pathEnd struct {
	reason      string
	send        *wire.Notification
	independent bool // of the peer's control plane, which may restart
}

// endPath has run take that the path is lost, and does not wait for it.
func (n *neighbor) endPath(e pathEnd) {
	select {
	case n.pathEnds <- e:
	default: // it has not yet taken the last one
	}
}

// pathLost ends what relies on the path to the peer.
func (n *neighbor) pathLost(e pathEnd) {
	switch {
	case n.session != nil:
		n.finish(&ending{reason: e.reason, send: e.send, hard: true})
	case n.restart.away && e.independent:
		n.log.Info("the routes of a BGP neighbour that is away go, since the path to it is lost",
			events.Key, events.Liveness, "reason", e.reason)
		n.abandon()
		n.setDown(e.reason)
	}
}

// path is what BFD says of a neighbour.
func (s *Speaker) path(a netip.Addr) bfd.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[a]
}
