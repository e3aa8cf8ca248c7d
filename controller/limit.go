package controller

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/internal/events"
)

// This file is what of the MACs and addresses that tenants send is taken: so many of a port,
// so many of a bridge. A MAC that is over a limit is declined, and an address is not known;
// either comes in when there is room.

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
			events.Key, events.Limit, "port", p.Name, "limit", l.maxPortMACs(p))
	case reason == declineBridgeLimit && !b.full:
		b.full = true
		l.log.Warn("a bridge has as many MACs as may be learned in it: others are declined",
			events.Key, events.Limit, "bridge", b.ID, "limit", l.maxMACs(b))
	}
}

// portLimited says that a port has its MACs or addresses, "" if more may come.
func (l *loop) portLimited(p *port) string {
	var macs, addresses string
	if p.full {
		macs = fmt.Sprintf("%d MACs are learned on port %s where %d may be (max_macs): others are declined", p.learned,
			p.Name, l.maxPortMACs(p))
	}
	if p.crowded {
		addresses = fmt.Sprintf("hosts on port %s have %d addresses where they may have %d (max_addresses): others are "+
			"not taken", p.Name, p.addresses, l.maxPortAddresses(p))
	}
	return together(macs, addresses)
}

// bridgeLimited is portLimited for a bridge.
func (l *loop) bridgeLimited(b *bridge) string {
	var macs, addresses string
	if b.full {
		macs = fmt.Sprintf("%d MACs are learned in the bridge where %d may be (max_macs): others are declined", b.learned,
			l.maxMACs(b))
	}
	if b.crowded {
		addresses = fmt.Sprintf("hosts on ports of the bridge have %d addresses where they may have %d (max_addresses): "+
			"others are not taken", b.hosted, l.maxBridgeAddresses(b))
	}
	return together(macs, addresses)
}

// addressLimit is of what has as many addresses as it may.
type addressLimit uint8

const (
	limitMAC addressLimit = iota
	limitPort
	limitBridge
	addressLimits
)

var addressLimitNames = [addressLimits]string{"mac", "port", "bridge"}

func (a addressLimit) String() string { return addressLimitNames[a] }

// maxBridgeAddresses is how many addresses MACs on the ports of a bridge may have.
func (l *loop) maxBridgeAddresses(b *bridge) int {
	return cmp.Or(l.bridgeInstance(b).maxAddresses, l.cfg.MaxBridgeAddresses)
}

// maxPortAddresses is how many addresses MACs on a port may have.
func (l *loop) maxPortAddresses(p *port) int { return cmp.Or(p.MaxAddresses, l.cfg.MaxPortAddresses) }

// bridgeAddressRoom and portAddressRoom are to addresses what bridgeRoom is to MACs.
func (l *loop) bridgeAddressRoom(b *bridge) int { return l.maxBridgeAddresses(b) - b.hosted }
func (l *loop) portAddressRoom(p *port) int     { return l.maxPortAddresses(p) - p.addresses }

// admits reports whether a MAC that is here may have one more address, and makes room for it
// where that is the MAC's own. What was taken over from the target is over no limit of a port
// or bridge.
func (l *loop) admits(b *bridge, s sighting) bool {
	p := l.ports[b.portOf(s.mac)]
	switch {
	case b.addressCount(s.mac) >= l.cfg.MaxAddresses:
		if s.by == byHost && l.makeRoom(b, s.mac) {
			return true
		}
		l.stats.hostsRefused[limitMAC].Add(1)
	case s.by == byTarget:
		return true
	case p != nil && l.portAddressRoom(p) <= 0:
		l.stats.hostsRefused[limitPort].Add(1)
		if !p.crowded {
			p.crowded = true
			l.log.Warn("hosts on a port have as many addresses as they may: others are not taken",
				events.Key, events.Limit, "port", p.Name, "limit", l.maxPortAddresses(p))
		}
	case l.bridgeAddressRoom(b) <= 0:
		l.stats.hostsRefused[limitBridge].Add(1)
		if !b.crowded {
			b.crowded = true
			l.log.Warn("hosts on ports of a bridge have as many addresses as they may: others are not taken",
				events.Key, events.Limit, "bridge", b.ID, "limit", l.maxBridgeAddresses(b))
		}
	default:
		return true
	}
	return false
}

// count counts n addresses more of a MAC for the bridge and for the port where it is.
func (b *bridge) count(of *addressesOf, n int) {
	p := b.allPorts[of.seen.port]
	if !of.seen.here || p == nil {
		return
	}
	b.hosted += n
	p.addresses += n
	if n < 0 && (b.crowded || p.crowded) {
		b.vacant[b.Index] = struct{}{}
	}
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

// thinOut takes back that a bridge or its ports have their addresses where they have no more,
// and reports whether it was said of any.
func (l *loop) thinOut(b *bridge) bool {
	was := b.crowded
	b.crowded = b.crowded && l.bridgeAddressRoom(b) <= 0
	for n := range b.ports {
		p := l.ports[n]
		if was = was || p.crowded; p.crowded && l.portAddressRoom(p) > 0 {
			p.crowded = false
			for index := range l.bridgesOf(p) { // whatever of them waits
				l.markExpected(l.bridges[index])
			}
		}
	}
	return was
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
	if l.thinOut(b) || full {
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
