package controller

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
)

// This file is what of the MACs that tenants send is learned: so many of a port, so many of
// a bridge. Who is over a limit is declined, and comes in when there is room.

// maxMACs is how many MACs may be learned in a bridge.
func (l *loop) maxMACs(b *bridge) int { return cmp.Or(l.bridgeInstance(b).maxMACs, l.cfg.MaxMACs) }

// maxPortMACs is how many MACs may be learned on a port.
func (l *loop) maxPortMACs(p *port) int { return cmp.Or(p.MaxMACs, l.cfg.MaxPortMACs) }

// bridgeRoom is how many MACs more may be learned in a bridge; less than none if the limit
// was lowered: what was learned then stays.
func (l *loop) bridgeRoom(b *bridge) int { return l.maxMACs(b) - b.learned }

// portRoom is bridgeRoom for a port.
func (l *loop) portRoom(p *port) int { return l.maxPortMACs(p) - p.learned }

// sayFull says once that a port or bridge has its MACs, when one more is declined.
func (l *loop) sayFull(b *bridge, p *port, reason declineReason) {
	switch {
	case reason == declinePortLimit && !p.full:
		p.full = true
		l.log.Warn("a port has as many MACs as may be learned on it: others are declined",
			"port", p.Name, "limit", l.maxPortMACs(p))
	case reason == declineBridgeLimit && !b.full:
		b.full = true
		l.log.Warn("a bridge has as many MACs as may be learned in it: others are declined",
			"bridge", b.ID, "limit", l.maxMACs(b))
	}
}

// portLimited says that a port has its MACs, "" if more may be learned.
func (l *loop) portLimited(p *port) string {
	if !p.full {
		return ""
	}
	return fmt.Sprintf("%d MACs are learned on port %s where %d may be (max_macs): others are declined", p.learned, p.Name,
		l.maxPortMACs(p))
}

// bridgeLimited is portLimited for a bridge.
func (l *loop) bridgeLimited(b *bridge) string {
	if !b.full {
		return ""
	}
	return fmt.Sprintf("%d MACs are learned in the bridge where %d may be (max_macs): others are declined", b.learned,
		l.maxMACs(b))
}

// vacated is called when a MAC of a port and bridge is gone: one that was over a limit may
// come.
func (l *loop) vacated(b *bridge, p *port) {
	l.vacant[b.Index] = struct{}{}
	if p.declined > 0 {
		for index := range l.bridgesOf(p) {
			l.vacant[index] = struct{}{}
		}
	}
}

// reviewDeclined has all that is over a limit looked at again: what was let in when there
// was room may have had nothing to say.
func (l *loop) reviewDeclined() {
	for index, b := range l.bridges {
		if len(b.declined) > 0 {
			l.vacant[index] = struct{}{}
		}
	}
}

// settleVacant lets as many sources that were over a limit be reported as there is room for,
// in the order of bridges and MACs. Who then sends first is learned.
func (l *loop) settleVacant() {
	if len(l.vacant) == 0 {
		return
	}
	tried := map[*port]int{}
	for _, index := range slices.Sorted(maps.Keys(l.vacant)) {
		if b := l.bridges[index]; b != nil {
			l.fillBridge(b, tried)
		}
	}
	clear(l.vacant)
}

// over is a source that was declined on a port since there was no room.
type over struct {
	mac  ether.MAC
	port *port
}

// fillBridge is settleVacant for one bridge; tried are the sources that ports had let in.
func (l *loop) fillBridge(b *bridge, tried map[*port]int) {
	room, full := l.bridgeRoom(b), b.full
	b.full = b.full && room <= 0
	for n := range b.ports {
		p := l.ports[n]
		full = full || p.full
		p.full = p.full && l.portRoom(p) <= 0
	}
	if full {
		l.markExpected(b)
	}
	if room <= 0 {
		return
	}
	var waiting []over
	for mac, d := range b.declined {
		for n, reason := range d {
			limited := reason == declinePortLimit || reason == declineBridgeLimit
			if p := l.ports[n]; limited && l.portRoom(p) > tried[p] {
				waiting = append(waiting, over{mac, p})
			}
		}
	}
	slices.SortFunc(waiting, func(a, b over) int {
		return cmp.Or(bytes.Compare(a.mac[:], b.mac[:]), cmp.Compare(a.port.Number, b.port.Number))
	})
	for _, o := range waiting {
		if room > 0 && l.portRoom(o.port) > tried[o.port] {
			tried[o.port]++
			room--
			l.undecline(b, o.mac, o.port.Number)
		}
	}
}
