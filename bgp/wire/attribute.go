package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// The flags of a path attribute (RFC 4271 section 4.3).
const (
	optional       = 0x80
	transitive     = 0x40
	extendedLength = 0x10
)

// The path attributes that mean something here.
const (
	attrOrigin              = 1
	attrASPath              = 2
	attrNextHop             = 3
	attrMED                 = 4
	attrLocalPref           = 5
	attrAtomicAggregate     = 6
	attrAggregator          = 7
	attrCommunities         = 8
	attrOriginatorID        = 9
	attrClusterList         = 10
	attrMPReach             = 14
	attrMPUnreach           = 15
	attrExtendedCommunities = 16
	attrAS4Path             = 17
	attrAS4Aggregator       = 18
	attrPMSITunnel          = 22
	attrIPv6Communities     = 25
	attrLargeCommunities    = 32
)

// passed are the attributes that are known and mean nothing here: nothing is said of them.
var passed = [256]bool{
	20: true, 21: true, // Connector and AS_PATHLIMIT, both gone
	23: true, // tunnel encapsulation (RFC 9012)
	24: true, // traffic engineering (RFC 5543)
	26: true, // AIGP (RFC 7311)
	27: true, // PE distinguisher labels (RFC 6514)
	29: true, // BGP-LS (RFC 9552)
	33: true, // BGPsec_PATH (RFC 8205)
	34: true, // community container
	35: true, // OTC (RFC 9234)
	36: true, // D-PATH
	37: true, // SFP (RFC 9015)
	38: true, // BFD discriminator (RFC 9026)
	39: true, // next hop dependent characteristics
	40: true, // prefix SID (RFC 8669)

	128: true, // ATTR_SET (RFC 6368)
}

// set is what a set of path attributes says, MP_REACH_NLRI and MP_UNREACH_NLRI aside.
type set struct {
	attributes bgp.Attributes
	nextHop    netip.Addr    // NEXT_HOP
	there      uint32        // bits, by number: which of the attributes up to 31 there are
	faults     []bgp.Fault   // those of attributes
	loop       *bgp.Fault    // why no route is of use
	useless    *bgp.Fault    // why no EVPN route is
	noTunnel   *bgp.Fault    // why no type-3 route is
	noNextHop  *bgp.Fault    // why nothing with the next hop of MP_REACH_NLRI is, of EVPN
	withdraw   *Notification // the error that RFC 7606 treats as withdrawal, if there is one
}

// has reports whether an attribute was there, and as it has to be.
func (s *set) has(code uint8) bool { return s.there>>code&1 != 0 }

// verdict is what is to be done about one attribute.
type verdict struct {
	action  bgp.Action // 0: nothing, it is taken
	subcode uint8      // where no route could be withdrawn (RFC 7606 section 5.2)
}

var (
	taken     = verdict{}
	discard   = verdict{action: bgp.Discarded}
	badLength = verdict{bgp.Withdrawn, AttributeLengthError}
)

// spec is how an attribute has to be. Those that are of reflection or of preference say
// nothing if they come from another AS, whatever is in them (RFC 7606 section 7).
type spec struct {
	flags    uint8
	internal bool
	read     func(r *reading, v []byte) verdict
}

// specs are those of the attributes that are read, by number.
var specs = [33]spec{
	attrOrigin:              {transitive, false, (*reading).origin},
	attrASPath:              {transitive, false, (*reading).asPath},
	attrNextHop:             {transitive, false, (*reading).nextHop},
	attrMED:                 {optional, false, (*reading).med},
	attrLocalPref:           {transitive, true, (*reading).localPref},
	attrAtomicAggregate:     {transitive, false, (*reading).atomicAggregate},
	attrAggregator:          {optional | transitive, false, (*reading).aggregator},
	attrCommunities:         {optional | transitive, false, (*reading).communities},
	attrOriginatorID:        {optional, true, (*reading).originatorID},
	attrClusterList:         {optional, true, (*reading).clusterList},
	attrExtendedCommunities: {optional | transitive, false, (*reading).extendedCommunities},
	attrAS4Path:             {optional | transitive, false, (*reading).as4Path},
	attrAS4Aggregator:       {optional | transitive, false, (*reading).as4Aggregator},
	attrPMSITunnel:          {optional | transitive, false, (*reading).pmsiTunnel},
	attrIPv6Communities:     {optional | transitive, false, (*reading).ipv6Communities},
	attrLargeCommunities:    {optional | transitive, false, (*reading).largeCommunities},
}

