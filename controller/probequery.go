package controller

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/p4evpn/p4evpn/ether"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// probe asks a MAC that is here whether it still has an address: at once, and twice more
// unless it is heard.
func (l *loop) probe(b *bridge, ip netip.Addr, mac ether.MAC) {
	if l.asked != nil {
		l.asked(b, ip, mac)
		return
	}
	if l.target.Ready() {
		l.prober.ask(probed{b.Index, ip, mac}, l.now())
	} else {
		l.prober.askSoon(probed{b.Index, ip, mac})
	}
}

// probeSoon is probe for what can wait for its turn; it reports whether it has one.
func (l *loop) probeSoon(b *bridge, ip netip.Addr, mac ether.MAC) bool {
	if l.asked != nil {
		l.asked(b, ip, mac)
		return true
	}
	return l.prober.askSoon(probed{b.Index, ip, mac})
}

// glean asks all hosts of a bridge once for an address, those behind VTEPs too.
func (l *loop) glean(b *bridge, ip netip.Addr) {
	l.send(p4.PacketOut{Bridge: b.Index, Frame: packet.Query{MAC: l.asker, Target: ip}.Frame()})
}

// askerMAC is the MAC that this gateway asks hosts from. It is no SVI's, which other
// gateways may share: they would take the answer for their own. And it is not the router
// MAC, so that all frames to it are answers, and the kernel is not bothered with them.
func askerMAC(router ether.MAC) ether.MAC {
	router[0] = router[0]&^1 ^ 4 | 2 // RFC 7042 section 2.1: one host's, administered locally
	return router
}

// answerTraps have answers to what the gateway asked come here and nowhere else.
func (l *loop) answerTraps(origin uint8, arp, nd p4.PuntReason) []p4.Trap {
	answers := p4.Trap{EtherType: packet.EtherTypeARP, MAC: l.asker, Origin: origin, Priority: trapPriority + 1,
		Divert: true, Reason: arp}
	out := []p4.Trap{answers}
	answers.EtherType, answers.Reason = packet.EtherTypeIPv6, nd
	for _, answers.ICMPv6Type = range []uint8{packet.ICMPv6NeighborSolicitation, packet.ICMPv6NeighborAdvertisement} {
		out = append(out, answers)
	}
	return out
}

// query puts the question into the bridge: to where the MAC is. A claim that
// nobody waits for is not asked about.
func (l *loop) query(who probed) bool {
	b := l.bridges[who.bridge]
	if b == nil || b.addresses[who.ip].claim(who.mac) == nil {
		return true
	}
	frame := packet.Query{MAC: l.asker, To: who.mac, Target: who.ip}.Frame()
	if !l.send(p4.PacketOut{Bridge: who.bridge, LocalOnly: !b.foundElsewhere(who.ip, who.mac), Frame: frame}) {
		return false
	}
	l.stats.probes.Add(1)
	return true
}

// noAnswer takes that a host was asked in vain. Of one that went elsewhere nothing is
// known by that.
func (l *loop) noAnswer(who probed) {
	b := l.bridges[who.bridge]
	if b == nil || b.addresses[who.ip].claim(who.mac) == nil {
		return
	}
	if b.stationHere(who.mac) == nil && !b.foundElsewhere(who.ip, who.mac) {
		return
	}
	l.stats.unanswered.Add(1)
	l.probeFailed(b, who.ip, who.mac)
}

// solicited takes a question of a host. One that wants an address which another host has
// here asks everybody, and that host answers, unless it is gone: then it is not to be
// advertised any longer. To the host that asked it here before, the gateway answers for
// itself.
func (l *loop) solicited(b *bridge, s packet.Sighting) {
	switch at := b.locate(s.Target); {
	case !s.Target.IsValid():
	case s.IP.IsValid() && s.Target == packet.LinkLocal(l.asker):
		l.send(p4.PacketOut{Bridge: b.Index, Frame: packet.NeighborAdvertisement(l.asker, s.Target, s.MAC, s.IP)})
	case s.IP.IsValid() || !at.here():
	case at.mac == s.MAC:
		// It begins to use the address, and must not meet a question that looks like that of
		// a rival (RFC 5227 section 2.1.1).
		l.confirmed(b, s.Target, s.MAC)
	default:
		l.rivalled(b, s.Target, at)
	}
}

// outbox holds the loop's own frames on their way to the target, which may be slow.
type outbox chan p4.PacketOut

const (
	outboxSize = 1024
	// patience is how long a frame waits for a target that is slow.
	patience = time.Second
)

// send has a frame sent, and reports whether there was room for it.
func (l *loop) send(p p4.PacketOut) bool {
	select {
	case l.out <- p:
		return true
	default:
		return false
	}
}

// run sends frames until ctx ends. They are lost while the target is away.
func (o outbox) run(ctx context.Context, target Target, log *slog.Logger) {
	for {
		select {
		case p := <-o:
			waiting, cancel := context.WithTimeout(ctx, patience)
			if err := target.PacketOut(waiting, p.Message()); err != nil {
				log.Debug("a frame to a host is lost", "bridge", p.Bridge, "err", err)
			}
			cancel()
		case <-ctx.Done():
			return
		}
	}
}
