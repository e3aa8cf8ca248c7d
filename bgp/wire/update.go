package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// Session is what the decoder of a session knows of it.
type Session struct {
	AS       uint32     // ours
	PeerAS   uint32     // the peer's
	RouterID netip.Addr // ours
	Internal bool       // iBGP
	AS4      bool       // AS numbers are of four octets (RFC 6793)
	// AllowOwnAS is how often our own AS may be in an AS path.
	AllowOwnAS uint8
	// Families are those that both sides have; Constraint is that both have RT constraint.
	Families   []bgp.Family
	Constraint bool
}

// Update is what an UPDATE says. Unreach and UnicastUnreach come before Reach and Unicast:
// a key that is in both is reachable (RFC 4271 section 4.3).
type Update struct {
	// Attributes are those of Reach, nil if there is none. UPDATEs with the same bytes of
	// attributes give the same pointer, as long as the decoder remembers them.
	Attributes *bgp.Attributes
	Reach      []bgp.NLRI // EVPN routes to be taken
	// Unreach are the EVPN routes that are withdrawn, treated as withdrawn, or of no use
	// any more as they are now.
	Unreach        []bgp.Key
	Unicast        []bgp.UnicastRoute
	UnicastUnreach []netip.Prefix
	// Constraint are the bodies of UPDATEs with what was said of RT constraint alone, each
	// of at most MaxMessage with its header. Its End-of-RIB is one of those.
	Constraint [][]byte
	// EndOfRIB is the family whose End-of-RIB it is, 0 if it is none.
	EndOfRIB bgp.Family
	// Faults are what was not taken as it stood, without a time.
	Faults []bgp.Fault
}

func (u *Update) reset() {
	u.Attributes, u.Constraint, u.EndOfRIB = nil, nil, 0
	u.Reach, u.Unreach = u.Reach[:0], u.Unreach[:0]
	u.Unicast, u.UnicastUnreach = u.Unicast[:0], u.UnicastUnreach[:0]
	u.Faults = u.Faults[:0]
}

// Decoder reads the UPDATEs of one session, one at a time.
type Decoder struct {
	Session
	has   [bgp.IPv6Unicast + 1]bool // by family
	cache cache
	parts parts
}

// NewDecoder makes the decoder of a session.
func NewDecoder(s Session) *Decoder {
	d := &Decoder{Session: s}
	for _, f := range s.Families {
		if int(f) < len(d.has) {
			d.has[f] = true
		}
	}
	return d
}

// parts are those of an UPDATE, in its bytes.
type parts struct {
	withdrawn, nlri []byte // of IPv4 unicast (RFC 4271 section 4.3)
	reach, unreach  mp     // MP_REACH_NLRI and MP_UNREACH_NLRI
	attributes      []byte // the others, with their headers, one behind the other
	others          int    // how many those are
	broken          []byte // the attribute whose length is not there (RFC 7606 section 4)
}

// mp is MP_REACH_NLRI (RFC 4760 section 3) or MP_UNREACH_NLRI (section 4).
type mp struct {
	there   bool
	raw     []byte // with its header
	family  Family
	nextHop []byte
	nlri    []byte
}

// Update decodes the body of an UPDATE into u, whose memory it uses again. A
// *Notification says that RFC 4271 or RFC 7606 ends the session; u holds nothing then.
func (d *Decoder) Update(body []byte, u *Update) *Notification {
	u.reset()
	n := d.update(body, u)
	if n != nil {
		u.reset()
	}
	return n
}

func (d *Decoder) update(body []byte, u *Update) *Notification {
	p := &d.parts
	if n := p.split(body); n != nil {
		return n
	}
	set, n := d.attributeSet(p)
	if n != nil {
		return n
	}
	if n := d.withdrawals(p, u); n != nil {
		return n
	}
	if n := d.announcements(p, set, u); n != nil {
		return n
	}
	if n := d.constraint(p, set, u); n != nil {
		return n
	}
	d.endOfRIB(p, u)
	return nil
}

// split finds the parts (RFC 4271 section 4.3), and refuses those that leave no way to
// find the routes.
func (p *parts) split(body []byte) *Notification {
	*p = parts{attributes: p.attributes[:0]}
	if len(body) < 4 {
		return malformedList()
	}
	n := int(binary.BigEndian.Uint16(body))
	if n > len(body)-4 { // RFC 7606 section 3 b
		return malformedList()
	}
	p.withdrawn, body = body[2:2+n], body[2+n:]
	n = int(binary.BigEndian.Uint16(body))
	if n > len(body)-2 {
		return malformedList()
	}
	p.nlri = body[2+n:]
	return p.walk(body[2 : 2+n])
}

// walk goes over the path attributes. What is left of those that do not fit goes to
// broken, and the NLRI stay where they are (RFC 7606 section 4).
func (p *parts) walk(b []byte) *Notification {
	for len(b) > 0 {
		head, n := 3, 0
		if len(b) >= 3 {
			n = int(b[2])
			if b[0]&extendedLength != 0 {
				head = 4
				if len(b) >= 4 {
					n = int(binary.BigEndian.Uint16(b[2:]))
				}
			}
		}
		if len(b) < head || n > len(b)-head {
			p.broken = b
			return nil
		}
		raw := b[:head+n]
		b = b[head+n:]
		var to *mp
		switch raw[1] {
		case attrMPReach:
			to = &p.reach
		case attrMPUnreach:
			to = &p.unreach
		default:
			p.attributes = append(p.attributes, raw...)
			p.others++
			continue
		}
		if to.there { // RFC 7606 section 3 g
			return malformedList()
		}
		if n := to.parse(raw, raw[head:]); n != nil {
			return n
		}
	}
	return nil
}

// parse reads what comes before the NLRI. What is wrong there hides where they are, and
// RFC 7606 sections 5.3 and 7.11 end the session.
func (m *mp) parse(raw, value []byte) *Notification {
	m.there, m.raw = true, raw
	least := 3
	if raw[1] == attrMPReach {
		least = 5
	}
	if len(value) < least || raw[0]&(optional|transitive) != optional {
		return malformedMP(raw)
	}
	m.family = Family{binary.BigEndian.Uint16(value), value[2]}
	m.nlri = value[3:]
	if raw[1] == attrMPReach {
		n := int(value[3])
		if n > len(value)-5 {
			return malformedMP(raw)
		}
		m.nextHop, m.nlri = value[4:4+n], value[5+n:] // an octet between them is reserved
	}
	return nil
}

func malformedList() *Notification {
	return &Notification{Code: UpdateError, Subcode: MalformedAttributeList}
}

// malformedMP is the error of RFC 4760 section 7.
func malformedMP(raw []byte) *Notification {
	return &Notification{Code: UpdateError, Subcode: OptionalAttributeError, Data: slices.Clone(raw)}
}

// reachable reports whether the UPDATE announces anything, in any family.
func (p *parts) reachable() bool { return len(p.nlri) > 0 || len(p.reach.nlri) > 0 }

// endOfRIB finds the marker (RFC 4724 section 2): nothing at all for IPv4 unicast, else
// an MP_UNREACH_NLRI without routes.
func (d *Decoder) endOfRIB(p *parts, u *Update) {
	if p.reachable() || len(p.withdrawn) > 0 || len(p.unreach.nlri) > 0 || p.broken != nil {
		return
	}
	f := bgp.IPv4Unicast
	switch {
	case p.unreach.there:
		f = p.unreach.family.Known()
	case p.reach.there || p.others > 0:
		return
	}
	if f != 0 && d.has[f] {
		u.EndOfRIB = f
	}
}