// reading is one set of attributes while it is read.
type reading struct {
	*set
	session *Session
	raw     []byte // the attribute that is being read, with its header
	seen    [4]uint64

	path, path4 []byte // AS_PATH and AS4_PATH
	aggregated  uint32 // the AS of AGGREGATOR
}

// attributeSet gives what the attributes of an UPDATE say.
func (d *Decoder) attributeSet(p *parts) (*set, *Notification) {
	n := len(p.attributes)
	key := append(p.attributes, p.reach.nextHop...)
	key = append(key, byte(len(p.reach.nextHop)))
	p.attributes = key[:n]
	s := d.cache.get(key)
	if s == nil {
		var bad *Notification
		if s, bad = d.read(p); bad != nil {
			return nil, bad
		}
		d.cache.put(key, s)
	}
	if p.broken != nil {
		s = s.brokenBy(p.broken)
	}
	// Nothing to withdraw: it may have been there, and could not be found (RFC 7606
	// section 5.2).
	if s.withdraw != nil && !p.reachable() {
		return nil, s.withdraw
	}
	return s, nil
}

// read reads the attributes of an UPDATE, the first of each (RFC 7606 section 3 g).
func (d *Decoder) read(p *parts) (*set, *Notification) {
	r := &reading{set: &set{}, session: &d.Session}
	r.attributes.LocalPref = bgp.DefaultLocalPref
	r.attributes.Internal = d.Internal
	for b := p.attributes; len(b) > 0; {
		head, n := 3, int(b[2])
		if b[0]&extendedLength != 0 {
			head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
		}
		r.raw, b = b[:head+n], b[head+n:]
		if bad := r.attribute(r.raw[0], r.raw[1], r.raw[head:]); bad != nil {
			return nil, bad
		}
	}
	r.judgePath()
	r.judgeNextHop(p.reach.nextHop)
	if r.attributes.GracefulShutdown {
		r.attributes.LocalPref = 0
	}
	return r.set, nil
}

// attribute takes one.
func (r *reading) attribute(flags, code uint8, v []byte) *Notification {
	if r.seen[code/64]>>(code%64)&1 != 0 {
		r.fault(bgp.BadAttribute, bgp.Discarded, " again")
		return nil
	}
	r.seen[code/64] |= 1 << (code % 64)
	var s spec
	if int(code) < len(specs) {
		s = specs[code]
	}
	switch {
	case s.read == nil:
		return r.unknown(flags, code)
	case s.internal && !r.session.Internal:
		r.fault(bgp.BadAttribute, bgp.Discarded, " from another AS")
		return nil
	case flags&(optional|transitive) != s.flags: // RFC 7606 section 3 c
		r.treatAsWithdraw(AttributeFlagsError, fmt.Sprintf(" with flags %02x", flags))
		return nil
	}
	switch found := s.read(r, v); found.action {
	case bgp.Discarded:
		r.fault(bgp.BadAttribute, bgp.Discarded, fmt.Sprintf(" of %d bytes", len(v)))
	case bgp.Withdrawn:
		r.treatAsWithdraw(found.subcode, fmt.Sprintf(" of %d bytes", len(v)))
	default:
		if code < 32 {
			r.there |= 1 << code
		}
	}
	return nil
}

// unknown passes what is optional. What is said to be well known cannot be passed over
// (RFC 4271 section 6.3), where it is not known to be optional.
func (r *reading) unknown(flags, code uint8) *Notification {
	switch {
	case flags&optional != 0:
		if !passed[code] {
			r.fault(bgp.BadAttribute, bgp.Discarded, ", unknown")
		}
	case passed[code]:
		r.treatAsWithdraw(AttributeFlagsError, fmt.Sprintf(" with flags %02x", flags))
	default:
		return &Notification{Code: UpdateError, Subcode: UnrecognizedWellKnown, Data: slices.Clone(r.raw)}
	}
	return nil
}

