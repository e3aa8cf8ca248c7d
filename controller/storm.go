package controller

import (
	"cmp"

	"github.com/p4evpn/p4evpn/controller/view"
	"github.com/p4evpn/p4evpn/p4"
)

// or gives what s says nothing of as other has it.
func (s Storm) or(other Storm) Storm {
	return Storm{cmp.Or(s.Broadcast, other.Broadcast), cmp.Or(s.Multicast, other.Multicast),
		cmp.Or(s.Unknown, other.Unknown)}
}

// stormMeters bound what a bridge port has flooded. What comes at once may be what comes in
// a second: after a link is back all hosts behind it speak.
func (l *loop) stormMeters(p *port) []p4.Meter {
	most := l.storm(p)
	var all []p4.Meter
	for of, rate := range map[p4.Policed]uint32{p4.PolicedBroadcast: most.Broadcast,
		p4.PolicedMulticast: most.Multicast, p4.PolicedUnknown: most.Unknown} {
		all = append(all, p4.StormMeter(p.Number, of, int64(rate), int64(rate)))
	}
	return all
}

// storm is how much of a bridge port may be flooded; 0 is any number.
func (l *loop) storm(p *port) view.Storm {
	most := p.Storm.or(l.cfg.Storm)
	return view.Storm{Broadcast: uint32(max(most.Broadcast, 0)), Multicast: uint32(max(most.Multicast, 0)),
		Unknown: uint32(max(most.Unknown, 0))}
}

// desiredNoFlood keeps a bridge that says so from flooding frames to unknown stations.
func (l *loop) desiredNoFlood(index uint16) entry {
	if b := l.bridges[index]; b != nil && l.bridgeInstance(b).dropUnknown {
		return p4.NoFlood{Bridge: index}
	}
	return nil
}
