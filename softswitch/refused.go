package softswitch

import (
	"context"
	"time"
)

// refusedInterval is how often it is looked which ports are refused.
const refusedInterval = time.Second

// tellRefusedPorts tells the P4Runtime clients which ports are refused, whenever
// that changes.
func (s *Switch) tellRefusedPorts(ctx context.Context) error {
	tick := time.NewTicker(refusedInterval)
	defer tick.Stop()
	for {
		refused := map[uint32]string{}
		for i, p := range s.ports {
			if reason := p.State().Refused; reason != "" {
				refused[s.cfg.Ports[i].Number] = s.cfg.Ports[i].Interface + ": " + reason
			}
		}
		s.server.TellRefusedPorts(refused)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