func (r *reading) treatAsWithdraw(subcode uint8, what string) {
	r.fault(bgp.BadAttribute, bgp.Withdrawn, what)
	if r.withdraw == nil {
		r.withdraw = &Notification{Code: UpdateError, Subcode: subcode, Data: slices.Clone(r.raw)}
	}
}

func (r *reading) fault(reason bgp.Reason, action bgp.Action, what string) {
	r.faults = append(r.faults, *r.newFault(reason, action, what))
}

// newFault is about the attribute that is being read.
func (r *reading) newFault(reason bgp.Reason, action bgp.Action, what string) *bgp.Fault {
	return &bgp.Fault{Reason: reason, Action: action, What: fmt.Sprintf("attribute %d%s", r.raw[1], what),
		Bytes: bgp.FirstBytes(r.raw)}
}

// brokenBy is the set with an attribute more, whose end is not there.
func (s *set) brokenBy(b []byte) *set {
	broken := *s
	broken.faults = append(broken.faults[:len(broken.faults):len(broken.faults)], bgp.Fault{
		Reason: bgp.BadAttribute, Action: bgp.Withdrawn, What: "an attribute that runs over the end",
		Bytes: bgp.FirstBytes(b)})
	if broken.withdraw == nil {
		broken.withdraw = malformedList()
	}
	return &broken
}

func (r *reading) origin(v []byte) verdict {
	if len(v) != 1 {
		return badLength
	}
	if v[0] > 2 {
		return verdict{bgp.Withdrawn, InvalidOrigin}
	}
	r.attributes.Origin = v[0]
	return taken
}

func (r *reading) nextHop(v []byte) verdict {
	if len(v) != 4 {
		return badLength
	}
	r.set.nextHop = netip.AddrFrom4([4]byte(v))
	return taken
}

func (r *reading) med(v []byte) verdict { return number(&r.attributes.MED, v) }

func (r *reading) localPref(v []byte) verdict { return number(&r.attributes.LocalPref, v) }

func number(to *uint32, v []byte) verdict {
	if len(v) != 4 {
		return badLength
	}
	*to = binary.BigEndian.Uint32(v)
	return taken
}

func (r *reading) atomicAggregate(v []byte) verdict {
	if len(v) != 0 {
		return discard
	}
	return taken
}

// originatorID looks for ourselves (RFC 4456 section 8).
func (r *reading) originatorID(v []byte) verdict {
	if len(v) != 4 {
		return badLength
	}
	id := netip.AddrFrom4([4]byte(v))
	r.attributes.OriginatorID = id
	if id == r.session.RouterID {
		r.loop = r.newFault(bgp.RouterLoop, bgp.Withdrawn, ", our router id as the originator")
	}
	return taken
}

func (r *reading) clusterList(v []byte) verdict {
	if len(v) == 0 || len(v)%4 != 0 {
		return badLength
	}
	r.attributes.ClusterLength = uint16(len(v) / 4)
	for ; len(v) > 0; v = v[4:] {
		if netip.AddrFrom4([4]byte(v)) == r.session.RouterID && r.loop == nil {
			r.loop = r.newFault(bgp.RouterLoop, bgp.Withdrawn, ", our router id among the clusters")
		}
	}
	return taken
}

// judgeNextHop takes that of MP_REACH_NLRI for EVPN: a VTEP's address.
func (r *reading) judgeNextHop(b []byte) {
	a := parseNextHop(b).Unmap()
	r.attributes.NextHop = a
	if bgp.IsHost(a) && !a.IsLinkLocalUnicast() {
		return
	}
	r.noNextHop = &bgp.Fault{Reason: bgp.BadNextHop, Action: bgp.Withdrawn, Bytes: bgp.FirstBytes(b),
		What: "next hop " + a.String()}
}

// parseNextHop gives the first address of a next hop, which is the global one of two
// (RFC 2545 section 3). EVPN has no RD before it (RFC 7432 section 9.2.1), but the length
// says where the address is, if somebody puts one of zeros there as VPN families do. It
// gives the zero Addr for what has another length.
func parseNextHop(b []byte) netip.Addr {
	if (len(b) == 12 || len(b) == 24) && binary.BigEndian.Uint64(b) == 0 {
		b = b[8:]
	}
	switch len(b) {
	case 4:
		return netip.AddrFrom4([4]byte(b))
	case 16, 32:
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.Addr{}
}
