package bgp

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// RD is a route distinguisher in its wire form (RFC 4364 section 4.2): two
// bytes of type, six of value.
type RD [8]byte

// The types of RD, and of route target, that say how the value is split.
const (
	adminAS2 = 0 // 2-byte AS, 4-byte number
	adminIP4 = 1 // IPv4 address, 2-byte number
	adminAS4 = 2 // 4-byte AS, 2-byte number
)

// RouterRD is <router id>:<n>, the form that we give our own routes (type 1).
func RouterRD(routerID netip.Addr, n uint16) RD {
	rd := RD{0, adminIP4}
	a := routerID.Unmap().As4()
	copy(rd[2:], a[:])
	binary.BigEndian.PutUint16(rd[6:], n)
	return rd
}

// ParseRD reads "10.0.0.1:100", "65000:100" or "4200000000:100".
func ParseRD(s string) (RD, error) {
	var rd RD
	typ, value, err := parseAdmin(s)
	if err != nil {
		return rd, fmt.Errorf("route distinguisher %q: %w", s, err)
	}
	rd[1] = typ
	copy(rd[2:], value[:])
	return rd, nil
}

// Known reports whether the RD is of a type that RFC 4364 section 4.2 defines: 0, 1
// or 2.
func (r RD) Known() bool { return r[0] == 0 && r[1] <= adminAS4 }

// Number is the part after the colon: all that says the VNI of a RYU type-3
// route. It is 0 for an RD of unknown type.
func (r RD) Number() uint32 { return adminNumber(binary.BigEndian.Uint16(r[:]), r[2:]) }

func (r RD) String() string { return formatAdmin(binary.BigEndian.Uint16(r[:]), r[2:]) }

// MarshalText gives the form that ParseRD reads.
func (r RD) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRD does.
func (r *RD) UnmarshalText(b []byte) error {
	v, err := ParseRD(string(b))
	if err == nil {
		*r = v
	}
	return err
}

// parseAdmin reads "administrator:number", which RDs and route targets share.
func parseAdmin(s string) (typ uint8, value [6]byte, err error) {
	admin, num, ok := strings.Cut(s, ":")
	if !ok {
		return 0, value, fmt.Errorf("want AS:number or IPv4:number")
	}
	n, err := strconv.ParseUint(num, 10, 32)
	if err != nil {
		return 0, value, fmt.Errorf("number %q: want 0 to 4294967295", num)
	}
	if addr, err := netip.ParseAddr(admin); err == nil && addr.Is4() {
		a := addr.As4()
		copy(value[:], a[:])
		typ = adminIP4
	} else {
		as, err := strconv.ParseUint(admin, 10, 32)
		if err != nil {
			return 0, value, fmt.Errorf("administrator %q: want an AS number or an IPv4 address", admin)
		}
		if as <= math.MaxUint16 {
			binary.BigEndian.PutUint16(value[:], uint16(as))
			binary.BigEndian.PutUint32(value[2:], uint32(n))
			return adminAS2, value, nil
		}
		binary.BigEndian.PutUint32(value[:], uint32(as))
		typ = adminAS4
	}
	if n > math.MaxUint16 {
		return 0, value, fmt.Errorf("number %d does not fit 16 bits beside a 4-byte administrator", n)
	}
	binary.BigEndian.PutUint16(value[4:], uint16(n))
	return typ, value, nil
}

func adminNumber(typ uint16, value []byte) uint32 {
	switch typ {
	case adminAS2:
		return binary.BigEndian.Uint32(value[2:])
	case adminIP4, adminAS4:
		return uint32(binary.BigEndian.Uint16(value[4:]))
	}
	return 0
}

func formatAdmin(typ uint16, value []byte) string {
	switch typ {
	case adminAS2:
		return fmt.Sprintf("%d:%d", binary.BigEndian.Uint16(value), binary.BigEndian.Uint32(value[2:]))
	case adminIP4:
		return fmt.Sprintf("%v:%d", netip.AddrFrom4([4]byte(value)), binary.BigEndian.Uint16(value[4:]))
	case adminAS4:
		return fmt.Sprintf("%d:%d", binary.BigEndian.Uint32(value), binary.BigEndian.Uint16(value[4:]))
	}
	return fmt.Sprintf("type%d:%x", typ, value)
}
