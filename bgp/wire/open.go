package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/p4evpn/p4evpn/bgp"
)

// openLength is that of an OPEN's body without optional parameters.
const openLength = 10

const (
	version      = 4
	asTrans      = 23456 // RFC 6793 section 9
	capabilities = 2     // the one optional parameter (RFC 5492 section 4)
	extended     = 255   // says that lengths are of two octets (RFC 9072 section 2)
)

// Family is an address family as messages have it.
type Family struct {
	AFI  uint16
	SAFI uint8
}

// The families that mean something here.
var (
	EVPN         = Family{25, 70}
	IPv4Unicast  = Family{1, 1}
	IPv6Unicast  = Family{2, 1}
	RTConstraint = Family{1, 132} // RFC 4684
)

// FamilyOf is the family as messages have it.
func FamilyOf(f bgp.Family) Family {
	switch f {
	case bgp.EVPN:
		return EVPN
	case bgp.IPv4Unicast:
		return IPv4Unicast
	case bgp.IPv6Unicast:
		return IPv6Unicast
	}
	return Family{}
}

// Known is the family that the speaker has by that name, 0 if it has none.
func (f Family) Known() bgp.Family {
	switch f {
	case EVPN:
		return bgp.EVPN
	case IPv4Unicast:
		return bgp.IPv4Unicast
	case IPv6Unicast:
		return bgp.IPv6Unicast
	}
	return 0
}

func (f Family) String() string {
	if known := f.Known(); known != 0 {
		return known.String()
	}
	return fmt.Sprintf("AFI %d SAFI %d", f.AFI, f.SAFI)
}

// Open is an OPEN message.
type Open struct {
	// AS is that of the four-octet capability, where there is one (RFC 6793).
	AS       uint32
	HoldTime uint16 // in seconds; 0 for no keepalives
	ID       netip.Addr
	Families []Family
	// What RFC 6793, RFC 2918, RFC 7313 and RFC 8654 have a capability for.
	AS4, RouteRefresh, EnhancedRefresh, ExtendedMessage bool
	GracefulRestart                                     *GracefulRestart
	LongLived                                           []LongLived
	// Unknown are the other capabilities, in the order in which they came.
	Unknown []Capability
	// Faults are the capabilities that were malformed, and are as if they were not there.
	Faults []bgp.Fault
}

// GracefulRestart is the capability of RFC 4724 section 3 and RFC 8538 section 2.
type GracefulRestart struct {
	Restarting   bool // the R bit
	Notification bool // the N bit
	Time         uint16
	Families     []Preserved
}

// Preserved is a family for which a speaker does graceful restart.
type Preserved struct {
	Family
	Forwarding bool // the F bit
}

// LongLived is a family of the capability of RFC 9494 section 3.
type LongLived struct {
	Family
	Forwarding bool   // the F bit
	Time       uint32 // of its stale routes, in seconds; 24 bits
}

// Capability is one in its wire form.
type Capability struct {
	Code  uint8
	Value []byte
}

// Has reports whether the OPEN has the family. One without any has IPv4 unicast alone
// (RFC 4760 section 8).
func (o *Open) Has(f Family) bool {
	return slices.Contains(o.Families, f) || len(o.Families) == 0 && f == IPv4Unicast
}

