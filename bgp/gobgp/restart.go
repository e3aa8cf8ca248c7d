package gobgp

import (
	"slices"
	"time"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/p4evpn/p4evpn/bgp"
)

// Graceful restart (RFC 4724) of a neighbour: what GoBGP negotiates, we follow.
// Which routes are stale is kept in package rib, since GoBGP drops them without a word,
// and earlier than the restart time says when an attempt to connect fails.

// restart is what is known of a peer's graceful restart.
type restart struct {
	capable  bool         // its OPEN had the capability: it sends End-of-RIB
	families []bgp.Family // whose routes we keep while it is away
	// preserved are those for which it forwarded on while it was (the F bit).
	preserved []bgp.Family
	time      time.Duration
	away      bool // down, and its routes are kept
	// timer ends the wait for a peer that is away, or for the routes of one
	// that sends no End-of-RIB, of which heard is the time of the last.
	timer *time.Timer
	heard time.Time
}

// silence is how long a peer that sends no End-of-RIB has been silent when it is
// taken to have sent all its routes.
const silence = 2 * time.Second

// forwarding is the F bit of a family (section 3).
const forwarding = 0x80

// negotiate reads the capability of the peer's OPEN (section 3).
func (r *restart) negotiate(n *bgp.Neighbor, caps []packet.ParameterCapabilityInterface) {
	r.capable, r.families, r.preserved, r.time = false, nil, nil, 0
	for _, c := range caps {
		gr, ok := c.(*packet.CapGracefulRestart)
		if !ok {
			continue
		}
		r.capable, r.time = true, time.Duration(gr.Time)*time.Second
		for _, t := range gr.Tuples {
			for _, f := range []bgp.Family{bgp.EVPN, n.UnicastFamily()} {
				if !n.Has(f) || packet.NewFamily(t.AFI, t.SAFI) != rf(f) {
					continue
				}
				r.families = append(r.families, f)
				if t.Flags&forwarding != 0 {
					r.preserved = append(r.preserved, f)
				}
			}
		}
	}
}

// sessionUp takes over a session that came up; s.mu is held.
func (s *Speaker) sessionUp(p *peer, caps []packet.ParameterCapabilityInterface) {
	p.stopTimer()
	p.restart.away = false
	if !s.cfg.GracefulRestart.Enabled {
		caps = nil
	}
	p.restart.negotiate(&p.neighbor, caps)
	s.log.Info("BGP session up", "peer", p.state.Address, "graceful_restart", p.restart.capable)
	if p.evpn != nil {
		p.evpn.Up(p.state.RouterID, slices.Contains(p.restart.preserved, bgp.EVPN))
	}
	p.unicast.Up(slices.Contains(p.restart.preserved, p.unicast.Family()))
	if !p.restart.capable {
		p.restart.heard = time.Now()
		s.after(p, silence, s.awaitSilence)
	}
}

// awaitSilence is called when a peer without graceful restart may have sent all
// its routes; s.mu is held.
func (s *Speaker) awaitSilence(p *peer) {
	if left := silence - time.Since(p.restart.heard); left > 0 {
		s.after(p, left, s.awaitSilence)
		return
	}
	p.waive()
	s.checkConverged()
}

// after calls do, with s.mu held, unless the peer's timer was stopped or set
// anew; s.mu is held.
func (s *Speaker) after(p *peer, d time.Duration, do func(*peer)) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.restart.timer == timer {
			do(p)
		}
	})
	p.restart.timer = timer
}

func (p *peer) stopTimer() {
	if p.restart.timer != nil {
		p.restart.timer.Stop()
		p.restart.timer = nil
	}
}

// sessionDown keeps the routes of a peer that may come back, or sees to it that
// all of them are withdrawn; s.mu is held.
func (s *Speaker) sessionDown(p *peer, graceful bool) {
	p.stopTimer()
	p.restart.away = graceful && len(p.restart.families) > 0
	if p.restart.away {
		s.after(p, p.restart.time, s.expire) // GoBGP's own does not survive a failed attempt to connect
	}
	p.down(p.restart.away)
}

// expire lets go of the routes of a peer that did not come back in time; s.mu
// is held.
func (s *Speaker) expire(p *peer) {
	if !p.restart.away {
		return
	}
	p.stopTimer()
	p.restart.away = false
	s.log.Info("BGP neighbour did not come back within its restart time, its routes go", "peer", p.state.Address)
	p.down(false)
}

// down keeps the peer's routes of the families for which it does graceful restart, or sees
// to it that all are withdrawn.
func (p *peer) down(kept bool) {
	if p.evpn != nil {
		p.evpn.Down(kept && slices.Contains(p.restart.families, bgp.EVPN))
	}
	p.unicast.Down(kept && slices.Contains(p.restart.families, p.unicast.Family()))
}

// PreservedForwarding says that the target went on forwarding while we were
// away: neighbours then keep our routes until we have sent them again. It is
// for the sessions that Run starts, and must be called before.
func (s *Speaker) PreservedForwarding() {
	s.originate.Lock()
	defer s.originate.Unlock()
	s.preserved = true
}

// converge says Converged to each consumer that was not told and has nothing to
// wait for; over ends the waiting.
func (s *Speaker) converge(over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over {
		for _, p := range s.peers {
			if p.removed != nil {
				continue
			}
			for _, f := range p.waive() {
				s.log.Warn("a BGP neighbour has not sent its routes in time, going on without",
					"peer", p.state.Address, "family", f, "up", p.state.Up)
			}
		}
	}
	s.running = true
	s.checkConverged()
}

// waive waits for the peer's routes no more, and gives the families of which it did.
func (p *peer) waive() (families []bgp.Family) {
	if p.evpn != nil && p.evpn.Waive() {
		families = append(families, bgp.EVPN)
	}
	if p.unicast.Waive() {
		families = append(families, p.unicast.Family())
	}
	return families
}

// checkConverged is called after what is waited for became less; s.mu is held.
func (s *Speaker) checkConverged() {
	if !s.running {
		return
	}
	evpn, unicast := true, true
	for _, p := range s.peers {
		if p.removed == nil {
			evpn = evpn && (p.evpn == nil || !p.evpn.Awaited())
			unicast = unicast && !p.unicast.Awaited()
		}
	}
	if evpn {
		s.evpn.Converge()
	}
	if unicast {
		s.unicast.Converge()
	}
}
