package liveness

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/p4evpn/p4evpn/bfd"
)

// Peer is who there is to be a session with. There is one for each address.
type Peer struct {
	Address netip.Addr `json:"address"`
	// Local is the source of our packets; invalid leaves it to the kernel.
	Local netip.Addr `json:"local,omitzero"`
	// Hops is how many hops away the peer may be: 1 on our link (RFC 5881), more elsewhere
	// (RFC 5883). What came from further is not heard.
	Hops uint8 `json:"hops"`
	// Interval is in whole milliseconds, Multiplier how many packets of ours may be missing.
	Interval   time.Duration `json:"interval"`
	Multiplier uint8         `json:"multiplier"`
}

// MaxPeers is how many there may be.
const MaxPeers = 1024

// Check says what is wrong with the peer.
func (p *Peer) Check() error {
	switch {
	case !p.Address.IsValid() || p.Address.IsUnspecified() || p.Address.IsMulticast() || p.Address.Is4In6() ||
		p.Address.Zone() != "":
		return fmt.Errorf("address %v: want the unicast address of a peer", p.Address)
	case p.Local.IsValid() && p.Local.Is4() != p.Address.Is4():
		return fmt.Errorf("local address %v: want the same IP version as the peer's", p.Local)
	case p.Hops == 0:
		return errors.New("hops 0: want 1 for a peer on our link, or more")
	case p.Multiplier == 0:
		return errors.New("multiplier 0: want 1 to 255")
	}
	if err := bfd.CheckInterval(p.Interval); err != nil {
		return fmt.Errorf("interval %w", err)
	}
	return nil
}

// checkPeers checks what a client wants.
func checkPeers(peers []Peer) error {
	if len(peers) > MaxPeers {
		return fmt.Errorf("%d sessions: want at most %d", len(peers), MaxPeers)
	}
	for i := range peers {
		p := &peers[i]
		if err := p.Check(); err != nil {
			return fmt.Errorf("session with %v: %w", p.Address, err)
		}
		if slices.ContainsFunc(peers[:i], func(o Peer) bool { return o.Address == p.Address }) {
			return fmt.Errorf("session with %v: asked for twice", p.Address)
		}
	}
	return nil
}

func (p *Peer) timing() bfd.Timing { return bfd.Timing{Interval: p.Interval, Multiplier: p.Multiplier} }

// minTTL is the least TTL of the peer's packets, which it sends with 255.
func (p *Peer) minTTL() int { return 256 - int(p.Hops) }