// ParseOpen reads the body of an OPEN. What RFC 4271 section 6.2 refuses is a
// *Notification. Capabilities may come in one optional parameter or several, in either
// form of RFC 9072, again and unknown; malformed ones are Faults and no error.
func ParseOpen(body []byte) (Open, error) {
	var o Open
	if len(body) < openLength {
		n := binary.BigEndian.AppendUint16(nil, uint16(HeaderLength+len(body)))
		return o, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: n}
	}
	if body[0] != version {
		return o, &Notification{Code: OpenError, Subcode: UnsupportedVersion, Data: []byte{0, version}}
	}
	as := uint32(binary.BigEndian.Uint16(body[1:]))
	o.AS, o.HoldTime, o.ID = as, binary.BigEndian.Uint16(body[3:]), netip.AddrFrom4([4]byte(body[5:]))
	if o.HoldTime == 1 || o.HoldTime == 2 {
		return o, &Notification{Code: OpenError, Subcode: UnacceptableHoldTime}
	}
	if o.ID.IsUnspecified() { // RFC 6286 section 2.1
		return o, &Notification{Code: OpenError, Subcode: BadIdentifier}
	}
	if n := o.parameters(body[openLength-1:]); n != nil {
		return o, n
	}
	if o.GracefulRestart == nil {
		o.LongLived = nil // RFC 9494 section 4.1
	}
	// RFC 7607 section 2; two octets that name another AS than the four do.
	if o.AS == 0 || o.AS4 && as != asTrans && as != o.AS {
		return o, &Notification{Code: OpenError, Subcode: BadPeerAS}
	}
	return o, nil
}

// Check says why a peer of the AS may not be sent our OPEN's answer: it is of another AS,
// or has our identifier within ours (RFC 6286 section 2.1).
func (o *Open) Check(as uint32, ourID netip.Addr, internal bool) *Notification {
	switch {
	case o.AS != as:
		return &Notification{Code: OpenError, Subcode: BadPeerAS}
	case internal && o.ID == ourID:
		return &Notification{Code: OpenError, Subcode: BadIdentifier}
	}
	return nil
}

// parameters reads the optional parameters, from their length on.
func (o *Open) parameters(b []byte) *Notification {
	size, long := int(b[0]), false
	b = b[1:]
	if size != 0 && len(b) >= 3 && b[0] == extended {
		size, long = int(binary.BigEndian.Uint16(b[1:])), true
		b = b[3:]
	}
	if size != len(b) {
		return &Notification{Code: OpenError} // RFC 4271 section 6.2: unspecific
	}
	head := 2
	if long {
		head = 3
	}
	for len(b) > 0 {
		if len(b) < head {
			return &Notification{Code: OpenError}
		}
		n := int(b[1])
		if long {
			n = int(binary.BigEndian.Uint16(b[1:]))
		}
		if n > len(b)-head {
			return &Notification{Code: OpenError}
		}
		if b[0] != capabilities {
			return &Notification{Code: OpenError, Subcode: UnsupportedParameter}
		}
		if n := o.capabilities(b[head : head+n]); n != nil {
			return n
		}
		b = b[head+n:]
	}
	return nil
}

// capabilities reads those of one optional parameter. One that runs over its end makes
// the parameter malformed, which RFC 4271 section 6.2 does not let pass.
func (o *Open) capabilities(b []byte) *Notification {
	for len(b) > 0 {
		if len(b) < 2 || int(b[1]) > len(b)-2 {
			return &Notification{Code: OpenError}
		}
		n := 2 + int(b[1])
		if !o.capability(b[0], b[2:n]) {
			o.Faults = append(o.Faults, bgp.Fault{
				Reason: bgp.BadMessage, Action: bgp.Discarded, Bytes: bgp.FirstBytes(b[:n]),
				What: fmt.Sprintf("capability %d of %d bytes", b[0], n-2),
			})
		}
		b = b[n:]
	}
	return nil
}

// Append appends the body: all capabilities in one optional parameter, in the form of
// RFC 9072 where they are longer than 255 bytes.
func (o *Open) Append(b []byte) []byte {
	as := uint16(asTrans)
	if o.AS <= 0xffff {
		as = uint16(o.AS)
	}
	b = binary.BigEndian.AppendUint16(append(b, version), as)
	b = binary.BigEndian.AppendUint16(b, o.HoldTime)
	b = append(b, o.ID.AsSlice()...)
	list := o.appendCapabilities(nil)
	switch n := len(list); {
	case n == 0:
		b = append(b, 0)
	case n+2 < extended:
		b = append(b, byte(n+2), capabilities, byte(n))
	default:
		b = append(b, extended, extended)
		b = binary.BigEndian.AppendUint16(b, uint16(n+3))
		b = binary.BigEndian.AppendUint16(append(b, capabilities), uint16(n))
	}
	return append(b, list...)
}
