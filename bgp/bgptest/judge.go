package bgptest

import (
	"encoding/binary"
	"slices"
)

// Ending is whether an UPDATE may end the session in which it comes.
type Ending uint8

// The endings. RFC 7606 section 2 leaves a choice between the session's reset and that the
// family is disabled: that is May.
const (
	Stands Ending = iota
	May
	Must
)

func (e Ending) String() string { return [...]string{"stands", "may end", "must end"}[e] }

// Judgement is what RFC 4271 and RFC 7606 say of an UPDATE.
type Judgement struct {
	Ending
	Code byte   // of the NOTIFICATION
	Why  string // the rule, if the session may end
}

// Judge says what the body of an UPDATE does to a session by the letter of RFC 7606, whose
// sections the reasons name. It is an oracle for what others decode: it reads lengths and
// flags, knows no routes, and holds nothing against an EVPN NLRI but that it runs over its
// end (section 5.4: what its type is does not matter).
func Judge(body []byte, internal bool) Judgement {
	if len(body) < 4 {
		return Judgement{Must, 1, "RFC 4271 section 6.1: shorter than an UPDATE"}
	}
	withdrawn, rest, ok := cut(body)
	if !ok {
		return Judgement{Must, 3, "section 3 b: Withdrawn Routes Length"}
	}
	list, nlri, ok := cut(rest)
	if !ok {
		return Judgement{Must, 3, "section 3 b: Total Attribute Length"}
	}
	j := judge{internal: internal, reachable: len(nlri) > 0}
	if !prefixesFit(withdrawn, 32) || !prefixesFit(nlri, 32) {
		j.may("section 5.3: prefix of IPv4")
	}
	j.attributes(list)
	if j.faulty && !j.reachable && j.others {
		j.may("section 5.2: an error, and no route to be treated as withdrawn")
	}
	return j.Judgement
}

// cut takes what a length of two octets says.
func cut(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], true
}

type judge struct {
	Judgement
	internal  bool
	reachable bool // there are routes that are announced
	others    bool // there are attributes beside MP_UNREACH_NLRI
	faulty    bool // one calls for more than that it is discarded
}

func (j *judge) may(why string) {
	if j.Ending == Stands {
		j.Judgement = Judgement{May, 3, why}
	}
}

const (
	mpReach, mpUnreach = 14, 15
	extendedLength     = 0x10
)

// attributes walks over the list.
func (j *judge) attributes(b []byte) {
	var seen [256]bool
	for len(b) > 0 {
		head, n := 3, 0
		switch {
		case b[0]&extendedLength != 0 && len(b) >= 4:
			head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
		case b[0]&extendedLength == 0 && len(b) >= 3:
			n = int(b[2])
		default:
			head = len(b) + 1
		}
		if len(b) < head+n {
			// Section 4; but what is announced or withdrawn may be what is cut off.
			j.faulty, j.others = true, true
			if len(b) > 1 && (b[1] == mpReach || b[1] == mpUnreach) {
				j.may("section 3: MP_REACH_NLRI or MP_UNREACH_NLRI cannot be parsed")
			}
			return
		}
		flags, code, value := b[0], b[1], b[head:head+n]
		b = b[head+n:]
		j.others = j.others || code != mpUnreach
		switch {
		case code == mpReach || code == mpUnreach:
			if seen[code] {
				j.Judgement = Judgement{Must, 3, "section 3 g: MP_REACH_NLRI or MP_UNREACH_NLRI twice"}
				return
			}
			j.multiprotocol(flags, code, value)
		case seen[code]: // section 3 g: discarded
		case flags&0x80 == 0 && !assigned[code]:
			j.may("RFC 4271 section 6.3: unknown well-known attribute")
		case !sound(flags, code, value, j.internal):
			j.faulty = true
		}
		seen[code] = true
	}
}

