package controller

import (
	"cmp"
	"fmt"
	"time"

	"github.com/p4evpn/p4evpn/controller/carrier"
	"github.com/p4evpn/p4evpn/internal/events"
	"github.com/p4evpn/p4evpn/p4"
)

// This file is the carrier of ports. A bridge port without it has no MACs and no
// addresses, and those that were learned on it are withdrawn together (RFC 7432 section
// 17.3 has a cause for that). A tunnel does not use an uplink without it, and the Linux side
// of the uplink is told.
//
// Where the port's netdev is here, the kernel says whether it has carrier; else the target,
// if it says such a thing; else it has.

// Carrier says which netdevs have carrier, and has the Linux side of an uplink follow it;
// *carrier.Watcher is one.
type Carrier interface {
	Changes() <-chan []carrier.State
	// Follow has the Linux side of an uplink be as the uplink is; peer says that the target
	// bears it when the netdev at its own end is set down.
	Follow(device string, up, peer bool)
	Trouble(device string) string
}

// CarrierDelays keep a port that flaps from being used.
type CarrierDelays struct {
	Up   time.Duration // so long carrier must be there before it counts
	Down time.Duration // so long it must be gone
}

// link is the carrier of a port.
type link struct {
	netdev carrier.State // as the kernel had it last
	seen   bool          // the netdev was here once
	known  bool          // somebody says whether there is carrier

	has    bool      // carrier, by who says
	up     bool      // it counts, after the delays
	since  time.Time // up is so; zero = from the start
	due    time.Time // when up is to be as has; zero = it is
	losses uint64    // times that it was lost

	kept []p4.Learn // sources that were reported while carrier was there and did not count yet
}

// maxKept bounds the sources that are kept of a port.
const maxKept = 1024

// makeLinks makes the links of all ports, which have carrier until somebody says otherwise.
func makeLinks(ports []Port) map[uint16]*link {
	links := map[uint16]*link{}
	for _, p := range ports {
		links[p.Number] = &link{has: true, up: true}
	}
	return links
}

// carrierChanged takes what the kernel says of netdevs.
func (l *loop) carrierChanged(states []carrier.State) {
	by := map[string]carrier.State{}
	for _, s := range states {
		by[s.Netdev] = s
	}
	for _, p := range l.cfg.Ports {
		s, ok := by[p.Netdev]
		if !ok {
			continue
		}
		k := l.links[p.Number]
		lost := s.Losses - k.netdev.Losses
		k.netdev, k.seen = s, k.seen || s.Exists
		k.losses += lost
		if lost > 0 && s.Up && k.has { // it had none in between
			l.heardCarrier(p, k, false)
		}
		l.judgeCarrier(p, k)
	}
}

// downPortsChanged takes the ports that the target says are down.
func (l *loop) downPortsChanged(down map[uint32]string) {
	first := l.downPorts == nil && down != nil
	l.downPorts = down
	for _, p := range l.cfg.Ports {
		k := l.links[p.Number]
		if l.judgeCarrier(p, k); first && k.known {
			l.followCarrier(p, k)
		}
	}
}

// judgeCarrier takes what is known now of whether a port has carrier.
func (l *loop) judgeCarrier(p Port, k *link) {
	has := k.netdev.Up
	if !k.seen {
		if l.downPorts == nil {
			return // nobody says
		}
		_, down := l.downPorts[uint32(p.Number)]
		if has = !down; k.known && k.has && down {
			k.losses++
		}
	}
	l.heardCarrier(p, k, has)
}

// heardCarrier takes that a port has carrier or not. What is said first counts at once.
func (l *loop) heardCarrier(p Port, k *link, has bool) {
	delay := l.cfg.Carrier.Down
	if has {
		delay = l.cfg.Carrier.Up
	}
	first, changes := !k.known, k.has != has
	if first {
		delay = 0
	}
	k.known, k.has = true, has
	if !has {
		k.kept = nil
	}
	switch {
	case k.up == has:
		if k.due = (time.Time{}); first {
			k.since = l.now()
			l.followCarrier(p, k)
		}
	case delay == 0:
		l.carrierCounts(p, k)
	case changes:
		k.due = l.now().Add(delay)
	}
}

// carrierDue has what is due count, and says when the next is.
func (l *loop) carrierDue() time.Duration {
	next, now := idleTick, l.now()
	for _, p := range l.cfg.Ports {
		k := l.links[p.Number]
		if k.due.IsZero() {
			continue
		}
		if wait := k.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		l.carrierCounts(p, k)
	}
	return next
}

// carrierCounts has all that depends on a port's carrier follow it.
func (l *loop) carrierCounts(p Port, k *link) {
	k.up, k.since, k.due = k.has, l.now(), time.Time{}
	l.log.Info("carrier of a port", events.Key, events.Link, "port", p.Name, "up", k.up)
	l.followCarrier(p, k)
	if p.Kind == KindUplink {
		for _, t := range l.tunnels {
			l.pathChanged(t)
		}
		return
	}
	port := l.ports[p.Number]
	for index := range l.bridgesOf(port) {
		b := l.bridges[index]
		l.dirtyStaticMACs[index] = struct{}{}
		if !k.up {
			l.leavePort(b, p.Number)
		}
	}
	kept := k.kept
	k.kept = nil
	for _, r := range kept {
		l.learn(r)
	}
}

// followCarrier tells the Linux side of an uplink. A target that tells which ports are down
// bears it when one is set down.
func (l *loop) followCarrier(p Port, k *link) {
	if p.Kind == KindUplink && l.carrier != nil && p.HostDevice != "" {
		l.carrier.Follow(p.HostDevice, k.up, l.downPorts != nil)
	}
}

// leavePort forgets what was learned in a bridge on a port: MACs with their addresses, and
// sources that were declined.
func (l *loop) leavePort(b *bridge, port uint16) {
	for mac, s := range b.macs {
		if s.local != nil && s.local.port == port {
			l.forgetLocal(b, mac, s)
			l.changed(b, mac)
			l.forgetClaims(b, mac)
		}
	}
	for mac := range b.declined {
		l.undecline(b, mac, port)
	}
}

// linkUp reports whether a port has carrier that counts.
func (l *loop) linkUp(port uint16) bool {
	k := l.links[port]
	return k == nil || k.up
}

// keepLearn keeps a source that a port without carrier reports, if the port has it again
// and it does not count yet: who was plugged in may say something once.
func (l *loop) keepLearn(r p4.Learn) {
	if k := l.links[r.Port]; k.has && len(k.kept) < maxKept {
		k.kept = append(k.kept, r)
	}
}

// whyDown says why a port is not used, "" if it has carrier that counts.
func (l *loop) whyDown(number uint16) string {
	k := l.links[number]
	switch {
	case k == nil || k.up:
		return ""
	case k.has:
		return fmt.Sprintf("carrier came back and must stay for %v (carrier_delay.up)", l.cfg.Carrier.Up)
	case k.seen && !k.netdev.Exists:
		return fmt.Sprintf("its interface %s is gone", k.netdev.Netdev)
	case k.seen:
		return fmt.Sprintf("its interface %s has no carrier or is set down", k.netdev.Netdev)
	}
	return cmp.Or(l.downPorts[uint32(number)], "the target says that it is down")
}
