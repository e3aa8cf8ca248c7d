package softswitch

import (
	"context"
	"time"
)

const (
	// portsInterval is how often it is looked how the ports are, whatever is heard of them.
	portsInterval = time.Second
	// portsPause bounds how often clients are told of ports that flap.
	portsPause = 20 * time.Millisecond
)

// portChanged is told that the state of a port changed.
func (s *Switch) portChanged() {
	select {
	case s.portNews <- struct{}{}:
	default:
	}
}

// tellPorts tells the P4Runtime clients which ports are refused or down, whenever that
// changes.
func (s *Switch) tellPorts(ctx context.Context) error {
	tick := time.NewTicker(portsInterval)
	defer tick.Stop()
	for {
		refused, down := map[uint32]string{}, map[uint32]string{}
		for i, p := range s.ports {
			at := s.cfg.Ports[i]
			state := p.State()
			if state.Refused != "" {
				refused[at.Number] = at.Interface + ": " + state.Refused
			}
			if state.Down != "" {
				down[at.Number] = at.Interface + ": " + state.Down
			}
		}
		s.server.TellPorts(refused, down)
		select {
		case <-time.After(portsPause):
		case <-ctx.Done():
			return nil
		}
		select {
		case <-s.portNews:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
