package netport

import (
	"errors"
	"fmt"

	"github.com/p4evpn/p4evpn/softswitch/claim"
)

// State is how a port stands.
type State struct {
	Up      bool
	Claim   claim.Way // that keeps the host's network stack off; empty for none
	Refused string    // why the interface is not used though it is there; empty if it is
	Down    string    // why frames do not pass: no interface, no carrier, refused ...; empty if they do
}

// State returns how the port stands. It may be called at any time.
func (p *Port) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	if s.Up = p.Up(); !s.Up && s.Down == "" {
		s.Down = "it was not opened yet"
	}
	return s
}

// refusal is an error of an interface that must not be used.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// setDown keeps why a session ended.
func (p *Port) setDown(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Down: err.Error()}
	if r := (refusal{}); errors.As(err, &r) {
		s.Refused = r.Error()
	}
	p.setState(s)
}

// setCarrier keeps whether the interface, which is open, has carrier.
func (p *Port) setCarrier(has bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	if s.Down = ""; !has {
		s.Down = "the interface has no carrier"
	}
	p.setState(s)
}

// setState is called with p.mu held.
func (p *Port) setState(s State) {
	if s != p.state {
		p.state = s
		p.cfg.Changed()
	}
}

// claim keeps the host's network stack off the interface, or says why the port
// must not be used.
func (p *Port) claim(now link) error {
	d := claim.Device{Name: p.cfg.Interface, Index: now.index}
	err := errors.New("it cannot be kept from the host's network stack: frames cannot be marked (this process " +
		"lacks CAP_NET_ADMIN)")
	var way claim.Way
	if p.marked {
		way, err = claim.Take(d, p.cfg.Ways, claim.Both)
	}
	switch {
	case err == nil:
		if err := claim.Quiet(d); err != nil {
			p.log.Warn("the kernel's ARP and IPv6 are still on; the claim keeps them off", "err", err)
		}
	case p.cfg.Shared:
		way = ""
		p.log.Warn("UNSAFE: whoever is behind this port reaches the host's own network stack", "reason", err)
	default:
		return refusal{fmt.Errorf("%w; see \"refused\" in docs/troubleshooting.md", err)}
	}
	p.mu.Lock()
	p.setState(State{Claim: way, Down: p.state.Down})
	p.mu.Unlock()
	return nil
}

// keepClaim puts the claim back if somebody removed it.
func (p *Port) keepClaim(now link) error {
	way := p.State().Claim
	if way == "" {
		return nil // shared
	}
	lost := claim.Check(claim.Device{Name: p.cfg.Interface, Index: now.index}, way, claim.Both)
	if lost == nil {
		return nil
	}
	p.counters.claimsLost.Add(1)
	p.log.Warn("somebody removed the claim of the interface, claiming it again", "reason", lost)
	return p.claim(now)
}
