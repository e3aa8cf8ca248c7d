package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/p4evpn/p4evpn/bgp"
)

// The lengths of an RT-constraint NLRI in bits (RFC 4684 section 4): none for the default
// route, else the whole origin AS and as much of the route target as there is.
const constraintAS, constraintWhole = 32, 96

// constraintType is the length with which the type of the route target is there, and
// constraintLast the last that there is (RFC 4360 section 4, RFC 5668 section 2). No route
// of ours has others, and GoBGP ends a session for some.
const constraintType, constraintLast = 40, 2

// constraint makes UPDATEs of what an UPDATE says of RT constraint, the withdrawals first,
// each of them no longer than MaxMessage.
func (d *Decoder) constraint(p *parts, s *set, u *Update) *Notification {
	reach := d.Constraint && p.reach.family == RTConstraint && len(p.reach.nlri) > 0
	unreach := d.Constraint && p.unreach.there && p.unreach.family == RTConstraint
	if !reach && !unreach {
		return nil
	}
	var gone, come [][]byte
	if unreach {
		if len(p.unreach.nlri) == 0 && !reach {
			u.Constraint = append(u.Constraint, constraintUpdate(nil, attrMPUnreach, nil, nil)) // End-of-RIB
			return nil
		}
		var ok bool
		if gone, ok = u.constraintNLRI(p.unreach.nlri, none); !ok {
			return malformedMP(p.unreach.raw)
		}
	}
	if reach {
		whole := u.whole(s, false, false)
		list, ok := u.constraintNLRI(p.reach.nlri, whole)
		if !ok {
			return malformedMP(p.reach.raw)
		}
		if whole == none {
			come = list
		} else {
			gone = append(gone, list...)
		}
	}
	u.constraintUpdates(gone, attrMPUnreach, nil, nil)
	u.constraintUpdates(come, attrMPReach, d.constraintAttributes(), p.reach.nextHop)
	return nil
}

// constraintNLRI cuts them apart. Those of a length that RFC 4684 does not have, and those
// of what is no route target, are left out; ok is false where the length does not fit (RFC
// 7606 section 5.3).
func (u *Update) constraintNLRI(b []byte, whole int) (list [][]byte, ok bool) {
	for len(b) > 0 {
		bits := int(b[0])
		n := 1 + (bits+7)/8
		if bits > constraintWhole || n > len(b) {
			return nil, false
		}
		switch {
		case bits != 0 && bits < constraintAS:
			u.Faults = append(u.Faults, bgp.Fault{Reason: bgp.BadNLRI, Action: bgp.Discarded, Bytes: bgp.FirstBytes(b[:n]),
				Routes: 1, What: fmt.Sprintf("RT constraint of %d bits", bits)})
		case bits >= constraintType && b[5] > constraintLast:
			u.Faults = append(u.Faults, bgp.Fault{Reason: bgp.BadNLRI, Action: bgp.Discarded, Bytes: bgp.FirstBytes(b[:n]),
				Routes: 1, What: fmt.Sprintf("RT constraint with a route target of type %02x", b[5])})
		default:
			if whole != none {
				u.Faults[whole].Routes++
			}
			list = append(list, b[:n])
		}
		b = b[n:]
	}
	return list, true
}

// constraintAttributes are those that the routes go on with: as few as may be, since they
// are judged already.
func (d *Decoder) constraintAttributes() []byte {
	b := []byte{transitive, attrOrigin, 1, 0}
	switch {
	case d.Internal:
		b = append(b, transitive, attrASPath, 0)
		b = append(b, transitive, attrLocalPref, 4, 0, 0, 0, bgp.DefaultLocalPref)
	case d.AS4:
		b = binary.BigEndian.AppendUint32(append(b, transitive, attrASPath, 6, asSequence, 1), d.PeerAS)
	default:
		as := uint16(asTrans)
		if d.PeerAS <= 0xffff {
			as = uint16(d.PeerAS)
		}
		b = binary.BigEndian.AppendUint16(append(b, transitive, attrASPath, 4, asSequence, 1), as)
	}
	return b
}

// constraintUpdates adds as many UPDATEs as the NLRI need.
func (u *Update) constraintUpdates(list [][]byte, code byte, attributes, nextHop []byte) {
	const room = MaxMessage - HeaderLength - 64 // for lengths, headers and a next hop
	var nlri []byte
	for i, n := range list {
		nlri = append(nlri, n...)
		if i == len(list)-1 || len(attributes)+len(nlri)+len(list[i+1]) > room {
			u.Constraint = append(u.Constraint, constraintUpdate(nlri, code, attributes, nextHop))
			nlri = nil
		}
	}
}

// constraintUpdate is the body of an UPDATE with MP_REACH_NLRI or MP_UNREACH_NLRI.
func constraintUpdate(nlri []byte, code byte, attributes, nextHop []byte) []byte {
	value := append(binary.BigEndian.AppendUint16(nil, RTConstraint.AFI), RTConstraint.SAFI)
	if code == attrMPReach {
		value = append(append(append(value, byte(len(nextHop))), nextHop...), 0)
	}
	value = append(value, nlri...)
	b := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(4+len(value)+len(attributes)))
	b = binary.BigEndian.AppendUint16(append(b, optional|extendedLength, code), uint16(len(value)))
	return append(append(b, value...), attributes...)
}
