package wire

import (
	"encoding/binary"
	"math"

	"github.com/p4evpn/p4evpn/bgp"
)

// The types of segment of an AS path (RFC 4271 section 4.3, RFC 5065 section 3).
const (
	asSet            = 1
	asSequence       = 2
	confedSequence   = 3
	confedSet        = 4
	lastSegment      = confedSet
	segmentHeaderLen = 2
)

func (r *reading) asPath(v []byte) verdict {
	if !validPath(v, r.width(), r.session.Internal) {
		return verdict{bgp.Withdrawn, MalformedASPath}
	}
	r.path = v
	return taken
}

// width is the length of an AS number in AS_PATH and AGGREGATOR.
func (r *reading) width() int {
	if r.session.AS4 {
		return 4
	}
	return 2
}

// validPath reports whether an AS path is as RFC 7606 section 7.2 has it: segments of
// known type that are not empty and fit exactly. AS 0 is nobody's (RFC 7607 section 2),
// and segments of a confederation do not leave it (RFC 5065 section 5).
func validPath(b []byte, width int, confederation bool) bool {
	for len(b) > 0 {
		if len(b) < segmentHeaderLen || b[0] < asSet || b[0] > lastSegment || b[1] == 0 ||
			b[0] >= confedSequence && !confederation {
			return false
		}
		n := segmentHeaderLen + int(b[1])*width
		if n > len(b) {
			return false
		}
		for as := b[segmentHeaderLen:n]; len(as) > 0; as = as[width:] {
			if number16or32(as, width) == 0 {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

func number16or32(b []byte, width int) uint32 {
	if width == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return uint32(binary.BigEndian.Uint16(b))
}

// aggregator says nothing that is used here, but for RFC 6793 section 4.2.3.
func (r *reading) aggregator(v []byte) verdict {
	if len(v) != r.width()+4 || number16or32(v, r.width()) == 0 {
		return discard
	}
	r.aggregated = number16or32(v, r.width())
	return taken
}

// as4Path is for sessions with AS numbers of two octets (RFC 6793 section 4.1), and what
// is malformed is discarded (section 6), as are segments of confederations.
func (r *reading) as4Path(v []byte) verdict {
	if r.session.AS4 || !validPath(v, 4, true) {
		return discard
	}
	for b := v; len(b) > 0; {
		n := segmentHeaderLen + 4*int(b[1])
		if b[0] < confedSequence {
			r.path4 = append(r.path4, b[:n]...)
		}
		b = b[n:]
	}
	return taken
}

func (r *reading) as4Aggregator(v []byte) verdict {
	if r.session.AS4 || len(v) != 8 || binary.BigEndian.Uint32(v) == 0 {
		return discard
	}
	return taken
}

// judgePath finds what decides about a route of the whole path: AS_PATH with its end as
// AS4_PATH has it (RFC 6793 section 4.2.3).
func (r *reading) judgePath() {
	var p path
	p.add(r.path, r.width(), r.session.AS, math.MaxInt)
	// Who aggregates with an AS number of two octets does not know AS4_PATH.
	stale := r.has(attrAggregator) && r.has(attrAS4Aggregator) && r.aggregated != asTrans
	if tail := pathLength(r.path4, 4); len(r.path4) > 0 && tail <= p.length && !stale {
		lead := p.length - tail
		p = path{}
		p.add(r.path, r.width(), r.session.AS, lead)
		p.add(r.path4, 4, r.session.AS, math.MaxInt)
	}
	r.attributes.PathLength = uint16(min(p.length, math.MaxUint16))
	r.attributes.NeighborAS = p.neighbor
	r.attributes.OwnAS = uint8(min(p.own, math.MaxUint8))
	if p.own > int(r.session.AllowOwnAS) && r.loop == nil {
		r.loop = &bgp.Fault{Reason: bgp.ASLoop, Action: bgp.Withdrawn, What: "our own AS in the path",
			Bytes: bgp.FirstBytes(r.path)}
	}
}

// path is what the segments of an AS path come to.
type path struct {
	length   int // as RFC 4271 section 9.1.2.2 a and RFC 5065 section 5.3 count
	own      int
	neighbor uint32 // the first AS, 0 if that is in a set
	begun    bool
}

// add goes on with segments, until limit ASes of them are counted.
func (p *path) add(b []byte, width int, own uint32, limit int) {
	for len(b) > 0 {
		typ, n := b[0], int(b[1])
		members := b[segmentHeaderLen : segmentHeaderLen+n*width]
		b = b[segmentHeaderLen+n*width:]
		counted := 0 // segments of a confederation do not count
		switch typ {
		case asSequence:
			counted = min(n, limit)
			members = members[:counted*width]
		case asSet:
			counted = min(1, limit)
		}
		if counted == 0 && typ <= asSequence {
			return
		}
		if counted > 0 && !p.begun {
			p.begun = true
			if typ == asSequence {
				p.neighbor = number16or32(members, width)
			}
		}
		for ; len(members) > 0; members = members[width:] {
			if number16or32(members, width) == own {
				p.own++
			}
		}
		p.length += counted
		limit -= counted
	}
}

// pathLength is the length that counts.
func pathLength(b []byte, width int) int {
	var p path
	p.add(b, width, 0, math.MaxInt)
	return p.length
}