// multiprotocol judges MP_REACH_NLRI and MP_UNREACH_NLRI.
func (j *judge) multiprotocol(flags, code byte, value []byte) {
	least := map[byte]int{mpReach: 5, mpUnreach: 3}[code]
	if flags&0xe0 != 0x80 || len(value) < least {
		j.may("section 5.3: flags or length of a multiprotocol attribute")
		return
	}
	f := Family{binary.BigEndian.Uint16(value), value[2]}
	nlri := value[3:]
	if code == mpReach {
		hop := int(value[3])
		if len(value) < 5+hop {
			j.may("section 7.11: length of the next hop")
			return
		}
		if !hopFits(f, hop) {
			j.may("section 7.11: length of the next hop")
		}
		nlri = value[5+hop:]
		j.reachable = j.reachable || len(nlri) > 0
	}
	if !nlriFit(f, nlri) {
		j.may("section 5.3: NLRI of a multiprotocol attribute")
	}
}

// hopFits says which lengths of a next hop a family has: RFC 4760 section 3, RFC 2545
// section 3, RFC 7432 section 9.2.1, RFC 4684 section 7.
func hopFits(f Family, n int) bool {
	switch f {
	case EVPN, RTConstraint:
		return n == 4 || n == 16
	case IPv4Unicast:
		return n == 4
	case IPv6Unicast:
		return n == 16 || n == 32
	}
	return true // nobody knows
}

// nlriFit says whether a family's NLRI can be told apart.
func nlriFit(f Family, b []byte) bool {
	switch f {
	case EVPN: // RFC 7432 section 7: type, length, value
		for len(b) > 0 {
			if len(b) < 2 || len(b) < 2+int(b[1]) {
				return false
			}
			b = b[2+int(b[1]):]
		}
	case IPv4Unicast:
		return prefixesFit(b, 32)
	case IPv6Unicast:
		return prefixesFit(b, 128)
	case RTConstraint: // RFC 4684 section 4: 0 or 32 to 96 bits
		for rest := b; len(rest) > 0; rest = rest[min(len(rest), 1+(int(rest[0])+7)/8):] {
			if rest[0] != 0 && rest[0] < 32 {
				return false
			}
		}
		return prefixesFit(b, 96)
	}
	return true
}

func prefixesFit(b []byte, most byte) bool {
	for len(b) > 0 {
		n := 1 + (int(b[0])+7)/8
		if b[0] > most || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

// assigned are the attributes that somebody knows (IANA, BGP Path Attributes).
var assigned = func() (known [256]bool) {
	for _, code := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 22} {
		known[code] = true
	}
	return known
}()

// sound reports whether an attribute is surely without a fault that calls for more than to
// discard it. It is strict: what it is not sure of is none.
func sound(flags, code byte, value []byte, internal bool) bool {
	const optional, transitive = 0x80, 0x40
	kind := flags & (optional | transitive)
	switch n := len(value); code {
	case 1: // section 7.1
		return kind == transitive && n == 1 && value[0] <= 2
	case 2: // section 7.2
		return kind == transitive && pathFits(value)
	case 3: // section 7.3
		return kind == transitive && n == 4
	case 4: // section 7.4
		return kind == optional && n == 4
	case 5: // section 7.5
		return kind == transitive && (n == 4 || !internal)
	case 6: // section 7.6: discarded, if it is for its length
		return kind == transitive
	case 7: // section 7.7: likewise
		return kind == optional|transitive
	case 8, 16: // sections 7.8 and 7.14
		unit := map[byte]int{8: 4, 16: 8}[code]
		return kind == optional|transitive && n > 0 && n%unit == 0
	case 9: // section 7.9
		return kind == optional && (n == 4 || !internal)
	case 10: // section 7.10
		return kind == optional && n > 0 && (n%4 == 0 || !internal)
	}
	return false
}

// pathFits says whether an AS path of 4-octet AS numbers is well formed: section 7.2, and RFC
// 7607 section 2.
func pathFits(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 2 || b[0] == 0 || b[0] > 2 || b[1] == 0 || len(b) < 2+4*int(b[1]) {
			return false
		}
		for as := range slices.Chunk(b[2:2+4*int(b[1])], 4) {
			if binary.BigEndian.Uint32(as) == 0 {
				return false
			}
		}
		b = b[2+4*int(b[1]):]
	}
	return true
}
