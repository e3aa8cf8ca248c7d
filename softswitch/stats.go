package softswitch

import (
	"github.com/p4evpn/p4evpn/softswitch/netport"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
)

// Stats is a snapshot of the switch's own counters; those of the P4 program
// are read over P4Runtime.
type Stats struct {
	Ports      []PortStats
	Server     p4rtserver.Stats
	NoPipeline uint64 // frames dropped for want of a pipeline
	NoPort     uint64 // frames dropped that the pipeline sent to a port that does not exist
}

// PortStats are the state and the counters of one port.
type PortStats struct {
	Port
	netport.State
	netport.Stats
}

// Stats returns the counters. It may be called at any time before Run returns.
func (s *Switch) Stats() Stats {
	out := Stats{Server: s.server.Stats(), NoPipeline: s.noPipeline.Load(), NoPort: s.noPort.Load()}
	for i, p := range s.ports {
		out.Ports = append(out.Ports, PortStats{Port: s.cfg.Ports[i], State: p.State(), Stats: p.Stats()})
	}
	return out
}
