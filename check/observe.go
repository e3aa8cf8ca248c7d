package check

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/p4evpn/p4evpn/p4"
	"github.com/p4evpn/p4evpn/packet"
)

// seen is what became of a frame.
type seen struct {
	exits   []exit
	drop    p4.DropReason
	learned bool
}

// observe sends a frame, and reads what becomes of it.
func (p *pass) observe(port uint16, b []byte) (s seen) {
	out, digests := p.shadow.Process(uint32(port), b)
	s.learned = digests > 0
	for _, o := range out {
		s.exits = append(s.exits, p.oracle.exitOf(uint16(o.Port), o.Data))
	}
	for _, drops := range p.drops {
		for reason := range drops.Size() {
			if packets, _ := drops.Read(reason); packets > 0 {
				s.drop = p4.DropReason(reason)
				_ = drops.Write(reason, 0, 0) // the index is its own
			}
		}
	}
	// Samples of what is dropped go to the controller: with them no frame ends elsewhere.
	s.exits = slices.DeleteFunc(s.exits, func(e exit) bool {
		return e.punt&p4.PuntDropped != 0 && e.punt == p4.PuntDropped|p4.PuntReason(s.drop)
	})
	return s
}

// exitOf reads a frame that left by a port.
func (o *oracle) exitOf(port uint16, b []byte) exit {
	e := exit{port: port}
	if port == p4.CPUPort {
		in, err := p4.CutPacketIn(b)
		if err != nil {
			return exit{port: port, frame: string(b)}
		}
		e.punt, e.bridge, e.vtep, e.frame = in.Reason, in.Bridge, in.VTEP, string(in.Frame)
		return e
	}
	p := o.ports[port]
	switch {
	case p == nil:
	case p.HostPort == 0 && len(b) > 18 && b[12] == 0x81 && b[13] == 0:
		e.tag = binary.BigEndian.Uint16(b[14:]) & 0xfff
		e.frame = string(b[:12]) + string(b[16:])
		return e
	case p.Number == port && p.HostPort != 0 && len(b) > 50 && b[12] == 8 && b[23] == 17 &&
		binary.BigEndian.Uint16(b[36:]) == 4789:
		copy(e.hop.destination[:], b)
		copy(e.hop.source[:], b[6:])
		e.hop.port = port
		e.local, e.vtep = netip.AddrFrom4([4]byte(b[26:])), netip.AddrFrom4([4]byte(b[30:]))
		e.vni = binary.BigEndian.Uint32(b[46:]) >> 8
		e.frame = string(b[50:])
		return e
	}
	e.frame = string(b)
	return e
}

// compare says what differs; nothing if the frame ended where it must.
func compare(want *outcome, got *seen) (missing [][]exit, more []exit, differs bool) {
	left := slices.Clone(got.exits)
	for _, any := range want.exits {
		i := slices.IndexFunc(left, func(e exit) bool { return slices.Contains(any, e) })
		if i < 0 {
			missing = append(missing, any)
			continue
		}
		left[i] = left[len(left)-1]
		left = left[:len(left)-1]
	}
	return missing, left, len(missing)+len(left) > 0 || want.drop != got.drop || want.learned != got.learned
}

// text says where an exit is, for people.
func (o *oracle) text(e exit) string {
	name := fmt.Sprintf("port %d", e.port)
	if p := o.ports[e.port]; p != nil {
		if name = p.Name; p.HostPort == e.port {
			name = "the Linux side of " + p.Name
		}
	}
	switch {
	case e.port == p4.CPUPort:
		return fmt.Sprintf("to the controller (%v)", e.punt)
	case e.vni != 0 || e.vtep.IsValid():
		return fmt.Sprintf("to VTEP %v with VNI %d by %s (outer %v > %v, from %v): %s", e.vtep, e.vni, name, e.hop.source,
			e.hop.destination, e.local, describe(e.frame))
	case e.tag != 0:
		return fmt.Sprintf("by %s with tag %d: %s", name, e.tag, describe(e.frame))
	}
	return fmt.Sprintf("by %s untagged: %s", name, describe(e.frame))
}

// describe says in a line what a frame is.
func describe(f string) string {
	if len(f) < 14 {
		return fmt.Sprintf("%x", f)
	}
	text := fmt.Sprintf("%s > %s", hexMAC(f[6:]), hexMAC(f))
	b := []byte(f)
	switch typ := binary.BigEndian.Uint16(b[12:]); {
	case typ == 0x0806 && len(b) >= 42:
		ask := "asks for"
		if b[21] == 2 {
			ask = "answers"
		}
		text += fmt.Sprintf(", ARP: %v at %s %s %v", netip.AddrFrom4([4]byte(b[28:])), hexMAC(f[22:]), ask,
			netip.AddrFrom4([4]byte(b[38:])))
	case typ == 0x0800 && len(b) >= 34:
		text += fmt.Sprintf(", %v > %v, TTL %d", netip.AddrFrom4([4]byte(b[26:])), netip.AddrFrom4([4]byte(b[30:])), b[22])
	case typ == 0x86dd && len(b) >= 54:
		text += fmt.Sprintf(", %v > %v, hop limit %d", netip.AddrFrom16([16]byte(b[22:])),
			netip.AddrFrom16([16]byte(b[38:])), b[21])
		switch {
		case b[20] != icmpv6 || len(b) < 78:
		case b[54] == packet.ICMPv6NeighborAdvertisement:
			text += fmt.Sprintf(", advertisement of %v with flags %#x", netip.AddrFrom16([16]byte(b[62:])), b[58])
		case b[54] == packet.ICMPv6NeighborSolicitation:
			text += fmt.Sprintf(", solicitation of %v", netip.AddrFrom16([16]byte(b[62:])))
		}
	}
	return text
}

func hexMAC(b string) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// wantText and gotText say where a frame must end and where it does. Of many ends they name
// those that differ.
func (o *oracle) wantText(w *outcome, missing [][]exit) string {
	var parts []string
	for _, any := range missing {
		part := "leaves " + o.text(any[0])
		if len(any) > 1 {
			part += fmt.Sprintf(", or by %d other ways", len(any)-1)
		}
		parts = append(parts, part)
	}
	return o.ends(parts, len(w.exits)-len(missing), w.drop, w.learned)
}

func (o *oracle) gotText(s *seen, more []exit) string {
	var parts []string
	for _, e := range more {
		parts = append(parts, "leaves "+o.text(e))
	}
	return o.ends(parts, len(s.exits)-len(more), s.drop, s.learned)
}

func (o *oracle) ends(parts []string, rest int, drop p4.DropReason, learned bool) string {
	slices.Sort(parts)
	if drop != p4.DropNone {
		parts = append(parts, "dropped: "+strings.ReplaceAll(drop.String(), "_", " "))
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d more ends that are right", rest))
	}
	if len(parts) == 0 {
		parts = append(parts, "leaves nowhere")
	}
	if learned {
		parts = append(parts, "the controller is told of its source")
	}
	return strings.Join(parts, "; ")
}
