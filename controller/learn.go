package controller

import (
	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
)

// declined are a MAC's ports on which it is not learned for now. The entries
// on the target keep it from making digests, and age like any other.
type declined map[uint16]declineReason

type declineReason uint8

// Why a source is declined.
const (
	declineSticky      declineReason = iota // the MAC is configured or advertised as immovable elsewhere
	declineGateway                          // it is a gateway's
	declineFrozen                           // it moves too often
	declinePortLimit                        // the port has its MACs
	declineBridgeLimit                      // the bridge has its MACs
	declineReasons
)

var declineNames = [declineReasons]string{"sticky", "gateway", "frozen", "port_limit", "bridge_limit"}

func (r declineReason) String() string { return declineNames[r] }

// verdict: a frozen duplicate may be honest and goes on sending; everything
// else would only be answered by floods, or is forged.
func (r declineReason) verdict() p4.Verdict {
	if r == declineFrozen {
		return p4.Ignore
	}
	return p4.Discard
}

// maxDeclined bounds the declined sources of a port, whatever a tenant sends.
const maxDeclined = 1024

// digestArrived takes what the pipeline reports as unknown sources.
func (l *loop) digestArrived(d p4rt.Digest) {
	if d.ID != p4.DigestID() {
		return
	}
	for _, m := range d.Members {
		learn, err := p4.DecodeLearn(m)
		if err != nil {
			l.stats.badInput.Add(1)
			l.log.Debug("digest that makes no sense", "err", err)
			continue
		}
		l.learn(learn)
	}
}

// learn takes one source MAC that has no entry for its port.
func (l *loop) learn(r p4.Learn) {
	b, p := l.bridges[r.Bridge], l.ports[r.Port]
	if b == nil || p == nil || r.MAC.IsZero() || r.MAC.IsMulticast() {
		return
	}
	if _, attached := b.ports[r.Port]; !attached {
		return // it was reported before the port left the bridge
	}
	if !l.linkUp(r.Port) {
		l.keepLearn(r)
		return
	}
	s := b.macs[r.MAC]
	if s != nil && (s.static == r.Port || s.local != nil && s.local.port == r.Port) {
		return // reported again before its entry was there
	}
	if reason, no := l.declines(b, p, r.MAC, s); no {
		l.decline(b, p, r.MAC, reason)
		return
	}
	var sequence uint32
	come := b.following(r.MAC, s)
	l.holdOn(b, r.MAC)
	switch {
	case s == nil:
	case s.local != nil: // to EVPN it is where it was
		sequence = s.local.sequence
		l.macMovedBy(localToLocal, b, r.MAC, l.portAttr("from", b, s.local.port), l.portAttr("to", b, r.Port))
		l.forgetLocal(b, r.MAC, s)
	default:
		if c := s.best(); c != nil {
			sequence = l.nextSequence(b, r.MAC, c.route.sequence)
			l.macMovedBy(remoteToLocal, b, r.MAC, vtepAttr("from", c), l.portAttr("to", b, r.Port))
		}
	}
	l.setLocal(b, p, r.MAC, &local{port: r.Port, sequence: sequence, since: l.now()})
	l.bringAlong(b, r.MAC, come)
}

func (l *loop) setLocal(b *bridge, p *port, mac ether.MAC, at *local) {
	l.undecline(b, mac, p.Number)
	b.station(mac).local = at
	p.learned++
	b.learned++
	l.stats.learned.Add(1)
	l.changed(b, mac)
	l.recallEarly(b, mac, p.Number)
}

// declines reports whether a source is not to be learned on a port, and why.
func (l *loop) declines(b *bridge, p *port, mac ether.MAC, s *station) (declineReason, bool) {
	if l.ours(b, mac) {
		return declineGateway, true
	}
	moves := false // from a place where it is now
	if s != nil {
		if reason, no := s.immovable(); no {
			return reason, true
		}
		moves = s.local != nil || s.routes.size() > 0
	}
	if h := b.held(mac); h != nil {
		if h.at != nil || s != nil && s.local != nil {
			return declineFrozen, true
		}
		moves = false
	}
	if l.portRoom(p) <= 0 {
		return declinePortLimit, true
	}
	if l.bridgeRoom(b) <= 0 && (s == nil || s.local == nil) {
		return declineBridgeLimit, true
	}
	if moves && l.macMoved(b, mac) {
		return declineFrozen, true
	}
	return 0, false
}

