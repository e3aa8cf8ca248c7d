package controller

import (
	"bytes"

	"github.com/p4evpn/p4evpn/controller/p4rt"
	"github.com/p4evpn/p4evpn/controller/slowpath"
	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

const trapPriority = 10

// traps copy ARP and neighbour discovery to the controller, of bridge ports and apart
// from them what came by VXLAN, and divert what answers its own questions.
func (l *loop) traps() []p4.Trap {
	var out []p4.Trap
	for _, from := range []struct {
		origin  uint8
		arp, nd p4.PuntReason
	}{
		{p4.OriginBridge, p4.PuntARP, p4.PuntND}, {p4.OriginVXLAN, p4.PuntVXLANARP, p4.PuntVXLANND},
	} {
		out = append(out, p4.Trap{EtherType: packet.EtherTypeARP, Origin: from.origin, Priority: trapPriority,
			Reason: from.arp})
		for _, t := range []uint8{
			packet.ICMPv6RouterSolicitation, packet.ICMPv6RouterAdvertisement,
			packet.ICMPv6NeighborSolicitation, packet.ICMPv6NeighborAdvertisement,
		} {
			out = append(out, p4.Trap{EtherType: packet.EtherTypeIPv6, ICMPv6Type: t, Origin: from.origin,
				Priority: trapPriority, Reason: from.nd})
		}
		out = append(out, l.answerTraps(from.origin, from.arp, from.nd)...)
	}
	return out
}

// packetArrived takes a frame that the pipeline punted.
func (l *loop) packetArrived(e p4rt.PacketIn) {
	p, err := p4.DecodePacketIn(e.Packet)
	if why, is := p.Reason.Dropped(); is && err == nil {
		l.samples.take(sample{port: p.Port, bridge: p.Bridge, why: why, frame: bytes.Clone(p.Frame), at: l.now()})
		return
	}
	if err != nil || p.Reason == 0 || p.Reason >= p4.PuntReasons {
		l.stats.badInput.Add(1)
		l.log.Debug("packet-in that makes no sense", "reason", p.Reason, "err", err)
		return
	}
	l.stats.punts[p.Reason].Add(1)
	switch p.Reason {
	case p4.PuntARP, p4.PuntND, p4.PuntVXLANARP, p4.PuntVXLANND:
		l.snoop(p)
	case p4.PuntDHCP, p4.PuntVXLANDHCP:
		l.snoopDHCP(p)
	case p4.PuntDHCPv6, p4.PuntVXLANDHCPv6:
		// Copies: the frame itself is on its way.
	case p4.PuntGlean:
		l.gleaned(p)
		l.deliver(p)
	default:
		l.deliver(p)
	}
}

// deliver hands a frame to the kernel: to the tap of the bridge it came in, or
// to the VRF's where it came by the L3 VNI.
func (l *loop) deliver(p p4.PacketIn) {
	if l.slow == nil {
		return
	}
	f := slowpath.Frame{VRF: p.VRF, Bridge: p.Bridge, Data: p.Frame, Far: p.VTEP.IsValid()}
	if p.Bridge != 0 {
		b := l.bridges[p.Bridge]
		if b == nil || b.svi == nil {
			return // the SVI went while the frame was under way
		}
		f.VRF = b.svi.vrf.Index
	} else if l.vrfs[p.VRF] == nil {
		return
	}
	l.slow.Deliver(f)
}
