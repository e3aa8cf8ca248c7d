package front

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp/wire"
)

// hops are our addresses as next hops of a session, in the place of those of the
// connection with the engine, and what else of the engine's UPDATEs becomes another here.
type hops struct {
	ip4     netip.Addr // of NEXT_HOP; invalid for none
	mp      []byte     // of MP_REACH_NLRI
	noARPND bool       // the ARP/ND community (RFC 9047) is left out
}

// engineHop4 and engineHop6 are what the engine takes for its address.
var (
	engineHop4 = []byte{127, 0, 0, 1}
	engineHop6 = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}
)

// ownHops gives our address of a connection. One of link-local addresses has a global one
// of the link before it, or the same twice if the link has none (RFC 2545 section 3 knows
// no link without; routers that speak over such links do that).
func (s *Speaker) ownHops(conn net.Conn) hops {
	own := localOf(conn)
	if own.Is4() {
		return hops{ip4: own, mp: own.AsSlice()}
	}
	h := hops{mp: own.WithZone("").AsSlice()}
	if own.IsLinkLocalUnicast() {
		global := own
		_ = s.cfg.Namespace(func() error { // without one if it fails
			if g := globalOf(linkOf(conn)); g.IsValid() {
				global = g
			}
			return nil
		})
		h.mp = append(global.WithZone("").AsSlice(), h.mp...)
	}
	return h
}

// globalOf is a global IPv6 address of a link, invalid if it has none.
func globalOf(index int) netip.Addr {
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		return netip.Addr{}
	}
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// The path attributes with a next hop, those of a route reflector (RFC 4456 section 8), and
// what of their flags matters.
const (
	attrNextHop      = 3
	attrOriginatorID = 9
	attrClusterList  = 10
	attrMPReach      = 14
	attrExtended     = 16
	flagLong         = 0x10
)

// appendUpdates appends an UPDATE of the engine with our next hops in the place of its own:
// as several, if it gets longer than limit by that.
func (h hops) appendUpdates(out, body []byte, limit int) []byte {
	start := len(out)
	out = h.appendUpdate(out, body)
	if len(out)-start <= limit {
		return out
	}
	first, second, ok := halves(body)
	if !ok {
		return out
	}
	out = h.appendUpdates(out[:start], first, limit)
	return h.appendUpdates(out, second, limit)
}

// halves cuts an UPDATE that announces IPv6 unicast in two.
func halves(body []byte) (first, second []byte, ok bool) {
	for a := range attributesOf(body) {
		value := body[a.at+a.head : a.end]
		if body[a.at+1] != attrMPReach || len(value) < 5 || len(value) < 5+int(value[3]) {
			continue
		}
		head, nlri := value[:5+int(value[3])], value[5+int(value[3]):]
		cut := 0
		for cut < len(nlri)/2 {
			cut += 1 + (int(nlri[cut])+7)/8
		}
		if cut == 0 || cut >= len(nlri) {
			return nil, nil, false
		}
		half := func(part []byte) []byte {
			start := []byte{body[a.at] | flagLong, attrMPReach, 0, 0} // and its length, below
			list := slices.Concat(body[a.list:a.at], start, head, part, body[a.end:a.last])
			binary.BigEndian.PutUint16(list[a.at-a.list+2:], uint16(len(head)+len(part)))
			return append(binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(list))), list...)
		}
		return half(nlri[:cut]), half(nlri[cut:]), true
	}
	return nil, nil, false
}

// place is where a path attribute is in the body of an UPDATE: from at to end, with a
// head before the value, in a list from list to last.
type place struct{ list, at, head, end, last int }

// attributesOf gives the path attributes that can be read.
func attributesOf(body []byte) iter.Seq[place] {
	return func(yield func(place) bool) {
		if len(body) < 4 {
			return
		}
		at := 4 + int(binary.BigEndian.Uint16(body))
		if at > len(body) {
			return
		}
		last := min(len(body), at+int(binary.BigEndian.Uint16(body[at-2:])))
		for list := at; at+3 <= last; {
			size, head := int(body[at+2]), 3
			if body[at]&flagLong != 0 && at+4 <= last {
				size, head = int(binary.BigEndian.Uint16(body[at+2:])), 4
			}
			if at+head+size > last || !yield(place{list, at, head, at + head + size, last}) {
				return
			}
			at += head + size
		}
	}
}

// appendUpdate appends an UPDATE of the engine with our next hops in the place of its own,
// and without what says that it was reflected: all that the engine tells is ours.
func (h hops) appendUpdate(out, body []byte) []byte {
	start := len(out)
	out = wire.AppendMessage(out, wire.UpdateType, nil)
	done, list := 0, 0 // of body, and where its list of attributes is in out
	for a := range attributesOf(body) {
		if done == 0 {
			list = len(out) + a.list
		}
		out = append(out, body[done:a.at]...)
		value := body[a.at+a.head : a.end]
		switch typ := body[a.at+1]; {
		case typ == attrNextHop && bytes.Equal(value, engineHop4) && h.ip4.IsValid():
			out = append(append(out, body[a.at:a.at+a.head]...), h.mp...)
		case typ == attrMPReach && h.takes(value):
			size := len(value) + len(h.mp) - int(value[3])
			out = append(out, body[a.at]|flagLong, attrMPReach)
			out = binary.BigEndian.AppendUint16(out, uint16(size))
			out = append(append(out, value[:3]...), byte(len(h.mp)))
			out = append(append(out, h.mp...), value[4+int(value[3]):]...)
		case typ == attrExtended && h.noARPND:
			out = appendWithoutARPND(out, body[a.at:a.end], a.head)
		case typ == attrOriginatorID || typ == attrClusterList:
		default:
			out = append(out, body[a.at:a.end]...)
		}
		done = a.end
		binary.BigEndian.PutUint16(out[list-2:], uint16(len(out)-list))
	}
	out = append(out, body[done:]...)
	binary.BigEndian.PutUint16(out[start+16:], uint16(len(out)-start))
	return out
}

// appendWithoutARPND appends the extended communities but for those of ARP/ND; nothing if
// there are no others.
func appendWithoutARPND(out, attribute []byte, head int) []byte {
	var kept []byte
	for c := range slices.Chunk(attribute[head:], 8) {
		if len(c) < 8 || c[0] != 6 || c[1] != 8 { // RFC 9047 section 4
			kept = append(kept, c...)
		}
	}
	switch len(kept) {
	case 0:
		return out
	case len(attribute) - head:
		return append(out, attribute...)
	}
	out = append(out, attribute[0]|flagLong, attrExtended)
	return append(binary.BigEndian.AppendUint16(out, uint16(len(kept))), kept...)
}

// takes reports whether the next hop of an MP_REACH_NLRI is the engine's.
func (h hops) takes(value []byte) bool {
	if len(value) < 5 || len(value) < 5+int(value[3]) {
		return false
	}
	hop := value[4 : 4+int(value[3])]
	return bytes.Equal(hop, engineHop4) || bytes.Equal(hop, engineHop6)
}