// ours reports whether a MAC is this gateway's own: that of the bridge's SVI, the router
// MAC, by which VTEPs send what is to be routed here, whether the bridge has an SVI or not,
// and the one that hosts are asked from.
func (l *loop) ours(b *bridge, mac ether.MAC) bool {
	return mac == l.routerMAC || mac == l.asker || b.svi != nil && mac == b.svi.mac
}

// immovable says why a MAC may not be learned on another port, false if it may.
func (s *station) immovable() (declineReason, bool) {
	if s.static != 0 {
		return declineSticky, true
	}
	if c := s.best(); c != nil {
		return c.route.immovable()
	}
	return 0, false
}

// movable reports whether a MAC may be learned on another port.
func (s *station) movable() bool {
	_, no := s.immovable()
	return !no
}

func (r *route) immovable() (declineReason, bool) {
	if r.gateway {
		return declineGateway, true
	}
	return declineSticky, r.sticky
}

func (l *loop) decline(b *bridge, p *port, mac ether.MAC, reason declineReason) {
	d := b.declined[mac]
	if _, known := d[p.Number]; !known {
		if p.declined >= maxDeclined {
			l.stats.undeclinable.Add(1)
			return
		}
		p.declined++
		l.stats.declined[reason].Add(1)
	}
	if d == nil {
		d = declined{}
		b.declined[mac] = d
	}
	d[p.Number] = reason
	l.sayFull(b, p, reason)
	l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: p.Number})
}

// undecline lets a source be reported again.
func (l *loop) undecline(b *bridge, mac ether.MAC, port uint16) {
	d := b.declined[mac]
	if _, ok := d[port]; !ok {
		return
	}
	if delete(d, port); len(d) == 0 {
		delete(b.declined, mac)
	}
	if p := l.ports[port]; p != nil {
		p.declined--
	}
	l.mark(p4.Source{Bridge: b.Index, MAC: mac, Port: port})
}

// reconsider lets a MAC be reported where it was declined for a reason that is
// no more. A host that goes on sending would never age by itself.
func (l *loop) reconsider(b *bridge, mac ether.MAC, s *station) {
	d := b.declined[mac]
	if len(d) == 0 {
		return
	}
	if !s.movable() || l.ours(b, mac) {
		return
	}
	for port, reason := range d {
		if reason == declineSticky || reason == declineGateway {
			l.undecline(b, mac, port)
		}
	}
}

// idleArrived takes entries that no frame hit for their idle timeout.
func (l *loop) idleArrived(idle p4rt.Idle) {
	for _, te := range idle.Entries {
		key, err := p4.TableKey(te)
		if err == nil {
			err = l.idle(key)
		}
		if err != nil {
			l.stats.badInput.Add(1)
			l.log.Debug("idle timeout of an entry that makes no sense", "err", err)
		}
	}
}

// idle forgets the source whose entry has the key.
func (l *loop) idle(key p4.Key) error {
	value, ok := l.target.Value(key)
	if !ok {
		return nil // gone already
	}
	d, err := p4.Decode(p4.Entry{Key: key, Value: value})
	if err != nil {
		return err
	}
	s, ok := d.(p4.Source)
	if !ok {
		return nil
	}
	l.mark(s)
	b := l.bridges[s.Bridge]
	if b == nil {
		return nil
	}
	l.undecline(b, s.MAC, s.Port)
	if st := b.macs[s.MAC]; st != nil && st.local != nil && st.local.port == s.Port && !st.local.expected &&
		!l.lingers(b, s.MAC) {
		l.forgetSilent(b, s.MAC, st)
	}
	return nil
}

// forgetSilent forgets a MAC that was learned and says nothing any more.
func (l *loop) forgetSilent(b *bridge, mac ether.MAC, s *station) {
	if of := b.claimed[mac]; of != nil {
		of.silent = false
	}
	l.stats.aged.Add(1)
	l.forgetLocal(b, mac, s)
	l.changed(b, mac)
	l.forgetClaims(b, mac)
}
